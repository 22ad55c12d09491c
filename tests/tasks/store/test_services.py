"""Rows of another service: a process with another key, another gateway or the simulator."""

from collections.abc import Awaitable, Callable
from datetime import timedelta

import pytest

from sora2_mcp.domain.task import SavedFile, Task
from sora2_mcp.errors import UnknownTaskError
from sora2_mcp.tasks.store.database import Database
from sora2_mcp.tasks.store.port import Outcome
from tests.clocks import START, FakeClock
from tests.tasks.store.drafts import (
    OTHER_SERVICE,
    SERVICE,
    SOON,
    draft,
    failed,
    ordered,
    refusal,
    reserve,
    row,
    succeeded,
)

pytestmark = pytest.mark.anyio

LATER = START + timedelta(seconds=20)
LEASE = timedelta(seconds=20)
FILE = SavedFile(path="/videos/a.mp4", size_bytes=1, sha256="11")
Call = Callable[[Database, Task], Awaitable[object]]

WRITES: dict[str, Call] = {
    "hold": lambda store, task: store.hold(task.id, LEASE),
    "hand_out": lambda store, task: store.hand_out(task.id),
    "refuse": lambda store, task: store.refuse(refusal(task, START)),
    "unclear": lambda store, task: store.unclear(task.id, "no answer"),
    "bind": lambda store, task: store.bind(task.id, "task-9", SOON),
    "save": lambda store, task: store.save(failed(task, START)),
    "want": lambda store, task: store.want(task, LATER, START),
    "claim_look": lambda store, task: store.claim_look(task.id, "me"),
    "settle_look": lambda store, task: store.settle_look(task.id, "me", SOON, 401),
    "release_look": lambda store, task: store.release_look(task.id, "me"),
    "claim_download": lambda store, task: store.claim_download(task.id, "me", LEASE),
    "settle_download": lambda store, task: store.settle_download(task.id, "me", FILE, None),
    "release_download": lambda store, task: store.release_download(task.id, "me"),
}
FIND_NOTHING = {"hand_out", "refuse", "unclear", "bind", "settle_download"}


@pytest.mark.parametrize("bound", [False, True], ids=["being sent", "generating"])
@pytest.mark.parametrize("write", WRITES)
async def test_no_method_touches_another_services_row(
    store: Database, stranger: Database, clock: FakeClock, write: str, *, bound: bool
) -> None:
    theirs = draft(clock, service=OTHER_SERVICE)
    await reserve(stranger, theirs)
    if bound:
        theirs = await stranger.bind(theirs.id, "task-1", SOON)
        await stranger.claim_look(theirs.id, "me")
        await stranger.claim_download(theirs.id, "me", LEASE)
    before = await row(store, theirs.id)

    if write in FIND_NOTHING:
        with pytest.raises(UnknownTaskError):
            await WRITES[write](store, theirs)
    else:
        assert await WRITES[write](store, theirs) in (None, False)

    assert await row(store, theirs.id) == before


async def test_another_services_rows_are_not_read(store: Database, stranger: Database, clock: FakeClock) -> None:
    theirs = await ordered(stranger, draft(clock, service=OTHER_SERVICE), "task-1")
    await clock.advance(3600)

    assert await store.load(theirs.id) is None
    assert await store.find("local", "task-1") is None
    assert await store.page("local", None, 10, None) == []
    assert await store.most_urgent() is None
    assert await store.next_due_at() is None


async def test_two_services_may_use_one_key_and_one_task_id(
    store: Database, stranger: Database, clock: FakeClock
) -> None:
    theirs = await ordered(stranger, draft(clock, service=OTHER_SERVICE, key="k"), "task-1")
    await stranger.save(succeeded(theirs, clock.now()))

    mine = draft(clock, key="k", prompt="A dog")

    assert (await reserve(store, mine)).outcome is Outcome.NEW
    assert (await store.bind(mine.id, "task-1", SOON)).service == SERVICE
    assert {"service": OTHER_SERVICE, "idempotency_key": "k", "task_id": "task-1"}.items() <= (
        await row(store, theirs.id)
    ).items()


async def test_an_exact_repeat_on_another_service_is_a_new_order(
    store: Database, stranger: Database, clock: FakeClock
) -> None:
    unclear = draft(clock, service=OTHER_SERVICE)
    await reserve(stranger, unclear)
    await stranger.unclear(unclear.id, "no answer")

    assert (await reserve(store, draft(clock))).outcome is Outcome.NEW
