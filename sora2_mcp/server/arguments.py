"""Arguments as hosts send them: those there are, names that come close to one, and what hosts add of their own."""

import re
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from difflib import SequenceMatcher
from typing import Any

from sora2_mcp.words import quoted

_NAMED = 5
"""How many names are shown; more would only fill the text."""

_COMPARED = 100
_LONGEST_COMPARED = 40
"""Longer names, and those after the first hundred, are not compared: that takes the product of the lengths."""

_ALIKE = 0.85
_SAME = dict.fromkeys(("duration", "duration_seconds", "length", "video_length", "video_seconds"), "seconds")
"""What services themselves call an argument of ours."""

_WORD = re.compile(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Arguments:
    """``known`` by their names; ``meant`` holds near misses with the name meant; ``extras`` are like none."""

    known: dict[str, Any]
    meant: dict[str, str]
    extras: tuple[str, ...]


def sorted_out(given: dict[str, Any], names: Collection[str]) -> Arguments:
    """What was given, by what it is; ``names``: what there is.

    Null counts as left out, for some hosts send it for what the model left out.
    """
    given = {name: value for name, value in given.items() if value is not None}
    known = {name: value for name, value in given.items() if name in names}
    # Names come from a client: as many and as long as its message allows.
    others = [name for name in given if name not in names]
    meant = {
        other: name
        for other in others[:_COMPARED]
        if len(other) <= _LONGEST_COMPARED and (name := _meant(other, names, known))
    }
    return Arguments(known=known, meant=meant, extras=tuple(other for other in others if other not in meant))


def in_words(names: Collection[str]) -> str:
    """Foreign names, shortened, and not more than a few."""
    first = [quoted(name[:_LONGEST_COMPARED])[1:-1] or "(no name)" for name in list(names)[:_NAMED]]
    return ", ".join(first) + (f" and {len(names) - _NAMED} more" if len(names) > _NAMED else "")


def left_aside(extras: Collection[str], of: str) -> str:
    """Half a line about what had no effect, for a model may have meant it; empty where there is nothing."""
    return f"Left aside: {in_words(extras)} (no argument of {of})." if extras else ""


def _meant(other: str, names: Iterable[str], known: Collection[str]) -> str:
    """The name that was probably meant; empty if it is like none.

    Words in common are a sign only while that argument is missing: a host may add an ``id`` beside ``task_id``.
    """
    if (same := _SAME.get(other.casefold(), "")) in names and same not in known:
        return same
    return next((name for name in names if _is_alike(other, name)), "") or next(
        (name for name in names if name not in known and _shares_all_words(other, name)), ""
    )


def _is_alike(one: str, other: str) -> bool:
    one, other = _bare(one), _bare(other)
    return one == other or SequenceMatcher(None, one, other).ratio() >= _ALIKE


def _shares_all_words(one: str, other: str) -> bool:
    words, others = _words(one), _words(other)
    return bool(words) and bool(others) and (words <= others or others <= words)


def _bare(name: str) -> str:
    return "".join(char for char in name.casefold() if char.isalnum())


def _words(name: str) -> set[str]:
    return {word.casefold().removesuffix("s") for word in _WORD.findall(name)}
