"""What a host says it can do decides whether a person is asked: hosts of either era, by the bytes they send."""

import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, BinaryIO

import anyio
import anyio.to_thread
import pytest

from sora2_mcp.server.stdio import serve_stdio
from sora2_mcp.simulator.app import Simulator
from tests.clocks import PATIENCE_SECONDS
from tests.network import simulated
from tests.servers import settings_in
from tests.stores import file_in

pytestmark = pytest.mark.anyio

ORDER = {"name": "generate_video", "arguments": {"prompt": "A kitten"}}
CLIENT = {"name": "test", "version": "1"}
CANNOT: list[dict[str, Any]] = [{}, {"elicitation": {"url": {}}}]
CAN: list[dict[str, Any]] = [{"elicitation": {}}, {"elicitation": {"form": {}}}]


class Host:
    """Writes and reads the lines of a server in this process."""

    def __init__(self, to_server: BinaryIO, from_server: BinaryIO) -> None:
        self._to_server = to_server
        self._from_server = from_server

    async def asks(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """The first message after a request that is not a notification: its answer, or the server's question."""
        request = {"jsonrpc": "2.0", "id": method, "method": method, "params": parameters}
        self._to_server.write(json.dumps(request).encode() + b"\n")
        while "id" not in (message := json.loads(await anyio.to_thread.run_sync(self._from_server.readline))):
            pass
        return dict(message)


@asynccontextmanager
async def hosted(folder: Path, simulator: Simulator) -> AsyncIterator[Host]:
    """A host beside a server that asks before each order."""
    runtime = simulated(settings_in(folder, confirm="always"), simulator)
    (server_in, to_server), (from_server, server_out) = os.pipe(), os.pipe()
    async with anyio.create_task_group() as group:
        group.start_soon(serve_stdio, runtime, server_in, server_out)
        with os.fdopen(to_server, "wb", buffering=0) as writing, os.fdopen(from_server, "rb") as reading:
            yield Host(writing, reading)
            # The end of its stdin ends the server.
            writing.close()
    os.close(server_in)
    os.close(server_out)


async def order(host: Host, capabilities: dict[str, Any], era: str) -> dict[str, Any]:
    """What follows an order of a host that can do this."""
    if era == "legacy":
        hello = {"protocolVersion": "2025-11-25", "capabilities": capabilities, "clientInfo": CLIENT}
        await host.asks("initialize", hello)
        return await _once_opened(host, ORDER)
    meta = {
        "io.modelcontextprotocol/protocolVersion": "2026-07-28",
        "io.modelcontextprotocol/clientInfo": CLIENT,
        "io.modelcontextprotocol/clientCapabilities": capabilities,
    }
    return await _once_opened(host, {**ORDER, "_meta": meta})


async def _once_opened(host: Host, parameters: dict[str, Any]) -> dict[str, Any]:
    """What follows a call once the store is open, which takes a busy machine longer than a call waits."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while "is still being opened" in str(message := await host.asks("tools/call", parameters)):
            pass
        return message


@pytest.mark.parametrize("capabilities", CANNOT, ids=["nothing", "url only"])
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_host_that_can_show_no_form_is_refused_and_told_why(
    tmp_path: Path, capabilities: dict[str, Any], era: str
) -> None:
    simulator = Simulator()
    async with hosted(tmp_path, simulator) as host:
        result = (await order(host, capabilities, era))["result"]

    assert result["isError"]
    [block] = result["content"]
    assert block["text"].startswith(
        "Not ordered: SORA2_CONFIRM wants a person to agree to this order, but this host cannot ask one. "
        "Nothing was spent.\n"
    )
    assert simulator.received == ()
    assert file_in(tmp_path).rows("id") == []


@pytest.mark.parametrize("capabilities", CAN, ids=["unsaid", "form"])
@pytest.mark.parametrize("era", ["legacy", "modern"])
async def test_a_host_that_can_show_a_form_is_given_the_question_and_nothing_is_sent_before_its_answer(
    tmp_path: Path, capabilities: dict[str, Any], era: str
) -> None:
    simulator = Simulator()
    async with hosted(tmp_path, simulator) as host:
        message = await order(host, capabilities, era)
        request = message if era == "legacy" else message["result"]["inputRequests"]["order"]

        assert request["method"] == "elicitation/create"
        question = request["params"]
        assert question["message"] == 'Order this video (landscape, standard)? It costs credits.\n"A kitten"'
        assert [*question["requestedSchema"]["properties"]] == ["order"]
        assert simulator.received == ()
        assert file_in(tmp_path).rows("id") == []
