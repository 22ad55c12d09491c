from collections.abc import Sequence

import pytest

from sora2_mcp.domain.task import Status, Task
from sora2_mcp.tasks.store.database import Database
from sora2_mcp.tasks.store.interface import PageMark
from tests.clocks import FakeClock
from tests.tasks.store.drafts import (
    OTHER_SERVICE,
    draft,
    failed,
    ordered,
    refusal,
    reserve,
    saved,
    succeeded,
)

pytestmark = pytest.mark.anyio


def prompts(tasks: Sequence[Task]) -> list[str]:
    return [task.request.prompt for task in tasks]


async def test_the_newest_task_comes_first(store: Database, clock: FakeClock) -> None:
    for number in range(3):
        await reserve(store, draft(clock, prompt=f"cat {number}"))
        await clock.advance(1)

    assert prompts(await store.page("local", None, 10, None)) == ["cat 2", "cat 1", "cat 0"]
    assert prompts(await store.page("local", None, 2, None)) == ["cat 2", "cat 1"]


async def test_paging_neither_skips_nor_repeats_tasks_of_one_instant(store: Database, clock: FakeClock) -> None:
    for number in range(7):
        await reserve(store, draft(clock, prompt=f"cat {number}"))
    seen: list[Task] = []
    after: PageMark | None = None
    while page := await store.page("local", None, 2, after):
        seen += page
        after = PageMark(created_at=page[-1].created_at, id=page[-1].id)

    assert sorted(prompts(seen)) == [f"cat {number}" for number in range(7)]
    assert [task.id for task in seen] == sorted((task.id for task in seen), reverse=True)


async def test_a_task_ordered_meanwhile_does_not_disturb_the_next_page(store: Database, clock: FakeClock) -> None:
    for number in range(4):
        await reserve(store, draft(clock, prompt=f"cat {number}"))
        await clock.advance(1)
    first = await store.page("local", None, 2, None)
    await reserve(store, draft(clock, prompt="newest"))

    after = PageMark(created_at=first[-1].created_at, id=first[-1].id)

    assert prompts(await store.page("local", None, 2, after)) == ["cat 1", "cat 0"]


async def test_each_status_lists_its_own(store: Database, clock: FakeClock) -> None:
    unclear, refused = draft(clock, prompt="unclear"), draft(clock, prompt="refused")
    await reserve(store, draft(clock, prompt="its sender died"))
    await clock.advance(46)
    await store.lapse()
    await reserve(store, draft(clock, prompt="being sent"))
    await ordered(store, draft(clock, prompt="generating"), "task-1")
    await reserve(store, unclear)
    await store.unclear(unclear.id, "no answer")
    await reserve(store, refused)
    await store.refuse(refusal(refused, clock.now()))
    await saved(store, succeeded(await ordered(store, draft(clock, prompt="succeeded"), "task-2"), clock.now()))
    await saved(store, failed(await ordered(store, draft(clock, prompt="failed"), "task-3"), clock.now()))

    async def listed(status: Status | None) -> set[str]:
        return set(prompts(await store.page("local", status, 50, None)))

    assert await listed(Status.GENERATING) == {"being sent", "generating"}
    assert await listed(Status.UNCONFIRMED) == {"its sender died", "unclear"}
    assert await listed(Status.SUCCEEDED) == {"succeeded"}
    assert await listed(Status.FAILED) == {"failed"}
    assert await listed(None) == {
        "being sent",
        "generating",
        "its sender died",
        "unclear",
        "succeeded",
        "failed",
    }


async def test_a_principal_sees_nobody_elses_tasks(store: Database, stranger: Database, clock: FakeClock) -> None:
    await reserve(store, draft(clock, principal="token:ann"))
    await reserve(stranger, draft(clock, service=OTHER_SERVICE))

    assert await store.page("local", None, 10, None) == []
