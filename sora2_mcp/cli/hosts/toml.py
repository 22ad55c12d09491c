"""TOML, edited in place: comments, order and spacing of what is not changed stay."""

import tomllib
from collections.abc import Sequence
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError


def parse(text: str) -> dict[str, Any]:
    """The tables of a text.

    Raises:
        ValueError: it is no TOML.
    """
    try:
        return tomllib.loads(text)
    except RecursionError as error:
        raise ValueError("it is nested too deeply") from error


def with_value(text: str, path: Sequence[str], value: Any) -> str:
    """The text with ``value`` at ``path``; tables on the way to it are made where missing.

    Raises:
        ValueError: it cannot be put there.
    """
    line = "\r\n" if "\r\n" in text else "\n"
    appended = _with_table(text, path, value, line) if isinstance(value, dict) else ""
    try:
        return appended or _with_key(text, path, value, line)
    except (TOMLKitError, TypeError, AttributeError) as error:
        raise ValueError("it is written in a way that cannot be edited") from error


def with_item(text: str, path: Sequence[str], item: Any) -> str:
    """The text with one more element in the list at ``path``, which must be there."""
    found: Any = parse(text)
    for key in path:
        found = found[key]
    return with_value(text, path, [*found, item])


def _with_table(text: str, path: Sequence[str], table: dict[str, Any], line: str) -> str:
    """The text with the table at its end, or nothing where it cannot stand there: it is there, or inside a line."""
    for key in reversed(path):
        table = {key: table}
    gap = "" if not text.strip() or text.endswith(line * 2) else line if text.endswith(line) else line * 2
    appended = text + gap + tomlkit.dumps(table).replace("\n", line)
    try:
        parse(appended)
    except ValueError:
        return ""
    return appended


def _with_key(text: str, path: Sequence[str], value: Any, line: str) -> str:
    document = tomlkit.parse(text)
    table: Any = document
    for key in path[:-1]:
        if key not in table:
            table[key] = tomlkit.table(is_super_table=True)
        table = table[key]
    table[path[-1]] = value
    edited = document.as_string()
    whole = text.count(line) == text.count("\n")
    return edited.replace("\r\n", "\n").replace("\n", line) if whole else edited
