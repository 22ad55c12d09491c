"""A video's host that sends slowly or hangs up: no half file is ever left, and the next call saves the whole one."""

from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client

from sora2_mcp.clock import Clock
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from sora2_mcp.server.tools import SAVING_SECONDS
from sora2_mcp.simulator.app import CLIPS, Simulator
from sora2_mcp.simulator.serve import running
from tests.clocks import FakeClock, eventually
from tests.faults.front import Treatment, Visit, in_front
from tests.faults.stores import file_in
from tests.servers import Agent, settings_in

pytestmark = pytest.mark.anyio

CLIP = (CLIPS / "landscape.mp4").read_bytes()
FACTS = ("task_id", "status", "file_path", "download_owner", "download_lease_until")

Spoil = Callable[[Visit, bytes], Awaitable[None]]


async def hang_up_at_once(visit: Visit, answer: bytes) -> None:
    """Nothing comes: whoever treated the visit closes the connection."""


async def reset_in_the_headers(visit: Visit, answer: bytes) -> None:
    await visit.send(answer[: answer.index(b"content-type") + 7])
    visit.reset()


async def hang_up_halfway(visit: Visit, answer: bytes) -> None:
    await visit.send(answer[: len(answer) // 2])


async def reset_halfway(visit: Visit, answer: bytes) -> None:
    await visit.send(answer[: len(answer) // 2])
    visit.reset()


async def hang_up_halfway_of_an_unknown_length(visit: Visit, answer: bytes) -> None:
    del answer
    await visit.send(
        b"HTTP/1.1 200 OK\r\ncontent-type: video/mp4\r\nconnection: close\r\n\r\n" + CLIP[: len(CLIP) // 2]
    )


LOST = "the connection to its host failed"
SPOILT = [
    (hang_up_at_once, LOST),
    (reset_in_the_headers, LOST),
    (hang_up_halfway, LOST),
    (reset_halfway, LOST),
    (hang_up_halfway_of_an_unknown_length, f"what its host sent ({len(CLIP) // 2:,} bytes) is no whole MP4 video"),
]


@asynccontextmanager
async def agent_of(
    folder: Path, simulator: Simulator, treat: Treatment, clock: Clock | None = None
) -> AsyncIterator[Agent]:
    """An agent of a server that has this stand-in between itself and the simulator."""

    @asynccontextmanager
    async def endpoint() -> AsyncIterator[str]:
        async with running(simulator) as behind, in_front(behind, treat) as url:
            yield url

    runtime = Runtime(settings_in(folder), clock=clock, endpoint=endpoint)
    async with runtime, Client(build_server(runtime)) as client:
        yield Agent(client, runtime, simulator)


async def finished(me: Agent) -> str:
    """A task that has its video."""
    task_id: str = (await me.content("generate_video", prompt="A kitten"))["task_id"]
    assert (await me.content("get_task_status", task_id=task_id))["status"] == "succeeded"
    return task_id


def files(folder: Path) -> list[Path]:
    return [path for path in (folder / "videos").rglob("*") if path.is_file()]


@pytest.mark.parametrize(("spoil", "problem"), SPOILT, ids=[spoil.__name__ for spoil, _ in SPOILT])
async def test_a_host_that_hangs_up_leaves_no_half_file_and_the_next_call_saves_the_whole_one(
    tmp_path: Path, spoil: Spoil, problem: str
) -> None:
    spoils, fetched = [spoil], list[str]()

    async def treat(visit: Visit) -> None:
        answer = await visit.answer()
        if visit.is_video:
            fetched.append(visit.request.split(b" ")[1].decode())
        if visit.is_video and spoils:
            await spoils.pop()(visit, answer)
        else:
            await visit.send(answer)

    simulator = Simulator(seconds_per_task=0)
    async with agent_of(tmp_path, simulator, treat) as me:
        task_id = await finished(me)
        text = await me.error("download_video", task_id=task_id)
        assert text.startswith(f"Not saved: The video of task {task_id} was not saved: {problem}")
        assert f'Call download_video(task_id="{task_id}") again' in text
        assert files(tmp_path) == []
        assert file_in(tmp_path).rows(*FACTS) == [(task_id, "succeeded", None, None, None)]

        saved = await me.content("download_video", task_id=task_id)
    assert Path(saved["file_path"]).read_bytes() == CLIP
    assert files(tmp_path) == [Path(saved["file_path"])]
    assert file_in(tmp_path).rows(*FACTS) == [(task_id, "succeeded", saved["file_path"], None, None)]
    assert fetched == [f"/videos/{task_id}.mp4"] * 2
    assert [request.task_id for request in simulator.received if request.method == "POST"] == [task_id]


async def test_a_video_that_drips_in_holds_up_no_call_and_is_fetched_once_and_saved_whole(
    tmp_path: Path, clock: FakeClock
) -> None:
    pieces, pause_seconds = [CLIP[at : at + 4096] for at in range(0, len(CLIP), 4096)], 20
    sent, given = list[bytes](), list[dict[str, Any]]()

    async def treat(visit: Visit) -> None:
        answer = await visit.answer()
        if not visit.is_video:
            await visit.send(answer)
            return
        await visit.send(answer.removesuffix(CLIP))
        for piece in pieces:
            await visit.send(piece)
            sent.append(piece)
            await clock.sleep(pause_seconds)

    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    async with agent_of(tmp_path, simulator, treat, clock) as me, anyio.create_task_group() as group:
        task_id = await finished(me)

        async def save() -> None:
            given.append(await me.content("download_video", task_id=task_id))

        group.start_soon(save)
        for number in range(1, len(pieces)):
            await eventually(lambda number=number: len(sent) == number)
            await eventually(lambda: [file.suffix for file in files(tmp_path)] == [".part"])
            # Whoever else is on the store must not begin it anew, however long it takes.
            await eventually(lambda: _leased_until(tmp_path) > clock.now().timestamp() * 1e6 + 30e6)
            if number * pause_seconds > SAVING_SECONDS + pause_seconds:
                await eventually(lambda: len(given) == 1)
            await clock.advance(pause_seconds)
        assert [(task["task_id"], task["status"], "file_path" in task) for task in given] == [
            (task_id, "succeeded", False)
        ]
        saved = await me.content("download_video", task_id=task_id)
    assert sent == pieces
    assert Path(saved["file_path"]).read_bytes() == CLIP
    assert files(tmp_path) == [Path(saved["file_path"])]
    assert file_in(tmp_path).rows(*FACTS) == [(task_id, "succeeded", saved["file_path"], None, None)]
    assert [request.task_id for request in simulator.received if request.method == "POST"] == [task_id]


def _leased_until(folder: Path) -> int:
    [(until_at,)] = file_in(folder).rows("download_lease_until")
    return int(until_at or 0)
