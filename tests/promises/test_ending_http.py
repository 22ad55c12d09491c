"""A server on HTTP has ended within two seconds, whatever is open; what is open gets its normal end first."""

import signal
import socket
import time
from collections.abc import Iterator
from contextlib import AsyncExitStack, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running
from sora2_mcp.tasks.callbacks import CallbackPaths
from tests.clocks import eventually
from tests.e2e.processes import ENDS_WITHIN_SECONDS, Ending, Process
from tests.e2e.test_http import address, transport
from tests.ears import Ear
from tests.faults.front import Visit, in_front
from tests.faults.hosts import Service
from tests.promises.bare import check_kept, end_of_an_http_server
from tests.stores import file_in

pytestmark = pytest.mark.anyio

TASKS = "sora2://tasks"
SIGNALS = [signal.SIGTERM, signal.SIGINT]


def check_ended(ending: Ending, folder: Path, how: signal.Signals = signal.SIGTERM) -> None:
    """Fails unless the process has ended in time."""
    check_kept(ending.seconds, end_of_an_http_server(folder, how), promised=ENDS_WITHIN_SECONDS)


def callback_path(base: str) -> str:
    """The path of an address that the server at ``base`` takes callbacks at."""
    return CallbackPaths(base, Settings.load(api_key="any").callback_key).new().url.removeprefix(base)


@pytest.mark.parametrize("how", SIGNALS)
@pytest.mark.parametrize(
    ("kind", "mode"), [("streamable-http", "auto"), ("streamable-http", "legacy"), ("sse", "auto")]
)
async def test_it_ends_within_two_seconds_and_a_wait_that_is_open_gets_its_normal_result(
    tmp_path: Path, server: Process, kind: str, mode: str, how: signal.Signals
) -> None:
    ending = Ending(server, how)
    with _breaking():
        async with Client(transport(server, kind), mode=mode) as client:
            task_id = await task_of(client, "A kitten [sim:seconds=600]")

            async def on_progress(progress: float, total: float | None, message: str | None) -> None:  # noqa: ARG001
                if not ending.ident:
                    ending.start()

            waited = await client.call_tool("wait_for_video", {"task_id": task_id}, progress_callback=on_progress)
            assert (waited.structured_content or {})["status"] == "generating"
    ending.join()

    check_ended(ending, tmp_path, how)
    assert server.popen.returncode == 0


@pytest.mark.parametrize("how", SIGNALS)
@pytest.mark.parametrize("kind", ["streamable-http", "sse"])
async def test_open_streams_end_gracefully_and_the_process_within_two_seconds(
    tmp_path: Path, server: Process, kind: str, how: signal.Signals
) -> None:
    ear, ending, seconds = Ear(), Ending(server, how), list[float]()
    with _breaking():
        async with Client(transport(server, kind)) as client, AsyncExitStack() as streams:
            for _ in range(20):
                await streams.enter_async_context(client.listen(resource_subscriptions=[TASKS]))
            async with ear.listening(client, TASKS):
                began = time.monotonic()
                ending.start()
                await ear.ended.wait()
                seconds.append(time.monotonic() - began)
    ending.join()

    check_ended(ending, tmp_path, how)
    check_kept(seconds[0], end_of_an_http_server(tmp_path, how), promised=ENDS_WITHIN_SECONDS)
    assert server.popen.returncode == 0


@pytest.mark.parametrize("kind", ["streamable-http", "sse"])
async def test_legacy_sessions_that_are_told_of_changes_do_not_hold_up_the_end(
    tmp_path: Path, server: Process, kind: str
) -> None:
    ending, ear = Ending(server), Ear()
    with suppress(Exception):
        async with Client(transport(server, kind), mode="legacy") as client, ear.listening(client, TASKS):
            ending.start()
            ending.join()

    check_ended(ending, tmp_path)
    assert server.popen.returncode == 0


async def test_it_ends_within_two_seconds_with_a_callback_half_received(tmp_path: Path, sora: Service) -> None:
    with closing(socket.create_server(("127.0.0.1", 0))) as probe:
        port = str(probe.getsockname()[1])
    access = {"SORA2_API_KEY": "any", "SORA2_API_BASE_URL": sora.base_url, "SORA2_LOG_LEVEL": "DEBUG"}
    public = {"SORA2_PUBLIC_URL": f"http://127.0.0.1:{port}/"}
    arguments = ["serve", "--transport", "streamable-http", "--port", port]
    with Process(tmp_path, *arguments, **access, **public) as process:
        path, ending = callback_path(address(process)), Ending(process)
        with closing(socket.create_connection(("127.0.0.1", int(port)))) as wire:
            head = f"POST {path} HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 50\r\n\r\n"
            wire.sendall(head.encode())
            # The server has begun to wait for the body.
            assert wire.recv(100).startswith(b"HTTP/1.1 100 ")
            ending.run()

    check_ended(ending, tmp_path)
    assert process.popen.returncode == 0
    assert path not in process.stderr
    assert "Traceback" not in process.stderr


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_with_everything_open_it_ends_within_two_seconds_and_nothing_is_lost(tmp_path: Path, mode: str) -> None:
    began, ear, waited = anyio.Event(), Ear(), list[dict[str, Any]]()

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
            base, ending = address(process), Ending(process)

            async def wait(client: Client, task_id: str) -> None:
                result = await client.call_tool("wait_for_video", {"task_id": task_id, "timeout_seconds": 100})
                waited.append(result.structured_content or {})

            with closing(socket.create_connection(("127.0.0.1", int(base.rpartition(":")[2])))) as wire:
                with _breaking():
                    async with Client(streamable_http_client(f"{base}/mcp"), mode=mode) as client:
                        done = await task_of(client, "A kitten")
                        await client.call_tool("wait_for_video", {"task_id": done})
                        running_id = await task_of(client, "A calf [sim:seconds=600]")
                        async with ear.listening(client, TASKS), anyio.create_task_group() as group:
                            group.start_soon(client.call_tool, "download_video", {"task_id": done})
                            await began.wait()
                            group.start_soon(wait, client, running_id)
                            head = f"POST {callback_path(base)} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{{"
                            wire.sendall(head.encode())
                            await eventually(lambda: _is_wanted(tmp_path))
                            ending.start()
                            await eventually(lambda: bool(waited))
                            group.cancel_scope.cancel()
                await anyio.to_thread.run_sync(ending.join)

    check_ended(ending, tmp_path)
    assert process.popen.returncode == 0
    assert [(task["task_id"], task["status"]) for task in waited] == [(running_id, "generating")]
    assert file_in(tmp_path).rows("task_id", "status", "file_path") == [
        (done, "succeeded", None),
        (running_id, "generating", None),
    ]
    assert "Traceback" not in process.stderr


@contextmanager
def _breaking() -> Iterator[None]:
    """What the client does with the dead connection in the end is its own affair."""
    try:
        yield
    except* (httpx2.HTTPError, OSError):
        pass


def _is_wanted(folder: Path) -> bool:
    """Whether the server has noted that somebody waits."""
    return bool(file_in(folder).rows("wanted_until")[1][0])


async def task_of(client: Client, prompt: str) -> str:
    ordered = await client.call_tool("generate_video", {"prompt": prompt})
    return str((ordered.structured_content or {})["task_id"])
