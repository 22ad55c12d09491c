from pathlib import PurePosixPath, PureWindowsPath

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora2_mcp.tasks.files import default_name, safe_name, with_suffix

TASK_ID = "sora2_task_abcdef123456"


PORTS = (f"{port}{number}" for port in ("com", "lpt") for number in "0123456789¹²³")
RESERVED = {"con", "prn", "aux", "nul", "conin$", "conout$", *PORTS}
anything = (
    st.text(st.characters(), max_size=300)
    | st.text("/\\.: ~-_aA\x00\u202e¹CON猫é", max_size=60)
    | st.from_regex(r"(con|nul|COM1|conin\$)[ .]*x?")
)
names = st.one_of(
    st.builds(safe_name, anything, anything),
    st.builds(default_name, anything, anything),
    st.builds(with_suffix, st.builds(safe_name, anything, anything), st.just(TASK_ID)),
)


@given(names)
def test_any_name_is_a_safe_mp4_inside_its_folder_on_every_system(name: str) -> None:
    assert PurePosixPath(name).parts == PureWindowsPath(name).parts == (name,)
    assert name.endswith(".mp4")
    assert name != ".mp4"
    assert name[0] not in ". "
    assert name.removesuffix(".mp4")[-1] not in ". "
    assert len(name.encode()) <= 160
    assert name.isprintable()
    assert not set(name) & set('<>:"/\\|?*')
    assert name.split(".", maxsplit=1)[0].rstrip(" ").lower() not in RESERVED


@pytest.mark.parametrize(
    ("wanted", "name"),
    [
        ("cat.mp4", "cat.mp4"),
        ("cat", "cat.mp4"),
        ("Cat.MP4", "Cat.mp4"),
        (" cat.mp4 ", "cat.mp4"),
        ("cat.mp4.", "cat.mp4"),
        ("cat.mov", "cat.mov.mp4"),
        ("v1.2 final", "v1.2 final.mp4"),
        ("Kätzchen 🐱 猫", "Kätzchen 🐱 猫.mp4"),
        ("Ka\u0308tzchen", "Kätzchen.mp4"),
        ("../../etc/passwd", "passwd.mp4"),
        ("/etc/cron.d/job", "job.mp4"),
        ("C:\\Windows\\cat", "cat.mp4"),
        ("C:cat", "C_cat.mp4"),
        ("cat:stream", "cat_stream.mp4"),
        ('a<b>"c"|d?*', "a_b__c__d__.mp4"),
        ("a\x00b\nc\x7f", "abc.mp4"),
        ("gpj.\u202egnp", "gpj.gnp.mp4"),
        ("a\u00a0b\u3000c", "a b c.mp4"),
        ("~", "~.mp4"),
        (".hidden", "hidden.mp4"),
        ("con", "_con.mp4"),
        ("NUL.mp4", "_NUL.mp4"),
        ("com¹.x", "_com¹.x.mp4"),
        ("con .x", "_con .x.mp4"),
        ("CONIN$", "_CONIN$.mp4"),
        ("conout$.x", "_conout$.x.mp4"),
        ("console", "console.mp4"),
        ("x" * 500, "x" * 120 + ".mp4"),
        ("猫" * 500, "猫" * 40 + ".mp4"),
    ],
)
def test_a_wanted_name_is_kept_as_far_as_it_is_safe(wanted: str, name: str) -> None:
    assert safe_name(wanted, "unused") == name


@pytest.mark.parametrize("wanted", ["", " ", ".", "..", "../", ".mp4", "a/", "\x00", "...", "\u202e", "\u00a0"])
def test_where_nothing_is_left_of_a_name_the_fallback_is_used(wanted: str) -> None:
    assert safe_name(wanted, TASK_ID) == f"{TASK_ID}.mp4"
    assert safe_name(wanted, "default.mp4") == "default.mp4"
    assert safe_name(wanted, "..") == "video.mp4"


@pytest.mark.parametrize(
    ("prompt", "name"),
    [
        ("A cat, running!", f"a-cat-running-{TASK_ID}.mp4"),
        ("  «Kätzchen»  ", f"kätzchen-{TASK_ID}.mp4"),
        ("../../etc/passwd", f"etc-passwd-{TASK_ID}.mp4"),
        ("word " * 100, f"{'word-' * 8}{TASK_ID}.mp4"),
        ("猫" * 100, f"{'猫' * 20}-{TASK_ID}.mp4"),
        ("🐱 🐱", f"{TASK_ID}.mp4"),
        ("", f"{TASK_ID}.mp4"),
    ],
)
def test_a_default_name_is_the_prompts_first_words_and_the_whole_task_id(prompt: str, name: str) -> None:
    assert default_name(prompt, TASK_ID) == name


@pytest.mark.parametrize(
    ("name", "addition", "longer"),
    [
        ("cat.mp4", TASK_ID, f"cat-{TASK_ID}.mp4"),
        ("cat.mp4.mp4", "2", "cat.mp4-2.mp4"),
        ("cat.mp4", "../x", "cat-_x.mp4"),
    ],
)
def test_a_taken_name_gets_its_addition_before_the_ending(name: str, addition: str, longer: str) -> None:
    assert with_suffix(name, addition) == longer


def test_ids_that_begin_alike_for_long_make_names_of_their_own() -> None:
    ids = [f"video_{'x' * 160}{number}" for number in range(5)]
    names = [default_name("A cat", id) for id in ids]
    additions = [with_suffix(names[0], f"{ids[0]}-{number}") for number in range(2, 100)]

    assert len({*names}) == 5
    assert len({*additions}) == 98
    assert all(len(name) < 120 for name in names)


def test_a_name_that_takes_long_to_be_put_in_order_is_cut_before() -> None:
    # Unicode puts marks in order by a sort whose time grows with the square of their number: minutes for these.
    assert safe_name("cat" + "\u0301\u0316" * 200_000, "unused") == "cat" + "\u0316" * 58 + ".mp4"
