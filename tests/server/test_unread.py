"""What waits for a client that does not read it is bounded: large answers one at a time, calls in number."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest

from sora2_mcp.server.web.limits import UNANSWERED_LIMIT
from sora2_mcp.simulator.app import Simulator
from tests.clocks import PATIENCE_SECONDS, eventually
from tests.server.test_bodies import HEADERS, META
from tests.server.test_sessions import ACCEPT, HELLO
from tests.servers import settings_in
from tests.stores import store_in
from tests.web import client_of, served

pytestmark = pytest.mark.anyio

VIDEO_BYTES = 20_000_000
"""More than sockets take in for somebody who does not read."""

WAITING = {"timeout_seconds": 200}


def request(method: str, **params: Any) -> dict[str, Any]:
    name = {"mcp-name": params.get("name") or params["uri"]}
    body = {"jsonrpc": "2.0", "id": 1, "method": method, "params": {**params, "_meta": META}}
    return {"json": body, "headers": {**HEADERS, "mcp-method": method, **name}}


async def called(http: httpx2.AsyncClient, tool: str, **arguments: Any) -> dict[str, Any]:
    answer = await http.post("/mcp", **request("tools/call", name=tool, arguments=arguments))
    text = answer.text if answer.text.startswith("{") else answer.text.rpartition("data: ")[2]
    content: dict[str, Any] = json.loads(text)["result"]["structuredContent"]
    return content


@asynccontextmanager
async def with_a_large_video(folder: Path) -> AsyncIterator[tuple[httpx2.AsyncClient, dict[str, Any]]]:
    """A client, and what asks for the video."""
    async with served(settings_in(folder)) as base, client_of(base) as http:
        task_id = (await called(http, "generate_video", prompt="A kitten"))["task_id"]
        await called(http, "wait_for_video", task_id=task_id)
        file = Path((await called(http, "download_video", task_id=task_id))["file_path"])
        file.write_bytes(bytes(VIDEO_BYTES))
        store_in(folder).change("UPDATE tasks SET file_size_bytes = 20000000")
        yield http, request("resources/read", uri=f"sora2://tasks/{task_id}/video")


async def test_a_caller_is_handed_one_video_at_a_time_and_the_next_when_that_is_read(tmp_path: Path) -> None:
    begun: list[str] = []
    read_on = anyio.Event()

    async def read(http: httpx2.AsyncClient, name: str, asked: dict[str, Any]) -> None:
        async with http.stream("POST", "/mcp", **asked) as answer:
            begun.append(name)
            await read_on.wait()
            assert len(await answer.aread()) > VIDEO_BYTES

    with anyio.fail_after(PATIENCE_SECONDS):
        async with with_a_large_video(tmp_path) as (http, asked), anyio.create_task_group() as group:
            group.start_soon(read, http, "first", asked)
            await eventually(lambda: begun == ["first"])
            group.start_soon(read, http, "second", asked)
            # Small answers wait for nothing.
            for _ in range(20):
                assert len((await called(http, "list_tasks"))["tasks"]) == 1
            assert begun == ["first"]
            read_on.set()
            await eventually(lambda: begun == ["first", "second"])


async def test_an_sse_session_with_many_unanswered_calls_is_told_to_read_first(tmp_path: Path) -> None:
    async with (
        served(settings_in(tmp_path), Simulator(seconds_per_task=1000)) as base,
        client_of(base) as http,
        http.stream("GET", "/sse") as stream,
    ):
        task_id = (await called(http, "generate_video", prompt="A kitten"))["task_id"]
        lines = stream.aiter_lines()
        path = next(line for line in [await anext(lines), await anext(lines)] if "session_id" in line)[6:]

        async def post(method: str, **message: Any) -> httpx2.Response:
            return await http.post(path, json={"jsonrpc": "2.0", "method": method, **message}, headers=ACCEPT)

        await http.post(path, json=HELLO, headers=ACCEPT)
        await post("notifications/initialized")
        waiting = {"name": "wait_for_video", "arguments": {"task_id": task_id, **WAITING}}
        statuses = [(await post("tools/call", id=n, params=waiting)).status_code for n in range(UNANSWERED_LIMIT)]
        refused: list[httpx2.Response] = []

        async def is_refused() -> bool:
            refused.append(await post("tools/call", id="more", params=waiting))
            return refused[-1].status_code == 503

        await eventually(is_refused)
        assert set(statuses) == {202}
        assert refused[-1].json() == {
            "error": "200 calls of this session are not answered yet, or not read; read its stream first."
        }
        assert len((await called(http, "list_tasks"))["tasks"]) == 1
