"""What goes when a server is taken out of a host's file."""

import re
from collections.abc import Sequence
from typing import Any

from sora2_mcp.cli.hosts.entry import Document, section_of, servers_of
from sora2_mcp.cli.hosts.table import Host

_ASKED = re.compile(r"\$\{input:([\w-]+)\}")


def removals(host: Host, name: str, document: Document) -> list[tuple[str | int, ...]]:
    """The paths of the entry and of its questions, in an order in which each still leads there.

    A question that another entry refers to, or that this program did not write, is not among them.
    """
    path = (*section_of(host, document), name)
    kept = str(without(document, path))
    asked = {each for each in _ASKED.findall(str(servers_of(host, document)[name])) if each.startswith(f"{name}-")}
    questions = document.get("inputs") if host.asks else None
    numbers = [
        number
        for number, question in enumerate(questions if isinstance(questions, list) else [])
        if isinstance(question, dict) and question.get("id") in asked and f"${{input:{question['id']}}}" not in kept
    ]
    return [path, *(("inputs", number) for number in reversed(numbers))]


def without(document: Document, path: Sequence[str | int]) -> Document:
    """The document without what is at ``path``, which may end in a list but not lead through one."""
    thinned: Document = _without(document, path)
    return thinned


def _without(value: Any, path: Sequence[str | int]) -> Any:
    first, *rest = path
    if isinstance(value, list):
        return [one for number, one in enumerate(value) if number != first]
    if rest:
        return {**value, first: _without(value[first], rest)}
    return {key: one for key, one in value.items() if key != first}
