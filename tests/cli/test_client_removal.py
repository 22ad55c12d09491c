"""``client-config --remove``: the entry goes, all else stays, and what was is kept."""

import json
import tomllib
from pathlib import Path

import json5
import pytest

from sora2_mcp.cli.hosts.file import HostError, take_out
from sora2_mcp.cli.hosts.table import CLAUDE_CODE, CODEX, CURSOR, OPENCODE, VSCODE, ZED, Host
from tests.cli.conftest import Type
from tests.cli.host_reading import FILES
from tests.servers import KEY

WITH_COMMENTS = """\
// mine
{
  "theme": "x", // at night
  "context_servers": {
    // the first
    "a": { "command": "x" }, // of a
    "sora2": {
      "command": "y", // of ours
      "env": { "SORA2_API_KEY": "k" }
    },
    /* the last */
    "b": { "command": "z" },
  },
}
"""


@pytest.mark.parametrize("host", FILES)
def test_what_was_written_is_taken_out_and_the_rest_is_as_it_was(home: Path, typed: Type, host: str) -> None:
    path = home / FILES[host]
    path.parent.mkdir(parents=True, exist_ok=True)
    other = '[mcp_servers.other]\ncommand = "x"\n' if host == "codex" else '{\n  "mine": {\n    "a": [1]\n  }\n}\n'
    path.write_text(other)
    typed(host, "--write", SORA2_API_KEY=KEY)
    written = path.read_text()
    removed = typed(host, "--remove")
    again = typed(host, "--remove")

    assert (removed.code, removed.stderr, again.code, again.stderr) == (0, "", 0, "")
    assert removed.stdout.splitlines()[:2] == [
        f"sora2 was taken out: {path}",
        f"What was there before is kept in {path}.bak-2",
    ]
    assert again.stdout == f"There is no sora2 in {path}; nothing was changed.\n"
    assert Path(f"{path}.bak-2").read_text() == written
    assert not Path(f"{path}.bak-3").exists()
    if host == "codex":
        assert path.read_text().rstrip() == other.rstrip()
    else:
        left = json.loads(path.read_text())
        assert {key: value for key, value in left.items() if value not in ({}, [])} == {"mine": {"a": [1]}}


def test_where_there_is_no_file_none_is_made(home: Path, typed: Type) -> None:
    run = typed("cursor", "--remove")

    assert (run.code, run.stderr) == (0, "")
    assert run.stdout == f"There is no sora2 in {home / FILES['cursor']}; nothing was changed.\n"
    assert not (home / ".cursor").exists()


def test_the_name_and_the_project_say_which_entry(home: Path, typed: Type) -> None:
    project = home.parent / "project" / ".cursor" / "mcp.json"
    for options in ((), ("--project",), ("--project", "--name", "films")):
        typed("cursor", "--write", *options, SORA2_API_KEY=KEY)
    run = typed("cursor", "--remove", "--project", "--name", "films")

    assert run.stdout.startswith(f"films was taken out: {project}\n")
    assert list(json.loads(project.read_text())["mcpServers"]) == ["sora2"]
    assert list(json.loads((home / FILES["cursor"]).read_text())["mcpServers"]) == ["sora2"]


@pytest.mark.parametrize(
    "options",
    [("--write",), ("--simulate",), ("--service", "kie"), ("--env", "SORA2_CONFIRM=hd"), ("--http", "http://a/mcp")],
)
def test_what_says_how_an_entry_is_to_be_does_not_go_with_it(home: Path, typed: Type, options: tuple[str, ...]) -> None:
    typed("cursor", "--write", SORA2_API_KEY=KEY)
    run = typed("cursor", "--remove", *options)

    assert (run.code, run.stdout) == (2, "")
    assert run.stderr.startswith(f"sora2-mcp: --remove does not go with {options[0]}: it takes out the entry of --name")
    assert "sora2" in json.loads((home / FILES["cursor"]).read_text())["mcpServers"]


def test_without_a_host_there_is_nothing_to_take_it_out_of(typed: Type) -> None:
    run = typed("--remove")

    assert (run.code, run.stderr) == (2, "sora2-mcp: --remove needs a host; see them with: sora2-mcp client-config\n")


