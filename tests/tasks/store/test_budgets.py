from dataclasses import replace
from datetime import timedelta

import pytest

from sora2_mcp.domain.request import Quality, VideoRequest
from sora2_mcp.domain.task import Status
from sora2_mcp.errors import LimitError
from sora2_mcp.tasks.store.database import Database
from sora2_mcp.tasks.store.interface import Budget, Outcome, Usage
from tests.clocks import FakeClock
from tests.tasks.store.drafts import (
    NO_LIMITS,
    OTHER_SERVICE,
    SOON,
    TurnedAwayError,
    count_rows,
    draft,
    failed,
    ordered,
    refusal,
    reserve,
    saved,
    succeeded,
    turn_away,
)

pytestmark = pytest.mark.anyio

ONE_ACTIVE = replace(NO_LIMITS, max_active_tasks=1)
ONE_A_DAY = replace(NO_LIMITS, daily_limit=1)


async def is_room(store: Database, clock: FakeClock, budget: Budget) -> bool:
    """Whether one more order would be let in; leaves nothing behind."""
    try:
        await reserve(store, draft(clock, prompt="One more"), budget, admit=turn_away)
    except LimitError:
        return False
    except TurnedAwayError:
        return True
    raise AssertionError("it was saved")


async def test_a_refusal_says_which_limit_and_how_much_is_used(store: Database, clock: FakeClock) -> None:
    await ordered(store, draft(clock), "task-1")

    with pytest.raises(LimitError) as active:
        await reserve(store, draft(clock, prompt="A dog"), ONE_ACTIVE)
    with pytest.raises(LimitError) as daily:
        await reserve(store, draft(clock, prompt="A dog"), ONE_A_DAY)

    assert (active.value.variable, active.value.limit, active.value.used) == ("SORA2_MAX_ACTIVE_TASKS", 1, 1)
    assert (daily.value.variable, daily.value.limit, daily.value.used) == ("SORA2_DAILY_LIMIT", 1, 1)
    assert "2026-11-23 00:00 UTC" in daily.value.hint
    assert await count_rows(store) == 1


async def test_an_order_being_sent_counts_as_active(store: Database, clock: FakeClock) -> None:
    await reserve(store, draft(clock), ONE_ACTIVE)

    assert not await is_room(store, clock, ONE_ACTIVE)


async def test_the_end_of_a_task_frees_the_active_limit_only(store: Database, clock: FakeClock) -> None:
    task = await ordered(store, draft(clock), "task-1")
    assert not await is_room(store, clock, ONE_ACTIVE)

    await saved(store, succeeded(task, clock.now()))

    assert await is_room(store, clock, ONE_ACTIVE)
    assert not await is_room(store, clock, ONE_A_DAY)


async def test_a_task_that_failed_while_generating_still_counts_for_the_day(store: Database, clock: FakeClock) -> None:
    task = await ordered(store, draft(clock), "task-1")
    await saved(store, failed(task, clock.now()))

    assert not await is_room(store, clock, ONE_A_DAY)


@pytest.mark.parametrize("marked", [True, False], ids=["marked", "lease lapsed"])
async def test_an_unconfirmed_order_counts_as_active_for_an_hour(
    store: Database, clock: FakeClock, *, marked: bool
) -> None:
    order = draft(clock)
    await reserve(store, order)
    if marked:
        await store.unclear(order.id, "no answer")

    await clock.advance(3599)
    assert not await is_room(store, clock, ONE_ACTIVE)
    await clock.advance(2)
    assert await is_room(store, clock, ONE_ACTIVE)
    assert not await is_room(store, clock, ONE_A_DAY)


async def test_the_daily_limit_follows_the_utc_day(store: Database, clock: FakeClock) -> None:
    await clock.advance(11 * 3600 + 3599)  # 23:59:59
    await ordered(store, draft(clock), "task-1")
    assert not await is_room(store, clock, ONE_A_DAY)

    await clock.advance(1)

    assert await is_room(store, clock, ONE_A_DAY)


async def test_a_refused_order_counts_nowhere(store: Database, clock: FakeClock) -> None:
    order = draft(clock)
    await reserve(store, order)
    await store.refuse(refusal(order, clock.now()))

    assert await is_room(store, clock, ONE_ACTIVE)
    assert await is_room(store, clock, ONE_A_DAY)


async def test_an_order_refused_after_its_id_was_handed_out_counts_nowhere(store: Database, clock: FakeClock) -> None:
    order = draft(clock)
    await reserve(store, order)
    await store.hand_out(order.id)
    await store.refuse(refusal(order, clock.now()))

    assert await is_room(store, clock, ONE_ACTIVE)
    assert await is_room(store, clock, ONE_A_DAY)


async def test_an_adopted_task_is_no_order_of_today(store: Database, clock: FakeClock) -> None:
    adopted = replace(draft(clock), adopted=True, task_id="task-1", sending_until=None)
    await store.adopt(adopted, SOON)

    assert await is_room(store, clock, ONE_A_DAY)


