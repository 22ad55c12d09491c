"""Live notifications of real processes, over every transport and in both eras."""

import signal
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager, nullcontext, suppress
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import uvicorn
from mcp.client import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client
from mcp.server.auth.middleware.auth_context import AuthContextMiddleware
from mcp.server.auth.middleware.bearer_auth import BearerAuthBackend
from mcp.server.auth.provider import AccessToken
from starlette.middleware.authentication import AuthenticationMiddleware
from starlette.types import ASGIApp

from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from sora2_mcp.server.http import http_app
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running
from tests.clocks import eventually
from tests.e2e.processes import ENDS_WITHIN_SECONDS, PROGRAM, Process, StdioHost, environment, simulator
from tests.e2e.test_http import address, transport
from tests.ears import LIST, Ear
from tests.servers import settings_in

pytestmark = pytest.mark.anyio

TASKS = "sora2://tasks"
HTTP = [("streamable-http", "auto"), ("streamable-http", "legacy"), ("sse", "auto"), ("sse", "legacy")]
ERAS = ["auto", "legacy"]


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Process]:
    arguments = ("serve", "--simulate", "--transport", "streamable-http", "--port", "0")
    with Process(tmp_path, *arguments, SORA2_POLL_SECONDS="60") as process:
        address(process)
        yield process


async def _hears_of_its_own_task(client: Client, ear: Ear) -> None:
    ordered = await client.call_tool("generate_video", {"prompt": "A kitten [sim:seconds=0]"})
    task_id = (ordered.structured_content or {})["task_id"]
    uri = f"{TASKS}/{task_id}"
    async with ear.listening(client, uri):
        ear.heard.clear()
        await client.call_tool("get_task_status", {"task_id": task_id})
        await eventually(lambda: {LIST, uri} <= set(ear.heard))
    assert ear.heard.count(uri) == 1


@pytest.mark.parametrize(("kind", "mode"), HTTP)
async def test_a_change_is_heard_over_http(server: Process, kind: str, mode: str) -> None:
    ear = Ear()
    async with Client(transport(server, kind), mode=mode, message_handler=ear.on_message) as client:
        await _hears_of_its_own_task(client, ear)


@pytest.mark.parametrize("mode", ERAS)
async def test_a_change_is_heard_over_stdio(tmp_path: Path, mode: str) -> None:
    ear, variables = Ear(), environment(tmp_path, SORA2_POLL_SECONDS="60")
    parameters = StdioServerParameters(command=PROGRAM[0], args=[*PROGRAM[1:], "--simulate"], env=variables)
    async with Client(stdio_client(parameters), mode=mode, message_handler=ear.on_message) as client:
        await _hears_of_its_own_task(client, ear)


@pytest.mark.parametrize("mode", ERAS)
async def test_what_one_process_does_is_heard_by_the_client_of_another(tmp_path: Path, mode: str) -> None:
    ear = Ear()
    with simulator(tmp_path, "--seconds", "0") as base_url:
        variables = {"SORA2_API_BASE_URL": base_url, "SORA2_API_KEY": "any", "SORA2_POLL_SECONDS": "60"}
        parameters = StdioServerParameters(command=PROGRAM[0], args=PROGRAM[1:], env=environment(tmp_path, **variables))
        async with Client(stdio_client(parameters), mode=mode, message_handler=ear.on_message) as client:
            ordered = await client.call_tool("generate_video", {"prompt": "A kitten"})
            task_id = (ordered.structured_content or {})["task_id"]
            async with ear.listening(client, f"{TASKS}/{task_id}"):
                with Process(tmp_path, **variables) as process:
                    host = StdioHost(process)
                    host.handshake()
                    host.call("get_task_status", task_id=task_id)
                    await eventually(lambda: f"{TASKS}/{task_id}" in ear.heard)


