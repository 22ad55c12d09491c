"""A server on stdio has ended within two seconds, whatever is open and however it is ended."""

import signal
from pathlib import Path

import pytest

from tests.e2e.processes import ENDS_WITHIN_SECONDS, Process, StdioHost
from tests.faults.hosts import served, service, until
from tests.promises.bare import check_kept, end_of_a_stdio_server, timed

TASKS = "sora2://tasks"
MODERN = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientCapabilities": {},
}


@pytest.mark.parametrize("how", [None, signal.SIGTERM, signal.SIGINT], ids=["eof", "SIGTERM", "SIGINT"])
def test_with_a_wait_open_it_ends_within_two_seconds(tmp_path: Path, how: signal.Signals | None) -> None:
    with Process(tmp_path, "serve", "--simulate") as process:
        host = StdioHost(process)
        host.ready()
        task_id = host.call("generate_video", prompt="A kitten [sim:seconds=600]")["structuredContent"]["task_id"]
        host.send("tools/call", {"name": "wait_for_video", "arguments": {"task_id": task_id}})
        host.request("tools/list", {})
        seconds = timed(lambda: process.ended(how))

    check_kept(seconds, end_of_a_stdio_server(tmp_path), promised=ENDS_WITHIN_SECONDS)
    assert process.popen.returncode == 0


def test_with_streams_open_it_ends_within_two_seconds(tmp_path: Path) -> None:
    with Process(tmp_path, "--simulate") as process:
        host = StdioHost(process)
        listen = {"notifications": {"resourceSubscriptions": [TASKS]}, "_meta": MODERN}
        for _ in range(3):
            host.send("subscriptions/listen", listen)
        for _ in range(3):
            assert host.read()["method"] == "notifications/subscriptions/acknowledged"
        seconds = timed(lambda: process.ended(signal.SIGTERM))

    check_kept(seconds, end_of_a_stdio_server(tmp_path), promised=ENDS_WITHIN_SECONDS)


@pytest.mark.parametrize("answer_seconds", ["0.3", "60"])
def test_with_an_order_under_way_and_its_host_gone_it_ends_within_two_seconds(
    tmp_path: Path, answer_seconds: str
) -> None:
    with (
        service(tmp_path, "--fault", f"order-slow={answer_seconds}*1") as sora,
        served(tmp_path, sora.base_url) as server,
    ):
        server.send("generate_video", prompt="A kitten")
        until(lambda: len(sora.posts()) == 1)
        seconds = timed(server.leave)

    check_kept(seconds, end_of_a_stdio_server(tmp_path), promised=ENDS_WITHIN_SECONDS)
