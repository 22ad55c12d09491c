"""Each host's own file and form, on each system."""

import json
import tomllib
from pathlib import Path
from typing import Any

import pytest

from sora2_mcp.cli.hosts.entry import Wanted, entry_of, merged
from sora2_mcp.cli.hosts.file import printed
from sora2_mcp.cli.hosts.machine import Launch, Machine, file_of
from sora2_mcp.cli.hosts.table import HOSTS, Host, System
from tests.cli.host_reading import PROJECT_FILES

SYSTEMS: tuple[System, ...] = ("linux", "macos", "windows")
BY_ID = {host.id: host for host in HOSTS}
PROGRAM = Launch(command=r"C:\Program Files\sora2\sora2-mcp.exe")
IDS = [host.id for host in HOSTS]

FILES = {
    "claude-desktop": (
        ".config/Claude/claude_desktop_config.json",
        "Library/Application Support/Claude/claude_desktop_config.json",
        "AppData/Roaming/Claude/claude_desktop_config.json",
    ),
    "claude-code": (".claude.json",) * 3,
    "cursor": (".cursor/mcp.json",) * 3,
    "vscode": (
        ".config/Code/User/mcp.json",
        "Library/Application Support/Code/User/mcp.json",
        "AppData/Roaming/Code/User/mcp.json",
    ),
    "windsurf": (".codeium/windsurf/mcp_config.json",) * 3,
    "zed": (".config/zed/settings.json", ".config/zed/settings.json", "AppData/Roaming/Zed/settings.json"),
    "codex": (".codex/config.toml",) * 3,
    "gemini-cli": (".gemini/settings.json",) * 3,
    "opencode": (".config/opencode/opencode.json",) * 3,
    "lm-studio": (".lmstudio/mcp.json",) * 3,
}


def around(home: Path, system: System = "linux", **variables: str) -> Machine:
    return Machine(system=system, home=home, variables=variables, project=home / "project")


def document_of(host: Host, wanted: Wanted) -> dict[str, Any]:
    """The printed file, read by a parser that is not ours."""
    text = printed(host, merged(host, wanted, {}))
    read: dict[str, Any] = tomllib.loads(text) if host.format == "toml" else json.loads(text)
    return read


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("host", HOSTS, ids=IDS)
def test_the_users_file_is_the_hosts_own(tmp_path: Path, host: Host, system: System) -> None:
    assert file_of(host, around(tmp_path, system)) == tmp_path / FILES[host.id][SYSTEMS.index(system)]


@pytest.mark.parametrize("system", SYSTEMS)
@pytest.mark.parametrize("host", [host for host in HOSTS if host.project], ids=lambda host: host.id)
def test_a_projects_file_is_in_its_folder(tmp_path: Path, host: Host, system: System) -> None:
    path = file_of(host, around(tmp_path, system), project=True)

    assert path == tmp_path / "project" / PROJECT_FILES[host.id]


def test_hosts_without_files_for_projects_are_known() -> None:
    assert {host.id for host in HOSTS if not host.project} == set(FILES) - set(PROJECT_FILES)


@pytest.mark.parametrize(
    ("host", "system", "variable", "file"),
    [
        ("claude-desktop", "linux", "XDG_CONFIG_HOME", "Claude/claude_desktop_config.json"),
        ("claude-desktop", "windows", "APPDATA", "Claude/claude_desktop_config.json"),
        ("claude-code", "linux", "CLAUDE_CONFIG_DIR", ".claude.json"),
        ("vscode", "linux", "XDG_CONFIG_HOME", "Code/User/mcp.json"),
        ("vscode", "windows", "APPDATA", "Code/User/mcp.json"),
        ("zed", "linux", "XDG_CONFIG_HOME", "zed/settings.json"),
        ("zed", "windows", "APPDATA", "Zed/settings.json"),
        ("codex", "macos", "CODEX_HOME", "config.toml"),
        ("gemini-cli", "linux", "GEMINI_CLI_HOME", ".gemini/settings.json"),
        ("opencode", "windows", "XDG_CONFIG_HOME", "opencode/opencode.json"),
    ],
)
def test_a_variable_that_moves_a_hosts_files_is_followed(
    tmp_path: Path, host: str, system: System, variable: str, file: str
) -> None:
    moved = tmp_path / "elsewhere"

    assert file_of(BY_ID[host], around(tmp_path, system, **{variable: str(moved)})) == moved / file
    assert file_of(BY_ID[host], around(tmp_path, system, **{variable: " "})) == file_of(
        BY_ID[host], around(tmp_path, system)
    )


