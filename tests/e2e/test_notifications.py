"""Live notifications between real processes, and at the end of one."""

import signal
from contextlib import AsyncExitStack
from pathlib import Path

import httpx2
import pytest
from mcp.client import Client
from mcp.client.sse import sse_client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.client.streamable_http import streamable_http_client

from tests.clocks import eventually
from tests.e2e.notified import TASKS
from tests.e2e.people import WAYS
from tests.e2e.processes import PROGRAM, Process, StdioHost, environment
from tests.ears import LIST, Ear
from tests.faults.hosts import Service
from tests.servers import settings_in
from tests.web import served

pytestmark = pytest.mark.anyio


def test_nothing_follows_an_answer_that_the_call_itself_brought_about(tmp_path: Path) -> None:
    """LangChain closes the session at each answer, and its MCP client (1.x) takes what comes then for a failed call."""
    with Process(tmp_path, "serve", "--simulate", SORA2_POLL_SECONDS="60") as process:
        host = StdioHost(process)
        host.ready()
        for arguments in ({"prompt": "A kitten"}, {"prompt": "A dog"}):
            number = host.send("tools/call", {"name": "generate_video", "arguments": arguments})
            assert host.read() == {"jsonrpc": "2.0", "method": "notifications/resources/list_changed"}
            while host.read().get("id") != number:
                pass
            number = host.send("tools/list", {})
            assert host.read()["id"] == number


async def test_what_one_process_does_is_heard_by_the_clients_of_others_in_either_era(
    tmp_path: Path, sora: Service
) -> None:
    ears = {"auto": Ear(), "legacy": Ear()}
    variables = {"SORA2_API_BASE_URL": sora.base_url, "SORA2_API_KEY": "any", "SORA2_POLL_SECONDS": "60"}
    parameters = StdioServerParameters(command=PROGRAM[0], args=PROGRAM[1:], env=environment(tmp_path, **variables))
    async with AsyncExitStack() as stack:
        clients = [
            await stack.enter_async_context(Client(stdio_client(parameters), mode=mode, message_handler=ear.on_message))
            for mode, ear in ears.items()
        ]
        ordered = await clients[0].call_tool("generate_video", {"prompt": "A kitten"})
        uri = f"{TASKS}/{(ordered.structured_content or {})['task_id']}"
        for client, ear in zip(clients, ears.values(), strict=True):
            await stack.enter_async_context(ear.listening(client, uri))
        with Process(tmp_path, **variables) as process:
            host = StdioHost(process)
            host.ready()
            host.call("get_task_status", task_id=uri.rpartition("/")[2])
            for ear in ears.values():
                await eventually(lambda ear=ear: uri in ear.heard)


def test_open_streams_on_stdio_end_with_their_result(tmp_path: Path) -> None:
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

        assert process.ended(signal.SIGTERM) == 0
        ends = [host.read() for _ in numbers]
        key = "io.modelcontextprotocol/subscriptionId"
        assert sorted((end["id"], end["result"]["_meta"][key]) for end in ends) == [(n, n) for n in numbers]


@pytest.mark.parametrize(("kind", "mode"), WAYS)
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
