"""Two processes at once: two stores on one database."""

from collections.abc import Callable, Coroutine
from contextlib import suppress
from dataclasses import replace
from itertools import cycle
from typing import Any

import anyio
import pytest

from sora2_mcp.domain.task import SavedFile, Task
from sora2_mcp.errors import KeyReusedError, LimitError, UnknownTaskError
from sora2_mcp.tasks.store.database import Database
from sora2_mcp.tasks.store.interface import Budget, Outcome, Reservation
from tests.clocks import FakeClock
from tests.tasks.store.drafts import NO_LIMITS, SOON, count_rows, draft, ordered, reserve, succeeded

pytestmark = pytest.mark.anyio


async def at_once(calls: list[Callable[[], Coroutine[Any, Any, None]]]) -> None:
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for call in calls:
                group.start_soon(call)


async def test_twenty_orders_with_one_key_are_one_task(store: Database, second: Database, clock: FakeClock) -> None:
    reservations: list[Reservation] = []

    def order(store: Database) -> Callable[[], Coroutine[Any, Any, None]]:
        async def place() -> None:
            reservations.append(await reserve(store, draft(clock, key="k")))

        return place

    await at_once([order(each) for each, _ in zip(cycle([store, second]), range(20), strict=False)])

    assert sorted(reservation.outcome.value for reservation in reservations) == ["new"] + ["same key"] * 19
    assert len({reservation.task.id for reservation in reservations}) == 1
    assert await count_rows(store) == 1


async def test_twenty_orders_with_one_key_and_other_arguments_are_one_task(
    store: Database, second: Database, clock: FakeClock
) -> None:
    new, reused = list[Reservation](), list[KeyReusedError]()

    def order(store: Database, number: int) -> Callable[[], Coroutine[Any, Any, None]]:
        async def place() -> None:
            try:
                new.append(await reserve(store, draft(clock, prompt=f"A cat {number}", key="k")))
            except KeyReusedError as error:
                reused.append(error)

        return place

    await at_once([order(each, number) for each, number in zip(cycle([store, second]), range(20), strict=False)])

    assert (len(new), len(reused), await count_rows(store)) == (1, 19, 1)


async def test_of_equal_orders_with_and_without_a_key_at_most_the_keyed_one_is_sent_beside_the_other(
    store: Database, second: Database, clock: FakeClock
) -> None:
    outcomes: list[Outcome] = []

    def order(store: Database, key: str) -> Callable[[], Coroutine[Any, Any, None]]:
        async def place() -> None:
            outcomes.append((await reserve(store, draft(clock, key=key))).outcome)

        return place

    wishes = zip(cycle([store, second]), cycle(["", "", "k"]), range(21), strict=False)
    await at_once([order(each, key) for each, key, _ in wishes])

    # One without a key comes first and is one order more, or joins the keyed one.
    assert outcomes.count(Outcome.NEW) == await count_rows(store) <= 2


async def test_twenty_exact_repeats_are_one_task(store: Database, second: Database, clock: FakeClock) -> None:
    outcomes: list[Outcome] = []

    def order(store: Database) -> Callable[[], Coroutine[Any, Any, None]]:
        async def place() -> None:
            outcomes.append((await reserve(store, draft(clock))).outcome)

        return place

    await at_once([order(each) for each, _ in zip(cycle([store, second]), range(20), strict=False)])

    assert (outcomes.count(Outcome.NEW), outcomes.count(Outcome.REPEAT)) == (1, 19)
    assert await count_rows(store) == 1


@pytest.mark.parametrize("round", range(5))
async def test_a_process_with_limits_and_one_without_order_an_exact_repeat_once(
    store: Database, second: Database, clock: FakeClock, round: int
) -> None:
    del round
    outcomes: list[Outcome] = []

    def order(store: Database, budget: Budget) -> Callable[[], Coroutine[Any, Any, None]]:
        async def place() -> None:
            outcomes.append((await reserve(store, draft(clock), budget)).outcome)

        return place

    limited = replace(NO_LIMITS, daily_limit=100)
    await at_once([order(store, limited), order(second, NO_LIMITS), order(store, NO_LIMITS), order(second, limited)])

    assert outcomes.count(Outcome.NEW) == 1


