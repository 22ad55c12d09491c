"""Videos that are damaged, or made to do harm to whatever looks at them.

Source: ISO/IEC 14496-12 for the boxes; FFmpeg's ``libavformat/mov.c`` for what its reader does with them.
"""

import random
import struct
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import av

from tests.clips import clip

TABLES = ("moov", "trak", "mdia", "minf", "stbl")
MANY = 0x7FFFFFFF
_HOLDERS = {b"moov", b"trak", b"mdia", b"minf", b"dinf", b"stbl", b"edts", b"udta"}


def box(kind: str, *content: bytes) -> bytes:
    body = b"".join(content)
    return struct.pack(">I4s", len(body) + 8, kind.encode("latin-1")) + body


def full(kind: str, *content: bytes) -> bytes:
    """A box with a version and flags, both 0."""
    return box(kind, bytes(4), *content)


def numbers(*values: int) -> bytes:
    return struct.pack(f">{len(values)}I", *(value & 0xFFFFFFFF for value in values))


def boxes(content: bytes) -> Iterator[tuple[str, bytes]]:
    """The boxes side by side in ``content``: kind and body."""
    at = 0
    while at < len(content):
        length, kind = struct.unpack_from(">I4s", content, at)
        yield kind.decode("latin-1"), content[at + 8 : at + length]
        at += length


def changed(content: bytes, path: tuple[str, ...], change: Callable[[bytes], bytes]) -> bytes:
    """The same with the body of the box at ``path`` changed; the boxes around it get their right length.

    Samples stay where they are: the clips have their index at the end.
    """
    whole, found = b"", False
    for kind, body in boxes(content):
        if kind == path[0] and not found:
            found = True
            body = change(body) if len(path) == 1 else changed(body, path[1:], change)  # noqa: PLW2901
        whole += box(kind, body)
    assert found, path
    return whole


LONG_TITLE = box("\xa9nam", struct.pack(">HH", 60_000, 0), bytes(60_000))


def set_to(table: str, *values: int) -> Callable[[bytes], bytes]:
    """A clip whose table holds this."""
    return lambda good: changed(good, (*TABLES, table), lambda _: bytes(4) + numbers(*values))


def added(path: tuple[str, ...], *extra: bytes) -> Callable[[bytes], bytes]:
    """A clip with more in a box."""
    return lambda good: changed(good, path, lambda body: body + b"".join(extra))


def patched(path: tuple[str, ...], at: int, new: bytes) -> Callable[[bytes], bytes]:
    """A clip with other bytes at a place of a box."""
    return lambda good: changed(good, path, lambda body: body[:at] + new + body[at + len(new) :])


def entry(at: int, new: bytes) -> Callable[[bytes], bytes]:
    """A clip whose description of its pictures is another; ``at`` counts from the entry's own beginning."""
    return patched((*TABLES, "stsd"), 8 + at, new)


