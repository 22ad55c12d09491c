"""docs/hosts.md stays true; that its generated part is up to date, ``test_docs.py`` sees."""

import re

from sora2_mcp.cli.arguments import parse
from sora2_mcp.cli.hosts.table import HOSTS
from sora2_mcp.settings import Settings, variable_of
from tools.docs.files import ROOT

PAGE = ROOT / "docs" / "hosts.md"


def test_the_page_has_a_section_for_each_host_and_no_link_that_github_removes() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert "cursor://" not in text
    assert text.count("### ") == len(HOSTS) == 10


def test_every_command_line_of_the_page_is_understood() -> None:
    blocks = re.findall(r"```console\n(.*?)```", PAGE.read_text(encoding="utf-8"), re.DOTALL)
    lines = [line.split() for block in blocks for line in block.splitlines()]

    assert len(lines) >= 15
    for program, *arguments in lines:
        assert program == "sora2-mcp"
        assert parse(arguments).command == "client-config"
        assert parse(arguments).host in ("", *(host.id for host in HOSTS))


def test_every_variable_and_document_the_page_names_exists() -> None:
    text = PAGE.read_text(encoding="utf-8")

    assert set(re.findall(r"SORA2_[A-Z_]+", text)) <= {variable_of(name) for name in Settings.model_fields}
    assert all((PAGE.parent / name).is_file() for name in re.findall(r"\]\(([a-z]+\.md)\)", text))
