from datetime import datetime, timedelta

import pytest

from sora2_mcp.domain.task import Task
from sora2_mcp.tasks.store.database import Database
from sora2_mcp.tasks.store.port import LOOK_LEASE, LookPlan
from tests.clocks import START, FakeClock
from tests.tasks.store.drafts import draft, ordered, plan, row

pytestmark = pytest.mark.anyio


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


async def generating(store: Database, clock: FakeClock, task_id: str) -> Task:
    """A task whose next look is due 60 s from now."""
    return await ordered(store, draft(clock, prompt=task_id), task_id)


async def urgent(store: Database) -> str:
    task = await store.most_urgent()
    return task.task_id if task else ""


async def test_nothing_is_due_in_an_empty_store(store: Database) -> None:
    assert await store.most_urgent() is None
    assert await store.next_due_at() is None


async def test_a_task_is_due_at_its_time_and_not_before(store: Database, clock: FakeClock) -> None:
    await generating(store, clock, "task-1")

    await clock.advance(59)
    assert await urgent(store) == ""
    await clock.advance(1)
    assert await urgent(store) == "task-1"


async def test_the_longest_due_comes_first(store: Database, clock: FakeClock) -> None:
    await generating(store, clock, "task-1")
    await clock.advance(5)
    await generating(store, clock, "task-2")
    await clock.advance(100)

    assert await urgent(store) == "task-1"


async def test_a_waited_for_task_comes_before_longer_due_ones(store: Database, clock: FakeClock) -> None:
    await generating(store, clock, "task-1")
    await clock.advance(5)
    second = await generating(store, clock, "task-2")
    await clock.advance(100)
    await store.want(second, clock.now() + seconds(15), clock.now())

    assert await urgent(store) == "task-2"
    await clock.advance(15)
    assert await urgent(store) == "task-1"


