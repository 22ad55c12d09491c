"""A host's file is changed with care: what is not ours stays, and what was is kept."""

import json
import os
import stat
import tomllib
from dataclasses import replace
from pathlib import Path
from typing import Any

import json5
import pytest

from sora2_mcp.cli.hosts.entry import Wanted
from sora2_mcp.cli.hosts.file import HostError, put
from sora2_mcp.cli.hosts.machine import Launch
from sora2_mcp.cli.hosts.table import CLAUDE_CODE, CLAUDE_DESKTOP, CODEX, CURSOR, GEMINI_CLI, OPENCODE, VSCODE, ZED

PROGRAM = Launch(command="/opt/sora2-mcp")
WITH_KEY = Wanted(launch=PROGRAM, given={"SORA2_API_KEY": "sk-mine"})
WITHOUT_KEY = Wanted(launch=PROGRAM)

ZED_SETTINGS = """\
// Zed settings
//
{
  "theme": "One Dark", // at night
  /* servers */
  "context_servers": {
    "other": { "command": "x", "args": [] }, // keep me
  },
  "tab_size": 4,
}
"""
CODEX_CONFIG = """\
# mine
model = "o3"   # a comment

[mcp_servers.other]
command = 'x'
args = [ "a" ]  # odd spacing

[profiles.fast]
model = "mini"
"""


