"""Frames of an MP4 on one picture, by PyAV and Pillow (the extra ``preview``), in a process of its own.

What is read comes from strangers, so everything is bounded: this process takes only so much memory and work, and
reads the video as the server's process hands it over (``previews.py``), which ends it when time is up.

On stdout it asks for a piece by its number, a line; on stdin the answer is the size of the whole video (8 bytes), the
length of the piece (4 bytes) and the piece. Its last line is ``{"jpeg": "base64", "moments": [0.5], "facts": {}}`` or
``{"problem": "it has no picture"}``.
"""

import io
import json
import math
import struct
import sys
from base64 import b64encode
from collections import OrderedDict
from collections.abc import Iterator, Sequence
from dataclasses import asdict
from fractions import Fraction
from typing import Any, BinaryIO

import av
from av.audio.stream import AudioStream
from av.container import InputContainer
from av.video.frame import VideoFrame
from av.video.stream import VideoStream
from PIL import Image, ImageDraw, ImageFont

from sora2_mcp.domain.preview import Facts, Preview

LONGEST_JPEG_BYTES = 200_000

_MOST_PIXELS = 4096 * 2304
_MOST_FRAMES = 1500
"""Decoded for one picture, at 30 frames a second and a key frame every ten seconds enough for five of them."""

_MOST_MEMORY_BYTES = 220_000_000
_MOST_CPU_SECONDS = 4
_PIECES_KEPT = 24
_CODECS = ("h264", "hevc", "av1", "libdav1d", "vp9", "libvpx-vp9", "mpeg4")
_WIDTH = 480
_HEIGHT = 360
_GAP = 8
_CAPTION = 26
_QUALITIES = (85, 70, 55, 40, 25)
_GROUND = (24, 24, 27)
_INK = (235, 235, 240)


class UnreadableVideoError(Exception):
    """It is no video that can be shown; the message says why."""


def main() -> None:
    """The process: its arguments are the number of frames and the size of a piece."""
    _limit()
    count, piece_bytes = map(int, sys.argv[1:3])
    asks, answers = sys.stdout.buffer, sys.stdin.buffer
    try:
        preview = preview_of(_Pieces(asks, answers, piece_bytes), count)
        said = {"jpeg": b64encode(preview.jpeg).decode(), "moments": preview.moments, "facts": asdict(preview.facts)}
    except UnreadableVideoError as error:
        said = {"problem": str(error)}
    asks.write(json.dumps(said).encode() + b"\n")
    asks.flush()


