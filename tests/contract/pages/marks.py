"""Fills the marked parts of documents: ``<!-- NAME:begin … -->`` … ``<!-- NAME:end -->``."""

import re
from collections.abc import Callable

from tests.contract.documents import ROOT, documents
from tests.contract.pages.commands import command_sections
from tests.contract.pages.configuration import env_example, settings_sections, settings_table
from tests.contract.pages.errors import error_sections, error_table
from tests.contract.pages.results import result_sections
from tests.contract.pages.services import capability_table, family_table, service_table
from tests.contract.pages.tools import tool_table

PARTS: dict[str, Callable[[], str]] = {
    "tools": tool_table,
    "settings": settings_table,
    "configuration": settings_sections,
    "commands": command_sections,
    "error-table": error_table,
    "errors": error_sections,
    "results": result_sections,
    "services": service_table,
    "capabilities": capability_table,
    "families": family_table,
}

_MARKED = re.compile(r"(<!-- (?P<name>[a-z-]+):begin[^\n]*-->\n).*?(?=<!-- (?P=name):end -->)", re.DOTALL)


def filled_in(text: str) -> str:
    """The text with its marked parts as they should be; what another one fills is left as it is."""

    def filled(found: re.Match[str]) -> str:
        return f"{found[1]}{PARTS[found['name']]()}\n" if found["name"] in PARTS else found[0]

    return _MARKED.sub(filled, text)


def parts_of(text: str) -> list[str]:
    """The names of the marked parts in a text."""
    return [found["name"] for found in _MARKED.finditer(text)]


def fill_all() -> None:
    """Writes every document's marked parts anew, and the example of an environment."""
    (ROOT / ".env.example").write_text(env_example(), encoding="utf-8", newline="\n")
    for path in documents():
        text = path.read_text(encoding="utf-8")
        filled = filled_in(text)
        if filled != text:
            path.write_text(filled, encoding="utf-8", newline="\n")
