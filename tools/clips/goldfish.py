"""Goldfish between water plants: turquoise and orange."""

import math

from tools.clips.canvas import Canvas, Point, arc, chances, curve, steps, wave
from tools.clips.track import Track


def draw(canvas: Canvas, turn: float) -> None:
    width, height = canvas.width, canvas.height
    canvas.gradient((0, "#8ff0df"), (0.3, "#2fb8bd"), (0.7, "#0d7391"), (1, "#064663"))
    canvas.soft(9, lambda light: _rays(light, turn), 0.32)
    _plants(canvas, turn, "#0f7f86", 8, 0.55, 61)
    _fish(canvas, width * 0.12 + 12 * wave(turn), height * 0.17, 0.4, turn * 3, back=True)
    _fish(canvas, width * 0.75 + 10 * wave(turn + 0.4), height * 0.17 + 4 * wave(turn), 0.34, turn * 3 + 0.3)
    _sand(canvas)
    _plants(canvas, turn, "#0a5b4e", 6, 0.4, 67)
    if canvas.upright:
        _fish(canvas, width * 0.5 + 12 * wave(turn), height * 0.42 + 8 * wave(turn + 0.2), 1.15, turn * 2)
        _fish(canvas, width * 0.42 - 12 * wave(turn), height * 0.66 + 6 * wave(turn + 0.6), 0.78, turn * 2, back=True)
    else:
        _fish(canvas, width * 0.36 + 16 * wave(turn), height * 0.45 + 7 * wave(turn + 0.2), 1.15, turn * 2)
        _fish(canvas, width * 0.73 - 14 * wave(turn), height * 0.6 + 6 * wave(turn + 0.6), 0.75, turn * 2, back=True)
    _plants(canvas, turn, "#0e8a5f", 4, 0.3, 71)
    _bubbles(canvas, turn)


def sound() -> Track:
    track, chance = Track(), chances(8)
    track.noise(lambda second: 5 + 1.5 * wave(second / 1.5), dull=0.95)
    for number in range(15):
        low = chance.uniform(12, 30)
        track.slide(low, low + 9, number * 0.19 + chance.uniform(0, 0.08), 0.06, 0.35)
    for at, note in ((0.0, 0), (0.375, 7), (0.75, 12), (1.125, 9), (1.5, 4), (1.875, 7), (2.25, 2)):
        track.tone(note, at, 0.8, 0.8, timbre=(1.0, 0.0, 0.0, 0.2), rise=0.005)
    track.echo(0.19, 0.3)
    return track


def _rays(canvas: Canvas, turn: float) -> None:
    for ray in range(6):
        x = canvas.width * (ray / 5 - 0.05) + 7 * wave(turn + ray * 0.31)
        wide = 14 + 12 * (ray % 3)
        bright = 1.0 if ray % 2 else 0.65
        lean = canvas.height * 0.2
        # The deeper, the darker.
        for deep in steps(0.9, 0.1, 10):
            light = bright * (1 - deep) ** 1.2
            colour = f"#{round(150 * light):02x}{round(225 * light):02x}{round(190 * light):02x}"
            bottom = canvas.height * deep
            canvas.shape(
                [(x, -5), (x + wide, -5), (x + wide - lean * deep, bottom), (x - lean * deep * 1.7, bottom)], colour
            )


def _sand(canvas: Canvas) -> None:
    canvas.ridge(lambda x: canvas.height * 0.9 - 7 * wave(x / 310 + 0.1), "#c9a76a")
    canvas.ridge(lambda x: canvas.height * 0.945 - 5 * wave(x / 230 + 0.5), "#e0c283")
    chance = chances(2)
    for _ in range(7):
        x, radius = canvas.width * chance.random(), chance.uniform(7, 20)
        colour = chance.choice(("#6f7f86", "#87949a", "#5c6c74"))
        canvas.ellipse(x, canvas.height * 0.935, radius * 1.3, radius * 0.8, colour)


