import struct
from collections.abc import Iterator

import pytest

from sora2_mcp.simulator.app import CLIPS
from sora2_mcp.simulator.order import ASPECT_RATIOS

CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}


def boxes(content: bytes) -> Iterator[tuple[bytes, bytes]]:
    """Every box of an MP4 file, containers before what they hold: its type and its payload."""
    at = 0
    while at < len(content):
        size, kind = struct.unpack_from(">I4s", content, at)
        payload = content[at + 8 : at + size]
        assert len(payload) == size - 8
        yield kind, payload
        if kind in CONTAINERS:
            yield from boxes(payload)
        at += size


def test_there_is_one_clip_for_each_aspect_ratio() -> None:
    assert {path.name for path in CLIPS.iterdir()} == {f"{aspect_ratio}.mp4" for aspect_ratio in ASPECT_RATIOS}


@pytest.mark.parametrize(("name", "size"), [("landscape", (640, 360)), ("portrait", (360, 640))])
def test_a_clip_is_a_small_h264_film_that_plays_while_it_loads(name: str, size: tuple[int, int]) -> None:
    content = (CLIPS / f"{name}.mp4").read_bytes()
    found = dict(boxes(content))
    order = [kind for kind, _ in boxes(content)]
    time_scale, duration = struct.unpack_from(">II", found[b"mvhd"], 12)
    sample_kind, width, height = struct.unpack_from(">4s24x2H", found[b"stsd"], 12)

    assert order[0] == b"ftyp"
    assert order.index(b"moov") < order.index(b"mdat")
    assert (sample_kind, (width, height)) == (b"avc1", size)
    assert 2 <= duration / time_scale <= 3
    assert 15_000 <= len(content) <= 60_000