def test_comments_around_an_entry_stay(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(WITH_COMMENTS)
    take_out(ZED, "sora2", path)

    start, end = WITH_COMMENTS.index('    "sora2"'), WITH_COMMENTS.index("    /* the last */")
    assert path.read_text() == WITH_COMMENTS[:start] + WITH_COMMENTS[end:]


@pytest.mark.parametrize(
    ("text", "left"),
    [
        ('{"mcpServers": {"sora2": {}}}', '{"mcpServers": {}}'),
        ('{"mcpServers": {"sora2": {}, "b": 1}}', '{"mcpServers": {"b": 1}}'),
        ('{"mcpServers": {"a": 1, "sora2": {}}}', '{"mcpServers": {"a": 1 }}'),
        ('{"mcpServers": {\n  "a": 1,\n  "sora2": {}\n}}\n', '{"mcpServers": {\n  "a": 1\n}}\n'),
        ('{"mcpServers": {\r\n  "sora2": {},\r\n  "b": 1\r\n}}', '{"mcpServers": {\r\n  "b": 1\r\n}}'),
        ('{"mcpServers": {"sora2": null}}', '{"mcpServers": {}}'),
    ],
)
def test_every_way_to_write_it_down_is_left_valid(tmp_path: Path, text: str, left: str) -> None:
    path = tmp_path / "mcp.json"
    path.write_bytes(text.encode())
    take_out(CLAUDE_CODE, "sora2", path)

    assert path.read_bytes() == left.encode()


@pytest.mark.parametrize(
    "text",
    [
        "a = 1 # mine\n\n[mcp_servers.sora2]\ncommand = 'x'\n\n[mcp_servers.sora2.env]\nA = '1'\n",
        "a = 1 # mine\n[mcp_servers.sora2]\ncommand = 'x'\n[mcp_servers.other]\ncommand = 'y' # of other\n",
        "a = 1 # mine\n[mcp_servers]\nsora2 = { command = 'x' }\nother = { command = 'y' } # of other\n",
        "a = 1 # mine\nmcp_servers = { sora2 = { command = 'x' }, other = { command = 'y' } } # of other\n",
        "a = 1 # mine\n[mcp_servers.sora2]\ncommand = 'x'\n[b]\nc = 1\n[mcp_servers.sora2.env]\nA = '1'\n",
        "a = 1 # mine\r\n[mcp_servers.sora2]\r\ncommand = 'x'\r\n",
    ],
)
def test_every_way_to_write_a_toml_table_can_be_taken_out(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode())
    take_out(CODEX, "sora2", path)

    before, after = tomllib.loads(text), tomllib.loads(path.read_bytes().decode())
    del before["mcp_servers"]["sora2"]
    assert {"mcp_servers": {}, **after} == before
    assert all(comment in path.read_text() for comment in ("# mine", "# of other") if comment in text)
    assert ("\r\n" in text) == (b"\r\n" in path.read_bytes())


def test_a_question_goes_with_the_only_entry_that_asks_it(typed: Type, home: Path) -> None:
    path = home / FILES["vscode"]
    path.parent.mkdir(parents=True)
    path.write_text('{"inputs": [\n  {"id": "mine"}, // mine\n  {"id": "sora2-mine"}\n], "servers": {"a": {}}}')
    typed("vscode", "--write")
    typed("vscode", "--write", "--name", "films", "--service", "kie")
    text = path.read_text().replace('"a": {}', '"a": {"env": {"K": "${input:films-kie-key}"}}')
    path.write_text(text)
    take_out(VSCODE, "sora2", path)
    take_out(VSCODE, "films", path)

    left = json5.loads(path.read_text())
    assert [one["id"] for one in left["inputs"]] == ["mine", "sora2-mine", "films-kie-key"]
    assert list(left["servers"]) == ["a"]
    assert "// mine" in path.read_text()


def test_an_opencode_file_of_version_2_is_understood(tmp_path: Path) -> None:
    path = tmp_path / "opencode.json"
    path.write_text('{"mcp": {"servers": {"sora2": {"type": "local"}, "other": {"type": "local"}}}}')
    take_out(OPENCODE, "sora2", path)

    assert json.loads(path.read_text()) == {"mcp": {"servers": {"other": {"type": "local"}}}}


@pytest.mark.parametrize(
    ("host", "text"),
    [(CURSOR, '{"mcpServers": {'), (CURSOR, '{"mcpServers": []}'), (CODEX, "[mcp_servers"), (CODEX, "mcp_servers = 1")],
)
def test_a_file_that_cannot_be_understood_is_left_alone(tmp_path: Path, host: Host, text: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(HostError, match="it was left as it is") as caught:
        take_out(host, "sora2", path)

    assert caught.value.hint == "Take sora2 out of it yourself."
    assert {one.name: one.read_text() for one in tmp_path.iterdir() if one.is_file()} == {"file": text}


def test_a_link_out_of_the_project_is_not_followed(tmp_path: Path) -> None:
    project, outside = tmp_path / "project", tmp_path / "mcp.json"
    project.mkdir()
    outside.write_text('{"mcpServers": {"sora2": {}}}')
    (project / "mcp.json").symlink_to(outside)
    with pytest.raises(HostError, match="is a link that leads out of the project"):
        take_out(CURSOR, "sora2", project / "mcp.json", within=project)

    assert outside.read_text() == '{"mcpServers": {"sora2": {}}}'