def _limit() -> None:
    """No more memory than a large video needs, no work without end, nothing written to disk."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return
    limits = {
        resource.RLIMIT_DATA: _MOST_MEMORY_BYTES,
        resource.RLIMIT_CPU: _MOST_CPU_SECONDS,
        resource.RLIMIT_FSIZE: 0,
        resource.RLIMIT_CORE: 0,
    }
    for kind, most in limits.items():
        _, hard = resource.getrlimit(kind)
        most_allowed = most if hard == resource.RLIM_INFINITY else min(most, hard)
        resource.setrlimit(kind, (most_allowed, most_allowed))


class _Pieces:
    """The video as a file, of which the pieces are asked for."""

    def __init__(self, asks: BinaryIO, answers: BinaryIO, piece_bytes: int) -> None:
        self._asks, self._answers = asks, answers
        self._piece_bytes = piece_bytes
        self._place = 0
        self._size = 0
        self._kept: OrderedDict[int, bytes] = OrderedDict()

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END and not self._size:
            self._piece(0)
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def read(self, size: int) -> bytes:
        """At most so many bytes, and no more than are left of the piece that they are in."""
        if self._size and self._place >= self._size:
            return b""
        number, offset = divmod(self._place, self._piece_bytes)
        found = self._piece(number)[offset : offset + size]
        self._place += len(found)
        return found

    def _piece(self, number: int) -> bytes:
        if number not in self._kept:
            self._kept[number] = self._asked(number)
            if len(self._kept) > _PIECES_KEPT:
                self._kept.popitem(last=False)
        self._kept.move_to_end(number)
        return self._kept[number]

    def _asked(self, number: int) -> bytes:
        self._asks.write(b"%d\n" % number)
        self._asks.flush()
        head = self._answers.read(12)
        if len(head) < 12:
            # The server's process has gone.
            sys.exit(1)
        self._size, length = struct.unpack(">QI", head)
        return self._answers.read(length)


def preview_of(file: "_Pieces | BinaryIO", count: int) -> Preview:
    """So many frames, evenly spread, each with its moment below, or a single one alone, on one picture.

    Raises:
        UnreadableVideoError: there is nothing to show. Whatever ``file`` raises.
    """
    try:
        # No other format is probed for, no other decoder and no other file opened: what is left out cannot be attacked.
        options = {
            "max_pixels": str(_MOST_PIXELS),
            "codec_whitelist": ",".join(_CODECS),
            "protocol_whitelist": "",
        }
        with av.open(file, "r", format="mp4", options=options, metadata_errors="replace") as video:
            return _preview(video, count)
    except MemoryError as error:
        raise UnreadableVideoError("it would take too much memory") from error
    except (av.FFmpegError, ValueError, IndexError, OverflowError, ZeroDivisionError) as error:
        raise UnreadableVideoError("it cannot be read as a video") from error


def _preview(video: InputContainer, count: int) -> Preview:
    if not video.streams.video:
        raise UnreadableVideoError("it has no picture")
    # A cover picture counts as a stream too.
    stream = next((stream for stream in video.streams.video if _codec_of(stream) in _CODECS), None)
    if stream is None:
        raise UnreadableVideoError("its codec is none that is shown here")
    context = stream.codec_context
    if not 0 < context.width * context.height <= _MOST_PIXELS:
        raise UnreadableVideoError(f"its pictures have {context.width} x {context.height} pixels, which is not shown")
    context.options = {"max_pixels": str(_MOST_PIXELS)}
    # Each thread takes memory of its own, however few there is.
    context.thread_count = 1
    seconds = _seconds(video, stream)
    # One alone, at the start, where there is no telling how long it is.
    moments = [seconds * (number + 0.5) / count for number in range(count)] if seconds else [0.0]
    shown = list(_frames(video, stream, moments))
    if not shown:
        raise UnreadableVideoError("none of its pictures can be read")
    sound = _codec_of(video.streams.audio[0]) or "unknown" if video.streams.audio else ""
    facts = Facts(
        seconds=round(seconds, 2),
        width=context.width,
        height=context.height,
        frame_rate=round(float(stream.average_rate or 0), 2),
        # Not that of the decoder: AV1 is read by libdav1d.
        codec=context.codec.canonical_name,
        sound=sound,
    )
    pictures = [picture for _, picture in shown]
    times = tuple(round(moment, 2) for moment, _ in shown)
    sheet = pictures[0] if count == 1 else _sheet(pictures, times)
    return Preview(jpeg=_jpeg(sheet), moments=times, facts=facts)


def _codec_of(stream: VideoStream | AudioStream) -> str:
    """Its name; empty where FFmpeg knows none."""
    # PyAV's types leave out that there may be no context.
    context: Any = stream.codec_context
    return context.name if context is not None else ""


def _seconds(video: InputContainer, stream: VideoStream) -> float:
    lengths = [
        float(stream.duration * stream.time_base) if stream.duration and stream.time_base else 0.0,
        video.duration / av.time_base if video.duration else 0.0,
    ]
    return next((length for length in lengths if math.isfinite(length) and 0 < length < 86_400), 0.0)


def _frames(
    video: InputContainer, stream: VideoStream, moments: Sequence[float]
) -> Iterator[tuple[float, Image.Image]]:
    """The frame that is seen at each moment; fewer where some cannot be read."""
    base = stream.time_base or Fraction(1, 1000)
    start = stream.start_time or 0
    left = _MOST_FRAMES
    seen: int | None = None
    for moment in moments:
        wanted = start + round(moment / base)
        frame: VideoFrame | None = None
        if moment:
            video.seek(wanted, stream=stream)
        for found in video.decode(stream):
            left -= 1
            if left < 0:
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
