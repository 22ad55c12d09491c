"""A video's host that sends slowly or hangs up: the download goes on, and no half file is ever left."""

import random
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from mcp_types import CallToolResult

from sora2_mcp.clock import Clock
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from sora2_mcp.server.tools import SAVING_SECONDS
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.motifs import clip_of
from sora2_mcp.simulator.serve import running
from tests.clocks import FakeClock, eventually
from tests.faults.front import Treatment, Visit, in_front
from tests.servers import Agent, settings_in, text_of
from tests.stores import file_in
from tests.tasks.core import until

pytestmark = pytest.mark.anyio

CLIP = clip_of("A kitten", "landscape").read_bytes()
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
NO_VIDEO = f"what its host sent ({len(CLIP) // 2:,} bytes) is no whole MP4 video"
HANG_UPS = [hang_up_at_once, reset_in_the_headers, hang_up_halfway, reset_halfway]
HOPELESS: list[tuple[list[Spoil], str]] = [
    ([hang_up_at_once] * 3, LOST),
    ([reset_in_the_headers] * 3, LOST),
    ([hang_up_halfway, *[hang_up_at_once] * 3], LOST),
    ([reset_halfway, *[reset_in_the_headers] * 3], LOST),
    ([hang_up_halfway_of_an_unknown_length], NO_VIDEO),
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


class Spoilt:
    """Treats the visits to a video in these ways in turn, and passes all others on."""

    def __init__(self, *spoils: Spoil) -> None:
        self._spoils = list(spoils)
        self.fetched: list[str] = []
        self.ranges: list[str] = []

    async def __call__(self, visit: Visit) -> None:
        answer = await visit.answer()
        if visit.is_video:
            lines = visit.request.decode().split("\r\n")
            self.fetched.append(lines[0].split(" ")[1])
            self.ranges += [line.partition(": ")[2] for line in lines if line.lower().startswith("range:")]
        if visit.is_video and self._spoils:
            await self._spoils.pop(0)(visit, answer)
        else:
            await visit.send(answer)


async def asked(me: Agent, clock: FakeClock, task_id: str) -> CallToolResult:
    """What download_video says in the end, while time passes for the pauses between attempts."""
    answers = list[CallToolResult]()

    async def ask() -> None:
        answers.append(await me.call("download_video", task_id=task_id))
        while "Still saving" in text_of(answers[-1]):
            answers.append(await me.call("download_video", task_id=task_id))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await until(clock, lambda: bool(answers) and "Still saving" not in text_of(answers[-1]))
    return answers[-1]


@pytest.mark.parametrize("spoil", HANG_UPS)
async def test_a_host_that_hangs_up_once_costs_nothing(tmp_path: Path, clock: FakeClock, spoil: Spoil) -> None:
    treat, simulator = Spoilt(spoil), Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    async with agent_of(tmp_path, simulator, treat, clock) as me:
        task_id = await finished(me)
        saved = (await asked(me, clock, task_id)).structured_content or {}

    assert Path(saved["file_path"]).read_bytes() == CLIP
    assert saved["sha256"] == sha256(CLIP).hexdigest()
    assert files(tmp_path) == [Path(saved["file_path"])]
    assert treat.fetched == [f"/videos/{task_id}.mp4"] * 2
    assert treat.ranges or spoil is not hang_up_halfway


async def test_a_download_broken_fifty_times_ends_in_one_right_file(tmp_path: Path, clock: FakeClock) -> None:
    chance = random.Random(5)  # noqa: S311 - nothing secret

    async def break_off(visit: Visit, answer: bytes) -> None:
        head, _, body = answer.partition(b"\r\n\r\n")
        await visit.send(head + b"\r\n\r\n" + body[: chance.randint(len(CLIP) // 90, len(CLIP) // 60)])
        if len(treat.fetched) % 2:
            visit.reset()

    treat = Spoilt(*[break_off] * 50)
    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    async with agent_of(tmp_path, simulator, treat, clock) as me:
        task_id = await finished(me)
        saved = (await asked(me, clock, task_id)).structured_content or {}

    assert Path(saved["file_path"]).read_bytes() == CLIP
    assert saved["sha256"] == sha256(CLIP).hexdigest()
    assert files(tmp_path) == [Path(saved["file_path"])]
    assert treat.fetched == [f"/videos/{task_id}.mp4"] * 51


@pytest.mark.parametrize(("spoils", "problem"), HOPELESS, ids=[spoils[0].__name__ for spoils, _ in HOPELESS])
async def test_a_host_that_hangs_up_for_good_leaves_no_half_file_and_the_next_call_saves_the_whole_one(
    tmp_path: Path, clock: FakeClock, spoils: list[Spoil], problem: str
) -> None:
    treat, simulator = Spoilt(*spoils), Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    async with agent_of(tmp_path, simulator, treat, clock) as me:
        task_id = await finished(me)
        answer = await asked(me, clock, task_id)
        assert answer.is_error
        text = text_of(answer)
        assert text.startswith(f"Not saved: The video of task {task_id} was not saved: {problem}")
        assert f'Call download_video(task_id="{task_id}") again' in text
        assert files(tmp_path) == []
        assert file_in(tmp_path).rows(*FACTS) == [(task_id, "succeeded", None, None, None)]

        saved = (await asked(me, clock, task_id)).structured_content or {}
    assert Path(saved["file_path"]).read_bytes() == CLIP
    assert files(tmp_path) == [Path(saved["file_path"])]
    assert file_in(tmp_path).rows(*FACTS) == [(task_id, "succeeded", saved["file_path"], None, None)]
    assert treat.fetched == [f"/videos/{task_id}.mp4"] * (len(spoils) + 1)
    assert [request.task_id for request in simulator.received if request.method == "POST"] == [task_id]


async def test_a_video_that_drips_in_holds_up_no_call_and_is_fetched_once_and_saved_whole(
    tmp_path: Path, clock: FakeClock
) -> None:
    # As slow as a host may be: ten pieces in 200 s.
    clip, pause_seconds = CLIP + (1_200_008).to_bytes(4, "big") + b"free" + bytes(1_200_000), 20
    pieces = [clip[at : at + 125_000] for at in range(0, len(clip), 125_000)]
    sent, given = list[bytes](), list[dict[str, Any]]()

    async def treat(visit: Visit) -> None:
        answer = await visit.answer()
        if not visit.is_video:
            await visit.send(answer)
            return
        head = answer.removesuffix(CLIP)
        await visit.send(head.replace(f"content-length: {len(CLIP)}".encode(), f"content-length: {len(clip)}".encode()))
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
        # Before time runs, the call has begun to wait for the file.
        await eventually(lambda: clock.awaits(clock.monotonic() + SAVING_SECONDS))
        for number in range(1, len(pieces)):
            await eventually(lambda number=number: len(sent) == number)
            await eventually(lambda: [file.suffix for file in files(tmp_path)] == [".part"])
            # The host's pause, and that of who keeps the lease: time must not run past one that is not there yet, or it
            # would begin in the middle of the next step.
            await eventually(lambda: clock.sleepers(clock.monotonic() + pause_seconds) >= 2)
            # Whoever else is on the store must not begin it anew, however long it takes.
            await eventually(lambda: _leased_until(tmp_path) > clock.now().timestamp() * 1e6)
            if number * pause_seconds > SAVING_SECONDS + pause_seconds:
                await eventually(lambda: len(given) == 1)
            await clock.advance(pause_seconds)
        assert [(task["task_id"], task["status"], "file_path" in task) for task in given] == [
            (task_id, "succeeded", False)
        ]
        saved = await me.content("download_video", task_id=task_id)
    assert sent == pieces
    assert Path(saved["file_path"]).read_bytes() == clip
    assert files(tmp_path) == [Path(saved["file_path"])]
    assert file_in(tmp_path).rows(*FACTS) == [(task_id, "succeeded", saved["file_path"], None, None)]
    assert [request.task_id for request in simulator.received if request.method == "POST"] == [task_id]


def _leased_until(folder: Path) -> int:
    [(until_at,)] = file_in(folder).rows("download_lease_until")
    return int(until_at or 0)
