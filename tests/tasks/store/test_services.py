"""Rows of another service: a process with another key, another gateway or the simulator."""

from collections.abc import Awaitable, Callable
from dataclasses import replace
from datetime import timedelta

import pytest

from sora2_mcp.domain.task import SavedFile, Task
from sora2_mcp.errors import UnknownTaskError
from sora2_mcp.tasks.store.database import Database
from sora2_mcp.tasks.store.interface import Claim, Outcome
from tests.clocks import START, FakeClock
from tests.tasks.store.drafts import (
    OTHER_SERVICE,
    SERVICE,
    SOON,
    draft,
    due_at,
    failed,
    ordered,
    refusal,
    reserve,
    row,
    saved,
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
    "lapse": lambda store, _: store.lapse(),
    "want": lambda store, task: store.want(task, LATER, START),
    "hint": lambda store, task: store.hint(task.callback_hash, "task-9"),
    "claim": lambda store, task: store.claim(task),
    "claim the most urgent": lambda store, _: store.claim(),
    "settle": lambda store, task: store.settle(Claim(task=task), failed(task, START), SOON),
    "settle a failure": lambda store, task: store.settle(Claim(task=task), task, SOON, 401),
    "release": lambda store, task: store.release(Claim(task=task)),
    "claim_download": lambda store, task: store.claim_download(task.id, LEASE),
    "settle_download": lambda store, task: store.settle_download(task.id, FILE, None),
    "release_download": lambda store, task: store.release_download(task.id),
}
FIND_NOTHING = {"hand_out", "refuse", "unclear", "bind", "settle_download"}


@pytest.mark.parametrize("bound", [False, True], ids=["being sent", "generating"])
@pytest.mark.parametrize("write", WRITES)
async def test_no_method_touches_another_services_row(
    store: Database, stranger: Database, clock: FakeClock, write: str, *, bound: bool
) -> None:
    theirs = replace(draft(clock, service=OTHER_SERVICE), callback_hash="h")
    await reserve(stranger, theirs)
    if bound:
        theirs = await stranger.bind(theirs.id, "task-1", SOON)
        assert await stranger.claim(theirs) is not None
        await stranger.claim_download(theirs.id, LEASE)
    await clock.advance(3600)
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
    assert await store.claim() is None
    assert await due_at(store) is None


async def test_two_services_may_use_one_key_and_one_task_id(
    store: Database, stranger: Database, clock: FakeClock
) -> None:
    theirs = await ordered(stranger, draft(clock, service=OTHER_SERVICE, key="k"), "task-1")
    await saved(stranger, succeeded(theirs, clock.now()))

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
