"""A picture to draw on, in points; smooth edges, glows and gradients."""

import math
from collections.abc import Callable, Iterable, Sequence
from itertools import pairwise
from random import Random
from typing import Final

from PIL import Image, ImageChops, ImageColor, ImageDraw, ImageFilter

# Drawn larger and made smaller at the end: that is what makes edges smooth.
_SCALE: Final = 2
# Pillow's gradient is white only in the corners; a round light ends where the edges are nearest.
_EDGE: Final = 180
_GLOW: Final = Image.radial_gradient("L").point([round(255 * max(0.0, 1 - v / _EDGE) ** 1.7) for v in range(256)])
Point = tuple[float, float]


def chances(seed: int) -> Random:
    """The same chances at every call, so that a scene looks the same in all its pictures."""
    return Random(seed)  # noqa: S311 - a scene, no secret


def wave(turns: float) -> float:
    """A sine that is back at its beginning after a whole turn."""
    return math.sin(2 * math.pi * turns)


def arc(x: float, y: float, radius_x: float, radius_y: float, turns: Sequence[float]) -> list[Point]:
    """Points on an ellipse; turn 0 is on the right, 0.25 below."""
    return [(x + radius_x * wave(turn + 0.25), y + radius_y * wave(turn)) for turn in turns]


def steps(first: float, last: float, count: int = 24) -> list[float]:
    """So many steps from the first number to the last, both included."""
    return [first + (last - first) * step / count for step in range(count + 1)]


def curve(points: Sequence[Point], between: int = 8) -> list[Point]:
    """A closed line through these points, without corners."""
    smooth = []
    for place in range(len(points)):
        (ax, ay), (bx, by), (cx, cy), (dx, dy) = (points[(place + step - 1) % len(points)] for step in range(4))
        for step in range(between):
            t = step / between
            # Catmull and Rom's: the direction at a point is that from the one before to the one after.
            weights = (-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2)
            x = sum(weight * value for weight, value in zip(weights, (ax, bx, cx, dx), strict=True)) / 2
            y = sum(weight * value for weight, value in zip(weights, (ay, by, cy, dy), strict=True)) / 2
            smooth.append((x, y))
    return smooth


