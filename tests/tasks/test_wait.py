"""``Tasks.wait``: waiting is free, whoever learns of the end."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import timedelta
from functools import partial
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Status, Task
from sora2_mcp.errors import StoreError, UnauthorizedError, UnknownTaskError
from sora2_mcp.runtime import Runtime
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import START, FakeClock, eventually
from tests.stores import store_in
from tests.tasks.core import (
    CAT,
    LONG_SECONDS,
    due_at,
    looks,
    opened,
    orders,
    paced_looks,
    settings_for,
    until,
    waited_for,
)

pytestmark = pytest.mark.anyio

MINUTE_LONG = VideoRequest(prompt="A cat [sim:seconds=28]")


class Waiters:
    """Waits in the background and keeps what they came to."""

    def __init__(self) -> None:
        self.ended: list[Task] = []
        self.errors: list[Exception] = []

    async def wait(self, service: Tasks, task: Task, seconds: float) -> None:
        try:
            self.ended.append(await service.wait(task.reference, "local", seconds))
        except Exception as error:  # noqa: BLE001 - kept for the test to look at
            self.errors.append(error)


@asynccontextmanager
async def failing_store(folder: Path) -> AsyncIterator[None]:
    """The store has no tasks to read within the block, as if it were away."""
    store = store_in(folder)
    # In a thread: a transaction under way needs the event loop to end.
    await anyio.to_thread.run_sync(store.change, "ALTER TABLE tasks RENAME TO hidden")
    yield
    await anyio.to_thread.run_sync(store.change, "ALTER TABLE hidden RENAME TO tasks")


async def test_fifty_waiters_cost_one_look_per_interval(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    task = (await service.submit(MINUTE_LONG, "local")).task
    waiters = Waiters()

    async def wanted() -> bool:
        return await due_at(settings) == START + timedelta(seconds=5)

    async with anyio.create_task_group() as group:
        for _ in range(50):
            group.start_soon(waiters.wait, service, task, 200)
        await eventually(wanted)
        pace = partial(paced_looks, service, simulator, clock, task=task)
        await pace(count=1, earliest_seconds=4.9, latest_seconds=5)
        # Every 5 s, 12 % more or less: the fifth of these finds the end.
        await pace(count=5, earliest_seconds=4.3, latest_seconds=5.6)
        await eventually(lambda: len(waiters.ended) == 50)

    assert {(ended.id, ended.status) for ended in waiters.ended} == {(task.id, Status.SUCCEEDED)}
    assert len(looks(simulator)) == 6


async def test_nobody_waiting_means_one_look_a_minute(service: Tasks, simulator: Simulator, clock: FakeClock) -> None:
    task = (await service.submit(VideoRequest(prompt="A cat [sim:seconds=600]"), "local")).task

    await paced_looks(service, simulator, clock, task=task, count=3, earliest_seconds=52, latest_seconds=67.2)


async def test_waiting_no_time_gives_the_task_as_it_is_without_a_look(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    task = (await service.submit(CAT, "local")).task
    await clock.advance(30)

    assert await service.wait(task.task_id, "local", 0) == task
    assert looks(simulator) == []


async def test_when_time_is_up_the_task_is_given_as_it_is(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    task = (await service.submit(VideoRequest(prompt="A cat [sim:seconds=600]"), "local")).task
    waiters = Waiters()
    began = clock.now()
    async with anyio.create_task_group() as group:
        group.start_soon(waiters.wait, service, task, 12)
        await until(clock, lambda: len(waiters.ended) == 1)

    assert (clock.now() - began).total_seconds() >= 12
    assert [(ended.id, ended.status) for ended in waiters.ended] == [(task.id, Status.GENERATING)]
    assert len(looks(simulator)) <= 2


async def test_a_finish_saved_by_another_process_ends_the_wait(
    tmp_path: Path, base_url: str, simulator: Simulator, clock: FakeClock
) -> None:
    # This process looks once in a day; it can only hear of the end from the other one.
    idle = settings_for(tmp_path, base_url, poll_seconds=86_400, idle_poll_seconds=86_400)
    waiters = Waiters()
    async with opened(idle, clock) as one, opened(idle, clock) as two:
        task = (await one.submit(CAT, "local")).task
        async with anyio.create_task_group() as group:
            group.start_soon(waiters.wait, one, task, LONG_SECONDS)
            await clock.advance(4)
            assert (await two.get(task.task_id, "local")).status is Status.SUCCEEDED
            await until(clock, lambda: len(waiters.ended) == 1, step_seconds=0.25)

    assert waiters.ended[0].status is Status.SUCCEEDED
    assert looks(simulator) == [task.task_id]


async def test_waiters_in_two_processes_share_the_looks(
    settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    waiters = Waiters()
    async with opened(settings, clock) as one, opened(settings, clock) as two:
        task = (await one.submit(MINUTE_LONG, "local")).task
        async with anyio.create_task_group() as group:
            for service in (one, two):
                for _ in range(5):
                    group.start_soon(waiters.wait, service, task, 200)
            await until(clock, lambda: len(waiters.ended) == 10)

    assert {ended.status for ended in waiters.ended} == {Status.SUCCEEDED}
    assert len(looks(simulator)) <= 8


async def test_a_key_that_is_not_accepted_ends_the_wait_at_once(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    task = (await service.submit(CAT, "local")).task
    simulator.add_fault("look-401")
    waiters = Waiters()
    async with anyio.create_task_group() as group:
        group.start_soon(waiters.wait, service, task, LONG_SECONDS)
        await until(clock, lambda: bool(waiters.errors))

    assert [type(error) for error in waiters.errors] == [UnauthorizedError]
    assert len(looks(simulator)) == 1
    assert (await service.find(task.task_id, "local")).status is Status.GENERATING


async def test_a_key_that_was_put_right_again_does_not_end_the_next_wait(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    task = (await service.submit(CAT, "local")).task
    simulator.add_fault("look-401*1")
    with pytest.raises(UnauthorizedError):
        await service.get(task.task_id, "local")
    await clock.advance(1)
    waiters = Waiters()
    async with anyio.create_task_group() as group:
        group.start_soon(waiters.wait, service, task, LONG_SECONDS)
        await until(clock, lambda: bool(waiters.ended or waiters.errors))

    assert [ended.status for ended in waiters.ended] == [Status.SUCCEEDED]


async def test_a_wait_goes_on_over_a_service_that_fails(service: Tasks, simulator: Simulator, clock: FakeClock) -> None:
    task = (await service.submit(CAT, "local")).task
    # Each look is tried three times, so two looks fail.
    simulator.add_fault("look-500*6")
    waiters = Waiters()
    async with anyio.create_task_group() as group:
        group.start_soon(waiters.wait, service, task, LONG_SECONDS)
        await until(clock, lambda: bool(waiters.ended or waiters.errors))

    assert [ended.status for ended in waiters.ended] == [Status.SUCCEEDED]
    assert len(looks(simulator)) == 7


async def test_a_wait_for_an_unanswered_order_goes_on_to_its_video(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-slow=20*1")
    references: list[Task] = []

    async def order() -> None:
        references.append((await service.submit(CAT, "local")).task)

    async def answered() -> bool:
        return bool((await service.find(references[0].reference, "local")).task_id)

    waiters = Waiters()
    async with anyio.create_task_group() as group:
        group.start_soon(order)
        await eventually(lambda: len(orders(simulator)) == 1)
        await clock.advance(3)
        await eventually(lambda: bool(references))
        group.start_soon(waiters.wait, service, references[0], LONG_SECONDS)
        await clock.advance(17)
        await eventually(answered)
        await until(clock, lambda: bool(waiters.ended))

    assert waiters.ended[0].status is Status.SUCCEEDED
    assert waiters.ended[0].id == references[0].id


async def test_a_wait_for_an_order_whose_answer_is_lost_ends_unconfirmed(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-slow=3600*1")
    references: list[Task] = []

    async def order() -> None:
        references.append((await service.submit(CAT, "local")).task)

    waiters = Waiters()
    async with anyio.create_task_group() as group:
        group.start_soon(order)
        await until(clock, lambda: bool(references))
        group.start_soon(waiters.wait, service, references[0], LONG_SECONDS)
        await until(clock, lambda: bool(waiters.ended))

    assert waiters.ended[0].status is Status.UNCONFIRMED


async def test_stopping_ends_waits_with_the_task_as_it_is(runtime: Runtime, clock: FakeClock) -> None:
    service = await runtime.tasks()
    task = (await service.submit(CAT, "local")).task
    waiters = Waiters()
    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(waiters.wait, service, task, LONG_SECONDS)
            await eventually(lambda: runtime.bus.waiters(task.id) == 1)
            runtime.stop()

    assert [ended.status for ended in waiters.ended] == [Status.GENERATING]
    assert clock.monotonic() == 0


async def test_waiting_for_an_unknown_task_is_an_error(service: Tasks) -> None:
    with pytest.raises(UnknownTaskError):
        await service.wait("local-nobody", "local", 60)


async def test_a_wait_outlasts_a_store_that_fails_for_a_while(
    service: Tasks, settings: Settings, clock: FakeClock, tmp_path: Path
) -> None:
    task = (await service.submit(CAT, "local")).task
    waiters = Waiters()

    async with anyio.create_task_group() as group:
        group.start_soon(waiters.wait, service, task, 100)
        await waited_for(settings, task)
        async with failing_store(tmp_path):
            await clock.advance(20)
            await clock.advance(5)
            assert (waiters.ended, waiters.errors) == ([], [])
        await until(clock, lambda: bool(waiters.ended))

    assert waiters.ended[0].status is Status.SUCCEEDED


async def test_a_wait_over_a_store_that_fails_for_good_ends_with_what_is_wrong(
    service: Tasks, settings: Settings, clock: FakeClock, tmp_path: Path
) -> None:
    task = (await service.submit(MINUTE_LONG, "local")).task
    waiters = Waiters()

    async with anyio.create_task_group() as group:
        group.start_soon(waiters.wait, service, task, 100)
        await waited_for(settings, task)
        async with failing_store(tmp_path):
            await until(clock, lambda: bool(waiters.errors))

    assert [type(error) for error in waiters.errors] == [StoreError]
