"""Callbacks between real processes: the server on HTTP, and a simulator that posts to it."""

import signal
import socket
from collections.abc import Iterator
from contextlib import closing, contextmanager
from pathlib import Path

import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from sora2_mcp.settings import Settings
from sora2_mcp.tasks.callback_path import CallbackPaths
from tests.e2e.processes import ENDS_WITHIN_SECONDS, Process, simulator

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


async def requests(api: str) -> list[dict[str, object]]:
    async with httpx2.AsyncClient(trust_env=False) as http:
        received: list[dict[str, object]] = (await http.get(f"{api.partition('/api/')[0]}/simulator/requests")).json()
    return received


async def test_a_callback_ends_a_clients_wait_after_one_look_and_leaves_no_trace_of_its_path(tmp_path: Path) -> None:
    with simulator(tmp_path) as api, reachable(tmp_path, api) as (process, address):
        async with Client(streamable_http_client(f"{address}/mcp")) as client:
            ordered = await client.call_tool("generate_video", {"prompt": "A kitten"})
            task_id = (ordered.structured_content or {})["task_id"]
            waited = await client.call_tool("wait_for_video", {"task_id": task_id, "timeout_seconds": 25})
        received = await requests(api)
        logged = process.stderr

    assert (waited.structured_content or {})["status"] == "succeeded"
    assert [request["method"] for request in received if "/api/" in str(request["path"])] == ["POST", "GET"]
    assert "callbacks arrive" in logged
    assert "/callbacks/" not in logged


async def test_it_ends_within_two_seconds_with_a_callback_half_received(tmp_path: Path) -> None:
    with simulator(tmp_path) as api, reachable(tmp_path, api) as (process, address):
        port = int(address.rpartition(":")[2])
        path = CallbackPaths(address, Settings.load(api_key="any").callback_key).new().url.removeprefix(address)
        with closing(socket.create_connection(("127.0.0.1", port))) as wire:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 50\r\n\r\n"
            wire.sendall(head.encode())
            # The server has begun to wait for the body.
            assert wire.recv(100).startswith(b"HTTP/1.1 100 ")
            process.popen.send_signal(signal.SIGTERM)
            assert process.seconds_to_end() < ENDS_WITHIN_SECONDS
        logged = process.stderr

    assert process.popen.returncode == 0
    assert path not in logged
    assert "Traceback" not in logged