class Canvas:
    """Colours are ``#rrggbb``, or ``#rrggbbaa`` for what is seen through; (0, 0) is the upper left corner."""

    def __init__(self, width: int, height: int) -> None:
        self.width, self.height = width, height
        self._image = Image.new("RGB", (width * _SCALE, height * _SCALE))
        # In this mode what is drawn covers by its opacity, and does not replace.
        self._pen = ImageDraw.Draw(self._image, "RGBA")

    @property
    def upright(self) -> bool:
        return self.height > self.width

    def picture(self) -> Image.Image:
        """What has been drawn, in its final size."""
        return self._image.resize((self.width, self.height), Image.Resampling.BOX)

    def gradient(self, *stops: tuple[float, str]) -> None:
        """Covers all from the first stop's height to the last one's, each a part of the whole height."""
        for (above, upper), (below, lower) in pairwise(stops):
            top, bottom = round(above * self._image.height), round(below * self._image.height)
            size = (self._image.width, bottom - top)
            shade = Image.linear_gradient("L").resize(size, Image.Resampling.BICUBIC)
            self._image.paste(_blended(upper, lower, shade), (0, top))

    def shape(self, points: Iterable[Point], colour: str) -> None:
        """An area with this outline."""
        self._pen.polygon([(x * _SCALE, y * _SCALE) for x, y in points], fill=colour)

    def ellipse(self, x: float, y: float, radius_x: float, radius_y: float, colour: str) -> None:
        box = (x - radius_x, y - radius_y, x + radius_x, y + radius_y)
        self._pen.ellipse(tuple(edge * _SCALE for edge in box), fill=colour)

    def disc(self, x: float, y: float, radius: float, colour: str) -> None:
        self.ellipse(x, y, radius, radius, colour)

    def box(self, left: float, top: float, right: float, bottom: float, colour: str, radius: float = 0) -> None:
        """A rectangle, with round corners if there is a radius."""
        edges = (left * _SCALE, top * _SCALE, max(left, right) * _SCALE, max(top, bottom) * _SCALE)
        self._pen.rounded_rectangle(edges, radius=radius * _SCALE, fill=colour)

    def line(self, points: Iterable[Point], colour: str, width: float) -> None:
        scaled = [(x * _SCALE, y * _SCALE) for x, y in points]
        self._pen.line(scaled, fill=colour, width=max(1, round(width * _SCALE)), joint="curve")

    def ridge(self, height: Callable[[float], float], colour: str) -> None:
        """All that lies under this line, from the left edge to the right."""
        line = [(float(x), height(x)) for x in range(-4, self.width + 8, 4)]
        self.shape([(-4, self.height + 4), *line, (self.width + 4, self.height + 4)], colour)

    def glow(self, x: float, y: float, radius: float, colour: str, strength: float = 1.0) -> None:
        """Light that fades out at this distance."""
        side = max(2, round(2 * radius * _SCALE))
        mask = _GLOW.resize((side, side), Image.Resampling.BILINEAR).point([round(v * strength) for v in range(256)])
        corner = (round((x - radius) * _SCALE), round((y - radius) * _SCALE))
        self._image.paste(ImageColor.getrgb(colour)[:3], corner, mask)

    def ball(self, x: float, y: float, radius: float, light: str, dark: str) -> None:
        """A ball that is lit from the upper left."""
        side = round(2 * radius * _SCALE)
        shade = Image.radial_gradient("L").resize((side * 2, side * 2), Image.Resampling.BICUBIC)
        corner = round(side * 0.62)
        shade = shade.crop((corner, corner, corner + side, corner + side))
        tile = _blended(light, dark, shade.point([min(255, round((v / 150) ** 1.5 * 255)) for v in range(256)]))
        mask = Image.new("L", (side, side))
        ImageDraw.Draw(mask).ellipse((0, 0, side - 1, side - 1), fill=255)
        self._image.paste(tile, (round((x - radius) * _SCALE), round((y - radius) * _SCALE)), mask)

    def soft(self, blur: float, draw: Callable[["Canvas"], None], strength: float = 1.0) -> None:
        """Adds the light that `draw` draws on black, out of focus by so many points."""
        light = Canvas(self.width, self.height)
        draw(light)
        blurred = light._image.filter(ImageFilter.GaussianBlur(blur * _SCALE))
        added = ImageChops.add(self._image, blurred.point([round(v * strength) for v in range(256)] * 3))
        self._image.paste(added)

    def mirror(self, line: float, sway: Callable[[float], float], tint: str, strength: float) -> None:
        """Shows what is above a height upside down below it, tinted, each row moved by `sway` of its depth."""
        top = round(line * _SCALE)
        depth = self._image.height - top
        upside = self._image.crop((0, top - depth, self._image.width, top)).transpose(Image.Transpose.FLIP_TOP_BOTTOM)
        # Out of focus, and more so in height: lights become streaks.
        smeared = upside.resize((upside.width // 4, max(1, depth // 22)), Image.Resampling.BOX)
        upside = smeared.resize(upside.size, Image.Resampling.BICUBIC)
        upside = Image.blend(upside, Image.new("RGB", upside.size, tint), strength)
        for row in range(0, depth, _SCALE):
            moved = upside.crop((0, row, upside.width, row + _SCALE))
            shift = round(sway(row / _SCALE) * _SCALE)
            self._image.paste(ImageChops.offset(moved, shift, 0), (0, top + row))


def _blended(first: str, second: str, shade: Image.Image) -> Image.Image:
    """The first colour where the shade is black, the second where it is white."""
    return Image.composite(Image.new("RGB", shade.size, second), Image.new("RGB", shade.size, first), shade)
