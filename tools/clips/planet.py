"""A planet with a ring and a moon among the stars: black, rose and copper."""

from tools.clips.canvas import Canvas, arc, chances, steps, wave
from tools.clips.track import BELL, Track


def draw(canvas: Canvas, turn: float) -> None:
    width, height = canvas.width, canvas.height
    x, y = width * (0.5 if canvas.upright else 0.54), height * 0.5
    radius = 92 if canvas.upright else 88
    canvas.gradient((0, "#04030a"), (1, "#0d0716"))
    canvas.glow(width * 0.2, height * 0.2, 270, "#7a1450", 0.75)
    canvas.glow(width * 0.9, height * 0.85, 290, "#14506a", 0.75)
    canvas.glow(width * 0.75, height * 0.1, 210, "#4a1660", 0.75)
    _stars(canvas, turn)
    behind = turn % 1 > 0.5
    if behind:
        _moon(canvas, x, y, radius, turn)
    _ring(canvas, x, y, radius, front=False)
    canvas.glow(x, y, radius * 1.5, "#ff9e7a", 0.35)
    _planet(canvas, x, y, radius, turn)
    _ring(canvas, x, y, radius, front=True)
    if not behind:
        _moon(canvas, x, y, radius, turn)


def sound() -> Track:
    track = Track()
    for note, loudness in ((-24, 0.9), (-17, 0.6), (-12, 0.5), (-11.92, 0.5), (-5, 0.35)):
        track.tone(note, 0.0, 6.0, loudness, timbre=(1.0, 0.2), rise=0.5)
    for at, note in ((0.2, 19), (0.8, 14), (1.4, 26), (1.9, 21), (2.3, 19)):
        track.tone(note, at, 1.4, 0.3, timbre=BELL)
    track.echo(0.3, 0.4)
    return track


def _stars(canvas: Canvas, turn: float) -> None:
    chance = chances(31)
    for _ in range(110):
        x, y = canvas.width * chance.random(), canvas.height * chance.random()
        size, phase = chance.uniform(0.5, 1.3), chance.random()
        bright = 120 + 70 * chance.random()
        canvas.disc(x, y, size, f"#ffe9dc{round(bright + 60 * wave(turn + phase) * (size > 1)):02x}")
    for right, below, phase in ((0.12, 0.72, 0.0), (0.86, 0.27, 0.4), (0.3, 0.13, 0.7)):
        x, y, reach = canvas.width * right, canvas.height * below, 7 + 3 * wave(turn + phase)
        canvas.glow(x, y, 12, "#ffd9c4", 0.7)
        canvas.shape([(x - reach, y), (x, y - 1), (x + reach, y), (x, y + 1)], "#fff4ec")
        canvas.shape([(x, y - reach), (x - 1, y), (x, y + reach), (x + 1, y)], "#fff4ec")


def _planet(canvas: Canvas, x: float, y: float, radius: float, turn: float) -> None:
    canvas.ball(x, y, radius, "#ffd2b0", "#4a0f3a")
    bands = ((-0.72, 0.1, "#c2506455"), (-0.4, 0.13, "#fff0d040"), (-0.05, 0.17, "#b8405a60"), (0.34, 0.1, "#ffe0b838"))
    for level, thick, colour in (*bands, (0.62, 0.14, "#8a2f5260")):
        edge = []
        for side, order in ((-thick / 2, 1), (thick / 2, -1)):
            for across in steps(-1, 1, 40)[::order]:
                down = level + side + 0.14 * (1 - across**2) + 0.02 * wave(across * 2 - turn + level)
                reach = max(0.0, 1 - down**2) ** 0.5
                edge.append((x + radius * reach * across, y + radius * down))
        canvas.shape(edge, colour)
    # A storm goes by.
    along = 2 * (turn % 1) - 1
    spot = (1 - along**2) ** 0.5
    canvas.ellipse(x + radius * 0.92 * along, y + radius * (0.3 + 0.1 * spot), 17 * spot + 0.1, 9, "#e0705f90")


def _ring(canvas: Canvas, x: float, y: float, radius: float, *, front: bool) -> None:
    turns = steps(0, 0.5, 60) if front else steps(0.5, 1, 60)
    tilt = 0.2
    for inner, outer, colour in (
        (1.3, 1.42, "#e8b08a90"),
        (1.45, 1.68, "#f4cfa8d0"),
        (1.71, 1.8, "#c9826f90"),
        (1.83, 1.87, "#f4cfa870"),
    ):
        edge = arc(0, 0, radius * outer, radius * outer * 0.24, turns)
        edge += arc(0, 0, radius * inner, radius * inner * 0.24, turns[::-1])
        canvas.shape([(x + right, y + below - right * tilt) for right, below in edge], colour)


def _moon(canvas: Canvas, x: float, y: float, radius: float, turn: float) -> None:
    reach = (1.65 if canvas.upright else 2.35) * radius
    right, below = reach * wave(turn + 0.25), radius * 0.95 * wave(turn)
    size = 13 + 4 * wave(turn)
    canvas.ball(x + right, y + below + right * 0.25, size, "#f2f7ff", "#3a4a5c")
