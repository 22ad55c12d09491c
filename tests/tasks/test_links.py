"""Signed tokens: each opens one thing for a time, and nothing else is one."""

import string
from collections.abc import Sequence
from datetime import timedelta

import pytest

from sora2_mcp.tasks.links import SignedTokens
from tests.clocks import FakeClock

pytestmark = pytest.mark.anyio

KEY, OTHER = b"0123456789abcdef", b"fedcba9876543210"
TEXT = "0123456789abcdef0123456789abcdef"
DAY = timedelta(hours=24)


def tokens(clock: FakeClock, *keys: bytes, purpose: bytes = b"videos", lasting: timedelta = DAY) -> SignedTokens:
    return SignedTokens(keys, purpose=purpose, lasting=lasting, clock=clock)


@pytest.mark.parametrize("text", [TEXT, "", "a b  c", "ü 日本", "x" * 5000, "1 2"])
def test_a_token_opens_what_it_was_made_for(clock: FakeClock, text: str) -> None:
    assert tokens(clock, KEY).opened(tokens(clock, KEY).token(text)) == text


def test_a_token_is_fit_for_a_path(clock: FakeClock) -> None:
    token = tokens(clock, KEY).token(TEXT)

    assert set(token) <= {*string.ascii_letters, *string.digits, "-", "_"}
    assert len(token) < 100


@pytest.mark.parametrize("hours", [0.1, 1, 24, 8760])
@pytest.mark.parametrize("minutes_past", [0, 0.01, 17, 59.99])
async def test_a_token_ends_within_its_time_and_not_long_before(hours: float, minutes_past: float) -> None:
    clock, lasting = FakeClock(), timedelta(hours=hours)
    await clock.advance(minutes_past * 60)
    mine = tokens(clock, KEY, lasting=lasting)
    token = mine.token(TEXT)

    await clock.advance(lasting.total_seconds() * 23 / 24 - 2)
    assert mine.opened(token) == TEXT
    await clock.advance(lasting.total_seconds() / 24 + 2)
    assert mine.opened(token) == ""


async def test_for_a_while_it_is_the_same_token_again(clock: FakeClock) -> None:
    mine = tokens(clock, KEY)
    first = mine.token(TEXT)
    await clock.advance(3599)
    same = mine.token(TEXT)
    await clock.advance(2)

    assert same == first
    assert mine.token(TEXT) != first
    assert mine.opened(first) == TEXT


def test_every_change_of_a_single_character_is_refused(clock: FakeClock) -> None:
    mine = tokens(clock, KEY)
    token = mine.token(TEXT)
    letters = f"{string.ascii_letters}{string.digits}-_=+/ .é\0\n"

    for place, letter in enumerate(token):
        for other in letters.replace(letter, ""):
            assert mine.opened(token[:place] + other + token[place + 1 :]) == ""
        assert mine.opened(token[:place] + token[place + 1 :]) == ""
        assert mine.opened(token[:place] + "A" + token[place:]) == ""


@pytest.mark.parametrize("around", [" {}", "{} ", "{}=", "{}==", "{}\n", "\n{}", "{}A", "A{}", "{}{}", "{}.", "{}%00"])
def test_a_token_has_one_spelling(clock: FakeClock, around: str) -> None:
    mine = tokens(clock, KEY)

    assert mine.opened(around.replace("{}", mine.token(TEXT))) == ""


def test_the_parts_of_two_tokens_make_no_third(clock: FakeClock) -> None:
    mine = tokens(clock, KEY)
    one, other = mine.token(TEXT), mine.token(TEXT[::-1])

    for place in range(1, len(one)):
        assert mine.opened(one[:place] + other[place:]) in ("", TEXT[::-1] if one[:place] == other[:place] else "")


@pytest.mark.parametrize("keys", [[OTHER], [], [KEY + b"0"], [KEY[:-1]], [KEY.upper()]])
def test_a_token_of_another_key_is_none(clock: FakeClock, keys: Sequence[bytes]) -> None:
    assert tokens(clock, *keys).opened(tokens(clock, KEY).token(TEXT)) == ""


def test_a_token_of_another_purpose_is_none(clock: FakeClock) -> None:
    assert tokens(clock, KEY, purpose=b"pictures").opened(tokens(clock, KEY).token(TEXT)) == ""


def test_the_first_key_signs_and_all_open(clock: FakeClock) -> None:
    old, both, new = tokens(clock, KEY), tokens(clock, OTHER, KEY), tokens(clock, OTHER)

    assert both.opened(old.token(TEXT)) == TEXT
    assert new.opened(both.token(TEXT)) == TEXT
    assert old.opened(both.token(TEXT)) == ""


def test_without_keys_each_has_its_own(clock: FakeClock) -> None:
    one, other = tokens(clock), tokens(clock)

    assert one.opened(one.token(TEXT)) == TEXT
    assert other.opened(one.token(TEXT)) == ""


def test_a_long_key_counts_to_its_end(clock: FakeClock) -> None:
    long = b"x" * 200
    mine = tokens(clock, long + b"1")

    assert mine.opened(mine.token(TEXT)) == TEXT
    assert tokens(clock, long + b"2").opened(mine.token(TEXT)) == ""


GARBAGE = [
    "", "x", "=", "====", "A" * 21, "A" * 22, "A" * 3_000_000, "é" * 90, "日本", "\0" * 90, "\ud800", "%2e%2e", " ",
    "\n", "../../etc/passwd", "-" * 64, "_" * 64, "A B", "🎬" * 40, "AAAAAAAAAAAAAAAAAAAAAA" + "9" * 400,
]  # fmt: skip


@pytest.mark.parametrize("garbage", GARBAGE, ids=lambda text: f"{text[:3]}{len(text)}")
def test_garbage_opens_nothing(clock: FakeClock, garbage: str) -> None:
    assert tokens(clock, KEY).opened(garbage) == ""
