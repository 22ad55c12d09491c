"""Callbacks between real processes: the server on HTTP, and a simulator that posts to it."""

import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from tests.e2e.processes import Process
from tests.faults.hosts import service

pytestmark = pytest.mark.anyio

READY = r"serving MCP at (http://127\.0\.0\.1:\d+)/mcp"


@contextmanager
def reachable(folder: Path, api: str) -> Iterator[tuple[Process, str]]:
    """A server that never looks by itself before its first 30 s are over, and the address it can be reached under."""
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = str(probe.getsockname()[1])
    variables = {
        "SORA2_API_KEY": "any",
        "SORA2_API_BASE_URL": api,
        "SORA2_PUBLIC_URL": f"http://127.0.0.1:{port}/",
        "SORA2_LOG_LEVEL": "DEBUG",
    }
    arguments = ["serve", "--transport", "streamable-http", "--port", port]
    with Process(folder, *arguments, **variables) as process:
        yield process, process.logged(READY).group(1)


async def test_a_callback_ends_a_clients_wait_after_one_look_and_leaves_no_trace_of_its_path(tmp_path: Path) -> None:
    with service(tmp_path) as sora, reachable(tmp_path, sora.base_url) as (process, address):
        async with Client(streamable_http_client(f"{address}/mcp")) as client:
            ordered = await client.call_tool("generate_video", {"prompt": "A kitten [sim:seconds=1]"})
            task_id = (ordered.structured_content or {})["task_id"]
            waited = await client.call_tool("wait_for_video", {"task_id": task_id, "timeout_seconds": 25})
        received = sora.received()
        logged = process.stderr

    assert (waited.structured_content or {})["status"] == "succeeded"
    assert [request["method"] for request in received if "/api/" in str(request["path"])] == ["POST", "GET"]
    assert "callbacks arrive" in logged
    assert "/callbacks/" not in logged
