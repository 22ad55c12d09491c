"""Progress: first at once, then every five seconds, strictly rising."""

from functools import partial
from pathlib import Path

import anyio
import pytest

from sora2_mcp.domain.task import LOCAL
from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock, eventually
from tests.faults.front import Visit
from tests.faults.test_videos import agent_of, finished
from tests.servers import agent
from tests.tasks.video_host import MP4

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_wait_tells_at_once_and_every_five_seconds_that_it_goes_on(
    tmp_path: Path, clock: FakeClock, mode: str
) -> None:
    simulator = Simulator(seconds_per_task=1000, now=clock.now)
    async with agent(tmp_path, mode=mode, simulator=simulator, clock=clock, poll_seconds=600) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        began = clock.monotonic()
        statuses: list[str] = []

        def told() -> list[tuple[float, float | None, str | None]]:
            return [entry for entry in me.progress if (entry[2] or "").startswith("Waiting")]

        async def wait() -> None:
            waited = await me.content("wait_for_video", task_id=task_id, timeout_seconds=12)
            statuses.append(waited["status"])

        with anyio.fail_after(30):
            async with anyio.create_task_group() as group:
                group.start_soon(wait)
                for times, due in ((1, 5), (2, 10), (3, 12)):
                    await eventually(lambda times=times, due=due: len(told()) == times and clock.awaits(began + due))
                    await clock.advance(began + due - clock.monotonic())

        assert [(done, total) for done, total, _ in told()] == [(0.0, 12.0), (5.0, 12.0), (10.0, 12.0)]
        assert told()[1][2] == "Waiting for the video, 5 s so far"
        assert statuses == ["generating"]


async def test_orders_and_downloads_tell_progress_at_once(tmp_path: Path) -> None:
    async with agent(tmp_path) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        await me.content("wait_for_video", task_id=task_id)
        await me.content("download_video", task_id=task_id)

        first_words = ["Ordering the video", "Waiting for the video, 0 s so far", "Saving the video"]
        await eventually(lambda: [message for _, _, message in me.progress] == first_words)


async def test_a_download_tells_how_much_of_the_video_has_come(tmp_path: Path, clock: FakeClock) -> None:
    async def treat(visit: Visit) -> None:
        answer = await visit.answer()
        if not visit.is_video:
            await visit.send(answer)
            return
        await visit.send(f"HTTP/1.1 200 OK\r\ncontent-length: {len(MP4)}\r\n\r\n".encode() + MP4[:600_000])
        await clock.sleep(8)
        await visit.send(MP4[600_000:])

    simulator = Simulator(seconds_per_task=0, now=clock.now, sleep=clock.sleep)
    async with agent_of(tmp_path, simulator, treat, clock) as me, anyio.create_task_group() as group:
        task_id = await finished(me)
        began = clock.monotonic()
        group.start_soon(partial(me.content, "download_video", task_id=task_id))
        await eventually(lambda: clock.awaits(began + 5) and clock.awaits(began + 8))
        _, download = await (await me.runtime.tasks()).begin_download(task_id, LOCAL)
        await eventually(lambda: download is not None and download.received_bytes == 2 * 256 * 1024)
        await clock.advance(5)
        await eventually(lambda: len(me.progress) == 3)
        await clock.advance(3)

    assert [message for _, _, message in me.progress[1:]] == [
        "Saving the video",
        "Saving the video, 0.5 of 1.0 MB so far",
    ]
