"""``sora2-mcp client-config``: what it writes is read as each host reads it, and starts the server."""

from pathlib import Path

import pytest

from tests.cli.host_reading import FILES, started_by
from tests.e2e.processes import Process, StdioHost, completed, simulator

KEY = "sk-0123456789"


@pytest.mark.parametrize("host", FILES)
def test_what_is_written_starts_the_server_as_the_host_starts_it(tmp_path: Path, host: str) -> None:
    run = completed(tmp_path, "client-config", host, "--write", "--simulate")
    assert (run.returncode, run.stderr) == (0, "")
    started = started_by(host, tmp_path / FILES[host], {})

    assert Path(started.program[0]).is_absolute()
    with Process(tmp_path, program=started.program, **started.variables) as process:
        client = StdioHost(process)
        assert client.handshake()["serverInfo"]["name"] == "sora2-mcp"
        assert len(client.request("tools/list", {})["tools"]) == 5


@pytest.mark.parametrize("host", ["claude-desktop", "vscode", "codex", "opencode"])
def test_the_key_and_the_service_it_is_for_reach_the_server(tmp_path: Path, host: str) -> None:
    with simulator(tmp_path, "--api-key", KEY) as base_url:
        variables = {"SORA2_API_KEY": KEY, "SORA2_API_BASE_URL": base_url}
        completed(tmp_path, "client-config", host, "--write", **variables)
        started = started_by(host, tmp_path / FILES[host], {"sora2-key": KEY})
        with Process(tmp_path, program=started.program, **started.variables) as process:
            client = StdioHost(process)
            client.handshake()
            # A busy machine gets the time to open the store, which an order does not wait for.
            while client.call("list_tasks")["isError"]:
                pass
            ordered = client.call("generate_video", prompt="A kitten")

    assert not ordered["isError"], ordered["content"]
    assert ordered["structuredContent"]["task_id"].startswith("sora2_task_")