@pytest.mark.parametrize(
    "folder",
    [
        "Claude-Data/claude_pzs8sxrjxfjjc",
        "Claude-Data/anthropicpbc.claude_fnn82j28hfe8t",
        "Packages/Claude_pzs8sxrjxfjjc/LocalCache/Roaming/Claude",
    ],
)
def test_claude_desktop_installed_as_a_package_reads_its_own_copy(tmp_path: Path, folder: str) -> None:
    local = tmp_path / "Local"
    (local / folder).mkdir(parents=True)
    (local / "Packages" / "Other_1").mkdir(parents=True)
    place = around(tmp_path, "windows", LOCALAPPDATA=str(local))

    assert file_of(BY_ID["claude-desktop"], place) == local / folder / "claude_desktop_config.json"


def test_of_several_such_copies_the_newest_kind_counts_and_one_with_a_file_before_one_without(tmp_path: Path) -> None:
    local, name = tmp_path / "Local", "claude_desktop_config.json"
    place = around(tmp_path, "windows", LOCALAPPDATA=str(local))
    packages = [local / "Packages" / f"Claude_{mark}" / "LocalCache" / "Roaming" / "Claude" for mark in "abc"]
    for folder in packages:
        folder.mkdir(parents=True)
    (packages[1] / name).write_text("{}")

    assert file_of(BY_ID["claude-desktop"], place) == packages[1] / name
    (local / "Claude-Data").mkdir()
    (local / "Claude-Data" / name).write_text("{}")
    assert file_of(BY_ID["claude-desktop"], place) == local / "Claude-Data" / name


def test_opencode_keeps_the_kind_of_file_it_has(tmp_path: Path) -> None:
    folder = tmp_path / ".config" / "opencode"
    folder.mkdir(parents=True)
    (folder / "opencode.jsonc").write_text("// mine\n{}\n")

    assert file_of(BY_ID["opencode"], around(tmp_path)) == folder / "opencode.jsonc"


def test_lm_studio_is_found_where_it_was_moved(tmp_path: Path) -> None:
    (tmp_path / ".cache" / "lm-studio").mkdir(parents=True)
    assert file_of(BY_ID["lm-studio"], around(tmp_path)) == tmp_path / ".cache" / "lm-studio" / "mcp.json"

    (tmp_path / ".lmstudio-home-pointer").write_text(f"{tmp_path / 'moved'}\n")
    assert file_of(BY_ID["lm-studio"], around(tmp_path)) == tmp_path / "moved" / "mcp.json"


EXPECTED: dict[str, dict[str, Any]] = {
    "claude-desktop": {"mcpServers": {"command": str, "args": ["serve"], "env": {"SORA2_API_KEY": "your-key"}}},
    "claude-code": {
        "mcpServers": {"type": "stdio", "command": str, "args": ["serve"], "env": {"SORA2_API_KEY": "your-key"}}
    },
    "cursor": {
        "mcpServers": {
            "type": "stdio",
            "command": str,
            "args": ["serve"],
            "env": {"SORA2_API_KEY": "your-key", "SORA2_MAX_WAIT_SECONDS": "50"},
        }
    },
    "vscode": {
        "servers": {
            "type": "stdio",
            "command": str,
            "args": ["serve"],
            "env": {"SORA2_API_KEY": "${input:sora2-key}"},
        }
    },
    "windsurf": {
        "mcpServers": {
            "command": str,
            "args": ["serve"],
            "env": {"SORA2_API_KEY": "your-key", "SORA2_MAX_WAIT_SECONDS": "50"},
        }
    },
    "zed": {
        "context_servers": {"command": str, "args": ["serve"], "timeout": 300, "env": {"SORA2_API_KEY": "your-key"}}
    },
    "codex": {
        "mcp_servers": {
            "command": str,
            "args": ["serve"],
            "required": True,
            "startup_timeout_sec": 30,
            "tool_timeout_sec": 300,
            "env": {"SORA2_API_KEY": "your-key"},
        }
    },
    "gemini-cli": {"mcpServers": {"command": str, "args": ["serve"], "env": {"SORA2_API_KEY": "your-key"}}},
    "opencode": {"mcp": {"type": "local", "command": [str, "serve"], "environment": {"SORA2_API_KEY": "your-key"}}},
    "lm-studio": {
        "mcpServers": {"command": str, "args": ["serve"], "timeout": 300000, "env": {"SORA2_API_KEY": "your-key"}}
    },
}


@pytest.mark.parametrize("host", HOSTS, ids=IDS)
def test_what_is_printed_is_the_hosts_form_with_the_path_as_it_is(host: Host) -> None:
    ((section, entry),) = EXPECTED[host.id].items()
    program = PROGRAM.command
    filled = {key: program if value is str else value for key, value in entry.items()}
    if isinstance(entry["command"], list):
        filled["command"] = [program, "serve"]
    document = document_of(host, Wanted(launch=PROGRAM))

    assert document.pop("inputs", None) == (
        [{"type": "promptString", "id": "sora2-key", "description": "Sora2API key", "password": True}]
        if host.id == "vscode"
        else None
    )
    assert document == {section: {"sora2": filled}}