def mode(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def folder_of(path: Path) -> dict[str, bytes]:
    return {one.name: one.read_bytes() for one in path.iterdir() if one.is_file()}


def test_a_new_file_is_for_its_owner_alone(tmp_path: Path) -> None:
    path = tmp_path / "new" / "folder" / "mcp.json"
    change = put(CURSOR, WITH_KEY, path)

    assert (change.what, change.backup, change.open_to_others) == ("added", None, False)
    assert mode(path) == 0o600
    assert json.loads(path.read_text())["mcpServers"]["sora2"]["env"]["SORA2_API_KEY"] == "sk-mine"
    assert set(folder_of(path.parent)) == {"mcp.json"}


def test_a_new_file_that_is_to_be_shared_can_be_read_by_others(tmp_path: Path) -> None:
    put(CURSOR, replace(WITH_KEY, project=True), tmp_path / "mcp.json")

    assert mode(tmp_path / "mcp.json") == 0o666 & ~_umask()
    assert "sk-mine" not in (tmp_path / "mcp.json").read_text()


def test_comments_and_other_entries_of_a_json_file_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    path.write_text(ZED_SETTINGS)
    change = put(ZED, WITHOUT_KEY, path)

    entry = '{\n      "command": "/opt/sora2-mcp",\n      "args": [\n        "serve"\n      ],\n      "timeout": 300,\n'
    entry += '      "env": {\n        "SORA2_API_KEY": "your-key"\n      }\n    }'
    kept = '"other": { "command": "x", "args": [] }, // keep me\n'
    assert path.read_text() == ZED_SETTINGS.replace(kept, f'{kept}    "sora2": {entry}\n')
    assert json5.loads(path.read_text())["tab_size"] == 4
    assert change.backup == tmp_path / "settings.json.bak"
    assert change.backup.read_text() == ZED_SETTINGS


def test_comments_and_other_tables_of_a_toml_file_stay_as_they_are(tmp_path: Path) -> None:
    path = tmp_path / "config.toml"
    path.write_text(CODEX_CONFIG)
    put(CODEX, WITHOUT_KEY, path)

    assert path.read_text().startswith(CODEX_CONFIG)
    read = tomllib.loads(path.read_text())
    assert read["mcp_servers"]["sora2"]["env"] == {"SORA2_API_KEY": "your-key"}
    assert {**read, "mcp_servers": {"other": read["mcp_servers"]["other"]}} == tomllib.loads(CODEX_CONFIG)


@pytest.mark.parametrize(
    "text",
    [
        "mcp_servers = { other = { command = 'x' } }\n",
        "mcp_servers.other.command = 'x'\n",
        "[mcp_servers]\nother = { command = 'x' }\r\n",
        "[mcp_servers.sora2]\ncommand = 'old' # why\n\n[mcp_servers.sora2.env]\nOTHER = '1' # mine\n",
        "[mcp_servers]\nsora2 = { command = 'old', env = { OTHER = '1' } }\n",
        "[[projects]]\npath = 'x'\n",
    ],
)
def test_every_way_to_write_a_toml_table_is_understood(tmp_path: Path, text: str) -> None:
    path = tmp_path / "config.toml"
    path.write_bytes(text.encode())
    put(CODEX, WITHOUT_KEY, path)

    before, after = tomllib.loads(text), tomllib.loads(path.read_text())
    entry = after["mcp_servers"].pop("sora2")
    was = before.setdefault("mcp_servers", {}).pop("sora2", {})
    assert after == before
    assert (entry["command"], entry["env"]["SORA2_API_KEY"]) == ("/opt/sora2-mcp", "your-key")
    assert entry["env"].get("OTHER") == was.get("env", {}).get("OTHER")
    assert all(comment in path.read_text() for comment in ("# why", "# mine") if comment in text)


@pytest.mark.parametrize(("host", "text"), [(ZED, ZED_SETTINGS), (CODEX, CODEX_CONFIG), (VSCODE, '{"servers": {}}')])
def test_the_second_time_nothing_is_changed_and_nothing_is_kept(tmp_path: Path, host: Any, text: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    put(host, WITH_KEY, path)
    once = folder_of(tmp_path)

    assert put(host, WITH_KEY, path).what == "kept"
    assert folder_of(tmp_path) == once
    assert set(once) == {"file", "file.bak"}


def test_an_earlier_backup_is_never_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text('{"first": 1}')
    put(CURSOR, WITHOUT_KEY, path)
    path.write_text('{"second": 2}')
    change = put(CURSOR, WITHOUT_KEY, path)

    assert (tmp_path / "mcp.json.bak").read_text() == '{"first": 1}'
    assert change.backup == tmp_path / "mcp.json.bak-2"
    assert change.backup.read_text() == '{"second": 2}'


def test_an_entry_that_is_there_is_brought_up_to_date_and_keeps_what_its_owner_set(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    own = {"SORA2_API_KEY": "sk-own", "SORA2_VIDEO_DIR": "/films", "SORA2_MAX_WAIT_SECONDS": "20"}
    entry = {"type": "stdio", "command": "/gone", "args": ["serve", "--simulate"], "env": own, "disabled": True}
    path.write_text(json.dumps({"mcpServers": {"other": {"command": "x"}, "sora2": entry}}))
    change = put(CURSOR, WITHOUT_KEY, path)

    assert change.what == "changed"
    assert json.loads(path.read_text())["mcpServers"] == {
        "other": {"command": "x"},
        "sora2": {**entry, "command": "/opt/sora2-mcp", "args": ["serve"]},
    }


@pytest.mark.parametrize(
    ("own", "then"),
    [
        ("your-key", "sk-mine"),
        ("your key", "sk-mine"),
        ("", "sk-mine"),
        ("sk-old", "sk-mine"),
        ("${env:MY_KEY}", "${env:MY_KEY}"),
        ("$MY_KEY", "$MY_KEY"),
        ("{env:MY_KEY}", "{env:MY_KEY}"),
        ("%MY_KEY%", "%MY_KEY%"),
    ],
)
def test_a_key_is_renewed_and_a_reference_to_one_is_kept(tmp_path: Path, own: str, then: str) -> None:
    path = tmp_path / "settings.json"
    path.write_text(json.dumps({"mcpServers": {"sora2": {"command": "x", "env": {"SORA2_API_KEY": own}}}}))
    put(GEMINI_CLI, WITH_KEY, path)

    assert json.loads(path.read_text())["mcpServers"]["sora2"]["env"]["SORA2_API_KEY"] == then
    assert own in (tmp_path / "settings.json.bak").read_text()


def test_comments_inside_an_entry_survive_its_update(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text(
        '{"servers": {"sora2": {\n  "command": "old", // where it is\n  "args": ["serve"], "type": "stdio"\n}}}'
    )
    put(VSCODE, WITHOUT_KEY, path)

    assert "// where it is" in path.read_text()
    assert json5.loads(path.read_text())["servers"]["sora2"]["command"] == "/opt/sora2-mcp"


def test_an_address_takes_the_place_of_a_program_and_back(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    put(CURSOR, WITH_KEY, path)
    put(CURSOR, Wanted(launch=PROGRAM, url="https://videos.example.com/mcp"), path)
    assert json.loads(path.read_text())["mcpServers"]["sora2"] == {
        "url": "https://videos.example.com/mcp",
        "headers": {"Authorization": "Bearer your-token"},
    }

    put(CURSOR, WITHOUT_KEY, path)
    assert set(json.loads(path.read_text())["mcpServers"]["sora2"]) == {"type", "command", "args", "env"}


def test_a_token_that_its_owner_put_in_is_kept(tmp_path: Path) -> None:
    path, wanted = tmp_path / "mcp.json", Wanted(launch=PROGRAM, url="https://videos.example.com/mcp")
    put(CURSOR, wanted, path)
    path.write_text(path.read_text().replace("your-token", "tok-own"))

    assert put(CURSOR, wanted, path).what == "kept"
    assert put(CURSOR, replace(wanted, url="https://other.example.com/mcp"), path).what == "changed"
    assert "Bearer tok-own" in path.read_text()


def test_the_service_a_key_is_for_goes_with_the_key(tmp_path: Path) -> None:
    path, given = tmp_path / "mcp.json", {"SORA2_API_KEY": "k", "SORA2_API_BASE_URL": "https://other.example.com/v1"}
    put(CURSOR, WITH_KEY, path)
    put(CURSOR, Wanted(launch=PROGRAM, given=given), path)

    assert json.loads(path.read_text())["mcpServers"]["sora2"]["env"] == {**given, "SORA2_MAX_WAIT_SECONDS": "50"}


def test_a_key_for_one_service_does_not_take_the_place_of_anothers(tmp_path: Path) -> None:
    path, own = tmp_path / "mcp.json", {"SORA2_API_KEY": "k", "SORA2_API_BASE_URL": "https://other.example.com/v1"}
    put(CURSOR, Wanted(launch=PROGRAM, given=own), path)

    assert put(CURSOR, WITH_KEY, path).what == "kept"
    assert "sk-mine" not in path.read_text()


def test_a_question_for_the_key_joins_those_that_are_asked(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text('{\n  "inputs": [\n    { "id": "a", "type": "promptString" } // mine\n  ],\n  "servers": {}\n}\n')
    put(VSCODE, WITH_KEY, path)

    read = json5.loads(path.read_text())
    assert [one["id"] for one in read["inputs"]] == ["a", "sora2-key"]
    assert '{ "id": "a", "type": "promptString" }, // mine\n' in path.read_text()
    assert "sk-mine" not in path.read_text()


def test_an_opencode_file_of_version_2_keeps_its_form(tmp_path: Path) -> None:
    path = tmp_path / "opencode.json"
    path.write_text('{"mcp": {"servers": {"other": {"type": "local", "command": ["x"]}}}}')
    put(OPENCODE, WITHOUT_KEY, path)

    assert set(json.loads(path.read_text())["mcp"]) == {"servers"}
    assert set(json.loads(path.read_text())["mcp"]["servers"]) == {"other", "sora2"}
    assert put(OPENCODE, WITHOUT_KEY, path).what == "kept"


@pytest.mark.parametrize(
    ("host", "text", "problem"),
    [
        (CURSOR, '{"mcpServers": {', "as JSON (Expecting property name enclosed in double quotes: line 1 column 17"),
        (CURSOR, "[]", "as JSON (it holds no object)"),
        (CURSOR, '{"mcpServers": []}', "as JSON (mcpServers is no table of servers)"),
        (VSCODE, '{"inputs": {}}', "as JSON (inputs is no list)"),
        (
            CLAUDE_DESKTOP,
            '{"mcpServers": {},}',
            "as JSON (it has comments or trailing commas, which this host does not",
        ),
        (CLAUDE_CODE, "{} // x", "as JSON (it has comments or trailing commas, which this host does not read)"),
        (CODEX, "[mcp_servers", "as TOML ("),
        (CODEX, "mcp_servers = 1", "as TOML (mcp_servers is no table of servers)"),
        (CODEX, f"a = {'[' * 5000}{']' * 5000}", "as TOML (it is nested too deeply)"),
        (CODEX, f"a = {'{b=' * 5000}1{'}' * 5000}", "as TOML (it is nested too deeply)"),
        (CODEX, f"[{'a.' * 5000}b]", "as TOML (it is nested too deeply)"),
        (CURSOR, f'{{"a": {"[" * 50000}{"]" * 50000}}}', "as JSON (it is nested too deeply)"),
    ],
)
def test_a_file_that_cannot_be_understood_is_left_alone(tmp_path: Path, host: Any, text: str, problem: str) -> None:
    path = tmp_path / "file"
    path.write_text(text)
    with pytest.raises(HostError) as caught:
        put(host, WITH_KEY, path)

    assert str(caught.value).startswith(f"{path} cannot be understood {problem}")
    assert str(caught.value).endswith("; it was left as it is")
    assert f"sora2-mcp client-config {host.id} prints it" in caught.value.hint
    assert folder_of(tmp_path) == {"file": text.encode()}


def test_a_file_in_another_encoding_is_left_alone(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_bytes('{"é": 1}'.encode("utf-16"))
    with pytest.raises(HostError, match="no UTF-8 text; it was left as it is"):
        put(CURSOR, WITH_KEY, path)


@pytest.mark.parametrize("host", [CURSOR, CODEX])
def test_the_mark_some_editors_put_before_a_text_stays(tmp_path: Path, host: Any) -> None:
    path = tmp_path / "file"
    path.write_bytes(b"\xef\xbb\xbf" + (b"{}" if host is CURSOR else b"a = 1\n"))
    put(host, WITHOUT_KEY, path)

    assert path.read_bytes().count(b"\xef\xbb\xbf") == 1
    assert path.read_bytes().startswith(b"\xef\xbb\xbf")


def test_an_empty_file_is_filled(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("")
    put(CURSOR, WITHOUT_KEY, path)

    assert set(json.loads(path.read_text())) == {"mcpServers"}


def test_rights_are_kept_and_a_file_others_can_read_is_noticed(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("{}")
    path.chmod(0o640)
    change = put(CURSOR, WITH_KEY, path)

    assert change.backup is not None
    assert (mode(path), mode(change.backup), change.open_to_others) == (0o640, 0o600, True)


def test_a_link_stays_a_link(tmp_path: Path) -> None:
    real, link = tmp_path / "dotfiles" / "mcp.json", tmp_path / "mcp.json"
    real.parent.mkdir()
    real.write_text("{}")
    link.symlink_to(real)
    change = put(CURSOR, WITHOUT_KEY, link)

    assert link.is_symlink()
    assert "sora2" in real.read_text()
    assert change.backup == real.parent / "mcp.json.bak"


def test_a_link_to_a_file_that_is_not_there_yet_makes_that_file(tmp_path: Path) -> None:
    (tmp_path / "mcp.json").symlink_to(tmp_path / "dotfiles" / "mcp.json")
    put(CURSOR, WITHOUT_KEY, tmp_path / "mcp.json")

    assert "sora2" in (tmp_path / "dotfiles" / "mcp.json").read_text()


def test_a_link_that_leads_to_itself_is_an_error(tmp_path: Path) -> None:
    (tmp_path / "mcp.json").symlink_to(tmp_path / "mcp.json")
    with pytest.raises(HostError, match=r"leads nowhere|cannot be read"):
        put(CURSOR, WITHOUT_KEY, tmp_path / "mcp.json")


@pytest.mark.parametrize("linked", ["mcp.json", "."])
def test_a_projects_link_out_of_the_project_is_not_followed(tmp_path: Path, linked: str) -> None:
    project, outside = tmp_path / "project", tmp_path / "outside"
    project.mkdir()
    outside.mkdir()
    (outside / "mcp.json").write_text("{}")
    if linked == ".":
        (project / ".cursor").symlink_to(outside)
    else:
        (project / ".cursor").mkdir()
        (project / ".cursor" / "mcp.json").symlink_to(outside / "mcp.json")
    with pytest.raises(HostError, match=r"is a link that leads out of the project \(.*\); nothing was changed"):
        put(CURSOR, replace(WITH_KEY, project=True), project / ".cursor" / "mcp.json", within=project)

    assert folder_of(outside) == {"mcp.json": b"{}"}


def test_a_projects_link_within_the_project_is_followed(tmp_path: Path) -> None:
    (tmp_path / "shared.json").write_text("{}")
    (tmp_path / "mcp.json").symlink_to("shared.json")
    put(CURSOR, replace(WITH_KEY, project=True), tmp_path / "mcp.json", within=tmp_path)

    assert "sora2" in (tmp_path / "shared.json").read_text()


def test_a_file_and_its_copy_stay_their_owners_also_where_root_asks(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    path = tmp_path / "mcp.json"
    path.write_text("{}")
    path.chmod(0o640)
    os.chown(path, 12345, 23456)
    change = put(CURSOR, WITH_KEY, path)

    assert change.backup is not None
    assert [(one.stat().st_uid, one.stat().st_gid, mode(one)) for one in (path, change.backup)] == [
        (12345, 23456, 0o640),
        (12345, 23456, 0o600),
    ]


def test_what_root_makes_in_a_users_folder_is_the_users(tmp_path: Path) -> None:
    if os.geteuid() != 0:
        pytest.skip("only root can give files away")
    os.chown(tmp_path, 12345, 23456)
    put(CURSOR, WITH_KEY, tmp_path / "new" / "folder" / "mcp.json")

    made = [tmp_path / "new", tmp_path / "new" / "folder", tmp_path / "new" / "folder" / "mcp.json"]
    assert [(one.stat().st_uid, one.stat().st_gid) for one in made] == [(12345, 23456)] * 3


@pytest.mark.parametrize("mask", [0o077, 0o777])
def test_rights_do_not_hang_on_the_umask(tmp_path: Path, mask: int) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("{}")
    path.chmod(0o644)
    before = os.umask(mask)
    try:
        change = put(CURSOR, WITH_KEY, path)
        put(CURSOR, WITH_KEY, tmp_path / "new.json")
    finally:
        os.umask(before)

    assert change.backup is not None
    assert [mode(one) for one in (path, change.backup, tmp_path / "new.json")] == [0o644, 0o600, 0o600]


def test_an_entry_of_zeds_older_form_keeps_its_key_and_its_owners_variables(tmp_path: Path) -> None:
    path = tmp_path / "settings.json"
    own = {"SORA2_API_KEY": "sk-own", "SORA2_VIDEO_DIR": "/films"}
    command = {"path": "/gone", "args": ["serve"], "env": own}
    older = {"command": command, "settings": {"a": 1}}
    path.write_text(json.dumps({"context_servers": {"sora2": older}}))
    put(ZED, WITHOUT_KEY, path)

    assert json.loads(path.read_text())["context_servers"]["sora2"] == {
        "command": "/opt/sora2-mcp",
        "args": ["serve"],
        "settings": {"a": 1},
        "timeout": 300,
        "env": own,
    }
    assert put(ZED, WITHOUT_KEY, path).what == "kept"


def test_an_entry_copied_from_another_host_keeps_its_key(tmp_path: Path) -> None:
    path = tmp_path / "opencode.json"
    path.write_text(json.dumps({"mcp": {"sora2": {"command": "x", "args": [], "env": {"SORA2_API_KEY": "sk-own"}}}}))
    put(OPENCODE, WITHOUT_KEY, path)

    assert json.loads(path.read_text())["mcp"]["sora2"]["environment"] == {"SORA2_API_KEY": "sk-own"}


@pytest.mark.parametrize(
    "own", [{"headers": {"authorization": "Bearer tok-own"}}, {"bearer_token_env_var": "MY_TOKEN"}, {"oauth": {"a": 1}}]
)
def test_another_way_to_show_a_token_gets_no_second_one_beside_it(tmp_path: Path, own: dict[str, Any]) -> None:
    path, url = tmp_path / "mcp.json", "https://videos.example.com/mcp"
    path.write_text(json.dumps({"mcpServers": {"sora2": {"url": url, **own}}}))

    assert put(CURSOR, Wanted(launch=PROGRAM, url=url), path).what == "kept"
    assert "your-token" not in path.read_text()


def test_a_folder_that_cannot_be_made_is_an_error(tmp_path: Path) -> None:
    (tmp_path / ".cursor").write_text("a file")
    with pytest.raises(HostError, match=r"cannot be (read|written)"):
        put(CURSOR, WITHOUT_KEY, tmp_path / ".cursor" / "mcp.json")
    assert folder_of(tmp_path) == {".cursor": b"a file"}


@pytest.mark.parametrize(("folder", "file"), [(0o500, 0o600), (0o700, 0o400)])
def test_a_folder_or_file_without_the_right_to_write_is_left_alone(tmp_path: Path, folder: int, file: int) -> None:
    path = tmp_path / "read-only" / "mcp.json"
    path.parent.mkdir()
    path.write_text("{}")
    path.chmod(file)
    path.parent.chmod(folder)
    if os.access(path.parent, os.W_OK) and os.access(path, os.W_OK):
        pytest.skip("this user may write everywhere")
    with pytest.raises(HostError, match=r"cannot be written \(Permission denied\); nothing was changed"):
        put(CURSOR, WITHOUT_KEY, path)
    path.parent.chmod(0o700)

    assert folder_of(path.parent) == {"mcp.json": b"{}"}


def test_what_somebody_else_has_just_written_is_not_overwritten(tmp_path: Path) -> None:
    path = tmp_path / "mcp.json"
    path.write_text("{}")
    with pytest.raises(HostError, match=r"cannot be written \(somebody else has changed it just now\)"):
        put(CURSOR, WITH_KEY, path, before_write=lambda _change: path.write_text("theirs"))

    assert folder_of(tmp_path) == {"mcp.json": b"theirs"}


def test_a_change_shows_no_key(tmp_path: Path) -> None:
    assert "sk-mine" not in repr((WITH_KEY, put(CURSOR, WITH_KEY, tmp_path / "mcp.json")))


def _umask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
