"""Clients that read slowly, or not at all, hold up nobody but themselves."""

import json
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from mcp.server import Server
from mcp.shared.memory import create_client_server_memory_streams
from mcp.shared.message import SessionMessage
from mcp_types import JSONRPCNotification, JSONRPCRequest

from sora2_mcp.server.app import Sora2Server, build_server
from sora2_mcp.simulator.app import Simulator
from tests.clocks import PATIENCE_SECONDS, FakeClock, eventually
from tests.ears import Ear
from tests.network import simulated
from tests.servers import Agent, settings_in
from tests.tasks.core import until

pytestmark = pytest.mark.anyio

TASKS = "sora2://tasks"
CLIENT = {"name": "test", "version": "1"}
ENVELOPE = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": CLIENT,
    "io.modelcontextprotocol/clientCapabilities": {},
}


class Host:
    """A host that reads a message only when it is told to."""

    def __init__(self, received: Any, sent: Any) -> None:
        self._received = received
        self._sent = sent

    async def subscribe(self, mode: str, uri: str) -> None:
        """Subscribes as the era has it, and reads no further than to the answer."""
        if mode == "auto":
            wanted = {"notifications": {"resourceSubscriptions": [uri]}, "_meta": ENVELOPE}
            await self._send(id="listen", method="subscriptions/listen", params=wanted)
            assert (await self.read())["method"] == "notifications/subscriptions/acknowledged"
            return
        hello = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": CLIENT}
        await self._send(id=1, method="initialize", params=hello)
        assert (await self.read())["id"] == 1
        await self._sent.send(SessionMessage(JSONRPCNotification(jsonrpc="2.0", method="notifications/initialized")))
        await self._send(id=2, method="resources/subscribe", params={"uri": uri})
        assert (await self.read())["id"] == 2

    async def read(self) -> dict[str, Any]:
        """The next message."""
        with anyio.fail_after(PATIENCE_SECONDS):
            message = (await self._received.receive()).message
        content: dict[str, Any] = json.loads(message.model_dump_json(by_alias=True, exclude_none=True))
        return content

    async def _send(self, **fields: Any) -> None:
        await self._sent.send(SessionMessage(JSONRPCRequest(jsonrpc="2.0", **fields)))


@asynccontextmanager
async def connected(server: Server[Any]) -> AsyncIterator[Host]:
    async with (
        create_client_server_memory_streams() as ((received, sent), streams),
        anyio.create_task_group() as group,
    ):
        group.start_soon(server.run, *streams, server.create_initialization_options())
        yield Host(received, sent)
        group.cancel_scope.cancel()


@asynccontextmanager
async def a_slow_host_and_a_quick_one(
    folder: Path, mode: str, clock: FakeClock | None = None
) -> AsyncIterator[tuple[Host, Agent, Sora2Server]]:
    simulator = Simulator(seconds_per_task=0)
    runtime = simulated(settings_in(folder, poll_seconds=60), simulator, clock)
    server = build_server(runtime)
    async with runtime, Client(server) as client, connected(server) as slow:
        quick = Agent(client, runtime, simulator)
        await quick.content("list_tasks")
        await slow.subscribe(mode, TASKS)
        yield slow, quick, server


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_many_changes_are_few_notifications_to_who_reads_slowly(tmp_path: Path, mode: str) -> None:
    ear = Ear()
    async with a_slow_host_and_a_quick_one(tmp_path, mode) as (slow, quick, _), ear.listening(quick.client, TASKS):
        for number in range(10):
            ear.heard.clear()
            await quick.content("generate_video", prompt=f"A cat {number}")
            await eventually(lambda: TASKS in ear.heard)
        ear.heard.clear()
        task_id = (await quick.content("generate_video", prompt="The last cat"))["task_id"]
        await eventually(lambda: TASKS in ear.heard)
        ear.heard.clear()
        await quick.content("get_task_status", task_id=task_id)
        await eventually(lambda: TASKS in ear.heard)

        told: list[dict[str, Any]] = []

        async def read_on() -> None:
            while True:
                told.append(await slow.read())

        async with anyio.create_task_group() as group:
            group.start_soon(read_on)
            await eventually(lambda: any(message["method"].endswith("updated") for message in told))
            before = len(told)
            await quick.content("generate_video", prompt="One more")
            await eventually(lambda: len(told) > before)
            group.cancel_scope.cancel()
        # One lay in the pipe, one was being sent, and one of each kind stood for all the others.
        assert len(told) <= 8


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_who_reads_nothing_for_half_a_minute_is_told_nothing_more(
    tmp_path: Path, mode: str, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    ear = Ear()
    async with (
        a_slow_host_and_a_quick_one(tmp_path, mode, clock) as (slow, quick, _),
        ear.listening(quick.client, TASKS),
    ):
        for number in range(4):
            ear.heard.clear()
            await quick.content("generate_video", prompt=f"A cat {number}")
            await until(clock, lambda: TASKS in ear.heard, step_seconds=0.05)
        began = clock.monotonic()
        await until(clock, lambda: "a client has read nothing for 30 s" in caplog.text)
        assert clock.monotonic() - began <= 31
        ear.heard.clear()
        await quick.content("generate_video", prompt="Still heard by others")
        await until(clock, lambda: TASKS in ear.heard, step_seconds=0.05)
        if mode == "auto":
            last = await slow.read()
            while "result" not in last:
                last = await slow.read()
            assert last["result"]["_meta"]["io.modelcontextprotocol/subscriptionId"] == "listen"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_the_end_waits_for_nobody_who_does_not_read(tmp_path: Path, mode: str, clock: FakeClock) -> None:
    ear = Ear()
    async with (
        a_slow_host_and_a_quick_one(tmp_path, mode, clock) as (_, quick, server),
        ear.listening(quick.client, TASKS),
    ):
        for number in range(4):
            ear.heard.clear()
            await quick.content("generate_video", prompt=f"A cat {number}")
            await until(clock, lambda: TASKS in ear.heard, step_seconds=0.05)
        quick.runtime.stop()
        # The clock stands still: the half minute that others are waited for never ends.
        with anyio.fail_after(PATIENCE_SECONDS):
            await ear.ended.wait()
            await server.idle()
