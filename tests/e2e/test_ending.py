"""The end while everything is open at once: a wait, a stream of notifications, a download, a callback half received."""

import signal
import socket
import threading
from contextlib import closing
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running
from sora2_mcp.tasks.callback_path import CallbackPaths
from tests.clocks import eventually
from tests.e2e.processes import ENDS_WITHIN_SECONDS, Process
from tests.ears import Ear
from tests.faults.front import Visit, in_front
from tests.stores import file_in

pytestmark = pytest.mark.anyio

READY = r"serving MCP at (http://127\.0\.0\.1:\d+)/mcp"


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_with_everything_open_it_ends_within_two_seconds_and_nothing_is_lost(tmp_path: Path, mode: str) -> None:
    began, ear, waited, seconds = anyio.Event(), Ear(), list[dict[str, Any]](), list[float]()

    async def treat(visit: Visit) -> None:
        answer = await visit.answer()
        if not visit.is_video:
            return await visit.send(answer)
        await visit.send(answer[:4096])
        began.set()
        return await anyio.sleep_forever()

    simulator = Simulator(seconds_per_task=0)
    async with running(simulator) as behind, in_front(behind, treat) as base_url:
        access = {"SORA2_API_BASE_URL": base_url, "SORA2_API_KEY": "any"}
        places = {"SORA2_DATABASE_URL": file_in(tmp_path).url, "SORA2_VIDEO_DIR": str(tmp_path / "videos")}
        arguments = ["serve", "--transport", "streamable-http", "--port", "0"]
        with Process(tmp_path, *arguments, **access, **places) as process:
            address = process.logged(READY).group(1)
            path = CallbackPaths(address, Settings.load(api_key="any").callback_key).new().url.removeprefix(address)

            def end() -> None:
                process.popen.send_signal(signal.SIGTERM)
                seconds.append(process.seconds_to_end())

            async def wait(client: Client, task_id: str) -> None:
                result = await client.call_tool("wait_for_video", {"task_id": task_id, "timeout_seconds": 100})
                waited.append(result.structured_content or {})

            ending = threading.Thread(target=end)
            with closing(socket.create_connection(("127.0.0.1", int(address.rpartition(":")[2])))) as wire:
                try:
                    async with Client(streamable_http_client(f"{address}/mcp"), mode=mode) as client:
                        done = await task_of(client, "A kitten")
                        await client.call_tool("wait_for_video", {"task_id": done})
                        running_id = await task_of(client, "A calf [sim:seconds=600]")
                        async with ear.listening(client, "sora2://tasks"), anyio.create_task_group() as group:
                            group.start_soon(client.call_tool, "download_video", {"task_id": done})
                            await began.wait()
                            group.start_soon(wait, client, running_id)
                            wire.sendall(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{{".encode())
                            await eventually(lambda: _is_wanted(tmp_path))
                            ending.start()
                            await eventually(lambda: bool(waited))
                            group.cancel_scope.cancel()
                except* (httpx2.HTTPError, OSError):
                    pass  # what the client does with the dead connection afterwards is its own affair
                await anyio.to_thread.run_sync(ending.join)
            logged = process.stderr

    assert seconds[0] < ENDS_WITHIN_SECONDS
    assert process.popen.returncode == 0
    assert [(task["task_id"], task["status"]) for task in waited] == [(running_id, "generating")]
    assert file_in(tmp_path).rows("task_id", "status", "file_path") == [
        (done, "succeeded", None),
        (running_id, "generating", None),
    ]
    assert "Traceback" not in logged


def _is_wanted(folder: Path) -> bool:
    """Whether the server has noted that somebody waits."""
    return bool(file_in(folder).rows("wanted_until")[1][0])


async def task_of(client: Client, prompt: str) -> str:
    ordered = await client.call_tool("generate_video", {"prompt": prompt})
    return str((ordered.structured_content or {})["task_id"])
