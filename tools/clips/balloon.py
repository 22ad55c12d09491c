"""Balloons over green hills on a bright morning: sky blue, meadow green, red."""

import math

from tools.clips.canvas import Canvas, arc, chances, steps, wave
from tools.clips.track import BELL, Track

_GORES = ("#e63946", "#ffd166", "#e63946", "#fff3d6", "#e63946", "#ffd166", "#e63946")
_COOL = ("#3d6fd1", "#f4f1de", "#3d6fd1", "#f4f1de", "#3d6fd1", "#f4f1de", "#3d6fd1")
_WARM = ("#f4845f", "#fff0c9", "#f4845f", "#fff0c9", "#f4845f", "#fff0c9", "#f4845f")


def draw(canvas: Canvas, turn: float) -> None:
    width, height = canvas.width, canvas.height
    canvas.gradient((0, "#2f8fe6"), (0.45, "#8fd0fb"), (0.75, "#e9f8ff"), (1, "#e9f8ff"))
    canvas.glow(width * 0.14, height * 0.1, 150, "#fff7cf", 0.8)
    _cloud(canvas, width * 0.2 + 10 * wave(turn), height * 0.3, 1.0)
    _cloud(canvas, width * 0.82 + 14 * wave(turn + 0.3), height * (0.12 if canvas.upright else 0.2), 1.25)
    _cloud(canvas, width * 0.55 + 8 * wave(turn + 0.6), height * 0.5, 0.7)
    _hills(canvas, turn)
    _balloon(canvas, width * 0.86, height * 0.42 + 4 * wave(turn + 0.5), 17, _WARM, turn)
    if canvas.upright:
        _balloon(canvas, width * 0.2, height * 0.5 + 7 * wave(turn + 0.3), 30, _COOL, turn)
        _balloon(canvas, width * 0.56 + 7 * wave(turn + 0.25), height * 0.3 - 11 * wave(turn), 92, _GORES, turn)
    else:
        _balloon(canvas, width * 0.17, height * 0.46 + 6 * wave(turn + 0.3), 27, _COOL, turn)
        _balloon(canvas, width * 0.52 + 8 * wave(turn + 0.25), height * 0.38 - 8 * wave(turn), 78, _GORES, turn)


def sound() -> Track:
    track = Track()
    track.noise(lambda second: 4 * max(0.0, wave(second / 3 - 0.1)), dull=0.86)
    for number, note in enumerate((3, 7, 10, 15, 12, 10, 7, 10, 3, 8, 12, 15)):
        track.tone(note, number * 0.245, 0.9, 0.9, timbre=BELL)
    for at, note in ((0.0, -9), (1.47, -4)):
        track.tone(note, at, 1.5, 0.7, rise=0.04)
    track.echo(0.245, 0.22)
    return track


def _cloud(canvas: Canvas, x: float, y: float, size: float) -> None:
    for right, below, radius, colour in (
        *((-34, 6, 17, "#d6ebfa"), (0, 8, 24, "#d6ebfa"), (34, 8, 16, "#d6ebfa")),
        *((-32, 0, 16, "#ffffff"), (-8, -9, 23, "#ffffff"), (18, -4, 19, "#ffffff"), (38, 3, 13, "#ffffff")),
    ):
        canvas.ellipse(x + right * size, y + below * size, radius * size * 1.25, radius * size * 0.8, colour)


def _hills(canvas: Canvas, turn: float) -> None:
    width, height = canvas.width, canvas.height
    rows = (
        (0.66, 0.05, 150, "#a9d8d8", 0),
        (0.72, 0.06, 210, "#7cc6a4", 2),
        (0.79, 0.05, 260, "#58b368", 4),
        (0.88, 0.06, 330, "#2f8f4e", 7),
    )
    for number, (level, swell, length, colour, drift) in enumerate(rows):
        shift = drift * wave(turn)

        def slope(x: float, number: int = number, shift: float = shift) -> float:
            level, swell, length, _, _ = rows[number]
            along = (x + shift) / length + number * 0.37
            return height * (level - swell * (0.7 * wave(along) + 0.3 * wave(along * 2.3 + 0.2)))

        canvas.ridge(slope, colour)
        if number < 2:
            continue
        chance, dark = chances(number), ("#3f9a56", "#226f3d")[number - 2]
        for _ in range(width // (26, 34)[number - 2]):
            # The trees drift with their hill.
            x, size = chance.uniform(-20, width + 20) - shift, chance.uniform(0.8, 1.3) * (6, 10)[number - 2]
            y = slope(x) + size * 0.3
            canvas.shape([(x - size * 0.55, y), (x, y - size * 2.3), (x + size * 0.55, y)], dark)


def _balloon(canvas: Canvas, x: float, y: float, radius: float, colours: tuple[str, ...], turn: float) -> None:
    mouth = y + radius * 1.42
    # From the outermost gore to the innermost, each narrower than what it lies on.
    for number, colour in enumerate(colours):
        part = math.cos(math.pi / 2 * number / len(colours))
        side = radius * part
        dome = arc(x, y, side, radius, steps(0.5, 1.0))
        foot = radius * 0.16 * part
        right = [(x + side + (foot - side) * bend**1.7, y + (mouth - y) * bend) for bend in steps(0, 1)]
        left = [(2 * x - across, down) for across, down in reversed(right)]
        canvas.shape([*dome, *right, *left], colour)
    basket = radius * 0.2
    canvas.glow(x, mouth + basket * 0.3, basket * 1.6, "#ffdf7a", 0.6 + 0.4 * wave(turn * 2))
    for corner in (-1, 1):
        canvas.line(
            [(x + corner * radius * 0.15, mouth), (x + corner * basket * 0.7, mouth + basket * 1.3)], "#5b3a1e", 1
        )
    canvas.box(x - basket * 0.8, mouth + basket * 1.2, x + basket * 0.8, mouth + basket * 2.5, "#8a5a2b", basket * 0.25)
