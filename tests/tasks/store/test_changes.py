"""The feed of changes, on the machine's own time: a database says nothing of itself, it is asked now and then."""

from dataclasses import replace
from datetime import UTC, datetime

import anyio
import pytest

from sora2_mcp.clock import SystemClock
from sora2_mcp.tasks.store.database import open_store
from sora2_mcp.tasks.store.port import LOOK_LEASE
from tests.clocks import FakeClock
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
        await one.claim_look(old.id, "me")
        await one.settle_look(old.id, "me", plan(until), 401)

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
        seen = replace(task, known_unfinished_at=present.now())
        async with listening(two) as feed:
            assert await one.save(seen, quietly=True)
            await reserve(one, other)

            assert await next_ids(feed) - {other.id} <= {task.id}
            await one.unclear(other.id, "no answer")
            assert await next_ids(feed) == {other.id}
        assert await two.load(task.id) == replace(seen, version=task.version + 1)


async def test_a_change_is_told_once(store_url: str, present: FakeClock) -> None:
    async with two_stores(store_url) as (one, two), listening(two) as feed:
        first, second = draft(present, prompt="A cat"), draft(present, prompt="A dog")
        await reserve(one, first)
        assert await next_ids(feed) == {first.id}
        await reserve(one, second)
        assert await next_ids(feed) == {second.id}