def oversized(good: bytes) -> bytes:
    """The decoder is told of 16384 x 16384 pixels, and the boxes still of 320 x 180."""
    # Source: ITU-T H.264, 7.3.2.1.1: baseline, level 6.2, 1024 x 1024 macroblocks.
    bits = "".join(
        ["1", "1", "1", golomb(0), golomb(2), golomb(1), "0", golomb(1023), golomb(1023), "1", "1", "0", "0"]
    )
    bits += "1"
    bits += "0" * (-len(bits) % 8)
    sps = bytes([0x67, 66, 0, 62]) + int(bits, 2).to_bytes(len(bits) // 8, "big")
    header = bytes([1, 66, 0, 62, 0xFF, 0xE1]) + struct.pack(">H", len(sps)) + sps + b"\x01\x00\x04\x68\xce\x38\x80"

    def described(body: bytes) -> bytes:
        return bytes(4) + numbers(1) + box("avc1", body[16 : 16 + 78], box("avcC", header))

    return changed(good, (*TABLES, "stsd"), described)


def golomb(value: int) -> str:
    """An unsigned number as H.264 spells it."""
    binary = f"{value + 1:b}"
    return "0" * (len(binary) - 1) + binary


def track_of(good: bytes) -> bytes:
    return next(body for kind, body in boxes(dict(boxes(good))["moov"]) if kind == "trak")


def many_tracks(good: bytes) -> bytes:
    return added(("moov",), box("trak", track_of(good)) * 3000)(good)


def edit_lists(count: int, seconds: int) -> Callable[[bytes], bytes]:
    """The whole video, over and over again."""

    def change(track: bytes) -> bytes:
        edits = full("elst", numbers(count), numbers(seconds * 1000, 0, 0x10000) * count)
        rest = b"".join(box(kind, body) for kind, body in boxes(track) if kind != "edts")
        return rest + box("edts", edits)

    return lambda good: changed(good, ("moov", "trak"), change)


def nested(kind: str, depth: int) -> bytes:
    whole = b""
    for _ in range(depth):
        whole = box(kind, whole)
    return whole


def constant(samples: int) -> Callable[[bytes], bytes]:
    """Tables of some bytes that stand for so many pictures: an index of gigabytes."""

    def change(good: bytes) -> bytes:
        good = set_to("stsz", 1, samples)(good)
        good = set_to("stsc", 1, 1, samples, 1)(good)
        good = set_to("stco", 1, 48)(good)
        return set_to("stts", 1, samples, 1)(good)

    return change


def external(secret: Path) -> Callable[[bytes], bytes]:
    """The pictures are said to be in another file of this machine, by a link and by an alias."""
    url = full("url ", secret.as_uri().encode() + b"\0")
    alias = box("alis", numbers(0), bytes(150) + numbers(2) + str(secret).encode() + b"\0\0")
    return lambda good: changed(
        good, ("moov", "trak", "mdia", "minf", "dinf", "dref"), lambda _: bytes(4) + numbers(2) + alias + url
    )


def sound_only(folder: Path) -> bytes:
    path = folder / "sound.mp4"
    clip(path, sound=True)
    whole = path.read_bytes()

    def without_pictures(movie: bytes) -> bytes:
        kept = [(kind, body) for kind, body in boxes(movie) if not (kind == "trak" and b"vide" in body)]
        return b"".join(box(kind, body) for kind, body in kept)

    return changed(whole, ("moov",), without_pictures)


def written_as(folder: Path, name: str, codec: str) -> bytes:
    """A real video of another format."""
    path = folder / f"other.{name}"
    with av.open(str(path), "w", format=name) as out:
        stream: Any = out.add_stream(codec, rate=10)
        stream.width, stream.height = 320, 180
        stream.pix_fmt = "rgb8" if codec == "gif" else "yuv420p"
        for number in range(10):
            frame = av.VideoFrame(320, 180, stream.pix_fmt)
            frame.pts = number
            out.mux(stream.encode(frame))
        out.mux(stream.encode())
    return path.read_bytes()


def files(folder: Path, secret: Path) -> dict[str, bytes]:
    """All of them, by what they do; ``secret`` is a file that one of them would have read."""
    good = clip(folder / "good.mp4").read_bytes()
    others: dict[str, Callable[[bytes], bytes]] = {
        "cut in the middle": lambda good: good[: len(good) // 2],
        "its index is cut": lambda good: good[:-300],
        "sizes of 2^31 samples": set_to("stsz", 0, MANY),
        "2^31 samples of one size": set_to("stsz", 10, MANY),
        "2^31 chunks": set_to("stco", MANY, 48),
        "2^31 chunks of 64 bits": added(TABLES, full("co64", numbers(MANY, 0, 48))),
        "2^31 display times": added(TABLES, full("ctts", numbers(MANY, 1, 0))),
        "2^31 key frames": set_to("stss", MANY, 1),
        "2^31 chunk sizes": set_to("stsc", MANY, 1, 1, 1),
        "20,000,000 samples in 100 bytes": constant(20_000_000),
        "150,000,000 samples in 100 bytes": constant(150_000_000),
        "pictures of 16384 x 16384": oversized,
        "a size in the boxes that is not the codec's": entry(32, struct.pack(">HH", 60000, 60000)),
        "a codec that is not shown": entry(4, b"cvid"),
        "no time base": patched(("moov", "trak", "mdia", "mdhd"), 12, numbers(0)),
        "no length": patched(("moov", "trak", "mdia", "mdhd"), 16, numbers(0)),
        "a length of 136 years": patched(("moov", "trak", "mdia", "mdhd"), 12, numbers(1, 0xFFFFFFFF)),
        "negative lengths": set_to("stts", 1, 40, -1024),
        "3,000 tracks": many_tracks,
        "100,000 edits": edit_lists(100_000, 4),
        "boxes in boxes": added(("moov",), nested("moov", 30_000)),
        "boxes in boxes of no meaning": added(("moov",), nested("udta", 100_000)),
        "30 MB about itself": added(("moov",), box("udta", LONG_TITLE * 500)),
        "a description of 2^31 bytes": added(("moov",), numbers(MANY), b"meta", bytes(100)),
        "its pictures are in another file": external(secret),
        "a box of no size": added(("moov", "trak"), numbers(4), b"free"),
    }  # fmt: skip
    noise = random.Random(3)  # noqa: S311 - nothing secret
    playlist = f"#EXTM3U\n#EXT-X-TARGETDURATION:10\n#EXTINF:10,\n{secret.as_uri()}\n#EXT-X-ENDLIST\n"
    return {
        **{name: change(good) for name, change in others.items()},
        "nothing": b"",
        "noise": noise.randbytes(300_000),
        "noise that begins like a video": good[:48] + noise.randbytes(300_000),
        "zeros": bytes(1_000_000),
        "only sound": sound_only(folder),
        "a GIF": written_as(folder, "gif", "gif"),
        "Matroska": written_as(folder, "matroska", "libx264"),
        "a playlist": playlist.encode(),
        "a list of other files": f"ffconcat version 1.0\nfile '{secret}'\n".encode(),
        "an SDP": b"v=0\no=- 0 0 IN IP4 127.0.0.1\nc=IN IP4 127.0.0.1\nm=video 9 RTP/AVP 96\na=rtpmap:96 H264/90000\n",
    }
