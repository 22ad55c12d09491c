"""JSON with comments and trailing commas, edited in place: whatever is not changed keeps every byte.

Comments are blanked out by spaces, so the standard parser reads the rest and its offsets fit the text itself.
"""

import json
import re
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

_STRING = r'"(?:[^"\\]|\\.)*"'
_COMMENT = re.compile(rf"{_STRING}|//[^\n]*|/\*.*?\*/", re.DOTALL)
_TRAILING = re.compile(rf"{_STRING}|,(?=\s*[}}\]])", re.DOTALL)
_FIRST_MEMBER = re.compile(r"\s*\{[^\S\n]*\n([ \t]+)")
_BLANKS = " \t\r\n"
_DECODER = json.JSONDecoder()


class _Member(NamedTuple):
    """A key's value, or an element of a list (without a key), from ``start`` to ``end``; it begins ``at``."""

    key: str
    at: int
    start: int
    end: int


def parse(text: str, *, comments: bool = True) -> dict[str, Any]:
    """The object a text holds; a text without anything is an empty one.

    Raises:
        ValueError: it is no JSON, or no object; or it has comments or trailing commas though none are allowed.
    """
    bare = _bare(text)
    if not comments and bare != text:
        raise ValueError("it has comments or trailing commas, which this host does not read")
    if not bare.strip(_BLANKS):
        return {}
    try:
        found = json.loads(bare, parse_constant=_refuse)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error
    if not isinstance(found, dict):
        raise ValueError("it holds no object")
    return found


def with_value(text: str, path: Sequence[str], value: Any) -> str:
    """The text with ``value`` at ``path``; tables on the way to it are made where missing."""
    bare = _bare(text)
    if not bare.strip(_BLANKS):
        line = _newline(text)
        kept = f"{text.rstrip(_BLANKS)}{line}" if text.strip(_BLANKS) else ""
        return f"{kept}{_dumped(_nested(path, value), '  ', '', line)}{line}"
    found = _Member("", 0, _skip(bare, 0), 0)
    for depth, key in enumerate(path):
        inner = _last(bare, found.start, key)
        if inner is None:
            return _appended(text, bare, found.start, _nested(path[depth + 1 :], value), key)
        found = inner
    indent = _indent(text, found.at)
    return text[: found.start] + _dumped(value, _unit(bare), indent, _newline(text)) + text[found.end :]


def with_item(text: str, path: Sequence[str], item: Any) -> str:
    """The text with one more element in the list at ``path``, which must be there."""
    bare = _bare(text)
    start = _skip(bare, 0)
    for key in path:
        found = _last(bare, start, key)
        if found is None:
            raise ValueError(f"there is no {key}")
        start = found.start
    return _appended(text, bare, start, item)


def _appended(text: str, bare: str, start: int, value: Any, key: str = "") -> str:
    """The text with one more member in the object, or element in the list, that begins at ``start``."""
    line, unit, outer = _newline(text), _unit(bare), _indent(text, start)
    members = list(_members(bare, start))
    alone = bool(members) and not text[text.rfind("\n", 0, members[0].at) + 1 : members[0].at].strip()
    indent = _indent(text, members[0].at) if alone else outer + unit
    _, end = _DECODER.raw_decode(bare, start)
    before = text[: end - 1].rstrip(_BLANKS)
    gap = text[len(before) : end - 1]
    rendered = f"{json.dumps(key)}: " if key else ""
    rendered += _dumped(value, unit, indent, line)
    closing = gap if "\n" in gap else f"{line}{outer}"
    after = f"{line}{indent}{rendered}{closing}{text[end - 1 :]}"
    if members and not _is_followed_by_comma(text, members[-1].end):
        before = f"{before[: members[-1].end]},{before[members[-1].end :]}"
    return before + after


def _members(bare: str, start: int) -> Iterator[_Member]:
    """What the object or list that begins at ``start`` holds."""
    keyed = bare[start] == "{"
    at = _skip(bare, start + 1, ",")
    while bare[at] not in "}]":
        key, value = "", at
        if keyed:
            key, end = _DECODER.raw_decode(bare, at)
            value = _skip(bare, end, ":")
        _, end = _DECODER.raw_decode(bare, value)
        yield _Member(key, at, value, end)
        at = _skip(bare, end, ",")


def _last(bare: str, start: int, key: str) -> _Member | None:
    """The member of that key; of several, the one that counts for parsers."""
    if bare[start] != "{":
        raise ValueError(f"there is no place for {key}")
    return next((member for member in reversed(list(_members(bare, start))) if member.key == key), None)


def _bare(text: str) -> str:
    return _TRAILING.sub(_blanked, _COMMENT.sub(_blanked, text))


def _blanked(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith('"') else re.sub(r"[^\n]", " ", match[0])


def _is_followed_by_comma(text: str, at: int) -> bool:
    plain = _COMMENT.sub(_blanked, text)
    return plain[_skip(plain, at)] == ","


def _skip(bare: str, at: int, also: str = "") -> int:
    while bare[at : at + 1] and (bare[at] in _BLANKS or bare[at] in also):
        at += 1
    return at


def _nested(path: Sequence[str], value: Any) -> Any:
    for key in reversed(path):
        value = {key: value}
    return value


def _dumped(value: Any, unit: str, indent: str, line: str) -> str:
    return json.dumps(value, indent=unit, ensure_ascii=False).replace("\n", f"{line}{indent}")


def _unit(bare: str) -> str:
    """One step of indentation, as the file has it."""
    found = _FIRST_MEMBER.match(bare)
    return found[1] if found else "  "


def _indent(text: str, at: int) -> str:
    """The indentation of the line that ``at`` is in."""
    line = text[text.rfind("\n", 0, at) + 1 : at]
    return line[: len(line) - len(line.lstrip(" \t"))]


def _newline(text: str) -> str:
    return "\r\n" if "\r\n" in text else "\n"


def _refuse(constant: str) -> Any:
    raise ValueError(f"{constant} is no JSON")
