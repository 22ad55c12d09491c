"""Live notifications of real processes, over every transport and in both eras."""

import signal
import threading
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, suppress
from pathlib import Path

import anyio
import httpx2
import pytest
from mcp.client import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from tests.clocks import eventually
from tests.e2e.processes import ENDS_WITHIN_SECONDS, PROGRAM, Process, StdioHost, environment, simulator
from tests.e2e.test_http import address, transport
from tests.ears import LIST, Ear
from tests.servers import settings_in
from tests.web import served

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


def test_nothing_follows_an_answer_that_the_call_itself_brought_about(tmp_path: Path) -> None:
    """LangChain closes the session at each answer, and its MCP client (1.x) takes what comes then for a failed call."""
    with Process(tmp_path, "serve", "--simulate", SORA2_POLL_SECONDS="60") as process:
        host = StdioHost(process)
        host.handshake()
        for arguments in ({"prompt": "A kitten"}, {"prompt": "A dog"}):
            number = host.send("tools/call", {"name": "generate_video", "arguments": arguments})
            assert host.read() == {"jsonrpc": "2.0", "method": "notifications/resources/list_changed"}
            while host.read().get("id") != number:
                pass
            number = host.send("tools/list", {})
            assert host.read()["id"] == number


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


@pytest.mark.parametrize(("kind", "mode"), HTTP)
async def test_people_who_share_a_server_hear_of_their_own_tasks_alone(tmp_path: Path, kind: str, mode: str) -> None:
    alices, bobs = Ear(), Ear()
    tokens = ",".join(f"{name}:{name}-0123456789abcdef" for name in ("alice", "bob"))
    settings = settings_in(tmp_path, poll_seconds=60, auth_tokens=tokens)
    async with served(settings) as base, AsyncExitStack() as stack:

        async def connected(name: str, ear: Ear) -> Client:
            headers = {"authorization": f"Bearer {name}-0123456789abcdef"}
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
