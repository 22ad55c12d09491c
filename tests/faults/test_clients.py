"""Clients that are gone in the middle: what they asked for goes on, and whoever comes next finds it."""

import json
import socket
import struct
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from tests.e2e.processes import Process
from tests.e2e.test_http import address
from tests.faults.hosts import Service, served, service, until
from tests.stores import file_in

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
        assert (await content(process, "list_tasks"))["tasks"] == []
        with _sent(process, "generate_video", prompt="A kitten") as connection:
            until(lambda: len(sora.posts()) == 1)
            _reset(connection)
        until(lambda: [post["code"] for post in sora.posts()] == [200])
        until(lambda: file_in(tmp_path).rows("task_id") == [(sora.posts()[0]["taskId"],)])

        [task] = (await content(process, "list_tasks"))["tasks"]
        again = await content(process, "generate_video", prompt="A kitten")
        assert [post["taskId"] for post in sora.posts()] == [task["task_id"]] == [again["task_id"]]
        assert file_in(tmp_path).rows("status", "sending_until") == [("generating", None)]


async def test_a_wait_ends_with_its_client_and_the_next_one_hears_of_the_video(tmp_path: Path) -> None:
    with service(tmp_path) as sora, serving_http(tmp_path, sora) as process:
        task_id = (await content(process, "generate_video", prompt="A kitten [sim:seconds=2]"))["task_id"]
        for _ in range(20):
            with _sent(process, "wait_for_video", task_id=task_id) as connection:
                _reset(connection)
        done = await content(process, "wait_for_video", task_id=task_id)
        assert (done["task_id"], done["status"]) == (task_id, "succeeded")
        assert file_in(tmp_path).rows("task_id", "status", "video_url") == [(task_id, "succeeded", done["video_url"])]
        assert len(sora.posts()) == 1


async def test_abandoned_waits_end_in_the_server_and_no_longer_set_the_pace_of_looks(tmp_path: Path) -> None:
    with service(tmp_path) as sora, serving_http(tmp_path, sora) as process:
        task_id = (await content(process, "generate_video", prompt="A kitten"))["task_id"]
        with ExitStack() as stack:
            wait = {"task_id": task_id, "timeout_seconds": 200}
            waits = [stack.enter_context(_sent(process, "wait_for_video", **wait)) for _ in range(20)]
            until(lambda: len(sora.looks()) >= 3)
            [(wanted_until,)] = file_in(tmp_path).rows("wanted_until")
            assert wanted_until > _now(), "somebody waits"
            for connection in waits:
                _reset(connection)

        def idle() -> bool:
            return bool(file_in(tmp_path).rows("next_look_at")[0][0] > _now() + 30_000_000)

        # The next look is planned anew with each one: a minute ahead only once nobody has said for a while that they
        # wait, which those who do repeat every second.
        until(idle)
        [(wanted_until, *kept)] = file_in(tmp_path).rows("wanted_until", "task_id", "status", "look_owner")
        assert wanted_until < _now()
        assert kept == [task_id, "generating", None]
        assert len(sora.posts()) == 1


def test_an_order_whose_host_is_gone_is_found_by_the_next_server(tmp_path: Path) -> None:
    with service(tmp_path, "--fault", "order-slow=0.3*1") as sora:
        with served(tmp_path, sora.base_url) as server:
            server.call("list_tasks")
            server.send("generate_video", prompt="A kitten")
            until(lambda: len(sora.posts()) == 1)
            server.leave()

        task_id = sora.posts()[0]["taskId"]
        with served(tmp_path, sora.base_url) as server:
            assert [(task["task_id"], task["status"]) for task in server.tasks()] == [(task_id, "generating")]
            assert server.call("generate_video", prompt="A kitten")["task_id"] == task_id
        assert file_in(tmp_path).rows("task_id", "status", "sending_until") == [(task_id, "generating", None)]
        assert len(sora.posts()) == 1


def test_an_order_that_outlasts_the_server_of_a_host_that_is_gone_is_unconfirmed(tmp_path: Path) -> None:
    with service(tmp_path, "--fault", "order-slow=60*1") as sora:
        with served(tmp_path, sora.base_url) as server:
            server.call("list_tasks")
            server.send("generate_video", prompt="A kitten")
            until(lambda: len(sora.posts()) == 1)
            server.leave()

        [(id,)] = file_in(tmp_path).rows("id")
        with served(tmp_path, sora.base_url) as server:
            assert [(task["task_id"], task["status"]) for task in server.tasks()] == [(f"local-{id}", "unconfirmed")]
            assert server.call("generate_video", prompt="A kitten")["task_id"] == f"local-{id}"
        assert file_in(tmp_path).rows("id", "task_id", "status", "sending_until") == [(id, None, "unconfirmed", None)]
        assert len(sora.posts()) == 1


def test_a_host_that_closes_stdin_hears_the_last_answers_once_all_is_saved(tmp_path: Path) -> None:
    """The MCP Python client before 2.0 kills a server that still speaks then, in the midst of its clean end."""
    with service(tmp_path, "--fault", "order-slow=60*1") as sora, served(tmp_path, sora.base_url) as server:
        server.call("list_tasks")
        server.send("generate_video", prompt="A kitten")
        until(lambda: len(sora.posts()) == 1)
        assert server.process.popen.stdin is not None
        server.process.popen.stdin.close()
        server.next_message()
        server.kill()

        assert file_in(tmp_path).rows("status", "sending_until") == [("unconfirmed", None)]


def _now() -> int:
    """The present as the store keeps instants: whole microseconds."""
    return time.time_ns() // 1000


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
