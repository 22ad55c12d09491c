"""The one loop that looks at due tasks, whoever ordered them and whenever."""

from datetime import timedelta
from functools import partial
from pathlib import Path

import anyio
import pytest

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Status
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import FakeClock, eventually
from tests.tasks.core import CAT, LONG_SECONDS, change, listed, looks, opened, paced_looks, quiet, settings_for, until

pytestmark = pytest.mark.anyio


async def statuses(service: Tasks) -> set[Status]:
    return {task.status for task in await listed(service)}


async def test_unfinished_tasks_are_picked_up_after_a_restart(
    settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    async with opened(settings, clock) as service:
        for number in range(3):
            await service.submit(VideoRequest(prompt=f"cat {number}"), "local")
    assert looks(simulator) == []
    await clock.advance(120)

    async with opened(settings, clock) as service:

        async def done() -> bool:
            return await statuses(service) == {Status.SUCCEEDED}

        await eventually(done)

    assert len(looks(simulator)) == 3


async def test_an_order_accepted_just_now_is_looked_at_without_anybody_asking(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    await service.submit(CAT, "local")

    await until(clock, lambda: len(looks(simulator)) == 1, step_seconds=2)

    async def done() -> bool:
        return await statuses(service) == {Status.SUCCEEDED}

    await eventually(done)


async def test_a_waited_for_task_is_looked_at_before_a_crowd_of_due_ones(
    tmp_path: Path, base_url: str, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    async with opened(settings, clock) as service:
        submitted = [(await service.submit(VideoRequest(prompt=f"cat {number}"), "local")).task for number in range(20)]
    await clock.advance(120)
    wanted = submitted[-1].task_id

    # Three looks at once, then three and a half a second: the last in line would wait for five seconds.
    slow = settings_for(tmp_path, base_url, max_requests_per_second=5)
    async with opened(slow, clock) as service, anyio.create_task_group() as group:
        group.start_soon(service.wait, wanted, "local", LONG_SECONDS)
        await eventually(lambda: wanted in looks(simulator))
        group.cancel_scope.cancel()

    assert looks(simulator).index(wanted) <= 6


async def test_a_failing_task_does_not_keep_the_others_from_their_looks(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    bad = (await service.submit(VideoRequest(prompt="bad [sim:look-500]"), "local")).task
    good = (await service.submit(CAT, "local")).task

    await until(clock, lambda: good.task_id in looks(simulator) and bad.task_id in looks(simulator), step_seconds=2)

    async def done() -> bool:
        return (await service.find(good.task_id, "local")).status is Status.SUCCEEDED

    await eventually(done)
    assert (await service.find(bad.task_id, "local")).status is Status.GENERATING


async def test_a_failed_look_moves_the_next_one_too(service: Tasks, simulator: Simulator, clock: FakeClock) -> None:
    task = (await service.submit(VideoRequest(prompt="bad [sim:look-401]"), "local")).task

    await paced_looks(service, simulator, clock, task=task, count=3, earliest_seconds=52, latest_seconds=67.2)


async def test_looks_go_on_after_the_store_failed_for_a_while(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    await service.submit(CAT, "local")
    await change(settings, "ALTER TABLE tasks RENAME TO away")
    for _ in range(40):
        await clock.advance(2)
        await anyio.sleep(0.002)
    assert looks(simulator) == []
    await change(settings, "ALTER TABLE away RENAME TO tasks")

    await until(clock, lambda: len(looks(simulator)) == 1)


async def test_a_clock_that_jumps_ahead_during_looks_costs_the_loop_no_room(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    await service.submit(VideoRequest(prompt="A bird [sim:seconds=80000]"), "local")
    # More often than looks may be under way at once.
    for _ in range(25):
        before = len(looks(simulator))
        simulator.add_fault("look-slow=3*1")
        await until(clock, partial(_more_looks, simulator, before), step_seconds=5)
        # A laptop wakes up: the lease of the look that is under way has lapsed.
        clock.set_back(timedelta(seconds=-40))
        await clock.advance(4)
        await quiet(settings)

    await until(clock, partial(_more_looks, simulator, len(looks(simulator))), step_seconds=5)


def _more_looks(simulator: Simulator, before: int) -> bool:
    return len(looks(simulator)) > before


async def test_finished_tasks_are_left_alone(service: Tasks, simulator: Simulator, clock: FakeClock) -> None:
    task = (await service.submit(CAT, "local")).task
    await clock.advance(4)
    await service.get(task.task_id, "local")
    other = (await service.submit(VideoRequest(prompt="A bird [sim:seconds=80000]"), "local")).task

    await until(clock, lambda: looks(simulator).count(other.task_id) == 3, step_seconds=2)

    assert looks(simulator).count(task.task_id) == 1
