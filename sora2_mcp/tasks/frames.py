"""Frames of an MP4 on one picture, by PyAV and Pillow (the extra ``preview``).

What is read comes from strangers, so everything is bounded: bytes, pixels, frames and time. Importing this takes 0.2 s,
so it is left to the thread that works with it.
"""

import io
import math
from collections.abc import Callable, Iterator, Sequence
from fractions import Fraction

import av
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image, ImageDraw, ImageFont

from sora2_mcp.tasks.previews import Facts, Preview, UnreadableVideoError, Video

LONGEST_JPEG_BYTES = 200_000

_MOST_PIXELS = 4096 * 2304
_MOST_FRAMES = 1500
"""Decoded for one picture, at 30 frames a second and a key frame every ten seconds enough for five of them."""

_CODECS = frozenset({"h264", "hevc", "av1", "libdav1d", "vp9", "libvpx-vp9", "mpeg4"})
_WIDTH = 480
_HEIGHT = 360
_GAP = 8
_CAPTION = 26
_QUALITIES = (85, 70, 55, 40, 25)
_GROUND = (24, 24, 27)
_INK = (235, 235, 240)


def preview_of(file: Video, count: int, in_time: Callable[[], bool]) -> Preview:
    """So many frames, evenly spread, each with its moment below, or a single one alone, on one picture.

    Raises:
        UnreadableVideoError: there is nothing to show. Whatever ``file`` raises.
    """
    try:
        # No other format is probed for: each reader that is left out is one less to attack.
        options = {"max_pixels": str(_MOST_PIXELS)}
        with av.open(file, "r", format="mp4", options=options, metadata_errors="replace") as video:
            return _preview(video, count, in_time)
    except (av.FFmpegError, ValueError, IndexError, OverflowError, ZeroDivisionError, MemoryError) as error:
        raise UnreadableVideoError(f"it cannot be read as a video ({type(error).__name__})") from error


def _preview(video: InputContainer, count: int, in_time: Callable[[], bool]) -> Preview:
    if not video.streams.video:
        raise UnreadableVideoError("it has no picture")
    stream = video.streams.video[0]
    context = stream.codec_context
    if context.name not in _CODECS:
        raise UnreadableVideoError("its codec is none that is shown here")
    if not 0 < context.width * context.height <= _MOST_PIXELS:
        raise UnreadableVideoError(f"its pictures have {context.width} x {context.height} pixels, which is not shown")
    context.thread_type = "SLICE"
    context.options = {"max_pixels": str(_MOST_PIXELS)}
    seconds = _seconds(video, stream)
    moments = [seconds * (number + 0.5) / count for number in range(count)]
    shown = list(_frames(video, stream, moments, in_time))
    if not shown:
        raise UnreadableVideoError("none of its pictures can be read")
    sound = video.streams.audio[0].codec_context.name if video.streams.audio else ""
    facts = Facts(
        seconds=round(seconds, 2),
        width=context.width,
        height=context.height,
        frame_rate=round(float(stream.average_rate or 0), 2),
        codec=context.name,
        sound=sound,
    )
    pictures = [picture for _, picture in shown]
    times = tuple(round(moment, 2) for moment, _ in shown)
    sheet = pictures[0] if count == 1 else _sheet(pictures, times)
    return Preview(jpeg=_jpeg(sheet), moments=times, facts=facts)


def _seconds(video: InputContainer, stream: VideoStream) -> float:
    lengths = [
        float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0,
        video.duration / av.time_base if video.duration else 0.0,
    ]
    return next((length for length in lengths if math.isfinite(length) and 0 < length < 86_400), 0.0)


def _frames(
    video: InputContainer, stream: VideoStream, moments: Sequence[float], in_time: Callable[[], bool]
) -> Iterator[tuple[float, Image.Image]]:
    """The frame that is seen at each moment; fewer where some cannot be read."""
    base = stream.time_base or Fraction(1, 1000)
    start = stream.start_time or 0
    left = _MOST_FRAMES
    seen: int | None = None
    for moment in moments:
        wanted = start + int(moment / base)
        frame: VideoFrame | None = None
        if moment:
            video.seek(wanted, stream=stream)
        for found in video.decode(stream):
            left -= 1
            if left < 0 or not in_time():
                raise UnreadableVideoError("it takes too long to read")
            # One that is later than the moment is not seen yet; without any before it, it is the nearest.
            if frame is not None and found.pts is not None and found.pts > wanted:
                break
            frame = found
        # Two moments of a very short video may show the same frame.
        if frame is None or (frame.pts is not None and frame.pts == seen):
            continue
        seen = frame.pts
        at = float(((frame.pts or start) - start) * base)
        width, height = _fitted(frame.width, frame.height)
        yield max(0.0, at), frame.to_image(width=width, height=height)  # type: ignore[no-untyped-call]


def _fitted(width: int, height: int) -> tuple[int, int]:
    scale = (
        min(1.0, _WIDTH / width, _HEIGHT / height) if width >= height else min(1.0, _HEIGHT / width, _WIDTH / height)
    )
    return max(2, round(width * scale)), max(2, round(height * scale))


def _sheet(pictures: Sequence[Image.Image], moments: Sequence[float]) -> Image.Image:
    """The pictures side by side, each with its moment below."""
    width, height = (max(size) for size in zip(*(picture.size for picture in pictures), strict=True))
    is_wide = width >= height
    columns = min(len(pictures), (2 if len(pictures) <= 4 else 3) if is_wide else 5)
    rows = math.ceil(len(pictures) / columns)
    sheet = Image.new("RGB", (columns * (width + _GAP) + _GAP, rows * (height + _CAPTION + _GAP) + _GAP), color=_GROUND)
    draw, font = ImageDraw.Draw(sheet), ImageFont.load_default(18)
    for number, (picture, moment) in enumerate(zip(pictures, moments, strict=True)):
        row, column = divmod(number, columns)
        left, top = _GAP + column * (width + _GAP), _GAP + row * (height + _CAPTION + _GAP)
        sheet.paste(picture, (left + (width - picture.width) // 2, top + (height - picture.height) // 2))
        draw.text((left + width // 2, top + height + 3), f"{moment:.1f} s", fill=_INK, font=font, anchor="ma")
    return sheet


def _jpeg(picture: Image.Image) -> bytes:
    """Of at most ``LONGEST_JPEG_BYTES``: less sharp first, then smaller."""
    while True:
        for quality in _QUALITIES:
            written = io.BytesIO()
            picture.save(written, "JPEG", quality=quality)
            if written.tell() <= LONGEST_JPEG_BYTES:
                return written.getvalue()
        picture = picture.resize((max(1, picture.width * 2 // 3), max(1, picture.height * 2 // 3)))
