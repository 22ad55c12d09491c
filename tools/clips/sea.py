"""The sun goes down behind a sailing boat: violet, rose and gold."""

from tools.clips.canvas import Canvas, arc, chances, steps, wave
from tools.clips.track import SOFT, Track


def draw(canvas: Canvas, turn: float) -> None:
    width, height = canvas.width, canvas.height
    horizon = height * (0.5 if canvas.upright else 0.54)
    sun = width * (0.5 if canvas.upright else 0.62)
    radius = 54 if canvas.upright else 48
    canvas.gradient((0, "#3a1d6e"), (0.26, "#8e3a8f"), (0.42, "#ec6a86"), (0.55, "#ffc27a"))
    canvas.glow(sun, horizon - 18, radius * 4.2, "#ffd98a", 0.85)
    canvas.disc(sun, horizon - 16, radius, "#fff0b8")
    _clouds(canvas, horizon, turn)
    _water(canvas, horizon, sun, radius, turn)
    _boat(canvas, width * 0.3, height * (0.66 if canvas.upright else 0.71), turn)
    _gulls(canvas, horizon, turn)


def sound() -> Track:
    track = Track()
    track.noise(lambda second: 9 * (0.35 + 0.65 * (0.5 - 0.5 * wave(second / 3 + 0.25)) ** 2), dull=0.9)
    for at, note in ((0.0, -5), (0.35, 2), (0.7, 7), (1.5, -3), (1.85, 4), (2.2, 9)):
        track.tone(note, at, 1.6, 0.55, timbre=SOFT, rise=0.06)
    track.echo(0.28, 0.3)
    return track


def _clouds(canvas: Canvas, horizon: float, turn: float) -> None:
    for number, (left, above, length) in enumerate(
        ((0.02, 0.78, 0.5), (0.5, 0.62, 0.62), (0.16, 0.42, 0.36), (0.66, 0.27, 0.4), (-0.1, 0.2, 0.3))
    ):
        x = canvas.width * left + 9 * wave(turn + number / 5)
        y = horizon * (1 - above)
        reach = canvas.width * length
        canvas.ellipse(x + reach / 2, y, reach / 2, 5.5, "#ff9d9a66")
        canvas.ellipse(x + reach * 0.56, y - 5, reach * 0.3, 6, "#ffb3a066")


def _water(canvas: Canvas, horizon: float, sun: float, radius: float, turn: float) -> None:
    depth = canvas.height - horizon
    part = horizon / canvas.height
    canvas.gradient((part, "#f58f80"), (part + 0.14, "#b1508c"), (part + 0.3, "#62307e"), (1, "#2a1754"))
    for row in range(15):
        near = row / 14
        y = horizon + 4 + depth * 0.8 * near**1.5
        reach = radius * (0.95 - 0.55 * near) * (1 + 0.3 * wave(turn * (1 + row % 2) + row * 0.37))
        x = sun + 7 * near * wave(turn + row * 0.29)
        thick = 1.4 + 3.2 * near
        canvas.ellipse(x, y, reach, thick, f"#ffe3a0{round(230 - 130 * near):02x}")
    for row, colour in enumerate(("#8a3f8a70", "#5d2c7a90", "#43226aa8", "#2f195cd0")):
        near = (row + 1) / 4
        level = horizon + depth * (0.16 + 0.66 * near**1.3)
        length, swell = 70 + 90 * near, 2 + 6 * near

        def crest(
            x: float, level: float = level, length: float = length, swell: float = swell, row: int = row
        ) -> float:
            return level + swell * (
                wave(x / length + row * 0.3 - turn) + 0.4 * wave(x / length * 1.7 + turn + row * 0.6)
            )

        canvas.ridge(crest, colour)


def _boat(canvas: Canvas, x: float, y: float, turn: float) -> None:
    size = 1.35 if canvas.upright else 1.15
    x, y, lean = x + 6 * wave(turn), y + 3 * wave(turn + 0.2), 3 * wave(turn + 0.1)
    mast = (x + lean, y - 78 * size)
    canvas.ellipse(x, y + 9 * size, 44 * size, 4 * size, "#1d0f4480")
    canvas.shape([mast, (x + 2, y - 8), (x + 36 * size, y - 10), (x + 30 * size, y - 22)], "#ffe9d0")
    canvas.shape([(mast[0] - 1, mast[1] + 8), (x - 3, y - 9), (x - 27 * size, y - 10)], "#ffb48e")
    canvas.line([mast, (x, y - 4)], "#2a1440", 2)
    hull = arc(x, y - 6 * size, 40 * size, 15 * size, steps(0, 0.5))
    canvas.shape(hull, "#2a1440")
    canvas.box(x - 40 * size, y - 8 * size, x + 40 * size, y - 5 * size, "#c94f6d", 1)


def _gulls(canvas: Canvas, horizon: float, turn: float) -> None:
    chance = chances(4)
    for _ in range(4):
        x = canvas.width * chance.uniform(0.12, 0.5) + 12 * wave(turn + chance.random())
        y = horizon * chance.uniform(0.2, 0.5) + 4 * wave(turn + chance.random())
        beat, span = 4 * wave(turn * 3 + chance.random()), chance.uniform(7, 11)
        canvas.line([(x - span, y - 3 - beat), (x - span / 2, y - 4 - beat / 3), (x, y)], "#3a1d5e", 1.5)
        canvas.line([(x, y), (x + span / 2, y - 4 - beat / 3), (x + span, y - 3 - beat)], "#3a1d5e", 1.5)
