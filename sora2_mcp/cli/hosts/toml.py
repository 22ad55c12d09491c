"""TOML, edited in place: comments, order and spacing of what is not changed stay."""

import tomllib
from collections.abc import Sequence
from typing import Any

import tomlkit
from tomlkit.exceptions import TOMLKitError


def with_value(text: str, path: Sequence[str], value: Any) -> str:
    """The text with ``value`` at ``path``, and the tables on the way to it.

    Raises:
        ValueError: it cannot be put there.
    """
    line = "\r\n" if "\r\n" in text else "\n"
    if isinstance(value, dict):
        # A new table goes to the end: tomlkit would put it between others.
        appended = _with_table_at_end(text, path, value, line)
        try:
            tomllib.loads(appended)
        except ValueError:
            pass
        else:
            return appended
    try:
        return _with_key(text, path, value)
    except (TOMLKitError, TypeError, AttributeError) as error:
        raise ValueError("it is written in a way that cannot be edited") from error


def without(text: str, path: Sequence[str | int]) -> str:
    """The text without the key or table at ``path``.

    Raises:
        ValueError: it cannot be taken out.
    """
    *way, last = path
    try:
        document = tomlkit.parse(text)
        table: Any = document
        for key in way:
            table = table[key]
        del table[last]
    except (TOMLKitError, KeyError, TypeError, AttributeError) as error:
        raise ValueError("it is written in a way that cannot be edited") from error
    return _in_uniform_lines(text, document.as_string())


def _with_table_at_end(text: str, path: Sequence[str], table: dict[str, Any], line: str) -> str:
    for key in reversed(path):
        table = {key: table}
    gap = "" if not text.strip() or text.endswith(line * 2) else line if text.endswith(line) else line * 2
    return text + gap + tomlkit.dumps(table).replace("\n", line)


def _with_key(text: str, path: Sequence[str], value: Any) -> str:
    document = tomlkit.parse(text)
    table: Any = document
    for key in path[:-1]:
        if key not in table:
            table[key] = tomlkit.table(is_super_table=True)
        table = table[key]
    table[path[-1]] = value
    return _in_uniform_lines(text, document.as_string())


def _in_uniform_lines(text: str, edited: str) -> str:
    """The edited text with the line ends of the one before, where those are all alike."""
    line = "\r\n" if "\r\n" in text else "\n"
    is_uniform = text.count(line) == text.count("\n")
    return edited.replace("\r\n", "\n").replace("\n", line) if is_uniform else edited
