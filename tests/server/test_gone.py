"""A client that takes back its waits: they end in the server too, and stop setting the pace."""

from pathlib import Path

import anyio
import pytest

from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock, eventually
from tests.servers import agent
from tests.stores import store_in
from tests.tasks.core import looks, until

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_waits_that_were_cancelled_no_longer_set_the_pace_of_looks(
    tmp_path: Path, clock: FakeClock, mode: str
) -> None:
    simulator = Simulator(seconds_per_task=80_000, now=clock.now, sleep=clock.sleep)
    async with agent(tmp_path, mode=mode, simulator=simulator, clock=clock, poll_seconds=5) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]

        async def wait() -> None:
            await me.call("wait_for_video", task_id=task_id, timeout_seconds=200)

        async with anyio.create_task_group() as waiting:
            for _ in range(20):
                waiting.start_soon(wait)
            await until(clock, lambda: len(looks(simulator)) == 2)
            waiting.cancel_scope.cancel()
        task = await (await me.runtime.tasks()).find(task_id, "local")
        await eventually(lambda: me.runtime.bus.waiters(task.id) == 0)

        def stored(column: str) -> float:
            """An instant of the only task, as seconds from now."""
            [(microseconds,)] = store_in(tmp_path).rows(column)
            return float(microseconds / 1_000_000 - clock.now().timestamp())

        await until(clock, lambda: stored("next_look_at") > 30, step_seconds=5)
        assert stored("wanted_until") <= 0
        assert clock.monotonic() < 200, "long before the waits would have ended by themselves"
        assert len(looks(simulator)) <= 8
        assert store_in(tmp_path).rows("task_id", "status") == [(task_id, "generating")]
