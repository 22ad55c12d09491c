"""Frames of known videos: each shows what is seen at its moment, on one small picture."""

import random
from pathlib import Path

import pytest
from PIL import Image

from sora2_mcp.domain.preview import Facts, Preview
from sora2_mcp.simulator.motifs import clip_of
from sora2_mcp.tasks.frames import LONGEST_JPEG_BYTES, UnreadableVideoError, preview_of
from tests.clips import BLUE, COLOURS, GREEN, LANDSCAPE, PORTRAIT, RATE, RED, Colour, clip, is_colour, picture_of

GAP, CAPTION = 8, 26
GROUND = (24, 24, 27)


def preview(path: Path, count: int = 4) -> Preview:
    with path.open("rb") as file:
        return preview_of(file, count)


def places(found: Preview, size: tuple[int, int], columns: int) -> list[tuple[int, int]]:
    """The middle of each frame on the picture, and with that where its caption stands."""
    width, height = size
    steps = [divmod(number, columns) for number in range(len(found.moments))]
    return [
        (GAP + column * (width + GAP) + width // 2, GAP + row * (height + CAPTION + GAP) + height // 2)
        for row, column in steps
    ]


def colour_at(second: float, colours: tuple[Colour, ...] = COLOURS) -> Colour:
    return colours[min(int(second), len(colours) - 1)]


@pytest.mark.parametrize("count", range(1, 10))
def test_each_frame_shows_the_colour_of_its_moment(tmp_path: Path, count: int) -> None:
    found = preview(clip(tmp_path / "a.mp4"), count)

    picture = picture_of(found.jpeg)
    assert found.moments == tuple((4 * RATE * (2 * number + 1) // (2 * count)) / RATE for number in range(count))
    if count == 1:
        assert picture.size == LANDSCAPE
        assert is_colour(picture, colour_at(found.moments[0]))
        return
    for moment, place in zip(found.moments, places(found, LANDSCAPE, 2 if count <= 4 else 3), strict=True):
        assert is_colour(picture, colour_at(moment), at=place)


def test_what_the_video_is_is_told_with_it(tmp_path: Path) -> None:
    silent = preview(clip(tmp_path / "a.mp4")).facts
    spoken = preview(clip(tmp_path / "b.mp4", size=PORTRAIT, sound=True)).facts

    assert silent == Facts(seconds=4.0, width=320, height=180, frame_rate=10.0, codec="h264", sound="")
    assert spoken == Facts(seconds=4.0, width=180, height=320, frame_rate=10.0, codec="h264", sound="aac")


@pytest.mark.parametrize("key_every", [1, 7, 10, 250])
@pytest.mark.parametrize("count", [1, 5, 9])
def test_a_change_of_scene_is_seen_neither_too_early_nor_too_late(tmp_path: Path, key_every: int, count: int) -> None:
    # Each frame has a colour of its own, so that a frame before or after would show.
    shades = [(number * 6, 255 - number * 6, 128) for number in range(39)]
    path = clip(tmp_path / "a.mp4", shades, frames_each=1, key_every=key_every)

    found = preview(path, count)

    picture = picture_of(found.jpeg)
    middle = [(160, 90)] if count == 1 else places(found, LANDSCAPE, 3)
    for number, (moment, place) in enumerate(zip(found.moments, middle, strict=True)):
        wanted = 39 * (2 * number + 1) // (2 * count)
        assert moment == wanted / RATE
        pixel = picture.getpixel(place)
        assert isinstance(pixel, tuple)
        assert abs(pixel[0] - shades[wanted][0]) <= 4
        assert abs(pixel[1] - shades[wanted][1]) <= 4


def test_portrait_frames_stand_upright_side_by_side(tmp_path: Path) -> None:
    found = preview(clip(tmp_path / "a.mp4", size=PORTRAIT))

    picture = picture_of(found.jpeg)
    assert picture.size == (4 * (180 + GAP) + GAP, 320 + CAPTION + 2 * GAP)
    for colour, place in zip(COLOURS, places(found, PORTRAIT, 4), strict=True):
        assert is_colour(picture, colour, at=place)


def test_a_video_of_one_frame_gives_that_frame_once(tmp_path: Path) -> None:
    found = preview(clip(tmp_path / "a.mp4", [BLUE], frames_each=1), 9)

    assert found.moments == (0.0,)
    assert is_colour(picture_of(found.jpeg), BLUE, at=(GAP + 160, GAP + 90))


def test_of_a_variable_frame_rate_each_moment_shows_what_still_stands_there(tmp_path: Path) -> None:
    # Red for 0.2 s, green for 3.3 s though it is a single frame, then blue.
    path = clip(tmp_path / "a.mp4", [RED, GREEN, BLUE], frames_each=1, at=lambda number: (0, 2, 35)[number])

    found = preview(path, 4)

    assert found.moments[0] == 0.2
    assert is_colour(picture_of(found.jpeg), GREEN, at=places(found, LANDSCAPE, 2)[0])


def test_a_video_that_begins_late_counts_from_its_first_frame(tmp_path: Path) -> None:
    path = clip(tmp_path / "a.mp4", at=lambda number: number + 25, use_editlist="0")

    found = preview(path)

    assert found.moments == (0.5, 1.5, 2.5, 3.5)
    for colour, place in zip(COLOURS, places(found, LANDSCAPE, 2), strict=True):
        assert is_colour(picture_of(found.jpeg), colour, at=place)


@pytest.mark.parametrize("moving", ["", "empty_moov+frag_keyframe", "faststart"])
def test_it_does_not_matter_where_the_index_is(tmp_path: Path, moving: str) -> None:
    path = clip(tmp_path / "a.mp4", key_every=10, movflags=moving)

    found = preview(path)

    assert found.moments == (0.5, 1.5, 2.5, 3.5)
    for colour, place in zip(COLOURS, places(found, LANDSCAPE, 2), strict=True):
        assert is_colour(picture_of(found.jpeg), colour, at=place)


def test_the_moment_is_written_under_each_frame(tmp_path: Path) -> None:
    found = preview(clip(tmp_path / "a.mp4"))
    picture = picture_of(found.jpeg)

    for x, y in places(found, LANDSCAPE, 2):
        top = y + 90
        caption = picture.crop((x - 40, top, x + 40, top + CAPTION)).convert("L")
        beside = picture.crop((x - 150, top + 4, x - 60, top + CAPTION)).convert("L")
        assert caption.point(lambda level: 255 * (level > 180)).getbbox() is not None
        assert beside.point(lambda level: 255 * (level > 80)).getbbox() is None
    alone = picture_of(preview(clip(tmp_path / "b.mp4"), 1).jpeg)
    assert alone.size == LANDSCAPE


@pytest.mark.parametrize(("size", "count"), [((1280, 720), 9), ((720, 1280), 9), ((1280, 720), 1)])
def test_not_even_noise_makes_a_picture_over_200_kb(tmp_path: Path, size: tuple[int, int], count: int) -> None:
    chance = random.Random(7)  # noqa: S311 - nothing secret

    def noise(_: int) -> Image.Image:
        return Image.frombytes("RGB", size, chance.randbytes(size[0] * size[1] * 3))

    found = preview(clip(tmp_path / "a.mp4", [RED], size=size, frames_each=10, draw=noise, key_every=1), count)

    assert len(found.jpeg) <= LONGEST_JPEG_BYTES
    assert len(found.moments) == count
    assert min(picture_of(found.jpeg).size) > 150


@pytest.mark.parametrize("motif", ["A balloon over the hills", "A goldfish"])
@pytest.mark.parametrize("ratio", ["landscape", "portrait"])
def test_the_simulators_clips_can_be_looked_at(motif: str, ratio: str) -> None:
    found = preview(clip_of(motif, ratio))

    assert len(found.moments) == 4
    assert (found.facts.width > found.facts.height) == (ratio == "landscape")
    assert found.facts.sound


def test_sound_alone_is_no_video(tmp_path: Path) -> None:
    path = tmp_path / "a.mp4"
    path.write_bytes(b"\0\0\0\x10ftypmp42\0\0\0\0\0\0\0\x08moov\0\0\0\x10mdat\0\0\0\0\0\0\0\0")
    with pytest.raises(UnreadableVideoError):
        preview(path)
