"""Draws and encodes every clip anew: ``python -m tools.clips``."""

from collections.abc import Callable
from importlib import import_module
from typing import Final

from PIL import Image

from sora2_mcp.simulator.motifs import CLIPS, MOTIFS
from tools.clips.canvas import Canvas
from tools.clips.film import FRAMES_PER_SECOND, encode
from tools.clips.track import SECONDS

SIZES: Final = {"landscape": (640, 360), "portrait": (360, 640)}
PICTURES: Final = round(SECONDS * FRAMES_PER_SECOND)


def picture(draw: Callable[[Canvas, float], None], size: tuple[int, int], turn: float) -> Image.Image:
    """What `draw` draws; `turn` is how much of the clip is over, 0 to 1."""
    canvas = Canvas(*size)
    draw(canvas, turn)
    return canvas.picture()


def main() -> None:
    for motif in MOTIFS:
        scene = import_module(f"tools.clips.{motif}")
        sound = scene.sound().samples()
        for aspect_ratio, size in SIZES.items():
            path = CLIPS / f"{motif}-{aspect_ratio}.mp4"
            encode(path, [picture(scene.draw, size, number / PICTURES) for number in range(PICTURES)], sound)
            print(f"{path.name}: {path.stat().st_size / 1000:.0f} kB")


main()
