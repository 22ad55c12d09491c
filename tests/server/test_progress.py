"""Progress: first at once, then every five seconds, strictly rising."""

from pathlib import Path

import anyio
import pytest

from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock, eventually
from tests.servers import agent

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
