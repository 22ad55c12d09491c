"""The marked parts of documents: ``<!-- NAME:begin … -->`` … ``<!-- NAME:end -->``."""

import re
from collections.abc import Callable

from tools.docs.commands import command_sections
from tools.docs.configuration import settings_sections
from tools.docs.errors import error_sections, error_table
from tools.docs.hosts import host_sections
from tools.docs.results import result_sections
from tools.docs.services import capability_table, family_table, service_table
from tools.docs.tools import tool_table

PARTS: dict[str, Callable[[], str]] = {
    "tools": tool_table,
    "configuration": settings_sections,
    "commands": command_sections,
    "error-table": error_table,
    "errors": error_sections,
    "results": result_sections,
    "services": service_table,
    "capabilities": capability_table,
    "families": family_table,
    "hosts": host_sections,
}

_MARKED = re.compile(r"(<!-- (?P<name>[a-z-]+):begin[^\n]*-->\n).*?(?=<!-- (?P=name):end -->)", re.DOTALL)


def filled_in(text: str) -> str:
    """The text with its marked parts as they should be."""
    return _MARKED.sub(lambda found: f"{found[1]}{PARTS[found['name']]()}\n", text)


def parts_of(text: str) -> list[str]:
    """The names of the marked parts in a text."""
    return [found["name"] for found in _MARKED.finditer(text)]
