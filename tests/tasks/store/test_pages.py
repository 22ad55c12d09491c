from collections.abc import Sequence
from datetime import timedelta

import pytest

from sora2_mcp.domain.task import Status, Task
from sora2_mcp.tasks.store.database import Database
from sora2_mcp.tasks.store.interface import CallerUsage, PageMark
from tests.clocks import START, FakeClock
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


async def test_the_operator_sees_every_principals_tasks_and_no_other_services(
    store: Database, stranger: Database, clock: FakeClock
) -> None:
    for number, principal in enumerate(("token:ann", "token:bob", "local", "token:ann")):
        await reserve(store, draft(clock, prompt=f"cat {number}", principal=principal))
        await clock.advance(1)
    await reserve(stranger, draft(clock, service=OTHER_SERVICE))

    first = await store.page(None, None, 3, None)
    after = PageMark(created_at=first[-1].created_at, id=first[-1].id)

    assert [(task.principal, task.request.prompt) for task in first] == [
        ("token:ann", "cat 3"),
        ("local", "cat 2"),
        ("token:bob", "cat 1"),
    ]
    assert prompts(await store.page(None, None, 3, after)) == ["cat 0"]
    assert prompts(await store.page(None, Status.FAILED, 3, None)) == []


async def test_each_callers_orders_are_counted_and_who_ordered_most_comes_first(
    store: Database, stranger: Database
) -> None:
    # One is ordered a month before, one a day before, all others today.
    clock = FakeClock(START - timedelta(days=40))
    ann, bob = "token:ann", "token:bob"
    await saved(store, succeeded(await ordered(store, draft(clock, principal=bob), "task-0"), clock.now()))
    await clock.advance(39 * 86_400)
    await ordered(store, draft(clock, principal=ann), "task-1")
    await clock.advance(86_400)
    await saved(store, failed(await ordered(store, draft(clock, principal=ann, prompt="fails"), "task-2"), clock.now()))
    unclear = draft(clock, principal=ann, prompt="unclear")
    refused = draft(clock, principal=ann, prompt="refused")
    await reserve(store, unclear)
    await store.unclear(unclear.id, "no answer")
    await reserve(store, refused)
    await store.refuse(refusal(refused, clock.now()))
    await ordered(store, draft(clock, principal=bob), "task-3")
    await reserve(stranger, draft(clock, principal=bob, service=OTHER_SERVICE))

    # An order that is unclear counts as unfinished for an hour; one that was refused was never one.
    assert await store.callers() == [
        CallerUsage(principal=ann, unfinished=2, today=2, this_month=3, failed_this_month=1),
        CallerUsage(principal=bob, unfinished=1, today=1, this_month=1, failed_this_month=0),
    ]


async def test_ids_are_found_by_their_beginning_in_both_their_forms(store: Database, clock: FakeClock) -> None:
    for task_id, principal in (("ab_1", "local"), ("ab%2", "local"), ("ab_3", "token:ann")):
        await ordered(store, draft(clock, principal=principal, prompt=task_id), task_id)
        await clock.advance(1)
    newest, oldest = await store.page("local", None, 10, None)

    async def found(beginning: str, limit: int = 10) -> list[str]:
        return [task.task_id for task in await store.beginning_with("local", beginning, limit)]

    assert await found("ab") == ["ab%2", "ab_1"]
    assert await found("ab", 1) == ["ab%2"]
    assert await found("ab_") == ["ab_1"]
    assert await found(f"local-{oldest.id[:20]}") == ["ab_1"]
    assert await found(newest.id[:20]) == await found("AB") == await found("b") == []


async def test_a_refused_order_is_found_by_no_beginning(store: Database, clock: FakeClock) -> None:
    refused = draft(clock)
    await reserve(store, refused)
    await store.refuse(refusal(refused, clock.now()))

    assert await store.beginning_with("local", f"local-{refused.id}", 10) == []
