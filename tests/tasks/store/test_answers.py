"""What becomes of a reserved order: taken back, refused, unclear, bound, adopted."""

from dataclasses import replace
from datetime import timedelta

import pytest

from sora2_mcp.domain.task import Failure, SavedFile, Sighting, Snapshot, Stage, Status, Task, advance
from sora2_mcp.errors import UnknownTaskError
from sora2_mcp.tasks.store.database import Database
from tests.clocks import FakeClock
from tests.tasks.store.drafts import (
    SOON,
    count_rows,
    draft,
    due_at,
    failed,
    ordered,
    plan,
    refusal,
    reserve,
    saved,
    succeeded,
)

pytestmark = pytest.mark.anyio


def foreign(clock: FakeClock, task_id: str, *, done: bool = False) -> Task:
    """A task ordered elsewhere, as it is adopted after a look."""
    seen = replace(draft(clock), task_id=task_id, adopted=True, sending_until=None)
    sighting = Sighting.SUCCEEDED if done else Sighting.GENERATING
    url = "https://cdn.example/a.mp4" if done else ""
    return advance(seen, Snapshot(sighting=sighting, seen_at=clock.now(), video_url=url))[0]


async def test_a_refused_order_is_hidden(store: Database, clock: FakeClock) -> None:
    order = draft(clock, key="k")
    await reserve(store, order)

    refused = await store.refuse(refusal(order, clock.now()))

    assert refused == replace(
        refusal(order, clock.now()), status=Status.REFUSED, idempotency_key="", sending_until=None, version=1
    )
    assert await store.load(order.id) == refused
    assert await store.page("local", None, 10, None) == []


async def test_an_order_refused_after_its_id_was_handed_out_is_listed_as_failed(
    store: Database, clock: FakeClock
) -> None:
    order = draft(clock, key="k")
    await reserve(store, order)
    await store.hand_out(order.id)

    refused = await store.refuse(refusal(order, clock.now()))

    assert refused == replace(refusal(order, clock.now()), sending_until=None, version=1)
    assert await store.page("local", None, 10, None) == [refused]


async def test_the_id_of_a_refused_order_is_not_handed_out(store: Database, clock: FakeClock) -> None:
    order = draft(clock)
    await reserve(store, order)
    refused = await store.refuse(refusal(order, clock.now()))

    assert await store.hand_out(order.id) == refused


async def test_a_refusal_never_ends_an_accepted_order(store: Database, clock: FakeClock) -> None:
    task = await ordered(store, draft(clock), "task-1")

    assert await store.refuse(refusal(task, clock.now())) == task


async def test_a_lost_answer_leaves_the_order_unconfirmed(store: Database, clock: FakeClock) -> None:
    order = draft(clock)
    await reserve(store, order)

    unclear = await store.unclear(order.id, "no answer")

    assert unclear == replace(
        order, status=Status.UNCONFIRMED, sending_until=None, unclear_because="no answer", version=1
    )
    assert await store.unclear(order.id, "no answer") == unclear


async def test_an_accepted_order_never_becomes_unconfirmed(store: Database, clock: FakeClock) -> None:
    task = await ordered(store, draft(clock), "task-1")

    assert await store.unclear(task.id, "no answer") == task


async def test_a_refused_order_never_becomes_unconfirmed(store: Database, clock: FakeClock) -> None:
    order = draft(clock)
    await reserve(store, order)
    refused = await store.refuse(refusal(order, clock.now()))

    assert await store.unclear(order.id, "no answer") == refused


async def test_binding_gives_the_order_its_id_and_its_first_look(store: Database, clock: FakeClock) -> None:
    order = draft(clock)
    await reserve(store, order)
    await clock.advance(2)

    bound = await store.bind(order.id, "task-1", plan(clock.now()))

    assert bound == replace(
        order, task_id="task-1", sending_until=None, known_unfinished_at=order.created_at, version=1
    )
    assert await store.find("local", "task-1") == bound
    assert await store.find("local", f"local-{order.id}") == bound
    assert await due_at(store) == clock.now() + timedelta(seconds=60)


async def test_binding_twice_is_binding_once(store: Database, clock: FakeClock) -> None:
    bound = await ordered(store, draft(clock), "task-1")

    assert await store.bind(bound.id, "task-1", SOON) == bound
    assert await store.bind(bound.id, "task-2", SOON) == bound


async def test_an_unconfirmed_order_is_settled_by_its_id(store: Database, clock: FakeClock) -> None:
    order = draft(clock)
    await reserve(store, order)
    await store.unclear(order.id, "no answer")

    bound = await store.bind(order.id, "task-1", SOON)

    assert (bound.status, bound.task_id) == (Status.GENERATING, "task-1")
    assert await due_at(store) == SOON.idle_at


