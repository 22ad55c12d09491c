"""The feed of changes, on the machine's own time: a database says nothing of itself, it is asked now and then."""

from dataclasses import replace
from datetime import UTC, datetime, timedelta

import anyio
import anyio.to_thread
import pytest

from sora2_mcp.clock import SystemClock
from sora2_mcp.tasks.store.database import open_store
from sora2_mcp.tasks.store.interface import LOOK_LEASE
from tests.clocks import FakeClock
from tests.stores import store_at
from tests.tasks.store.drafts import OTHER_SERVICE, SERVICE, draft, ordered, plan, reserve, saved, succeeded
from tests.tasks.store.feeds import listening, next_ids, two_stores

pytestmark = pytest.mark.anyio


async def test_a_change_in_another_process_is_heard_within_a_second(store_url: str, present: FakeClock) -> None:
    async with two_stores(store_url) as (one, two):
        task = await ordered(one, draft(present), "task-1")
        async with listening(two) as feed:
            await saved(one, succeeded(task, present.now()))
            with anyio.fail_after(1):
                assert await next_ids(feed) == {task.id}


async def test_every_step_of_an_order_is_heard(store_url: str, present: FakeClock) -> None:
    async with two_stores(store_url) as (one, two), listening(two) as feed:
        bound, unclear = draft(present, prompt="A cat"), draft(present, prompt="A dog")
        await reserve(one, bound)
        assert await next_ids(feed) == {bound.id}
        await one.bind(bound.id, "task-1", plan(present.now()))
        assert bound.id in await next_ids(feed)
        await reserve(one, unclear)
        assert unclear.id in await next_ids(feed)
        await one.unclear(unclear.id, "no answer")
        assert unclear.id in await next_ids(feed)


async def test_a_key_that_stopped_working_is_heard_of_though_no_fact_changed(
    store_url: str,
) -> None:
    long_ago = FakeClock(datetime(2020, 1, 1, tzinfo=UTC))
    async with open_store(store_url, SERVICE, long_ago) as store:
        old = await ordered(store, draft(long_ago), "task-1")
    async with two_stores(store_url) as (one, two), listening(two) as feed:
        until = SystemClock().now() + LOOK_LEASE
        claim = await one.claim(old)
        assert claim is not None
        await one.settle(claim, claim.task, plan(until), 401)

        assert await next_ids(feed) == {old.id}


async def test_changes_of_another_service_are_not_heard(store_url: str, present: FakeClock) -> None:
    theirs, mine = draft(present, service=OTHER_SERVICE), draft(present)
    async with (
        two_stores(store_url) as (one, two),
        open_store(store_url, OTHER_SERVICE, SystemClock()) as stranger,
        listening(two) as feed,
    ):
        await reserve(stranger, theirs)
        await reserve(one, mine)

        assert await next_ids(feed) == {mine.id}


async def test_a_look_that_finds_a_task_unfinished_is_saved_and_not_announced(
    store_url: str, present: FakeClock
) -> None:
    async with two_stores(store_url) as (one, two):
        task, other = await ordered(one, draft(present), "task-1"), draft(present, prompt="A dog")
        async with listening(two) as feed:
            assert await next_ids(feed) == {task.id}
            seen = await saved(one, replace(task, known_unfinished_at=present.now() + timedelta(seconds=1)))
            await reserve(one, other)

            assert {other.id} <= await next_ids(feed) <= {task.id, other.id}
            await one.unclear(other.id, "no answer")
            assert await next_ids(feed) == {other.id}
        assert seen.version == task.version + 1
        assert await two.load(task.id) == seen


async def test_a_process_hears_of_its_own_changes_at_once_and_not_from_the_feed(
    store_url: str, present: FakeClock
) -> None:
    changed = list[str]()
    async with (
        open_store(store_url, SERVICE, SystemClock()) as other,
        open_store(store_url, SERVICE, SystemClock(), changed.append) as store,
        listening(store) as feed,
    ):
        mine, theirs = draft(present, prompt="A cat"), draft(present, prompt="A dog")
        await ordered(store, mine, "task-1")
        assert changed == [mine.id]
        await reserve(other, theirs)

        assert await next_ids(feed) == {theirs.id}
        assert changed == [mine.id]


async def test_what_changed_between_opening_and_listening_is_heard(store_url: str, present: FakeClock) -> None:
    async with two_stores(store_url) as (one, two):
        task = await ordered(one, draft(present), "task-1")
        async with listening(two) as feed:
            assert await next_ids(feed) == {task.id}


async def test_a_change_is_told_once(store_url: str, present: FakeClock) -> None:
    async with two_stores(store_url) as (one, two), listening(two) as feed:
        first, second = draft(present, prompt="A cat"), draft(present, prompt="A dog")
        await reserve(one, first)
        assert await next_ids(feed) == {first.id}
        await reserve(one, second)
        assert await next_ids(feed) == {second.id}


async def test_a_change_by_a_release_that_does_not_sign_its_changes_is_heard(
    sqlite_url: str, present: FakeClock
) -> None:
    async with open_store(sqlite_url, SERVICE, SystemClock()) as store:
        task = await ordered(store, draft(present), "task-1")
        async with listening(store) as feed:
            # As releases before schema 0004 write: our own name stays in the row.
            unsigned = "UPDATE tasks SET changed_at = changed_at + 1, version = version + 1"
            await anyio.to_thread.run_sync(store_at(sqlite_url).change, unsigned)

            assert await next_ids(feed) == {task.id}
