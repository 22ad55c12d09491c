from dataclasses import replace
from datetime import timedelta

import pytest

from sora2_mcp.domain.request import AspectRatio, VideoRequest
from sora2_mcp.domain.task import Status
from sora2_mcp.errors import KeyReusedError
from sora2_mcp.tasks.store.database import Database
from sora2_mcp.tasks.store.interface import Outcome, Reservation
from tests.clocks import FakeClock
from tests.tasks.store.drafts import (
    NO_LIMITS,
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

A_YEAR_SECONDS = 365 * 86_400


async def test_a_new_order_is_saved_before_it_is_sent(store: Database, clock: FakeClock) -> None:
    order = replace(
        draft(clock, key="k"),
        request=VideoRequest(
            prompt="A cat", image_urls=("https://a.example/1.png",), aspect_ratio=AspectRatio.PORTRAIT, watermark="me"
        ),
    )

    reservation = await reserve(store, order)

    assert reservation == Reservation(task=order, outcome=Outcome.NEW)
    assert await store.load(order.id) == order


async def test_an_order_nobody_wants_any_more_when_its_turn_comes_is_not_saved(
    store: Database, clock: FakeClock
) -> None:
    with pytest.raises(TurnedAwayError):
        await reserve(store, draft(clock), admit=turn_away)

    assert await count_rows(store) == 0


async def test_an_order_that_is_known_is_found_whoever_would_be_turned_away(store: Database, clock: FakeClock) -> None:
    first = await ordered(store, draft(clock, key="k"), "task-1")

    found = await reserve(store, draft(clock, key="k"), admit=turn_away)

    assert found == Reservation(task=first, outcome=Outcome.SAME_KEY)


async def test_a_callback_address_is_not_kept(store: Database, clock: FakeClock) -> None:
    request = VideoRequest(prompt="A cat", callback_url="https://me.example/secret-token")

    order = replace(draft(clock), request=request)
    await reserve(store, order)

    stored = await store.load(order.id)
    assert stored is not None
    assert stored.request == VideoRequest(prompt="A cat")


async def test_the_same_key_and_arguments_give_the_first_task(store: Database, clock: FakeClock) -> None:
    first = await ordered(store, draft(clock, key="k"), "task-1")
    done = await saved(store, succeeded(first, clock.now()))
    await clock.advance(A_YEAR_SECONDS)

    again = await reserve(store, draft(clock, key="k"))

    assert again == Reservation(task=done, outcome=Outcome.SAME_KEY)
    assert await count_rows(store) == 1


async def test_a_key_with_other_arguments_is_an_error_that_names_it(store: Database, clock: FakeClock) -> None:
    await reserve(store, draft(clock, key="k-7"))

    with pytest.raises(KeyReusedError, match="k-7") as caught:
        await reserve(store, draft(clock, key="k-7", prompt="A dog"))

    assert caught.value.key == "k-7"
    assert await count_rows(store) == 1


async def test_the_key_of_a_failed_task_asks_for_a_new_one(store: Database, clock: FakeClock) -> None:
    first = await ordered(store, draft(clock, key="k"), "task-1")
    await saved(store, failed(first, clock.now()))

    with pytest.raises(KeyReusedError, match="task-1") as caught:
        await reserve(store, draft(clock, key="k"))

    assert "new idempotency_key" in caught.value.hint
    assert await count_rows(store) == 1


async def test_the_key_of_an_unconfirmed_order_gives_that_order(store: Database, clock: FakeClock) -> None:
    order = draft(clock, key="k")
    await reserve(store, order)
    unclear = await store.unclear(order.id, "no answer")

    assert await reserve(store, draft(clock, key="k")) == Reservation(task=unclear, outcome=Outcome.SAME_KEY)


async def test_the_key_of_a_refused_order_is_free_again(store: Database, clock: FakeClock) -> None:
    first = draft(clock, key="k")
    await reserve(store, first)
    await store.refuse(refusal(first, clock.now()))

    second = draft(clock, key="k", prompt="A dog")

    assert await reserve(store, second) == Reservation(task=second, outcome=Outcome.NEW)


async def test_an_exact_repeat_joins_the_order_under_way(store: Database, clock: FakeClock) -> None:
    first = await ordered(store, draft(clock), "task-1")
    await clock.advance(59)

    assert await reserve(store, draft(clock)) == Reservation(task=first, outcome=Outcome.REPEAT)


async def test_a_repeat_after_the_window_is_a_new_order(store: Database, clock: FakeClock) -> None:
    await ordered(store, draft(clock), "task-1")
    await clock.advance(61)

    assert (await reserve(store, draft(clock))).outcome is Outcome.NEW


async def test_a_repeat_of_a_finished_task_is_a_new_order(store: Database, clock: FakeClock) -> None:
    first = await ordered(store, draft(clock), "task-1")
    await saved(store, succeeded(first, clock.now()))

    assert (await reserve(store, draft(clock))).outcome is Outcome.NEW


async def test_another_prompt_is_no_repeat(store: Database, clock: FakeClock) -> None:
    await reserve(store, draft(clock))

    assert (await reserve(store, draft(clock, prompt="A dog"))).outcome is Outcome.NEW


async def test_an_unconfirmed_order_blocks_repeats_without_time_limit(store: Database, clock: FakeClock) -> None:
    order = draft(clock)
    await reserve(store, order)
    unclear = await store.unclear(order.id, "no answer")
    await clock.advance(A_YEAR_SECONDS)

    assert await reserve(store, draft(clock)) == Reservation(task=unclear, outcome=Outcome.REPEAT)


async def test_an_order_whose_sender_died_blocks_repeats_without_time_limit(store: Database, clock: FakeClock) -> None:
    order = draft(clock)
    await reserve(store, order)
    await clock.advance(A_YEAR_SECONDS)

    # Also before that has been written.
    assert await reserve(store, draft(clock)) == Reservation(task=order, outcome=Outcome.REPEAT)
    await store.lapse()
    unclear = replace(order, status=Status.UNCONFIRMED, sending_until=None, version=1)
    assert await reserve(store, draft(clock)) == Reservation(task=unclear, outcome=Outcome.REPEAT)


async def test_a_new_key_orders_again_whatever_is_unconfirmed_or_under_way(store: Database, clock: FakeClock) -> None:
    unclear = draft(clock, prompt="unclear")
    await reserve(store, unclear)
    await store.unclear(unclear.id, "no answer")
    await ordered(store, draft(clock, prompt="running"), "task-1")

    assert (await reserve(store, draft(clock, prompt="unclear", key="new"))).outcome is Outcome.NEW
    assert (await reserve(store, draft(clock, prompt="running", key="newer"))).outcome is Outcome.NEW


async def test_a_window_of_zero_switches_repeats_off(store: Database, clock: FakeClock) -> None:
    off = replace(NO_LIMITS, duplicate_window=timedelta(0))
    await ordered(store, draft(clock), "task-1")

    assert (await reserve(store, draft(clock), off)).outcome is Outcome.NEW


async def test_even_a_window_of_zero_does_not_repeat_an_unconfirmed_order(store: Database, clock: FakeClock) -> None:
    off = replace(NO_LIMITS, duplicate_window=timedelta(0))
    order = draft(clock)
    await reserve(store, order)
    unclear = await store.unclear(order.id, "no answer")

    assert await reserve(store, draft(clock), off) == Reservation(task=unclear, outcome=Outcome.REPEAT)


async def test_principals_never_join_each_other(store: Database, clock: FakeClock) -> None:
    await reserve(store, draft(clock, principal="token:ann"))
    await reserve(store, draft(clock, principal="token:ann", key="k"))
    unclear = draft(clock, principal="token:ann", prompt="unclear", key="u")
    await reserve(store, unclear)
    await store.unclear(unclear.id, "no answer")

    assert (await reserve(store, draft(clock, principal="token:bob"))).outcome is Outcome.NEW
    assert (await reserve(store, draft(clock, principal="token:bob", key="k"))).outcome is Outcome.NEW
    assert (await reserve(store, draft(clock, principal="token:bob", prompt="unclear"))).outcome is Outcome.NEW


async def test_one_key_of_two_principals_may_mean_two_orders(store: Database, clock: FakeClock) -> None:
    await reserve(store, draft(clock, principal="token:ann", key="k", prompt="A cat"))

    assert (await reserve(store, draft(clock, principal="token:bob", key="k", prompt="A dog"))).outcome is Outcome.NEW


async def test_refused_orders_are_forgotten_after_a_day(store: Database, clock: FakeClock) -> None:
    refused = draft(clock)
    await reserve(store, refused)
    await store.refuse(refusal(refused, clock.now()))
    await clock.advance(86_401)

    other = draft(clock)
    await reserve(store, other)
    await store.refuse(refusal(other, clock.now()))

    assert await store.load(refused.id) is None
    assert await count_rows(store) == 1