async def test_waiting_pulls_the_next_look_forward_and_never_back(store: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")
    until = clock.now() + seconds(15)

    await store.want(task, until, START + seconds(5))
    assert await store.next_due_at() == START + seconds(5)
    await store.want(task, until, START + seconds(50))
    assert await store.next_due_at() == START + seconds(5)


async def test_waiting_does_not_start_a_second_look_beside_one_under_way(store: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")
    await store.claim_look(task.id, "me")

    await store.want(task, clock.now() + seconds(15), clock.now())

    assert await store.next_due_at() == clock.now() + LOOK_LEASE


async def test_waiting_with_an_old_view_of_the_task_does_not_repeat_the_look_just_made(
    store: Database, clock: FakeClock
) -> None:
    read = await generating(store, clock, "task-1")
    await clock.advance(5)
    await store.claim_look(read.id, "me")
    await store.settle_look(read.id, "me", plan(clock.now()), None)

    await store.want(read, clock.now() + seconds(15), START + seconds(5))

    assert await store.next_due_at() == clock.now() + seconds(60)


async def test_a_look_is_one_owners_until_it_is_settled(store: Database, second: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")

    assert await store.claim_look(task.id, "me") == 0
    assert await second.claim_look(task.id, "other") is None
    assert await store.claim_look(task.id, "me") is None
    await store.settle_look(task.id, "me", plan(clock.now()), None)
    assert await second.claim_look(task.id, "other") == 0


async def test_the_lease_of_a_dead_look_lapses(store: Database, second: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")
    await store.claim_look(task.id, "dead")

    await clock.advance(LOOK_LEASE.total_seconds() - 1)
    assert await second.claim_look(task.id, "other") is None
    await clock.advance(1)
    assert await urgent(second) == "task-1"
    assert await second.claim_look(task.id, "other") == 0


async def test_a_lease_of_a_process_whose_clock_is_ahead_holds(store: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")
    assert await store.claim_look(task.id, "ahead", seconds(1) + LOOK_LEASE) is not None

    assert await store.claim_look(task.id, "behind") is None


async def test_a_lease_from_before_the_clock_was_set_back_holds_nobody_up(store: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")
    await store.claim_look(task.id, "dead")

    clock.set_back(timedelta(hours=3))

    assert await store.claim_look(task.id, "other") == 0


async def test_only_the_owner_settles_its_look(store: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")
    await store.claim_look(task.id, "me")

    await store.settle_look(task.id, "too late", plan(clock.now()), 500)

    assert await store.load(task.id) == task
    assert await store.claim_look(task.id, "other") is None


@pytest.mark.parametrize(("wanted_seconds", "next_seconds"), [(15, 5), (0, 60)], ids=["wanted", "idle"])
async def test_the_next_look_follows_the_plan_for_whether_somebody_waits(
    store: Database, clock: FakeClock, wanted_seconds: float, next_seconds: float
) -> None:
    task = await generating(store, clock, "task-1")
    if wanted_seconds:
        await store.want(task, clock.now() + seconds(wanted_seconds), clock.now())
    await store.claim_look(task.id, "me")

    await store.settle_look(task.id, "me", plan(clock.now()), None)

    assert await store.next_due_at() == clock.now() + seconds(next_seconds)
    looked_at = await store.load(task.id)
    assert looked_at is not None
    assert (looked_at.last_look_at, looked_at.look_failed_at) == (clock.now(), None)


async def test_failed_looks_are_counted_and_move_the_next_one(store: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")

    async def fail(code: int, planned: datetime) -> int | None:
        failures = await store.claim_look(task.id, "me")
        await store.settle_look(task.id, "me", LookPlan(wanted_at=planned, idle_at=planned), code)
        assert await store.next_due_at() == planned
        return failures

    assert [await fail(500, START + seconds(10)), await fail(401, START + seconds(20))] == [0, 1]
    failing = await store.load(task.id)
    assert failing is not None
    assert (failing.look_failed_at, failing.look_error_code, failing.last_look_at) == (clock.now(), 401, None)


async def held_back(store: Database, clock: FakeClock, *, until: datetime) -> Task:
    """A task whose look the service answered with a wish for a pause."""
    task = await generating(store, clock, "task-1")
    await store.claim_look(task.id, "me")
    wish = LookPlan(wanted_at=until, idle_at=until, not_before=until)
    await store.settle_look(task.id, "me", wish, 429)
    seen = await store.load(task.id)
    assert seen is not None
    return seen


async def test_waiting_pulls_no_look_forward_to_before_the_service_allows_it(store: Database, clock: FakeClock) -> None:
    allowed_at = START + seconds(600)
    task = await held_back(store, clock, until=allowed_at)
    assert (await row(store, task.id))["look_not_before"] == allowed_at

    await store.want(task, clock.now() + seconds(3600), clock.now() + seconds(5))

    assert await store.next_due_at() == allowed_at
    await clock.advance(599)
    assert await urgent(store) == ""
    await clock.advance(1)
    assert await urgent(store) == "task-1"


async def test_waiting_pulls_a_look_forward_to_the_very_instant_the_service_allows(
    store: Database, clock: FakeClock
) -> None:
    task = await generating(store, clock, "task-1")
    await store.claim_look(task.id, "me")
    wish = LookPlan(wanted_at=START + seconds(20), idle_at=START + seconds(60), not_before=START + seconds(15))
    await store.settle_look(task.id, "me", wish, 429)
    failing = await store.load(task.id)
    assert failing is not None
    assert await store.next_due_at() == START + seconds(60)

    await store.want(failing, START + seconds(3600), START + seconds(5))

    assert await store.next_due_at() == START + seconds(15)


@pytest.mark.parametrize("error_code", [None, 500], ids=["works", "fails without a wish"])
async def test_the_services_wish_for_a_pause_ends_with_the_next_look(
    store: Database, clock: FakeClock, error_code: int | None
) -> None:
    task = await held_back(store, clock, until=START + seconds(600))
    await store.claim_look(task.id, "me")
    await store.settle_look(task.id, "me", plan(clock.now()), error_code)
    seen = await store.load(task.id)
    assert seen is not None

    await store.want(seen, clock.now() + seconds(3600), clock.now() + seconds(5))

    assert (await row(store, task.id))["look_not_before"] is None
    assert await store.next_due_at() == START + seconds(5)


async def test_a_look_that_works_ends_the_row_of_failures(store: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")
    for code in (500, None):
        await store.claim_look(task.id, "me")
        await store.settle_look(task.id, "me", plan(clock.now()), code)

    seen = await store.load(task.id)
    assert seen is not None
    assert (seen.look_failed_at, seen.look_error_code) == (None, 0)
    assert await store.claim_look(task.id, "me") == 0


async def test_looks_change_no_facts(store: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")
    await store.want(task, clock.now() + seconds(15), clock.now())
    await store.claim_look(task.id, "me")
    await store.settle_look(task.id, "me", plan(clock.now()), None)

    seen = await store.load(task.id)
    assert seen is not None
    assert seen.version == task.version


async def test_a_look_set_further_ahead_than_any_plan_is_due_since_the_clock_was_set_back(
    store: Database, clock: FakeClock
) -> None:
    farthest = seconds(60)
    task = await generating(store, clock, "task-1")
    assert (await store.most_urgent(farthest), await store.next_due_at(farthest)) == (None, START + farthest)

    clock.set_back(seconds(1))

    assert await store.next_due_at(farthest) == clock.now()
    assert await store.most_urgent(farthest) == task
