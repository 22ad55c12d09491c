"""Orders found by the hash of their callback path, and ids that nobody but a callback named."""

from dataclasses import replace

import anyio
import pytest

from sora2_mcp.domain.task import Status, Task
from sora2_mcp.tasks.callbacks import callback_hash
from sora2_mcp.tasks.store.database import Database
from tests.clocks import FakeClock
from tests.tasks.store.drafts import (
    OTHER_SERVICE,
    SERVICE,
    SOON,
    count_rows,
    draft,
    due_at,
    ordered,
    refusal,
    reserve,
    row,
    saved,
    succeeded,
)

pytestmark = pytest.mark.anyio

HASH = callback_hash("x" * 32)


def called_back(clock: FakeClock, hash: str = HASH) -> Task:
    return replace(draft(clock), callback_hash=hash)


async def unconfirmed(store: Database, clock: FakeClock) -> Task:
    order = called_back(clock)
    await reserve(store, order)
    return await store.unclear(order.id, "the connection broke")


def adopted(clock: FakeClock, *, principal: str = "local") -> Task:
    seen = draft(clock, prompt="Seen elsewhere", principal=principal)
    return replace(seen, adopted=True, sending_until=None, task_id="task-1")


async def test_an_order_is_found_by_the_hash_of_its_path_alone(store: Database, clock: FakeClock) -> None:
    order = called_back(clock)
    await reserve(store, order)
    await reserve(store, draft(clock, prompt="A dog"))

    assert await store.hint(HASH) == order
    assert (await row(store, order.id))["callback"] == HASH
    assert await store.hint(callback_hash("y" * 32)) is None
    assert await store.hint("") is None


async def test_another_services_path_is_unknown(store: Database, stranger: Database, clock: FakeClock) -> None:
    await reserve(store, called_back(clock))

    assert await stranger.hint(HASH) is None


async def test_the_path_stays_with_the_order_through_all_that_becomes_of_it(store: Database, clock: FakeClock) -> None:
    order = called_back(clock)
    task = await ordered(store, order, "task-1")
    await saved(store, succeeded(task, clock.now()))

    found = await store.hint(HASH)

    assert found is not None
    assert (found.id, found.status, found.callback_hash) == (order.id, Status.SUCCEEDED, HASH)


async def test_an_id_that_a_callback_names_is_looked_into_once(store: Database, clock: FakeClock) -> None:
    order = await unconfirmed(store, clock)
    assert await due_at(store) is None

    await store.hint(HASH, "task-1")
    claim = await store.claim()
    assert claim is not None
    assert (claim.task, claim.hinted_id) == (order, "task-1")
    # It was not the order's.
    assert await store.settle(claim, order, SOON) is not None

    assert await due_at(store) is None
    await store.hint(HASH, "task-2")
    again = await store.claim()
    assert again is not None
    assert again.hinted_id == "task-2"


async def test_an_id_that_could_not_be_looked_into_is_kept(store: Database, clock: FakeClock) -> None:
    order = await unconfirmed(store, clock)
    await store.hint(HASH, "task-1")
    claim = await store.claim()
    assert claim is not None

    await store.settle(claim, order, SOON, 500)

    assert await due_at(store) == SOON.idle_at
    await clock.advance(60)
    again = await store.claim()
    assert again is not None
    assert (again.hinted_id, again.failures) == ("task-1", 1)


async def test_a_hinted_id_settles_an_unconfirmed_order(store: Database, clock: FakeClock) -> None:
    order = await unconfirmed(store, clock)

    bound = await store.bind_hinted(order.id, "task-1", SOON)

    assert bound is not None
    assert (bound.id, bound.task_id, bound.status) == (order.id, "task-1", Status.GENERATING)
    assert await store.load(order.id) == bound
    assert await due_at(store) == SOON.idle_at


async def test_a_hinted_id_that_another_order_has_changes_nothing(store: Database, clock: FakeClock) -> None:
    other = await ordered(store, draft(clock, prompt="A dog"), "task-1")
    order = await unconfirmed(store, clock)

    assert await store.bind_hinted(order.id, "task-1", SOON) is None

    assert await store.load(order.id) == order
    assert await store.load(other.id) == other


async def test_a_hinted_id_of_another_service_is_nobodys(store: Database, stranger: Database, clock: FakeClock) -> None:
    await ordered(stranger, draft(clock, service=OTHER_SERVICE), "task-1")
    order = await unconfirmed(store, clock)

    bound = await store.bind_hinted(order.id, "task-1", SOON)

    assert bound is not None
    assert (bound.task_id, bound.service) == ("task-1", SERVICE)


async def test_an_order_that_has_an_id_keeps_it(store: Database, clock: FakeClock) -> None:
    task = await ordered(store, called_back(clock), "task-1")

    assert await store.bind_hinted(task.id, "task-2", SOON) == task
    assert await store.load(task.id) == task


async def test_an_order_that_was_refused_takes_no_id(store: Database, clock: FakeClock) -> None:
    order = called_back(clock)
    await reserve(store, order)
    refused = await store.refuse(refusal(order, clock.now()))

    assert await store.bind_hinted(order.id, "task-1", SOON) is None
    assert await store.load(order.id) == refused


async def test_a_task_taken_in_under_the_id_becomes_the_order(store: Database, clock: FakeClock) -> None:
    order = await unconfirmed(store, clock)
    await store.adopt(succeeded(adopted(clock), clock.now()), SOON)

    bound = await store.bind_hinted(order.id, "task-1", SOON)

    assert bound is not None
    assert (bound.id, bound.status, bound.adopted, bound.request) == (order.id, Status.SUCCEEDED, False, order.request)
    assert await count_rows(store) == 1


async def test_a_task_somebody_else_took_in_is_left_alone(store: Database, clock: FakeClock) -> None:
    order = await unconfirmed(store, clock)
    theirs = await store.adopt(adopted(clock, principal="token:ann"), SOON)

    assert await store.bind_hinted(order.id, "task-1", SOON) is None
    assert await store.load(theirs.id) == theirs


async def test_of_many_orders_hinted_at_once_one_gets_the_id(
    store: Database, second: Database, clock: FakeClock
) -> None:
    orders = [replace(draft(clock, prompt=f"cat {number}"), callback_hash=f"{number:064}") for number in range(6)]
    for order in orders:
        await reserve(store, order)
    bound: list[Task | None] = []

    async def hint(at: Database, order: Task) -> None:
        bound.append(await at.bind_hinted(order.id, "task-1", SOON))

    async with anyio.create_task_group() as group:
        for number, order in enumerate(orders):
            group.start_soon(hint, (store, second)[number % 2], order)

    assert len([task for task in bound if task is not None]) == 1