def _plants(canvas: Canvas, turn: float, colour: str, count: int, tall: float, seed: int) -> None:
    chance = chances(seed)
    for _ in range(count):
        # Not in the middle, where the fish are.
        x = canvas.width * (chance.uniform(-0.02, 0.3) if chance.random() < 0.5 else chance.uniform(0.72, 1.02))
        length, phase = canvas.height * tall * chance.uniform(0.6, 1.1), chance.random()
        left: list[Point] = []
        right: list[Point] = []
        for up in steps(0, 1, 16):
            bend = 15 * up * wave(turn + phase + up * 0.6)
            thick = 5.5 * (1 - up) ** 0.7 * (1 + 0.35 * wave(up * 4))
            y = canvas.height - length * up
            left.append((x + bend - thick, y))
            right.append((x + bend + thick, y))
        canvas.shape([*left, *reversed(right)], colour)


def _fish(canvas: Canvas, x: float, y: float, size: float, beat: float, *, back: bool = False) -> None:
    """Swims to the right, or with `back` to the left."""
    way = -1 if back else 1

    def put(points: list[Point], colour: str) -> None:
        canvas.shape([(x + way * right * size, y + below * size) for right, below in points], colour)

    flap = 12 * wave(beat)
    half, most = flap * 0.55, flap * 1.1
    tail = [(-46, -7), (-70, -28 + half), (-104, -44 + most), (-100, -20 + most), (-84, half), (-98, 24 + most)]
    put(curve([*tail, (-106, 46 + most), (-70, 30 + half), (-46, 7)]), "#ffa94d")
    put(
        curve(
            [(-46, -4), (-74, -20 + half), (-94, -30 + most), (-78, half), (-94, 34 + most), (-74, 22 + half), (-46, 4)]
        ),
        "#ffc97a",
    )
    put(
        curve([(30, -26), (16, -50 + flap * 0.1), (-14, -58 + flap * 0.2), (-44, -40 + flap * 0.3), (-36, -16)]),
        "#ff8f2e",
    )
    put(curve([(-16, 20), (-34, 40 + flap * 0.3), (-50, 36 + flap * 0.4), (-38, 14)]), "#ff8f2e")
    body = [
        (62 * math.cos(t) - 2, 33 * math.sin(t) * (0.62 + 0.38 * (math.cos(t) + 1) / 2)) for t in steps(0, math.tau, 48)
    ]
    put(body, "#f9761a")
    put([(right * 0.93 + 1, below * 0.62 + 10) for right, below in body], "#ffb04f")
    put([(right * 0.8 + 2, below * 0.3 + 18) for right, below in body], "#ffdf9e")
    put(curve([(16, 12), (0, 34 - flap * 0.5), (-20, 36 - flap * 0.6), (-10, 14)]), "#ff9a3d")
    put(arc(25, -1, 2.5, 17, steps(0.25, 0.75)) + arc(25, -1, 7, 17, steps(0.75, 0.25)), "#d95f0e")
    for radius, colour in ((7.5, "#fff7e6"), (4.6, "#16222c")):
        canvas.disc(x + way * 42 * size, y - 7 * size, radius * size, colour)
    canvas.disc(x + way * 43.6 * size, y - 8.6 * size, 1.7 * size, "#ffffff")


def _bubbles(canvas: Canvas, turn: float) -> None:
    chance = chances(9)
    for _ in range(10):
        x, start, radius = canvas.width * chance.random(), chance.random(), chance.uniform(2.2, 6.5)
        # Each is back where it was when the clip ends, however fast it rises.
        y = canvas.height * (1.08 - 1.2 * ((start + turn) % 1))
        sway = 5 * wave(turn * 2 + start)
        canvas.disc(x + sway, y, radius, "#d9fff84d")
        canvas.disc(x + sway - radius * 0.3, y - radius * 0.35, radius * 0.3, "#ffffffd0")