@pytest.mark.parametrize("how", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("kind", ["streamable-http", "sse"])
async def test_open_streams_end_gracefully_and_the_process_within_two_seconds(
    server: Process, kind: str, how: signal.Signals
) -> None:
    ear, seconds = Ear(), list[float]()

    def end() -> None:
        server.popen.send_signal(how)
        seconds.append(server.seconds_to_end())

    ending = threading.Thread(target=end)
    try:
        async with Client(transport(server, kind)) as client, AsyncExitStack() as streams:
            for _ in range(20):
                await streams.enter_async_context(client.listen(resource_subscriptions=[TASKS]))
            async with ear.listening(client, TASKS):
                ending.start()
                with anyio.fail_after(ENDS_WITHIN_SECONDS):
                    await ear.ended.wait()
    except* (httpx2.HTTPError, OSError):
        pass  # what the client does with the dead connection afterwards is its own affair
    ending.join()

    assert seconds[0] < ENDS_WITHIN_SECONDS
    assert server.popen.returncode == 0


@pytest.mark.parametrize("kind", ["streamable-http", "sse"])
async def test_legacy_sessions_that_are_told_of_changes_do_not_hold_up_the_end(server: Process, kind: str) -> None:
    seconds: list[float] = []

    def end() -> None:
        server.popen.send_signal(signal.SIGTERM)
        seconds.append(server.seconds_to_end())

    ending, ear = threading.Thread(target=end), Ear()
    with suppress(Exception):
        async with Client(transport(server, kind), mode="legacy") as client, ear.listening(client, TASKS):
            ending.start()
            ending.join()

    assert seconds[0] < ENDS_WITHIN_SECONDS
    assert server.popen.returncode == 0


def test_open_streams_on_stdio_end_with_their_result_within_two_seconds(tmp_path: Path) -> None:
    with Process(tmp_path, "--simulate") as process:
        host = StdioHost(process)
        envelope = {
            "io.modelcontextprotocol/protocolVersion": "2026-07-28",
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        listen = {"notifications": {"resourceSubscriptions": [TASKS]}, "_meta": envelope}
        numbers = [host.send("subscriptions/listen", listen) for _ in range(3)]
        for _ in numbers:
            assert host.read()["method"] == "notifications/subscriptions/acknowledged"
        process.popen.send_signal(signal.SIGTERM)

        assert process.seconds_to_end() < ENDS_WITHIN_SECONDS
        assert process.popen.returncode == 0
        ends = [host.read() for _ in numbers]
        key = "io.modelcontextprotocol/subscriptionId"
        assert sorted((end["id"], end["result"]["_meta"][key]) for end in ends) == [(n, n) for n in numbers]


class _Tokens:
    """Every token is its principal's name."""

    async def verify_token(self, token: str) -> AccessToken:
        return AccessToken(token=token, client_id=f"token:{token}", scopes=[])


class _Web(uvicorn.Server):
    """A web server on a port of its own, that leaves signals alone."""

    def __init__(self, app: ASGIApp) -> None:
        super().__init__(uvicorn.Config(app, port=0, log_config=None, timeout_graceful_shutdown=1))

    def capture_signals(self) -> Any:
        return nullcontext()


@asynccontextmanager
async def _with_tokens(folder: Path) -> AsyncIterator[str]:
    """A server for whoever brings a token; gives its address."""
    settings = settings_in(folder, poll_seconds=60)
    runtime = Runtime(settings, endpoint=lambda: running(Simulator(seconds_per_task=0)))
    app = http_app(build_server(runtime))
    web = _Web(AuthenticationMiddleware(AuthContextMiddleware(app), backend=BearerAuthBackend(_Tokens())))
    async with runtime, anyio.create_task_group() as group:
        group.start_soon(web.serve)
        await eventually(lambda: web.started)
        yield f"http://127.0.0.1:{web.servers[0].sockets[0].getsockname()[1]}"
        runtime.stop()
        web.should_exit = True


@pytest.mark.parametrize(("kind", "mode"), HTTP)
async def test_people_who_share_a_server_hear_of_their_own_tasks_alone(tmp_path: Path, kind: str, mode: str) -> None:
    alices, bobs = Ear(), Ear()
    async with _with_tokens(tmp_path) as base, AsyncExitStack() as stack:

        async def connected(name: str, ear: Ear) -> Client:
            headers = {"authorization": f"Bearer {name}"}
            http = await stack.enter_async_context(httpx2.AsyncClient(headers=headers, timeout=30))
            streams = (
                sse_client(f"{base}/sse", headers=headers)
                if kind == "sse"
                else streamable_http_client(f"{base}/mcp", http_client=http)
            )
            return await stack.enter_async_context(Client(streams, mode=mode, message_handler=ear.on_message))

        alice, bob = await connected("alice", alices), await connected("bob", bobs)

        async def task_of(client: Client) -> str:
            ordered = await client.call_tool("generate_video", {"prompt": "A kitten"})
            return str((ordered.structured_content or {})["task_id"])

        hers, his = await task_of(alice), await task_of(bob)
        everything = (f"{TASKS}/{hers}", f"{TASKS}/{hers}/video", f"{TASKS}/{his}", f"{TASKS}/{his}/video", TASKS)
        async with alices.listening(alice, *everything), bobs.listening(bob, *everything):
            bobs.heard.clear()
            await alice.call_tool("download_video", {"task_id": hers})
            await alice.call_tool("get_task_status", {"task_id": hers})
            await alice.call_tool("download_video", {"task_id": hers})
            await eventually(lambda: f"{TASKS}/{hers}/video" in alices.heard)
            alices.heard.clear()
            await bob.call_tool("get_task_status", {"task_id": his})
            await eventually(lambda: {f"{TASKS}/{his}", TASKS, LIST} <= set(bobs.heard))
        assert not [told for told in bobs.heard if hers in told]
        assert not [told for told in alices.heard if his in told]
