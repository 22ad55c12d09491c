from dataclasses import replace
from datetime import datetime, timedelta

import pytest

from sora2_mcp.domain.task import Status, Task
from sora2_mcp.tasks.store.database import Database
from sora2_mcp.tasks.store.interface import LOOK_LEASE, Claim, LookPlan
from tests.clocks import START, FakeClock
from tests.tasks.store.drafts import draft, due_at, ordered, plan, reserve, row, succeeded

pytestmark = pytest.mark.anyio


def seconds(number: float) -> timedelta:
    return timedelta(seconds=number)


async def generating(store: Database, clock: FakeClock, task_id: str) -> Task:
    """A task whose next look is due 60 s from now."""
    return await ordered(store, draft(clock, prompt=task_id), task_id)


async def claimed(store: Database, task: Task) -> Claim:
    claim = await store.claim(await loaded(store, task))
    assert claim is not None
    return claim


async def loaded(store: Database, task: Task) -> Task:
    found = await store.load(task.id)
    assert found is not None
    return found


async def looked(store: Database, task: Task, next_look: LookPlan, error_code: int | None = None) -> Claim:
    """A look that showed nothing new, or failed."""
    claim = await claimed(store, task)
    assert await store.settle(claim, claim.task, next_look, error_code) is not None
    return claim


async def urgent(store: Database) -> str:
    """Which task the loop would look at; it is left as it is."""
    claim = await store.claim()
    if claim is None:
        return ""
    await store.release(claim)
    return claim.task.task_id


async def test_nothing_is_due_in_an_empty_store(store: Database) -> None:
    assert await store.claim() is None
    assert await due_at(store) is None


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
    assert await due_at(store) == START + seconds(5)
    await store.want(task, until, START + seconds(50))
    assert await due_at(store) == START + seconds(5)


