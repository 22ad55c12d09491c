"""Looks: one at a time for each task, over all processes."""

from contextlib import suppress

import anyio
import pytest

from sora2_mcp.domain.task import GIVEN_UP_AFTER, Failure, Stage, Status, Task
from sora2_mcp.errors import LostAnswerError, RateLimitedError, ServiceError, UnknownTaskError
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import PATIENCE_SECONDS, FakeClock, eventually
from tests.tasks.core import CAT, change, looks, opened, until

pytestmark = pytest.mark.anyio


async def test_a_look_goes_on_when_who_asked_for_it_is_gone(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    task = (await service.submit(CAT, "local")).task
    simulator.add_fault("look-slow=5*1")
    async with anyio.create_task_group() as group:
        group.start_soon(service.get, task.task_id, "local")
        await eventually(lambda: len(looks(simulator)) == 1)
        group.cancel_scope.cancel()

    await clock.advance(5)

    async def seen() -> bool:
        return (await service.find(task.task_id, "local")).status is Status.SUCCEEDED

    await eventually(seen)
    assert len(looks(simulator)) == 1


async def test_a_look_of_another_process_serves_as_well(
    settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    seen: list[Task] = []

    async def ask(service: Tasks, task: Task) -> None:
        seen.append(await service.get(task.task_id, "local"))

    async with opened(settings, clock) as one, opened(settings, clock) as two:
        task = (await one.submit(CAT, "local")).task
        simulator.add_fault("look-slow=4*1")
        async with anyio.create_task_group() as group:
            group.start_soon(ask, one, task)
            await eventually(lambda: len(looks(simulator)) == 1)
            group.start_soon(ask, two, task)
            await until(clock, lambda: len(seen) == 2, step_seconds=0.25)

    assert [task.status for task in seen] == [Status.SUCCEEDED] * 2
    assert looks(simulator) == [task.task_id]


async def test_who_ends_in_the_midst_of_a_look_leaves_the_task_to_the_next_process_at_once(
    settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    async with opened(settings, clock) as one:
        task = (await one.submit(CAT, "local")).task
        simulator.add_fault("look-slow=60*1")
        async with anyio.create_task_group() as group:
            group.start_soon(one.get, task.task_id, "local")
            await eventually(lambda: len(looks(simulator)) == 1)
            group.cancel_scope.cancel()
    await clock.advance(5)

    async with opened(settings, clock) as two:
        with anyio.fail_after(PATIENCE_SECONDS):
            assert (await two.get(task.task_id, "local")).status is Status.SUCCEEDED
    assert looks(simulator) == [task.task_id] * 2


async def test_a_look_is_repeated_over_transient_faults(service: Tasks, simulator: Simulator) -> None:
    task = (await service.submit(CAT, "local")).task
    simulator.add_fault("look-500*1")
    simulator.add_fault("look-drop*1")

    assert (await service.get(task.task_id, "local")).last_look_at is not None
    assert len(looks(simulator)) == 3


@pytest.mark.parametrize("fault", ["look-html", "look-empty", "look-drop"])
async def test_an_unreadable_look_is_noted_and_changes_nothing(
    service: Tasks, simulator: Simulator, clock: FakeClock, fault: str
) -> None:
    task = (await service.submit(CAT, "local")).task
    simulator.add_fault(fault)

    with pytest.raises(LostAnswerError):
        await service.get(task.task_id, "local")

    seen = await service.find(task.task_id, "local")
    assert (seen.status, seen.look_failed_at, seen.look_error_code) == (Status.GENERATING, clock.now(), 0)


async def test_an_explicit_look_is_not_held_back_by_backoff(service: Tasks, simulator: Simulator) -> None:
    task = (await service.submit(CAT, "local")).task
    simulator.add_fault("look-429=3600*2")
    for _ in range(2):
        with pytest.raises(RateLimitedError):
            await service.get(task.task_id, "local")

    assert (await service.get(task.task_id, "local")).last_look_at is not None
    assert len(looks(simulator)) == 3


async def test_a_task_the_service_forgot_fails_only_after_ten_minutes(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    task = (await service.submit(CAT, "local")).task
    simulator.add_fault("look-404")
    statuses: list[Status] = []
    for _ in range(5):
        await clock.advance(100)
        statuses.append((await service.get(task.task_id, "local")).status)
    await clock.advance(400)

    async def is_finished() -> bool:
        # On a busy machine the first one may have joined a look that was made before.
        await clock.advance(3)
        return (await service.get(task.task_id, "local")).finished

    await eventually(is_finished)
    failed = await service.find(task.task_id, "local")
    simulator.clear_faults()
    await clock.advance(3)
    corrected = await service.get(task.task_id, "local")

    assert statuses == [Status.GENERATING] * 5
    assert (failed.status, failed.failure and failed.failure.code) == (Status.FAILED, 404)
    assert corrected.status is Status.SUCCEEDED


async def test_a_look_that_cannot_be_saved_is_told_and_stops_nothing(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    task = (await service.submit(CAT, "local")).task
    other = (await service.submit(CAT, "local", key="other")).task
    simulator.add_fault("look-slow=5*1")
    async with anyio.create_task_group() as group:
        group.start_soon(gone, service, task)
        await eventually(lambda: len(looks(simulator)) == 1)
        await change(settings, f"DELETE FROM tasks WHERE id = '{task.id}'")  # noqa: S608 - an id of ours
        await clock.advance(5)

    assert (await service.get(other.task_id, "local")).status is Status.SUCCEEDED


async def gone(service: Tasks, task: Task) -> None:
    with pytest.raises(UnknownTaskError):
        await service.get(task.task_id, "local")


async def test_a_task_whose_looks_fail_for_fifteen_days_is_looked_at_no_longer_but_by_who_asks(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    task = (await service.submit(CAT, "local")).task
    simulator.add_fault("look-455")
    clock.set_back(-GIVEN_UP_AFTER)
    with suppress(ServiceError):
        await service.get(task.task_id, "local")

    given_up = await service.find(task.task_id, "local")
    assert given_up.failure == Failure(
        stage=Stage.GENERATION, code=455, message="no look at it has been answered for 15 days", doubtful=True
    )
    before = len(looks(simulator))
    for _ in range(10):
        await clock.advance(60)
    assert len(looks(simulator)) == before

    simulator.clear_faults()
    assert (await service.get(task.task_id, "local")).status is Status.SUCCEEDED