async def test_binding_takes_the_place_of_the_task_adopted_meanwhile(store: Database, clock: FakeClock) -> None:
    order = draft(clock)
    await reserve(store, order)
    await clock.advance(30)
    adopted = await store.adopt(foreign(clock, "task-1", done=True), SOON)
    await store.claim_download(adopted.id, timedelta(seconds=60))
    file = SavedFile(path="/videos/a.mp4", size_bytes=3, sha256="abc")
    await store.settle_download(adopted.id, file, None)

    bound = await store.bind(order.id, "task-1", SOON)

    assert await store.load(adopted.id) is None
    assert bound == replace(succeeded(order, clock.now()), task_id="task-1", sending_until=None, file=file, version=1)
    assert await store.find("local", "task-1") == bound
    assert await due_at(store) is None


async def test_binding_over_an_unfinished_adopted_task_goes_on_looking(store: Database, clock: FakeClock) -> None:
    order = draft(clock)
    await reserve(store, order)
    await store.adopt(foreign(clock, "task-1"), SOON)

    bound = await store.bind(order.id, "task-1", plan(clock.now()))

    assert (bound.status, bound.adopted, await count_rows(store)) == (Status.GENERATING, False, 1)
    assert await due_at(store) == clock.now() + timedelta(seconds=60)


async def test_an_adopted_task_is_looked_at_in_the_idle_pace(store: Database, clock: FakeClock) -> None:
    adopted = await store.adopt(foreign(clock, "task-1"), SOON)

    assert adopted == replace(foreign(clock, "task-1"), id=adopted.id, last_look_at=clock.now())
    assert await due_at(store) == SOON.idle_at


async def test_a_finished_task_is_adopted_without_looks_to_come(store: Database, clock: FakeClock) -> None:
    adopted = await store.adopt(foreign(clock, "task-1", done=True), SOON)

    assert (adopted.status, adopted.video_expires_at) == (Status.SUCCEEDED, None)
    assert await due_at(store) is None


async def test_adopting_twice_is_adopting_once(store: Database, clock: FakeClock) -> None:
    first = await store.adopt(foreign(clock, "task-1"), SOON)

    assert await store.adopt(foreign(clock, "task-1"), SOON) == first
    assert await count_rows(store) == 1


async def test_an_order_of_ones_own_is_not_adopted(store: Database, clock: FakeClock) -> None:
    mine = await ordered(store, draft(clock), "task-1")

    assert await store.adopt(foreign(clock, "task-1"), SOON) == mine


async def test_a_task_of_another_principal_is_not_adopted(store: Database, clock: FakeClock) -> None:
    anns = await ordered(store, draft(clock, principal="token:ann"), "task-1")

    with pytest.raises(UnknownTaskError):
        await store.adopt(foreign(clock, "task-1"), SOON)

    assert await store.is_known("task-1")
    assert not await store.is_known("task-2")
    assert await store.load(anns.id) == anns


async def test_holding_extends_the_senders_lease(store: Database, clock: FakeClock) -> None:
    order = draft(clock)
    await reserve(store, order)
    until = clock.now() + timedelta(minutes=5)

    await store.hold(order.id, timedelta(minutes=5))

    held = await store.load(order.id)
    assert held == replace(order, sending_until=until)
    await clock.advance(299)
    await store.lapse()
    assert await store.load(order.id) == held


async def test_an_answered_order_is_held_no_longer(store: Database, clock: FakeClock) -> None:
    task = await ordered(store, draft(clock), "task-1")

    await store.hold(task.id, timedelta(minutes=5))

    assert await store.load(task.id) == task


async def test_a_finished_task_is_looked_at_no_more(store: Database, clock: FakeClock) -> None:
    task = await ordered(store, draft(clock), "task-1")
    assert await due_at(store) is not None

    await saved(store, succeeded(task, clock.now()))

    assert await due_at(store) is None


async def test_whatever_the_service_says_of_a_failure_can_be_kept(store: Database, clock: FakeClock) -> None:
    task = await ordered(store, draft(clock), "task-1")
    odd = Failure(stage=Stage.GENERATION, code=999_999_999_999_999, message="No\x00 more")

    await saved(store, replace(failed(task, clock.now()), failure=odd))

    kept = await store.load(task.id)
    assert kept is not None
    assert kept.failure == replace(odd, message="No more")


async def test_what_is_not_there_is_unknown(store: Database) -> None:
    assert await store.load("nobody") is None
    assert await store.find("local", "nobody") is None
    with pytest.raises(UnknownTaskError):
        await store.hand_out("nobody")
    with pytest.raises(UnknownTaskError):
        await store.bind("nobody", "task-1", SOON)


async def test_a_task_is_found_by_its_own_principal_only(store: Database, clock: FakeClock) -> None:
    task = await ordered(store, draft(clock, principal="token:ann"), "task-1")

    assert await store.find("token:ann", "task-1") == task
    assert await store.find("token:bob", "task-1") is None
    assert await store.find("token:bob", f"local-{task.id}") is None