async def test_limits_are_shared_by_all_principals(store: Database, clock: FakeClock) -> None:
    await ordered(store, draft(clock, principal="token:ann"), "task-1")

    for budget in (ONE_ACTIVE, ONE_A_DAY):
        with pytest.raises(LimitError):
            await reserve(store, draft(clock, principal="token:bob"), budget)


async def test_limits_are_not_shared_by_services(store: Database, stranger: Database, clock: FakeClock) -> None:
    await ordered(store, draft(clock), "task-1")
    both = replace(ONE_ACTIVE, daily_limit=1)

    assert (await reserve(stranger, draft(clock, service=OTHER_SERVICE), both)).outcome is Outcome.NEW


async def test_a_known_key_is_answered_beyond_every_limit(store: Database, clock: FakeClock) -> None:
    await ordered(store, draft(clock, key="k"), "task-1")

    assert (await reserve(store, draft(clock, key="k"), ONE_A_DAY)).outcome is Outcome.SAME_KEY
    assert (await reserve(store, draft(clock), ONE_ACTIVE)).outcome is Outcome.REPEAT


async def test_usage_counts_ones_own_orders_and_everybodys(
    store: Database, stranger: Database, clock: FakeClock
) -> None:
    await ordered(store, draft(clock, prompt="yesterday"), "task-1")
    await clock.advance(86_400)
    broken = await ordered(store, draft(clock, prompt="fails"), "task-2")
    await saved(store, failed(broken, clock.now()))
    await ordered(store, draft(clock, prompt="runs"), "task-3")
    refused = draft(clock, prompt="refused")
    await reserve(store, refused)
    await store.refuse(refusal(refused, clock.now()))
    await ordered(store, draft(clock, principal="token:ann"), "task-4")
    await ordered(stranger, draft(clock, service=OTHER_SERVICE), "task-5")

    assert await store.usage("local") == Usage(
        mine_today=2,
        mine_failed_today=1,
        mine_this_month=3,
        mine_failed_this_month=1,
        all_today=3,
        all_active=3,
    )


async def test_last_months_orders_are_not_counted(store: Database, clock: FakeClock) -> None:
    await ordered(store, draft(clock), "task-1")
    await clock.advance(timedelta(days=9).total_seconds())

    usage = await store.usage("local")

    assert (usage.mine_this_month, usage.mine_today, usage.all_active) == (0, 0, 1)


async def test_a_refusal_says_when_an_order_nobody_knows_the_fate_of_frees_its_place(
    store: Database, clock: FakeClock
) -> None:
    unclear = draft(clock)
    await reserve(store, unclear)
    await store.unclear(unclear.id, "no answer")
    await clock.advance(600)

    with pytest.raises(LimitError) as caught:
        await reserve(store, draft(clock, prompt="A dog"), ONE_ACTIVE)

    assert caught.value.hint.startswith(
        "Another order is possible when a running task ends, or at 13:00 UTC, when an unconfirmed one stops counting."
    )


async def test_a_refusal_tells_nothing_of_others_orders(store: Database, clock: FakeClock) -> None:
    theirs = draft(clock, principal="token:ann")
    await reserve(store, theirs)
    await store.unclear(theirs.id, "no answer")

    with pytest.raises(LimitError) as caught:
        await reserve(store, draft(clock, prompt="A dog"), ONE_ACTIVE)

    assert caught.value.hint.startswith("Another order is possible when a running task ends. ")


async def test_tasks_are_counted_as_they_are_paged(store: Database, stranger: Database, clock: FakeClock) -> None:
    done = await ordered(store, draft(clock, prompt="done"), "task-1")
    await saved(store, succeeded(done, clock.now()))
    await ordered(store, draft(clock, prompt="runs"), "task-2")
    refused = draft(clock, prompt="refused")
    await reserve(store, refused)
    await store.refuse(refusal(refused, clock.now()))
    await ordered(store, draft(clock, principal="token:ann"), "task-3")
    await ordered(stranger, draft(clock, service=OTHER_SERVICE), "task-4")

    assert await store.count("local", None) == 2
    assert await store.count("local", Status.SUCCEEDED) == 1
    assert await store.count("token:ann", Status.FAILED) == 0


async def test_the_usual_time_is_the_median_of_the_last_twenty_of_the_same_kind(
    store: Database, clock: FakeClock
) -> None:
    async def made(seconds: float, *, quality: Quality = Quality.STANDARD) -> None:
        order = draft(clock, prompt=f"at {clock.now()}")
        order = replace(order, request=replace(order.request, quality=quality))
        task = await ordered(store, order, f"task-{order.id}")
        await clock.advance(seconds)
        await saved(store, succeeded(task, clock.now()))

    request = VideoRequest(prompt="another")
    assert await store.usual_seconds(request) is None
    await made(9000)
    for seconds in (100, 120, 140):
        await made(seconds)
        await made(900, quality=Quality.HD)
    assert await store.usual_seconds(request) == 130
    for _ in range(20):
        await made(60)
    assert await store.usual_seconds(request) == 60
    assert await store.usual_seconds(replace(request, quality=Quality.HD)) == 900
    assert await store.usual_seconds(replace(request, seconds=8)) is None
