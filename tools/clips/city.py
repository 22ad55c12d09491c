"""A city by a river on a rainy night: ink blue and amber."""

from tools.clips.canvas import Canvas, chances, wave
from tools.clips.track import SOFT, Track

_LAYERS = (
    # seed, height, colour, window, how many windows are lit
    (11, 0.62, "#26346e", "#7f83c4", 0.25),
    (23, 0.5, "#18224f", "#f2b45c", 0.4),
    (37, 0.36, "#0d1433", "#ffd27a", 0.5),
)


def draw(canvas: Canvas, turn: float) -> None:
    width, height = canvas.width, canvas.height
    shore = height * (0.72 if canvas.upright else 0.74)
    canvas.gradient((0, "#070b24"), (0.35, "#141f56"), (0.78, "#5a4a93"), (1, "#5a4a93"))
    moon = (width * 0.76, height * (0.13 if canvas.upright else 0.18))
    canvas.glow(*moon, 110, "#b9c4ff", 0.5)
    canvas.disc(*moon, 22, "#eef0ff")
    canvas.disc(moon[0] - 6, moon[1] - 4, 4.5, "#d3d8f6")
    canvas.disc(moon[0] + 7, moon[1] + 6, 3.5, "#d3d8f6")
    canvas.glow(width * 0.5, shore, width * 0.6, "#ff9f6b", 0.35)
    for number, layer in enumerate(_LAYERS):
        _houses(canvas, shore, number, layer, turn)
    _lamps(canvas, shore, turn)
    canvas.mirror(shore, lambda depth: (0.5 + min(1.4, depth * 0.02)) * wave(depth / 12 - turn), "#0a1030", 0.35)
    canvas.box(-2, shore - 1.5, width + 2, shore + 2, "#05081c")
    _rain(canvas, turn)


def sound() -> Track:
    track = Track()
    track.noise(lambda second: 1.6 + 0.2 * wave(second), dull=0.35)
    for at, chord in ((0.0, (-10, -3, 2, 5)), (1.5, (-12, -4, 0, 3))):
        for number, note in enumerate(chord):
            track.tone(note, at + number * 0.03, 1.9, 0.5, timbre=(1.0, 0.3, 0.0, 0.12))
    for at, note in ((0.75, 12), (1.0, 14), (1.25, 9), (2.25, 7), (2.5, 12)):
        track.tone(note, at, 0.8, 0.45, timbre=SOFT)
    track.echo(0.37, 0.3)
    return track


def _houses(canvas: Canvas, shore: float, number: int, layer: tuple[int, float, str, str, float], turn: float) -> None:
    seed, tall, colour, window, lit = layer
    chance = chances(seed + canvas.upright)
    x, pane, gap = -chance.uniform(0, 30), 3.0 + number * 0.8, 8.0 + number * 1.5
    while x < canvas.width:
        columns = chance.randint(4, 6 if number else 7)
        wide = columns * gap + gap * 0.6
        roof = shore - shore * tall * chance.uniform(0.55, 1.15)
        canvas.box(x, roof, x + wide, shore + 2, colour)
        if chance.random() < 0.4:
            canvas.line([(x + wide / 2, roof), (x + wide / 2, roof - 22)], colour, 2)
            # Lights against aeroplanes.
            if turn % 0.5 < 0.25:
                canvas.disc(x + wide / 2, roof - 22, 1.8, "#ff5a5a")
        for row in range(int((shore - roof - 14) / (gap * 1.3))):
            for column in range(columns):
                chosen, changes, moment = chance.random(), chance.random(), chance.random()
                on = (turn - moment) % 1 < 0.5 if changes < 0.05 else chosen < lit
                if on:
                    left, top = x + gap * (column + 0.55), roof + 9 + row * gap * 1.3
                    canvas.box(left, top, left + pane, top + pane * 1.35, window)
        x += wide + chance.uniform(0, 7 if number < 2 else 46)


def _lamps(canvas: Canvas, shore: float, turn: float) -> None:
    for x in range(30, canvas.width, 76):
        canvas.line([(x, shore), (x, shore - 16)], "#04071a", 2)
        canvas.glow(x, shore - 17, 17, "#ffcf82", 0.9)
        canvas.disc(x, shore - 17, 2.4, "#fff2cf")
    # Cars: white lights go one way, red ones the other.
    for start, way, colour in ((0.0, 1, "#fff1c4"), (0.6, -1, "#ff6b5e"), (0.7, 1, "#fff1c4")):
        along = -30 + (canvas.width + 60) * ((start + way * turn) % 1)
        canvas.glow(along, shore - 4, 13, colour, 0.9)
        canvas.ellipse(along, shore - 4, 4, 1.6, colour)


def _rain(canvas: Canvas, turn: float) -> None:
    chance = chances(5)
    for _ in range(canvas.width // 18):
        x, start, speed = chance.uniform(0, canvas.width * 1.1), chance.random(), chance.choice((2, 3))
        y = ((start + turn * speed) % 1) * (canvas.height + 60) - 30
        length = 9 + speed * 4
        canvas.line([(x - y * 0.06, y), (x - (y + length) * 0.06, y + length)], "#c8d4ff50", 1)