@pytest.mark.parametrize("host", HOSTS, ids=IDS)
def test_on_the_simulator_no_key_is_asked_for(host: Host) -> None:
    text = printed(host, merged(host, Wanted(launch=PROGRAM, simulate=True), {}))

    assert "--simulate" in text
    assert "SORA2_API_KEY" not in text


@pytest.mark.parametrize("host", [host for host in HOSTS if host.project], ids=lambda host: host.id)
def test_a_file_that_is_shared_never_holds_the_key(host: Host) -> None:
    wanted = Wanted(launch=PROGRAM, project=True, given={"SORA2_API_KEY": "sk-mine"})
    document = document_of(host, wanted)
    entry = document[host.section]["sora2"]
    key = entry.get(host.env_key, {}).get("SORA2_API_KEY")

    assert "sk-mine" not in json.dumps(document)
    assert (key, entry.get("env_vars")) == {
        "claude-code": ("${SORA2_API_KEY:-}", None),
        "cursor": ("${env:SORA2_API_KEY}", None),
        "vscode": ("${input:sora2-key}", None),
        "zed": (None, None),
        "codex": (None, ["SORA2_API_KEY"]),
        "gemini-cli": ("$SORA2_API_KEY", None),
        "opencode": ("{env:SORA2_API_KEY}", None),
    }[host.id]


ADDRESS = "https://videos.example.com/mcp"
ADDRESSES: dict[str, dict[str, Any]] = {
    "claude-code": {"type": "http", "url": ADDRESS},
    "cursor": {"url": ADDRESS},
    "vscode": {"type": "http", "url": ADDRESS},
    "windsurf": {"serverUrl": ADDRESS},
    "zed": {"url": ADDRESS, "timeout": 300},
    "codex": {"url": ADDRESS, "tool_timeout_sec": 300},
    "gemini-cli": {"httpUrl": ADDRESS},
    "opencode": {"type": "remote", "url": ADDRESS},
    "lm-studio": {"url": ADDRESS, "timeout": 300000},
}


@pytest.mark.parametrize("host", [host for host in HOSTS if host.url_key], ids=lambda host: host.id)
def test_a_server_run_elsewhere_is_given_by_its_address_and_a_token(host: Host) -> None:
    document = document_of(host, Wanted(launch=PROGRAM, url=ADDRESS))
    entry = document[host.section]["sora2"]
    token = "${input:sora2-token}" if host.id == "vscode" else "your-token"

    assert entry.pop(host.headers_key) == {"Authorization": f"Bearer {token}"}
    assert entry == ADDRESSES[host.id]
    assert [one["id"] for one in document.get("inputs", [])] == (["sora2-token"] if host.id == "vscode" else [])


REFERENCES = {
    "claude-code": "${VIDEOS_TOKEN:-}",
    "cursor": "${env:VIDEOS_TOKEN}",
    "vscode": "${input:sora2-token}",
    "gemini-cli": "$VIDEOS_TOKEN",
    "opencode": "{env:VIDEOS_TOKEN}",
}


@pytest.mark.parametrize("host", [host for host in HOSTS if host.url_key and host.project], ids=lambda host: host.id)
def test_a_file_that_is_shared_refers_to_the_token(host: Host) -> None:
    entry = entry_of(host, Wanted(launch=PROGRAM, url=ADDRESS, project=True))
    assert entry[host.headers_key] == {"Authorization": f"Bearer {REFERENCES.get(host.id, 'your-token')}"}


@pytest.mark.parametrize("address", ["http://127.0.0.1:8000/mcp", "http://localhost:8000/mcp", "http://[::1]:8000/mcp"])
def test_this_machines_own_server_needs_no_token(address: str) -> None:
    for host in (host for host in HOSTS if host.url_key):
        assert "Authorization" not in printed(host, merged(host, Wanted(launch=PROGRAM, url=address), {}))


def test_this_machines_own_server_with_tokens_gets_a_place_for_one() -> None:
    wanted = Wanted(launch=PROGRAM, url="http://127.0.0.1:8000/mcp", has_tokens=True)
    for host in (host for host in HOSTS if host.url_key):
        entry = document_of(host, wanted)[host.section]["sora2"]
        token = "${input:sora2-token}" if host.id == "vscode" else "your-token"
        assert entry[host.headers_key] == {"Authorization": f"Bearer {token}"}


def test_two_servers_of_one_host_ask_for_keys_of_their_own() -> None:
    host = BY_ID["vscode"]
    document = merged(host, Wanted(launch=PROGRAM), {})
    document = merged(host, Wanted(launch=PROGRAM, name="second"), document)

    assert [one["id"] for one in document["inputs"]] == ["sora2-key", "second-key"]
    assert set(document["servers"]) == {"sora2", "second"}
