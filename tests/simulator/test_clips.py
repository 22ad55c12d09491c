import re
import struct
from collections.abc import Iterator
from pathlib import Path

import pytest

from sora2_mcp.simulator.motifs import CLIPS, MOTIFS, clip_of
from sora2_mcp.simulator.order import ASPECT_RATIOS
from tests.simulator.spoken import Talk
from tests.web import client_on_network

AAC = 0x40
HALF_A_CHARACTER = "\ud800"
CONTAINERS = {b"moov", b"trak", b"mdia", b"minf", b"stbl"}
SIZES = {"landscape": (640, 360), "portrait": (360, 640)}
FILES = sorted(CLIPS.iterdir())
PROMPTS = [
    *("A cat", "A dog", "A paper boat", "Rain on a window", "Two robots dance"),
    *("A lighthouse at night", "Ein Kätzchen", "一只猫", "A red bicycle", "Snow falls on a village"),
]


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


def tracks(content: bytes) -> dict[bytes, dict[bytes, bytes]]:
    """The boxes of each track by what it holds: `vide` or `soun`."""
    found = [dict(boxes(payload)) for kind, payload in boxes(content) if kind == b"trak"]
    by_kind = {track[b"hdlr"][8:12]: track for track in found}
    assert len(by_kind) == len(found)
    return by_kind


def object_type(description: bytes) -> int:
    """What an `mp4a` track is encoded as, by MPEG-4's numbers."""
    # After the box's version comes tag 3 with a number and flags, then tag 4, which begins with the type. The length
    # after a tag ends with its first byte below 128.
    found = re.search(rb"esds....\x03[\x80-\xff]*[\x00-\x7f]...\x04[\x80-\xff]*[\x00-\x7f](.)", description, re.DOTALL)
    assert found
    return found[1][0]


def sample_sizes(table: bytes) -> tuple[int, ...]:
    """How many bytes each sample of a track has."""
    same, count = struct.unpack_from(">II", table, 4)
    return (same,) * count if same else struct.unpack_from(f">{count}I", table, 12)


def test_there_are_six_motifs_and_one_clip_of_each_in_each_aspect_ratio() -> None:
    names = [f"{motif}-{aspect_ratio}.mp4" for motif in MOTIFS for aspect_ratio in ASPECT_RATIOS]

    assert len(MOTIFS) >= 6
    assert [path.name for path in FILES] == sorted(names)
    assert len({path.read_bytes() for path in FILES}) == len(names)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.stem)
def test_a_clip_is_a_small_h264_film_with_sound_that_plays_while_it_loads(path: Path) -> None:
    content = path.read_bytes()
    found = dict(boxes(content))
    order = [kind for kind, _ in boxes(content)]
    time_scale, duration = struct.unpack_from(">II", found[b"mvhd"], 12)
    seen, heard = tracks(content)[b"vide"], tracks(content)[b"soun"]
    sample_kind, width, height = struct.unpack_from(">4s24x2H", seen[b"stsd"], 12)

    assert order[0] == b"ftyp"
    assert order.index(b"moov") < order.index(b"mdat")
    assert (sample_kind, (width, height)) == (b"avc1", SIZES[path.stem.partition("-")[2]])
    assert 2 <= duration / time_scale <= 3
    assert 15_000 <= len(content) <= 60_000
    assert (heard[b"stsd"][12:16], object_type(heard[b"stsd"])) == (b"mp4a", AAC)
    # Three seconds of silence take less than a tenth of it.
    assert sum(sample_sizes(heard[b"stsz"])) >= 8_000


def test_all_clips_together_stay_small_in_a_wheel() -> None:
    assert sum(path.stat().st_size for path in FILES) <= 600_000


@pytest.mark.parametrize("aspect_ratio", ASPECT_RATIOS)
def test_a_prompt_has_one_clip_and_ten_prompts_have_several(aspect_ratio: str) -> None:
    chosen = [clip_of(prompt, aspect_ratio) for prompt in PROMPTS]

    assert [clip_of(prompt, aspect_ratio) for prompt in PROMPTS] == chosen
    assert len(PROMPTS) == 10
    assert len(set(chosen)) >= 4
    assert {path.stem.partition("-")[2] for path in chosen} == {aspect_ratio}


@pytest.mark.parametrize(
    ("prompt", "motif"),
    [("A cat", "balloon"), ("A kitten", "city"), ("A puppy", "planet"), (HALF_A_CHARACTER, "goldfish")],
)
def test_the_choice_is_the_same_in_every_process_and_release(prompt: str, motif: str) -> None:
    assert {clip_of(prompt, aspect_ratio).name for aspect_ratio in ASPECT_RATIOS} == {
        f"{motif}-landscape.mp4",
        f"{motif}-portrait.mp4",
    }


def test_every_motif_is_chosen_about_as_often() -> None:
    chosen = [clip_of(f"Prompt {number}", "landscape").name for number in range(600)]

    assert {path.name for path in FILES if "landscape" in path.name} == set(chosen)
    assert min(chosen.count(name) for name in set(chosen)) > 60


@pytest.mark.anyio
async def test_in_every_dialect_a_video_is_the_clip_of_its_prompt(talk: Talk) -> None:
    for prompt in (f"{prompt} [sim:seconds=0]" for prompt in PROMPTS):
        task_id = await talk.ordered(prompt)
        async with client_on_network() as keyless:
            video = await keyless.get(talk.client.base_url.copy_with(path=f"/videos/{task_id}.mp4"))

        assert video.content in [clip_of(prompt, aspect_ratio).read_bytes() for aspect_ratio in ASPECT_RATIOS]
