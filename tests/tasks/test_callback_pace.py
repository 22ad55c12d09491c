"""How often a task is looked at that the service is to call back about."""

from datetime import timedelta
from functools import partial
from pathlib import Path

import anyio
import pytest

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Status, Task
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import START, FakeClock, eventually
from tests.tasks.core import CAT, due_at, looks, opened, orders, paced_looks, quiet, settings_for, until, waited_for

pytestmark = pytest.mark.anyio

NOBODY = "http://127.0.0.1:9"
LONG_CAT = VideoRequest(prompt="A cat [sim:seconds=600]")
LONG_DOG = VideoRequest(prompt="A dog [sim:seconds=600]")


@pytest.fixture
def settings(tmp_path: Path, base_url: str) -> Settings:
    """Callbacks are asked for at an address where they never arrive."""
    return settings_for(tmp_path, base_url, public_url=NOBODY)


async def ordered(service: Tasks, request: VideoRequest) -> Task:
    return (await service.submit(request, "local")).task


async def next_look_at(settings: Settings) -> float | None:
    """Seconds from the start of the test; only one task may be unfinished."""
    due = await due_at(settings)
    return None if due is None else (due - START) / timedelta(seconds=1)


async def called_back(service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock) -> None:
    """A task of this process ends, and the service says so."""
    await ordered(service, CAT)
    await clock.advance(5)
    secret = str((orders(simulator)[0].body or {})["callBackUrl"]).rpartition("/")[2]
    assert await service.callbacks.received(secret)
    await quiet(settings)


async def test_the_first_look_comes_thirty_seconds_after_the_order_even_while_somebody_waits(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    task = await ordered(service, LONG_CAT)
    async with anyio.create_task_group() as group:
        group.start_soon(service.wait, task.task_id, "local", 200)
        await waited_for(settings, task)

        assert await next_look_at(settings) == 30
        pace = partial(paced_looks, service, simulator, clock, task=task)
        await pace(count=1, earliest_seconds=29.9, latest_seconds=30)
        # No callback was ever heard of, so nothing is left to chance any longer.
        await pace(count=3, earliest_seconds=4.3, latest_seconds=5.6)
        group.cancel_scope.cancel()


async def test_the_first_look_comes_no_later_when_nobody_waits(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    task = await ordered(service, LONG_CAT)

    pace = partial(paced_looks, service, simulator, clock, task=task)
    await pace(count=1, earliest_seconds=29.9, latest_seconds=30)
    await pace(count=2, earliest_seconds=52, latest_seconds=67.2)


async def test_a_wait_ends_although_no_callback_ever_arrives(
    service: Tasks, settings: Settings, clock: FakeClock
) -> None:
    task = await ordered(service, CAT)
    ended: list[tuple[Status, float]] = []

    async def wait() -> None:
        ended.append(((await service.wait(task.task_id, "local", 200)).status, clock.monotonic()))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await waited_for(settings, task)
        await until(clock, lambda: bool(ended))

    [(status, seconds)] = ended
    assert status is Status.SUCCEEDED
    # The safety look, not the first one of the idle pace; time runs on while a busy machine looks.
    assert 30 <= seconds < 52


async def test_once_a_callback_was_heard_of_waited_for_tasks_keep_the_idle_pace(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    await called_back(service, settings, simulator, clock)

    task = await ordered(service, LONG_CAT)
    async with anyio.create_task_group() as group:
        group.start_soon(service.wait, task.task_id, "local", 600)
        await waited_for(settings, task)
        await service.get(task.task_id, "local")
        assert 52 <= (await next_look_at(settings) or 0) - clock.monotonic() <= 67.2
        pace = partial(paced_looks, service, simulator, clock, task=task)
        await pace(count=3, earliest_seconds=52, latest_seconds=67.2)
        group.cancel_scope.cancel()


async def test_after_a_look_that_failed_waiters_no_longer_rely_on_callbacks(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    await called_back(service, settings, simulator, clock)
    task = await ordered(service, VideoRequest(prompt="A cat [sim:seconds=600] [sim:look-429=8*1]"))
    async with anyio.create_task_group() as group:
        group.start_soon(service.wait, task.task_id, "local", 600)
        await waited_for(settings, task)
        # Time goes to this look and no further: the one after it is less than the spread of an idle pace away.
        seconds = (await next_look_at(settings) or 0) - clock.monotonic()
        assert 52 <= seconds <= 67.2
        # A wait that the look does not know of would have the next one at the idle pace.
        await clock.advance(seconds - 1)
        await waited_for(settings, task, clock.now() + timedelta(seconds=1))
        await clock.advance(1)

        async def has_failed() -> bool:
            return (await service.find(task.reference, "local")).look_failed_at is not None

        await eventually(has_failed)
        pace = partial(paced_looks, service, simulator, clock, task=task)
        await pace(count=1, earliest_seconds=8.7, latest_seconds=11.3)
        group.cancel_scope.cancel()


async def test_a_task_with_the_agents_own_callback_keeps_the_normal_pace(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    await called_back(service, settings, simulator, clock)
    own = VideoRequest(prompt="A cat [sim:seconds=600]", callback_url="http://127.0.0.1:9/mine")
    task = await ordered(service, own)
    async with anyio.create_task_group() as group:
        group.start_soon(service.wait, task.task_id, "local", 200)
        await waited_for(settings, task)
        pace = partial(paced_looks, service, simulator, clock, task=task)
        await pace(count=3, earliest_seconds=4.3, latest_seconds=5.6)
        group.cancel_scope.cancel()


async def test_a_process_without_a_public_address_leaves_the_first_look_where_it_is(
    tmp_path: Path, base_url: str, service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    task = await ordered(service, LONG_CAT)
    async with opened(settings_for(tmp_path, base_url), clock) as other, anyio.create_task_group() as group:
        group.start_soon(other.wait, task.task_id, "local", 200)
        await waited_for(settings, task)
        assert await next_look_at(settings) == 30

        await clock.advance(29)
        assert looks(simulator) == []
        await clock.advance(1)
        await eventually(lambda: looks(simulator) == [task.task_id])
        group.cancel_scope.cancel()
