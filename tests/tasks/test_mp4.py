from pathlib import Path

import pytest

from sora2_mcp.simulator.motifs import CLIPS, MOTIFS
from sora2_mcp.tasks.files import is_whole_mp4

FILES = sorted(CLIPS.glob("*.mp4"))


def box(kind: bytes, content: bytes = b"", size: int | None = None) -> bytes:
    """A box, with a ``size`` that may be a lie."""
    return (8 + len(content) if size is None else size).to_bytes(4, "big") + kind + content


def long_box(kind: bytes, content: bytes = b"", size: int | None = None) -> bytes:
    """A box with a 64-bit size."""
    return b"\0\0\0\x01" + kind + (16 + len(content) if size is None else size).to_bytes(8, "big") + content


FTYP = box(b"ftyp", b"mp42\0\0\0\0")
MOOV = box(b"moov", b"tracks")
MDAT = box(b"mdat", b"frames")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "x.mp4"


def is_whole(file: Path, content: bytes) -> bool:
    file.write_bytes(content)
    return is_whole_mp4(file)


def test_there_are_clips_to_try() -> None:
    names = [f"{motif}-{aspect_ratio}.mp4" for motif in MOTIFS for aspect_ratio in ("landscape", "portrait")]
    assert [clip.name for clip in FILES] == names


@pytest.mark.parametrize("clip", FILES, ids=lambda clip: clip.name)
def test_a_real_clip_is_whole_and_no_longer_so_with_a_byte_more_or_less(clip: Path, file: Path) -> None:
    content = clip.read_bytes()

    assert is_whole_mp4(clip)
    assert not is_whole(file, content[:-1])
    assert not is_whole(file, content[: len(content) // 2])
    assert not is_whole(file, content + b"\0")


@pytest.mark.parametrize(
    "content",
    [
        FTYP + MOOV + MDAT,
        FTYP + MDAT + MOOV,
        FTYP + box(b"free") + MDAT + box(b"abcd", b"unknown") + MOOV,
        FTYP + MOOV + long_box(b"mdat", b"frames"),
        FTYP + long_box(b"mdat") + MOOV,
        FTYP + long_box(b"moov", b"tracks") + MDAT,
        FTYP + MOOV + box(b"mdat", b"frames", size=0),
        FTYP + MOOV + box(b"mdat", size=0),
        FTYP + MDAT + box(b"moov", b"tracks", size=0),
        long_box(b"ftyp", b"mp42") + MOOV + MDAT,
    ],
    ids=[
        "moov first",
        "moov last",
        "other boxes between",
        "64-bit size",
        "64-bit size and nothing in it",
        "moov with a 64-bit size",
        "the last one up to the end",
        "the last one up to the end and nothing in it",
        "moov up to the end",
        "ftyp with a 64-bit size",
    ],
)
def test_boxes_that_end_where_the_file_does_are_a_whole_mp4(content: bytes, file: Path) -> None:
    assert is_whole(file, content)


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\0",
        b"<!DOCTYPE html><html>Sign in</html>",
        MOOV + MDAT,
        MOOV + FTYP + MDAT,
        FTYP,
        FTYP + MDAT,
        FTYP + box(b"mdat", MOOV),
        FTYP + box(b"mdat", MOOV, size=0),
        FTYP + MOOV + MDAT + b"\0" * 7,
        FTYP + MOOV + MDAT + b"\0\0\0\x08fre",
        FTYP + MOOV + box(b"mdat", b"frames", size=15),
        FTYP + MOOV + box(b"mdat", b"frames", size=2**32 - 1),
        FTYP + MOOV + box(b"mdat", b"frames", size=13),
        FTYP + MOOV + long_box(b"mdat", b"frames", size=23),
        FTYP + MOOV + long_box(b"mdat", b"frames", size=2**64 - 1),
        FTYP + MOOV + b"\0\0\0\x01mdat",
        *(FTYP + MOOV + box(b"mdat", b"frames", size=size) for size in range(2, 8)),
        *(FTYP + MOOV + long_box(b"mdat", b"frames", size=size) for size in range(8)),
    ],
    ids=lambda content: ascii(content[-24:]),
)
def test_anything_else_is_none(content: bytes, file: Path) -> None:
    assert not is_whole(file, content)


def test_a_whole_mp4_cut_inside_any_of_its_boxes_is_none(file: Path) -> None:
    content = FTYP + MDAT + MOOV
    cuts = [length for length in range(len(content)) if is_whole(file, content[:length])]

    assert cuts == []


def test_a_file_of_many_gigabytes_is_judged_by_its_box_heads_alone(file: Path) -> None:
    gigabytes = 10 * 2**30
    with file.open("wb") as sparse:
        sparse.write(FTYP + long_box(b"mdat", size=gigabytes))
        sparse.seek(len(FTYP) + gigabytes)
        sparse.write(MOOV)

    assert is_whole_mp4(file)


def test_a_file_of_nothing_but_boxes_is_not_walked_to_its_end(file: Path) -> None:
    assert is_whole(file, FTYP + MOOV + MDAT + box(b"free") * 90_000)
    assert not is_whole(file, FTYP + MOOV + MDAT + box(b"free") * 100_000)


@pytest.mark.parametrize(
    "content",
    [FTYP + MOOV, FTYP + MDAT, FTYP + MOOV + long_box(b"mdat", size=12)[:12], FTYP + MOOV + long_box(b"mdat", size=8)],
)
def test_a_file_cut_before_its_pictures_or_inside_a_header_is_not_whole(file: Path, content: bytes) -> None:
    assert not is_whole(file, content)
