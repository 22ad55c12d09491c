"""Videos whose every moment is known: one colour after the other, drawn when a test needs them."""

from collections.abc import Callable, Sequence
from fractions import Fraction
from io import BytesIO
from pathlib import Path
from typing import Any

import av
from PIL import Image

Colour = tuple[int, int, int]

RED, GREEN, BLUE, YELLOW = (220, 30, 30), (30, 200, 30), (30, 30, 220), (220, 220, 30)
COLOURS = (RED, GREEN, BLUE, YELLOW)
RATE = 10
LANDSCAPE, PORTRAIT = (320, 180), (180, 320)


def clip(
    path: Path,
    colours: Sequence[Colour] = COLOURS,
    *,
    size: tuple[int, int] = LANDSCAPE,
    frames_each: int = RATE,
    at: Callable[[int], int] = lambda number: number,
    key_every: int = 250,
    sound: bool = False,
    draw: Callable[[int], Image.Image] | None = None,
    codec: str = "libx264",
    **muxer: str,
) -> Path:
    """A video of these colours, so many frames each, with B-frames. ``at`` says when each frame is shown, in tenths."""
    with av.open(str(path), "w", format="mp4", options={name: value for name, value in muxer.items() if value}) as out:
        video: Any = out.add_stream(codec, rate=RATE, options={"bf": "3", "g": str(key_every)})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        audio: Any = out.add_stream("aac", rate=44100) if sound else None
        for number in range(len(colours) * frames_each):
            picture = draw(number) if draw else Image.new("RGB", size, colours[number // frames_each])
            frame = av.VideoFrame.from_image(picture)  # type: ignore[no-untyped-call]
            frame.pts, frame.time_base = at(number), Fraction(1, RATE)
            out.mux(video.encode(frame))
        out.mux(video.encode())
        if audio is not None:
            for number in range(40):
                silence = av.AudioFrame(format="fltp", layout="mono", samples=1024)
                silence.rate, silence.pts = 44100, number * 1024
                for plane in silence.planes:
                    plane.update(bytes(plane.buffer_size))
                out.mux(audio.encode(silence))
            out.mux(audio.encode())
    return path


def is_colour(picture: Image.Image, colour: Colour, *, at: tuple[int, int] | None = None) -> bool:
    """Whether the picture's middle, or that place of it, has the colour, as far as two lossy codecs leave it."""
    found = picture.getpixel(at or (picture.width // 2, picture.height // 2))
    assert isinstance(found, tuple)
    return all(abs(one - other) < 40 for one, other in zip(found, colour, strict=True))


def picture_of(jpeg: bytes) -> Image.Image:
    """The picture, which must be a whole JPEG."""
    picture = Image.open(BytesIO(jpeg))
    assert picture.format == "JPEG"
    picture.load()
    return picture