async def test_twenty_orders_never_overrun_a_limit(store: Database, second: Database, clock: FakeClock) -> None:
    limited = replace(NO_LIMITS, max_active_tasks=5)
    refused: list[float] = []

    def order(store: Database, number: int) -> Callable[[], Coroutine[Any, Any, None]]:
        async def place() -> None:
            try:
                await reserve(store, draft(clock, prompt=f"A cat {number}"), limited)
            except LimitError as error:
                refused.append(error.used)

        return place

    await at_once([order(each, number) for each, number in zip(cycle([store, second]), range(20), strict=False)])

    assert refused == [5] * 15
    assert await count_rows(store) == 5


async def test_one_of_twenty_gets_the_lease_for_a_look(store: Database, second: Database, clock: FakeClock) -> None:
    task = await ordered(store, draft(clock), "task-1")
    granted: list[bool] = []

    def claim(store: Database, task: Task | None) -> Callable[[], Coroutine[Any, Any, None]]:
        async def take() -> None:
            granted.append(await store.claim(task) is not None)

        return take

    await clock.advance(60)
    wishes = zip(cycle([store, second]), cycle([task, task, None]), range(20), strict=False)
    await at_once([claim(each, wanted) for each, wanted, _ in wishes])

    assert sorted(granted) == [False] * 19 + [True]


async def test_processes_that_look_at_once_take_different_tasks(
    store: Database, second: Database, clock: FakeClock
) -> None:
    ids = [(await ordered(store, draft(clock, prompt=str(number)), f"task-{number}")).id for number in range(10)]
    claimed: list[str] = []

    def claim(store: Database) -> Callable[[], Coroutine[Any, Any, None]]:
        async def take() -> None:
            while (taken := await store.claim()) is not None:
                claimed.append(taken.task.id)

        return take

    await clock.advance(60)
    await at_once([claim(store), claim(second), claim(store), claim(second)])

    assert sorted(claimed) == sorted(ids)


async def test_one_of_twenty_saves_what_all_have_seen(store: Database, second: Database, clock: FakeClock) -> None:
    task = await ordered(store, draft(clock), "task-1")
    saved: list[bool] = []
    claim = await store.claim(task)
    assert claim is not None

    def save(store: Database) -> Callable[[], Coroutine[Any, Any, None]]:
        async def put() -> None:
            saved.append(await store.settle(claim, succeeded(task, clock.now()), SOON) is not None)

        return put

    await at_once([save(each) for each, _ in zip(cycle([store, second]), range(20), strict=False)])

    assert sorted(saved) == [False] * 19 + [True]


async def test_a_file_saved_while_its_adopted_task_is_merged_is_never_lost(
    store: Database, second: Database, clock: FakeClock
) -> None:
    file = SavedFile(path="/videos/a.mp4", size_bytes=1, sha256="11")
    for number in range(10):
        order, task_id = draft(clock, key=str(number)), f"task-{number}"
        await reserve(store, order)
        found = replace(succeeded(draft(clock), clock.now()), task_id=task_id, adopted=True, sending_until=None)
        adopted = await store.adopt(found, SOON)
        kept: list[SavedFile | None] = []

        async def settle(id: str = adopted.id, kept: list[SavedFile | None] = kept) -> None:
            with suppress(UnknownTaskError):
                kept.append((await second.settle_download(id, file, None)).file)

        async def bind(id: str = order.id, task_id: str = task_id) -> None:
            await store.bind(id, task_id, SOON)

        await at_once([settle, bind])

        merged = await store.load(order.id)
        assert merged is not None
        assert [merged.file] == (kept or [None])