async def test_waiting_does_not_start_a_second_look_beside_one_under_way(store: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")
    await claimed(store, task)

    await store.want(task, clock.now() + seconds(15), clock.now())

    assert await due_at(store) == clock.now() + LOOK_LEASE


async def test_waiting_with_an_old_view_of_the_task_does_not_repeat_the_look_just_made(
    store: Database, clock: FakeClock
) -> None:
    read = await generating(store, clock, "task-1")
    await clock.advance(5)
    await looked(store, read, plan(clock.now()))

    await store.want(read, clock.now() + seconds(15), START + seconds(5))

    assert await due_at(store) == clock.now() + seconds(60)


async def test_a_task_that_was_looked_at_since_it_was_read_is_not_claimed(store: Database, clock: FakeClock) -> None:
    read = await generating(store, clock, "task-1")
    await looked(store, read, plan(clock.now()))

    assert await store.claim(read) is None
    assert await due_at(store) == clock.now() + seconds(60)


async def test_a_look_is_one_owners_until_it_is_settled(store: Database, second: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")

    claim = await claimed(store, task)
    assert await second.claim(task) is None
    assert await store.claim(task) is None
    await store.settle(claim, claim.task, plan(clock.now()))
    assert (await claimed(second, task)).failures == 0


async def test_the_lease_of_a_dead_look_lapses(store: Database, second: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")
    await claimed(store, task)

    await clock.advance(LOOK_LEASE.total_seconds() - 1)
    assert await second.claim(task) is None
    await clock.advance(1)
    assert await urgent(second) == "task-1"
    assert (await claimed(second, task)).failures == 0


async def test_a_lease_of_a_process_whose_clock_is_ahead_holds(store: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")
    await clock.advance(1)
    await claimed(store, task)

    clock.set_back(seconds(1))

    assert await store.claim(task) is None


async def test_a_lease_from_before_the_clock_was_set_back_holds_nobody_up(store: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")
    await claimed(store, task)

    clock.set_back(timedelta(hours=3))

    assert await store.claim(task) is not None


async def test_only_the_owner_settles_its_look(store: Database, second: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")
    claim = await claimed(store, task)

    assert await second.settle(claim, claim.task, plan(clock.now()), 500) is None
    assert await second.claimed(claim) is None

    assert await store.load(task.id) == task
    assert await second.claim(task) is None


async def test_what_others_saved_since_the_claim_is_not_overwritten(
    store: Database, second: Database, clock: FakeClock
) -> None:
    task = await generating(store, clock, "task-1")
    claim = await claimed(store, task)
    await clock.advance(LOOK_LEASE.total_seconds())
    others = await claimed(second, task)
    saved = await second.settle(others, succeeded(task, clock.now()), plan(clock.now()))

    assert await store.settle(claim, claim.task, plan(clock.now())) is None
    assert await store.load(task.id) == saved


async def test_a_hint_makes_the_task_due_before_all_others(store: Database, clock: FakeClock) -> None:
    waited_for = await generating(store, clock, "task-1")
    await store.want(waited_for, clock.now() + seconds(100), clock.now())
    hinted = await ordered(store, with_callback(clock), "task-2")
    await clock.advance(1)

    assert await store.hint("h") == hinted
    assert await due_at(store) == START
    assert await urgent(store) == "task-2"


async def test_a_hint_that_comes_while_a_look_is_under_way_makes_the_task_due_after_it(
    store: Database, clock: FakeClock
) -> None:
    task = await ordered(store, with_callback(clock), "task-1")
    claim = await claimed(store, task)

    await store.hint("h")

    assert await store.claim() is None
    await store.settle(claim, claim.task, plan(clock.now()))
    assert await due_at(store) == clock.now()
    again = await store.claim()
    assert again is not None
    await store.settle(again, again.task, plan(clock.now()))
    assert await due_at(store) == clock.now() + seconds(60)


async def test_a_hint_about_a_task_that_this_look_ends_is_served(store: Database, clock: FakeClock) -> None:
    task = await ordered(store, with_callback(clock), "task-1")
    claim = await claimed(store, task)
    await store.hint("h")

    await store.settle(claim, succeeded(claim.task, clock.now()), plan(clock.now()))

    assert await due_at(store) is None
    await store.hint("h")
    assert (await due_at(store), await store.claim()) == (None, None)


async def test_a_hint_that_comes_before_the_answer_has_the_task_looked_at_at_once(
    store: Database, clock: FakeClock
) -> None:
    order = with_callback(clock)
    await reserve(store, order)
    await store.hint("h")
    assert await due_at(store) is None

    await store.bind(order.id, "task-1", plan(clock.now()))

    assert await due_at(store) == clock.now()


async def test_an_order_is_unconfirmed_once_its_senders_lease_has_lapsed(
    store: Database, second: Database, clock: FakeClock
) -> None:
    order = draft(clock)
    await reserve(store, order)
    assert order.sending_until is not None
    assert (await second.due()).lapse_at == order.sending_until

    await second.lapse()
    assert (await loaded(store, order)).status is Status.GENERATING
    await clock.advance((order.sending_until - clock.now()).total_seconds())
    await second.lapse()

    unclear = await loaded(store, order)
    assert (unclear.status, unclear.sending_until, unclear.version) == (Status.UNCONFIRMED, None, 1)
    assert (await store.due()).lapse_at is None


async def test_an_order_that_was_marked_meanwhile_is_not_held_again(store: Database, clock: FakeClock) -> None:
    order = draft(clock)
    await reserve(store, order)
    await clock.advance(45)
    await store.lapse()

    # As by a process that was asleep for so long.
    await store.hold(order.id, seconds(45))

    assert (await store.due()).lapse_at is None


async def test_an_answer_that_comes_during_a_look_at_the_id_of_a_callback_leaves_its_lease(
    store: Database, clock: FakeClock
) -> None:
    order = with_callback(clock)
    await reserve(store, order)
    await store.hint("h", "task-1")
    claim = await store.claim()
    assert claim is not None
    await store.hint("h", "task-1")

    bound = await store.bind(order.id, "task-1", plan(clock.now()))

    assert await due_at(store) == clock.now() + LOOK_LEASE
    current = await store.claimed(claim)
    assert current is not None
    assert current.task == bound
    await store.settle(current, bound, plan(clock.now()))
    assert await due_at(store) == clock.now()


@pytest.mark.parametrize(
    ("seconds_later", "status"),
    [(44.9, Status.GENERATING), (45, Status.UNCONFIRMED), (-600, Status.GENERATING), (-700, Status.UNCONFIRMED)],
    ids=["held", "lapsed", "clock behind", "clock set back"],
)
async def test_an_orders_lease_says_whether_it_is_being_sent(
    store: Database, clock: FakeClock, seconds_later: float, status: Status
) -> None:
    order, answered = draft(clock), await ordered(store, draft(clock, prompt="answered"), "task-1")
    await reserve(store, order)

    clock.set_back(seconds(-seconds_later))
    await store.lapse()

    assert (await loaded(store, order)).status is status
    assert (await loaded(store, answered)).status is Status.GENERATING


async def test_an_order_from_before_the_clock_was_set_back_lapses_at_once(store: Database, clock: FakeClock) -> None:
    await reserve(store, draft(clock))

    clock.set_back(timedelta(hours=3))

    assert (await store.due()).lapse_at == clock.now()


def with_callback(clock: FakeClock) -> Task:
    return replace(draft(clock, prompt="called back"), callback_hash="h")


@pytest.mark.parametrize(("wanted_seconds", "next_seconds"), [(15, 5), (0, 60)], ids=["wanted", "idle"])
async def test_the_next_look_follows_the_plan_for_whether_somebody_waits(
    store: Database, clock: FakeClock, wanted_seconds: float, next_seconds: float
) -> None:
    task = await generating(store, clock, "task-1")
    if wanted_seconds:
        await store.want(task, clock.now() + seconds(wanted_seconds), clock.now())

    await looked(store, task, plan(clock.now()))

    assert await due_at(store) == clock.now() + seconds(next_seconds)
    looked_at = await store.load(task.id)
    assert looked_at is not None
    assert (looked_at.last_look_at, looked_at.look_failed_at) == (clock.now(), None)


async def test_failed_looks_are_counted_and_move_the_next_one(store: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")

    async def fail(code: int, planned: datetime) -> int:
        claim = await looked(store, task, LookPlan(wanted_at=planned, idle_at=planned), code)
        assert await due_at(store) == planned
        return claim.failures

    assert [await fail(500, START + seconds(10)), await fail(401, START + seconds(20))] == [0, 1]
    failing = await store.load(task.id)
    assert failing is not None
    assert (failing.look_failed_at, failing.look_error_code, failing.last_look_at) == (clock.now(), 401, None)


async def held_back(store: Database, clock: FakeClock, *, until: datetime) -> Task:
    """A task whose look the service answered with a wish for a pause."""
    task = await generating(store, clock, "task-1")
    wish = LookPlan(wanted_at=until, idle_at=until, not_before=until)
    await looked(store, task, wish, 429)
    seen = await store.load(task.id)
    assert seen is not None
    return seen


async def test_waiting_pulls_no_look_forward_to_before_the_service_allows_it(store: Database, clock: FakeClock) -> None:
    allowed_at = START + seconds(600)
    task = await held_back(store, clock, until=allowed_at)
    assert (await row(store, task.id))["look_not_before"] == allowed_at

    await store.want(task, clock.now() + seconds(3600), clock.now() + seconds(5))

    assert await due_at(store) == allowed_at
    await clock.advance(599)
    assert await urgent(store) == ""
    await clock.advance(1)
    assert await urgent(store) == "task-1"


async def test_waiting_pulls_a_look_forward_to_the_very_instant_the_service_allows(
    store: Database, clock: FakeClock
) -> None:
    task = await generating(store, clock, "task-1")
    wish = LookPlan(wanted_at=START + seconds(20), idle_at=START + seconds(60), not_before=START + seconds(15))
    await looked(store, task, wish, 429)
    failing = await store.load(task.id)
    assert failing is not None
    assert await due_at(store) == START + seconds(60)

    await store.want(failing, START + seconds(3600), START + seconds(5))

    assert await due_at(store) == START + seconds(15)


@pytest.mark.parametrize("error_code", [None, 500], ids=["works", "fails without a wish"])
async def test_the_services_wish_for_a_pause_ends_with_the_next_look(
    store: Database, clock: FakeClock, error_code: int | None
) -> None:
    task = await held_back(store, clock, until=START + seconds(600))
    await looked(store, task, plan(clock.now()), error_code)
    seen = await store.load(task.id)
    assert seen is not None

    await store.want(seen, clock.now() + seconds(3600), clock.now() + seconds(5))

    assert (await row(store, task.id))["look_not_before"] is None
    assert await due_at(store) == START + seconds(5)


async def test_a_look_that_works_ends_the_row_of_failures(store: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")
    for code in (500, None):
        await looked(store, task, plan(clock.now()), code)

    seen = await store.load(task.id)
    assert seen is not None
    assert (seen.look_failed_at, seen.look_error_code) == (None, 0)
    assert (await claimed(store, task)).failures == 0


async def test_looks_change_no_facts(store: Database, clock: FakeClock) -> None:
    task = await generating(store, clock, "task-1")
    await store.want(task, clock.now() + seconds(15), clock.now())
    await looked(store, task, plan(clock.now()))

    seen = await store.load(task.id)
    assert seen is not None
    assert seen.version == task.version


async def test_a_look_set_further_ahead_than_any_plan_is_due_since_the_clock_was_set_back(
    store: Database, clock: FakeClock
) -> None:
    farthest = seconds(60)
    task = await generating(store, clock, "task-1")
    assert (await store.claim(farthest=farthest), (await store.due(farthest)).look_at) == (None, START + farthest)

    clock.set_back(seconds(1))

    assert (await store.due(farthest)).look_at == clock.now()
    claim = await store.claim(farthest=farthest)
    assert claim is not None
    assert claim.task == task
