"""JSON with comments and trailing commas, edited in place: what is not changed keeps every byte.

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
    """The object a text holds; an empty one for a text without anything.

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
    """The text with ``value`` at ``path``, and the objects on the way to it.

    A list that only grows keeps its elements as they are written.
    """
    bare, line = _bare(text), _newline(text)
    if not bare.strip(_BLANKS):
        kept = f"{text.rstrip(_BLANKS)}{line}" if text.strip(_BLANKS) else ""
        return f"{kept}{_dumped(_nested(path, value), '  ', '', line)}{line}"
    found = _Member("", 0, _skip(bare, 0), 0)
    for depth, key in enumerate(path):
        inner = _member(bare, found.start, key)
        if inner is None:
            return _appended(text, bare, found.start, _nested(path[depth + 1 :], value), key)
        found = inner
    was = json.loads(bare[found.start : found.end])
    if isinstance(was, list) and isinstance(value, list) and len(was) < len(value) and value[: len(was)] == was:
        longer = _appended(text, bare, found.start, value[len(was)])
        return with_value(longer, path, value) if len(was) + 1 < len(value) else longer
    return text[: found.start] + _dumped(value, _unit(bare), _indent(text, found.at), line) + text[found.end :]


def without(text: str, path: Sequence[str | int]) -> str:
    """The text without what is at ``path``: keys of objects, and numbers of elements. Comments around it stay.

    Raises:
        ValueError: there is nothing.
    """
    bare, (*way, last) = _bare(text), path
    start = _skip(bare, 0)
    for key in way:
        start = _inner(bare, start, key).start
    gone = _inner(bare, start, last)
    before = [member for member in _members(bare, start) if member.end <= gone.at]
    # The bare text lacks a trailing comma, so this one looks at the text without its comments alone.
    plain = _COMMENT.sub(_blanked, text)
    comma = _skip(plain, gone.end)
    if plain[comma] == ",":
        text = _cut(text[:comma] + text[comma + 1 :], gone.at, gone.end)
    else:
        text = _cut(text, gone.at, gone.end)
        if before:
            comma = _skip(plain, before[-1].end)
            text = text[:comma] + text[comma + 1 :]
    _, end = _DECODER.raw_decode(_bare(text), start)
    is_empty = not text[start + 1 : end - 1].strip(_BLANKS)
    return text[: start + 1] + text[end - 1 :] if is_empty else text


def _inner(bare: str, start: int, key: str | int) -> _Member:
    """The member of that key, or the element of that number."""
    found = _member(bare, start, key) if isinstance(key, str) else [*_members(bare, start)][key]
    if found is None:
        raise ValueError(f"there is no {key}")
    return found


def _cut(text: str, start: int, end: int) -> str:
    """The text without this part, nor the lines of it where nothing else stands on them."""
    first, after = text.rfind("\n", 0, start) + 1, text.find("\n", end) + 1
    if after and not (text[first:start] + text[end:after]).strip(_BLANKS):
        return text[:first] + text[after:]
    return text[:start] + text[end:].lstrip(" \t")


def _appended(text: str, bare: str, start: int, value: Any, key: str = "") -> str:
    """The text with one more member in the object, or element in the list, that begins at ``start``."""
    line, unit, outer = _newline(text), _unit(bare), _indent(text, start)
    members = list(_members(bare, start))
    stands_alone = bool(members) and not text[text.rfind("\n", 0, members[0].at) + 1 : members[0].at].strip()
    indent = _indent(text, members[0].at) if stands_alone else outer + unit
    _, end = _DECODER.raw_decode(bare, start)
    before = text[: end - 1].rstrip(_BLANKS)
    gap = text[len(before) : end - 1]
    closing = gap if "\n" in gap else f"{line}{outer}"
    if members:
        last = members[-1].end
        # The bare text lacks a trailing comma, so this one looks at the text without its comments alone.
        plain = _COMMENT.sub(_blanked, text)
        comma = "" if plain[_skip(plain, last)] == "," else ","
        before = f"{before[:last]}{comma}{before[last:]}"
    name = f"{json.dumps(key)}: " if key else ""
    return f"{before}{line}{indent}{name}{_dumped(value, unit, indent, line)}{closing}{text[end - 1 :]}"


def _members(bare: str, start: int) -> Iterator[_Member]:
    """What the object or list that begins at ``start`` holds."""
    at = _skip(bare, start + 1, ",")
    while bare[at] not in "}]":
        key, value = "", at
        if bare[start] == "{":
            key, end = _DECODER.raw_decode(bare, at)
            value = _skip(bare, end, ":")
        _, end = _DECODER.raw_decode(bare, value)
        yield _Member(key, at, value, end)
        at = _skip(bare, end, ",")


def _member(bare: str, start: int, key: str) -> _Member | None:
    """The member of that key; of several, the last, which is the one that parsers take."""
    if bare[start] != "{":
        raise ValueError(f"there is no place for {key}")
    return next((member for member in reversed([*_members(bare, start)]) if member.key == key), None)


def _bare(text: str) -> str:
    """The text with its comments and trailing commas blanked out."""
    return _TRAILING.sub(_blanked, _COMMENT.sub(_blanked, text))


def _blanked(match: re.Match[str]) -> str:
    return match[0] if match[0].startswith('"') else re.sub(r"[^\n]", " ", match[0])


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
