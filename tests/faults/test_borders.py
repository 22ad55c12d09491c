"""What is a person's own on a server that several share: sessions, answers to questions, callbacks, folders, tasks."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import httpx2
import pytest
from mcp.client import ClientRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult, ErrorData, InputRequiredResult

from tests.clocks import PATIENCE_SECONDS, eventually
from tests.e2e.people import (
    ANN,
    BOB,
    TOKENS,
    Person,
    Store,
    http_server,
    person,
    reachable_server,
    unknown_like,
)
from tests.ears import LIST
from tests.faults.hosts import served, service
from tests.servers import text_of

pytestmark = pytest.mark.anyio

TASKS = "sora2://tasks"
HELLO = {
    "jsonrpc": "2.0",
    "id": 1,
    "method": "initialize",
    "params": {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": {"name": "t", "version": "1"}},
}
READY = {"jsonrpc": "2.0", "method": "notifications/initialized"}
ORDER = {
    "jsonrpc": "2.0",
    "id": 666,
    "method": "tools/call",
    "params": {"name": "generate_video", "arguments": {"prompt": "Not hers"}},
}
PING = {"jsonrpc": "2.0", "id": 2, "method": "ping"}


@asynccontextmanager
async def wire(base: str, token: str) -> AsyncIterator[httpx2.AsyncClient]:
    """Requests as they come, with this token, or with none where it is empty."""
    headers = {"accept": "application/json, text/event-stream"}
    if token:
        headers["authorization"] = f"Bearer {token}"
    async with httpx2.AsyncClient(base_url=base, headers=headers, timeout=20, trust_env=False) as http:
        yield http


@pytest.mark.parametrize("method", ["POST", "GET", "DELETE"])
async def test_a_legacy_session_does_not_exist_for_anybody_else(tmp_path: Path, method: str) -> None:
    with service(tmp_path) as sora, http_server(tmp_path, sora, **TOKENS) as base:
        async with wire(base, ANN) as ann, wire(base, BOB) as bob:
            session = (await ann.post("/mcp", json=HELLO)).headers["mcp-session-id"]
            assert (await ann.post("/mcp", json=READY, headers={"mcp-session-id": session})).status_code == 202

            async def tried(named: str) -> tuple[int, str]:
                content = ORDER if method == "POST" else None
                with anyio.fail_after(PATIENCE_SECONDS):
                    given = await bob.request(method, "/mcp", json=content, headers={"mcp-session-id": named})
                return given.status_code, given.text.replace(named, "ID")

            assert await tried(session) == await tried(uuid4().hex)
            assert (await tried(session))[0] == 404
            alive = await ann.post("/mcp", json=PING, headers={"mcp-session-id": session})
            assert alive.status_code == 200
            assert Store(tmp_path, sora).requests() == (0, [])


async def test_an_sse_connection_takes_messages_of_its_owner_alone(tmp_path: Path) -> None:
    with service(tmp_path) as sora, http_server(tmp_path, sora, **TOKENS) as base:
        async with wire(base, ANN) as ann, wire(base, BOB) as bob, ann.stream("GET", "/sse") as stream:
            data = (line.removeprefix("data: ") async for line in stream.aiter_lines() if line.startswith("data: "))
            hers = await anext(data)
            folder, mark, session = hers.rpartition("=")
            assert len(session) == 32
            assert (await ann.post(hers, json=HELLO)).status_code == 202
            assert json.loads(await anext(data))["id"] == HELLO["id"]
            assert (await ann.post(hers, json=READY)).status_code == 202

            given, nobodys = [await bob.post(path, json=ORDER) for path in (hers, f"{folder}{mark}{uuid4().hex}")]

            assert (given.status_code, given.content) == (nobodys.status_code, nobodys.content)
            assert given.status_code == 404
            assert (await ann.post(hers, json=PING)).status_code == 202
            # Nothing of his came in between.
            assert json.loads(await anext(data))["id"] == PING["id"]
            assert Store(tmp_path, sora).requests() == (0, [])


async def _agrees(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:  # noqa: ARG001
    return ElicitResult(action="accept", content={"order": True})


async def _question(one: Person, order: dict[str, str]) -> str:
    asked = await one.client.session.call_tool("generate_video", order, allow_input_required=True)
    assert isinstance(asked, InputRequiredResult)
    return asked.request_state or ""


async def _answered(one: Person, order: dict[str, str], state: str) -> CallToolResult:
    yes: Any = {"order": ElicitResult(action="accept", content={"order": True})}
    return await one.client.session.call_tool("generate_video", order, input_responses=yes, request_state=state)


async def _refusal(one: Person, order: dict[str, str], state: str) -> ErrorData:
    with pytest.raises(MCPError) as refused:
        await _answered(one, order, state)
    return refused.value.error


@pytest.mark.parametrize("kind", ["streamable-http", "sse"])
async def test_the_answer_to_anothers_question_orders_nothing(tmp_path: Path, kind: str) -> None:
    order = {"prompt": "A kitten"}
    with service(tmp_path) as sora, http_server(tmp_path, sora, **TOKENS, SORA2_CONFIRM="always") as base:
        async with (
            person(base, ANN, kind, answers=_agrees) as ann,
            person(base, BOB, kind, answers=_agrees) as bob,
        ):
            state = await _question(ann, order)
            refused = await _refusal(bob, order, state)

            assert "answered a question that is not open here" in refused.message
            assert refused == await _refusal(bob, order, state.swapcase())
            assert sora.posts() == []

            first, again = await _answered(ann, order, state), await _answered(ann, order, state)
            stolen = await _refusal(bob, order, state)
            assert (first.structured_content or {})["task_id"] == (again.structured_content or {})["task_id"]
            assert stolen == refused
            assert len(sora.posts()) == 1


async def test_a_callback_leads_to_a_look_at_its_own_task_and_tells_nobody_else_of_it(tmp_path: Path) -> None:
    with service(tmp_path) as sora, reachable_server(tmp_path, sora, **TOKENS) as base:
        async with person(base, ANN) as ann, person(base, BOB) as bob:
            his = await bob.order("His own [sim:seconds=0]")
            assert (await bob.call("wait_for_video", task_id=his))["status"] == "succeeded"
            hers = await ann.order("A kitten")
            path = httpx2.URL(sora.posts()[-1]["body"]["callBackUrl"]).path
            watched = (TASKS, f"{TASKS}/{hers}", f"{TASKS}/{his}/video")
            async with ann.ear.listening(ann.client, *watched), bob.ear.listening(bob.client, *watched):
                for token in ("", ANN, BOB):
                    async with wire(base, token) as http:
                        known = await http.post(path, json={"data": {"taskId": his}})
                        unknown = await http.post(f"/callbacks/{'x' * 32}", json={"data": {"taskId": hers}})
                    assert (known.status_code, known.content) == (200, b"")
                    assert (unknown.status_code, unknown.content) == (404, b"")
                await eventually(lambda: hers in sora.looks())
                await eventually(lambda: _succeeded(ann, "Her second [sim:seconds=0]"))
                await eventually(lambda: {TASKS, LIST} <= set(ann.ear.heard))
                # Told in order: had there been anything of hers, it would be heard now.
                await bob.call("download_video", task_id=his)
                await bob.ear.hears(TASKS, f"{TASKS}/{his}/video")
                assert f"{TASKS}/{his}/video" not in ann.ear.heard
            assert sora.looks().count(his) == 1


async def _succeeded(one: Person, prompt: str) -> bool:
    task_id = await one.order(prompt, idempotency_key=prompt)
    return bool((await one.call("wait_for_video", task_id=task_id))["status"] == "succeeded")


async def test_videos_of_different_people_are_saved_to_different_folders(tmp_path: Path) -> None:
    links = set[str]()
    with service(tmp_path, "--seconds", "0") as sora, http_server(tmp_path, sora, **TOKENS) as base:
        for token in (ANN, BOB):
            async with person(base, token) as one:
                task_id = await one.order("A kitten")
                await one.call("get_task_status", task_id=task_id)
                content = await one.call("download_video", task_id=task_id, filename="kitten")
                # Where the server keeps it is nothing for a caller over HTTP.
                assert str(tmp_path) not in str(content)
                links.add(content["download_url"])
                await one.call("download_video", task_id=task_id)
        async with httpx2.AsyncClient() as http:
            assert [(await http.get(link)).status_code for link in sorted(links)] == [200, 200]

    saved = sorted((tmp_path / "videos").rglob("*.mp4"))
    assert [path.name for path in saved] == ["kitten.mp4", "kitten.mp4"]
    folders = {path.parent for path in saved}
    assert len(folders) == 2
    assert {folder.parent for folder in folders} == {tmp_path / "videos"}


async def test_local_is_one_principal_on_stdio_and_http_and_tokens_are_others_on_the_same_store(
    tmp_path: Path,
) -> None:
    store_key = {"idempotency_key": "shared"}
    with (
        service(tmp_path) as sora,
        served(tmp_path, sora.base_url, SORA2_POLL_SECONDS="3600") as stdio,
        http_server(tmp_path, sora, home="open") as unguarded,
        http_server(tmp_path, sora, home="tokens", **TOKENS) as guarded,
    ):
        store = Store(tmp_path, sora)
        async with person(unguarded, "") as local, person(guarded, ANN) as ann:
            over_stdio = stdio.call("generate_video", prompt="By stdio", **store_key)["task_id"]
            over_http = await local.order("By HTTP")
            assert await local.order("By stdio", **store_key) == over_stdio
            hers = await ann.order("By stdio", **store_key)
            kept, asked = store.rows("local"), store.requests()

            assert [task["task_id"] for task in stdio.tasks()] == [over_http, over_stdio]
            assert await local.tasks() == [over_http, over_stdio]
            assert await ann.tasks() == [hers]
            for tool in ("get_task_status", "wait_for_video", "download_video"):
                for id in store.ids("local"):
                    assert await _denied(ann, tool, id) == await _denied(ann, tool, unknown_like(id))
                for id in store.ids("token:ann"):
                    assert stdio.error(tool, task_id=id).replace(id, "ID") == await _denied(local, tool, id)
            # Not even the service is asked about a task that is somebody's.
            assert (store.rows("local"), store.requests()) == (kept, asked)
            assert len(sora.posts()) == 3

            for tool in ("get_task_status", "wait_for_video", "download_video"):
                for id in store.ids("token:ann"):
                    assert await _denied(local, tool, id) == await _denied(local, tool, unknown_like(id))


async def _denied(one: Person, tool: str, id: str) -> str:
    result = await one.client.call_tool(tool, {"task_id": id})
    assert result.is_error
    return text_of(result).replace(id, "ID")
