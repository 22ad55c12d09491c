"""Two processes at once: two stores on one database."""

from collections.abc import Callable, Coroutine
from dataclasses import replace
from itertools import cycle
from typing import Any

import anyio
import pytest

from sora2_mcp.errors import LimitError
from sora2_mcp.tasks.store.database import Database
from sora2_mcp.tasks.store.port import Outcome, Reservation
from tests.clocks import FakeClock
from tests.tasks.store.drafts import NO_LIMITS, SOON, count_rows, draft, ordered, reserve

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


async def test_twenty_exact_repeats_are_one_task(store: Database, second: Database, clock: FakeClock) -> None:
    outcomes: list[Outcome] = []

    def order(store: Database) -> Callable[[], Coroutine[Any, Any, None]]:
        async def place() -> None:
            outcomes.append((await reserve(store, draft(clock))).outcome)

        return place

    await at_once([order(each) for each, _ in zip(cycle([store, second]), range(20), strict=False)])

    assert (outcomes.count(Outcome.NEW), outcomes.count(Outcome.REPEAT)) == (1, 19)
    assert await count_rows(store) == 1


async def test_twenty_orders_never_overrun_a_limit(store: Database, second: Database, clock: FakeClock) -> None:
    limited = replace(NO_LIMITS, max_active_tasks=5)
    refused: list[int] = []

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
    granted: list[int | None] = []

    def claim(store: Database, number: int) -> Callable[[], Coroutine[Any, Any, None]]:
        async def take() -> None:
            granted.append(await store.claim_look(task.id, f"owner-{number}", SOON.wanted_at))

        return take

    await at_once([claim(each, number) for each, number in zip(cycle([store, second]), range(20), strict=False)])

    assert (granted.count(0), granted.count(None)) == (1, 19)
