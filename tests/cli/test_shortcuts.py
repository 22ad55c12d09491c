"""One-click links and the hosts' own commands say the same as the file would."""

import base64
import json
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

import pytest

from sora2_mcp.cli.hosts.entry import Wanted, entry_of
from sora2_mcp.cli.hosts.machine import Launch
from sora2_mcp.cli.hosts.shortcuts import command_of, link_of
from sora2_mcp.cli.hosts.table import CLAUDE_CODE, CODEX, CURSOR, GEMINI_CLI, HOSTS, LM_STUDIO, OPENCODE, VSCODE, Host

UVX = Launch(command="uvx", arguments=("sora2-mcp",))
WANTED = Wanted(launch=UVX)
ADDRESS = Wanted(launch=UVX, url="https://videos.example.com/mcp")


def configuration(link: str) -> tuple[str, Any]:
    """The name and the decoded configuration of a link."""
    query = parse_qs(urlsplit(link).query, strict_parsing=True)
    return query["name"][0], json.loads(base64.b64decode(query["config"][0], validate=True))


@pytest.mark.parametrize("wanted", [WANTED, ADDRESS, Wanted(launch=UVX, simulate=True)])
@pytest.mark.parametrize(
    ("host", "app", "page"),
    [
        (CURSOR, "cursor://anysphere.cursor-deeplink/mcp/install?", "https://cursor.com/en/install-mcp?"),
        (LM_STUDIO, "lmstudio://add_mcp?", "https://lmstudio.ai/install-mcp?"),
    ],
)
def test_links_of_cursor_and_lm_studio_hold_the_entry(host: Host, app: str, page: str, wanted: Wanted) -> None:
    link = link_of(host, wanted)

    assert link is not None
    assert link.app.startswith(app)
    assert link.page.startswith(page)
    assert configuration(link.app) == configuration(link.page) == ("sora2", entry_of(host, wanted))


def test_links_of_vs_code_hold_the_entry_and_the_question_for_the_key() -> None:
    link = link_of(VSCODE, WANTED)

    assert link is not None
    asked = [{"type": "promptString", "id": "sora2-key", "description": "Sora2API key", "password": True}]
    entry = entry_of(VSCODE, WANTED)
    scheme, _, query = link.app.partition("?")
    assert (scheme, json.loads(unquote(query))) == (
        "vscode:mcp/install",
        {"name": "sora2", **entry, "inputs": asked},
    )
    parts = parse_qs(urlsplit(link.page).query, strict_parsing=True)
    assert link.page.startswith("https://insiders.vscode.dev/redirect/mcp/install?")
    assert (parts["name"], json.loads(parts["inputs"][0]), json.loads(parts["config"][0])) == (["sora2"], asked, entry)


def test_hosts_without_links_are_known() -> None:
    assert {host.id for host in HOSTS if link_of(host, WANTED)} == {"cursor", "vscode", "lm-studio"}


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (CLAUDE_CODE, "claude mcp add --scope user sora2 --env SORA2_API_KEY=your-key -- /s serve"),
        (CODEX, "codex mcp add sora2 --env SORA2_API_KEY=your-key -- /s serve"),
        (GEMINI_CLI, "gemini mcp add --scope user --env SORA2_API_KEY=your-key sora2 /s serve"),
        (OPENCODE, "opencode mcp add sora2 --env SORA2_API_KEY=your-key -- /s serve"),
        (CURSOR, ""),
    ],
)
def test_hosts_own_commands_add_the_program(host: Host, words: str) -> None:
    assert " ".join(command_of(host, Wanted(launch=Launch(command="/s")))) == words


@pytest.mark.parametrize(
    ("host", "words"),
    [
        (
            CLAUDE_CODE,
            "claude mcp add --transport http --scope user sora2 URL --header Authorization: Bearer your-token",
        ),
        (CODEX, ""),
        (
            GEMINI_CLI,
            "gemini mcp add --scope user --transport http --header Authorization: Bearer your-token sora2 URL",
        ),
        (OPENCODE, "opencode mcp add sora2 --url URL --header Authorization=Bearer your-token"),
    ],
)
def test_hosts_own_commands_add_an_address(host: Host, words: str) -> None:
    assert " ".join(command_of(host, ADDRESS)) == words.replace("URL", ADDRESS.url)


def test_codex_adds_an_address_without_a_token_by_itself() -> None:
    local = Wanted(launch=UVX, url="http://127.0.0.1:8000/mcp")

    assert " ".join(command_of(CODEX, local)) == "codex mcp add sora2 --url http://127.0.0.1:8000/mcp"


def test_gemini_cli_is_told_where_its_own_options_end() -> None:
    words = command_of(GEMINI_CLI, Wanted(launch=Launch(command="/s"), simulate=True, project=True))

    assert " ".join(words) == "gemini mcp add --scope project sora2 /s -- serve --simulate"


def test_commands_that_know_the_users_file_only_are_not_offered_for_a_project() -> None:
    project = Wanted(launch=UVX, project=True)

    assert {host.id for host in HOSTS if command_of(host, project)} == {"claude-code", "gemini-cli"}


def test_vs_codes_command_takes_the_form_of_its_link() -> None:
    *words, server = command_of(VSCODE, WANTED)

    assert words == ["code", "--add-mcp"]
    assert json.loads(server)["inputs"][0]["id"] == "sora2-key"
