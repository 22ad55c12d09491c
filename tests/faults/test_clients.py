"""Clients that are gone in the middle: what they asked for goes on, and whoever comes next finds it."""

import json
import socket
import struct
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import anyio
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from tests.e2e.processes import ENDS_WITHIN_SECONDS, Process
from tests.e2e.test_http import address
from tests.faults.hosts import Server, Service, served, service, until
from tests.faults.stores import file_in

pytestmark = pytest.mark.anyio


@contextmanager
def serving_http(folder: Path, sora: Service) -> Iterator[Process]:
    variables = {
        "SORA2_API_BASE_URL": sora.base_url,
        "SORA2_API_KEY": "any",
        "SORA2_DATABASE_URL": file_in(folder).url,
    }
    (folder / "http").mkdir()
    with Process(folder / "http", "serve", "--transport", "streamable-http", "--port", "0", **variables) as process:
        yield process


async def content(process: Process, tool: str, **arguments: Any) -> dict[str, Any]:
    """What a client that comes anew gets."""
    async with Client(streamable_http_client(f"{address(process)}/mcp")) as client:
        result = await client.call_tool(tool, arguments)
        return dict(result.structured_content or {})


async def test_an_order_goes_on_when_its_client_over_http_is_gone(tmp_path: Path) -> None:
    with service(tmp_path, "--fault", "order-slow=1*1") as sora, serving_http(tmp_path, sora) as process:
        assert await content(process, "list_tasks") == {"tasks": [], "next_cursor": ""}
        with _sent(process, "generate_video", prompt="A kitten") as connection:
            until(lambda: len(sora.posts()) == 1)
            _reset(connection)
        until(lambda: [post["code"] for post in sora.posts()] == [200])
        until(lambda: file_in(tmp_path).rows("task_id") == [(sora.posts()[0]["taskId"],)])

        [task] = (await content(process, "list_tasks"))["tasks"]
        again = await content(process, "generate_video", prompt="A kitten")
        assert [post["taskId"] for post in sora.posts()] == [task["task_id"]] == [again["task_id"]]


async def test_a_wait_ends_with_its_client_and_the_next_one_hears_of_the_video(tmp_path: Path) -> None:
    with service(tmp_path) as sora, serving_http(tmp_path, sora) as process:
        task_id = (await content(process, "generate_video", prompt="A kitten [sim:seconds=2]"))["task_id"]
        for _ in range(20):
            with _sent(process, "wait_for_video", task_id=task_id) as connection:
                _reset(connection)
        with anyio.fail_after(20):
            done = await content(process, "wait_for_video", task_id=task_id)
        assert (done["task_id"], done["status"]) == (task_id, "succeeded")
        assert len(sora.posts()) == 1


def test_an_order_whose_host_is_gone_is_found_by_the_next_server(tmp_path: Path) -> None:
    with service(tmp_path, "--fault", "order-slow=0.3*1") as sora:
        with served(tmp_path, sora.base_url) as server:
            server.call("list_tasks")
            server.send("generate_video", prompt="A kitten")
            until(lambda: len(sora.posts()) == 1)
            _leave(server)
            assert server.process.seconds_to_end() < ENDS_WITHIN_SECONDS

        task_id = sora.posts()[0]["taskId"]
        with served(tmp_path, sora.base_url) as server:
            assert [(task["task_id"], task["status"]) for task in server.tasks()] == [(task_id, "generating")]
            assert server.call("generate_video", prompt="A kitten")["task_id"] == task_id
        assert len(sora.posts()) == 1


def test_an_order_that_outlasts_the_server_of_a_host_that_is_gone_is_unconfirmed(tmp_path: Path) -> None:
    with service(tmp_path, "--fault", "order-slow=60*1") as sora:
        with served(tmp_path, sora.base_url) as server:
            server.call("list_tasks")
            server.send("generate_video", prompt="A kitten")
            until(lambda: len(sora.posts()) == 1)
            _leave(server)
            assert server.process.seconds_to_end() < ENDS_WITHIN_SECONDS

        [(id,)] = file_in(tmp_path).rows("id")
        with served(tmp_path, sora.base_url) as server:
            assert [(task["task_id"], task["status"]) for task in server.tasks()] == [(f"local-{id}", "unconfirmed")]
            assert server.call("generate_video", prompt="A kitten")["task_id"] == f"local-{id}"
        assert len(sora.posts()) == 1


def _leave(server: Server) -> None:
    """Both pipes closed, as a host that crashed leaves them."""
    popen = server.process.popen
    assert popen.stdin is not None
    assert popen.stdout is not None
    popen.stdout.close()
    popen.stdin.close()


@contextmanager
def _sent(process: Process, tool: str, **arguments: Any) -> Iterator[socket.socket]:
    """A connection on which a call was sent, by hand, so that no client can take its leave in order."""
    place = urlsplit(address(process))
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
        "io.modelcontextprotocol/clientCapabilities": {},
    }
    parameters = {"name": tool, "arguments": arguments, "_meta": meta}
    body = json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": parameters}).encode()
    head = {
        "Host": place.netloc,
        "Content-Type": "application/json",
        "Accept": "application/json, text/event-stream",
        "MCP-Protocol-Version": "2026-07-28",
        "Mcp-Method": "tools/call",
        "Mcp-Name": tool,
        "Content-Length": str(len(body)),
    }
    lines = ["POST /mcp HTTP/1.1", *(f"{name}: {value}" for name, value in head.items()), "", ""]
    with socket.create_connection((place.hostname or "", place.port or 0)) as connection:
        connection.sendall("\r\n".join(lines).encode() + body)
        yield connection


def _reset(connection: socket.socket) -> None:
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    connection.close()
