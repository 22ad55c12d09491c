"""``sora2-mcp client-config``: what it writes is read as each host reads it, and starts the server."""

import re
from pathlib import Path

import pytest

from sora2_mcp.cli.arguments import parse
from sora2_mcp.cli.main import run
from tests.cli.host_reading import FILES, Started, started_by
from tests.e2e.processes import Process, StdioHost, once_opened
from tests.faults.hosts import service
from tools.docs.catalogue import tool_names

KEY = "sk-0123456789"


def written(host: str, home: Path, *options: str) -> Started:
    """What this host starts once the command has written into its file."""
    assert run(parse(["client-config", host, "--write", *options])) == 0
    path = home / FILES[host]
    # What the user answers when the host asks, by whatever name it asks.
    asked = re.findall(r"\$\{input:([\w-]+)\}", path.read_text())
    return started_by(host, path, dict.fromkeys(asked, KEY))


def test_what_is_written_for_any_host_starts_the_server(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.chdir(tmp_path)
    entries = [written(host, tmp_path / "home", "--simulate") for host in FILES]

    assert capsys.readouterr().err == ""
    # Most hosts start the same; each that starts something else starts it here.
    for entry in [entry for number, entry in enumerate(entries) if entry not in entries[:number]]:
        assert Path(entry.program[0]).is_absolute()
        with Process(tmp_path, program=entry.program, **entry.variables) as process:
            client = StdioHost(process)
            assert client.handshake()["serverInfo"]["name"] == "sora2-mcp"
            assert len(client.request("tools/list", {})["tools"]) == len(tool_names())


def test_the_key_and_the_service_it_is_for_reach_the_server(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    hosts = ("claude-desktop", "vscode", "codex", "opencode")
    with service(tmp_path, "--api-key", KEY) as sora:
        with monkeypatch.context() as patched:
            patched.setenv("SORA2_API_KEY", KEY)
            patched.setenv("SORA2_API_BASE_URL", sora.base_url)
            # Else only the hosts of the desktop get a limit.
            entries = [written(host, tmp_path / "home", "--env", "SORA2_DAILY_LIMIT=9") for host in hosts]

        assert entries == [entries[0]] * len(hosts)
        with Process(tmp_path, program=entries[0].program, **entries[0].variables) as process:
            client = StdioHost(process)
            client.handshake()
            ordered = once_opened(lambda: client.call("generate_video", prompt="A kitten"))

    assert not ordered["isError"], ordered["content"]
    assert ordered["structuredContent"]["task_id"].startswith("sora2_task_")
