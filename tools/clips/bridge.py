"""A steam train crosses a valley in autumn: amber, rust and gold."""

from tools.clips.canvas import Canvas, arc, chances, steps, wave
from tools.clips.track import REED, Track

_LEAVES = ("#d1495b", "#e07a2f", "#f2b134", "#a63d2f")
_STONE = "#8a6a55"


def draw(canvas: Canvas, turn: float) -> None:
    width, height = canvas.width, canvas.height
    deck = height * (0.55 if canvas.upright else 0.56)
    canvas.gradient((0, "#f0b860"), (0.5, "#fbe0a4"), (1, "#f3c886"))
    canvas.glow(width * 0.72, height * 0.2, 170, "#fffbe6", 0.9)
    canvas.disc(width * 0.72, height * 0.2, 26, "#fffdf0")
    canvas.ridge(lambda x: height * (0.48 - 0.07 * wave(x / 330 + 0.1) - 0.025 * wave(x / 120)), "#ecc592")
    canvas.ridge(lambda x: height * (0.57 - 0.08 * wave(x / 250 + 0.62) - 0.02 * wave(x / 90)), "#dba35f")
    _wood(canvas, height * 0.74, 9, ("#c97b35", "#d98f3c", "#bf6a30"), 17, 0.05)
    if canvas.upright:
        _wood(canvas, height * 0.86, 4, ("#b8602c", "#d07f34", "#a9542b"), 21, 0.04)
    _train(canvas, deck, turn)
    _viaduct(canvas, deck)
    _wood(canvas, height * 0.95, 14, ("#a8452c", "#c65d2e", "#e08a2e", "#8f3626"), 27, 0.035)
    _falling(canvas, turn)


def sound() -> Track:
    track = Track()

    def puffs(second: float) -> float:
        passed = second % 0.25
        return 7 * max(0.0, 1 - passed / 0.16) * (1.0 if second % 0.5 < 0.25 else 0.6)

    track.noise(puffs, dull=0.8, seed=3)
    for at, long in ((0.5, 0.5), (1.2, 1.3)):
        for note in (6, 9, 13):
            track.tone(note, at, long, 0.5, timbre=REED, rise=0.06)
    for number, note in enumerate((-15, -8, -3, -8, -15, -8, -3, -8, -10, -3, 2, -3)):
        track.tone(note, number * 0.25, 0.4, 1.0)
    return track


def _viaduct(canvas: Canvas, deck: float) -> None:
    span, pier = 92, 20
    foot = canvas.height + 4
    canvas.box(-4, deck, canvas.width + 4, deck + 12, _STONE)
    canvas.box(-4, deck - 3, canvas.width + 4, deck + 2, "#a98a70")
    for left in range(-40, canvas.width + span, span):
        arch = arc(left + span / 2, deck + 12 + 46, (span - pier) / 2, 40, steps(0.5, 1.0))
        canvas.shape(
            [(left, deck + 10), (left + span, deck + 10), (left + span, deck + 58), *reversed(arch), (left, deck + 58)],
            _STONE,
        )
        canvas.box(left - pier / 2, deck + 57, left + pier / 2, foot, _STONE)
        canvas.box(left + pier / 2 - 5, deck + 57, left + pier / 2, foot, "#75584a")


def _train(canvas: Canvas, rail: float, turn: float) -> None:
    length = 250
    # In the middle at the beginning: a player that waits shows the first picture.
    x = -40 + (canvas.width + length + 80) * ((turn + 0.57) % 1)
    for puff in range(9):
        age = puff / 9
        # Steam stays behind and swells.
        back, up, size = 14 + puff * 24, 40 + 34 * age**0.7 + 3 * wave(turn * 3 + age), 6 + 17 * age
        canvas.disc(x - 22 - back, rail - up, size, f"#ffffff{round(205 * (1 - age)):02x}")
    for wagon in range(3):
        left = x - 112 - wagon * 62
        canvas.box(left, rail - 28, left + 56, rail - 7, "#8e2f3c", 3)
        canvas.box(left - 1, rail - 31, left + 57, rail - 26, "#5c1f2b", 2)
        for window in range(4):
            canvas.box(left + 5 + window * 12.5, rail - 24, left + 13 + window * 12.5, rail - 16, "#ffe2a0", 1)
        canvas.line([(left + 56, rail - 9), (left + 64, rail - 9)], "#2b2530", 2)
        for wheel in (10, 46):
            canvas.disc(left + wheel, rail - 5, 5, "#2b2530")
    canvas.box(x - 48, rail - 36, x - 26, rail - 7, "#2f4a4a", 2)
    canvas.box(x - 51, rail - 39, x - 23, rail - 35, "#22302f", 1)
    canvas.box(x - 43, rail - 31, x - 32, rail - 21, "#ffe2a0", 1)
    canvas.box(x - 30, rail - 27, x + 6, rail - 8, "#3b5f5c", 8)
    canvas.box(x - 8, rail - 38, x - 1, rail - 24, "#22302f", 1)
    canvas.box(x - 11, rail - 42, x + 2, rail - 37, "#22302f", 1)
    canvas.shape([(x + 4, rail - 9), (x + 16, rail - 1), (x + 2, rail - 1)], "#b8863b")
    for wheel, radius in ((-40, 6.5), (-22, 6.5), (-5, 5)):
        canvas.disc(x + wheel, rail - radius, radius, "#2b2530")
        spoke = arc(x + wheel, rail - radius, radius * 0.8, radius * 0.8, [turn * 9, turn * 9 + 0.5])
        canvas.line(spoke, "#c9a46a", 1)


def _wood(canvas: Canvas, level: float, seed: int, colours: tuple[str, ...], size: float, rough: float) -> None:
    chance = chances(seed)
    canvas.ridge(lambda x: level - canvas.height * rough * wave(x / 280 + seed / 7), colours[0])
    x = -size
    while x < canvas.width + size:
        y = level - canvas.height * rough * wave(x / 280 + seed / 7)
        radius, colour = size * chance.uniform(0.75, 1.25), chance.choice(colours)
        for right, below, part in (
            (-0.75, 0.3, 0.7),
            (0.75, 0.35, 0.7),
            (-0.35, -0.45, 0.75),
            (0.4, -0.35, 0.7),
            (0, 0.2, 0.95),
        ):
            canvas.disc(x + right * radius, y + (below - 0.4) * radius, part * radius, colour)
        canvas.disc(x - 0.4 * radius, y - radius, 0.42 * radius, "#ffe2a030")
        x += size * chance.uniform(1.1, 1.7)


def _falling(canvas: Canvas, turn: float) -> None:
    chance = chances(6)
    for _ in range(13):
        x, start, size = canvas.width * chance.random(), chance.random(), chance.uniform(4.5, 9)
        y = (canvas.height + 40) * ((start + turn) % 1) - 20
        across = x + 26 * wave(turn * 2 + start)
        lean = wave(turn * 2 + start * 3)
        tips = [(-1, 0), (-0.2, -0.5), (1, 0), (-0.2, 0.5)]
        leaf = [(across + size * (r - b * lean), y + size * (b + r * lean)) for r, b in tips]
        canvas.shape(leaf, chance.choice(_LEAVES))
