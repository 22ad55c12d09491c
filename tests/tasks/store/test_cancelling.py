import asyncio

import anyio
import anyio.lowlevel
import pytest

from sora2_mcp.tasks.store.database import Database, open_store
from tests.clocks import FakeClock
from tests.tasks.store.drafts import SERVICE, draft, reserve

pytestmark = pytest.mark.anyio


async def test_cancelled_calls_leave_nothing_running_that_would_keep_the_process_alive(
    store: Database, clock: FakeClock
) -> None:
    before = asyncio.all_tasks()
    with anyio.fail_after(10):
        for turns in range(12):
            async with anyio.create_task_group() as group:
                for number in range(6):
                    group.start_soon(store.load, str(number))
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()

    assert asyncio.all_tasks() == before
    assert await store.load("still works") is None
    assert (await reserve(store, draft(clock))).task is not None


async def test_opening_may_be_cancelled_at_any_time(empty_url: str, clock: FakeClock) -> None:
    before = asyncio.all_tasks()
    with anyio.fail_after(10):
        for turns in range(0, 40, 4):
            async with anyio.create_task_group() as group:
                group.start_soon(opened, empty_url, clock)
                for _ in range(turns):
                    await anyio.lowlevel.checkpoint()
                group.cancel_scope.cancel()

    assert asyncio.all_tasks() == before
    with anyio.fail_after(30):
        async with open_store(empty_url, SERVICE, clock) as store:
            assert await store.load("a") is None


async def opened(url: str, clock: FakeClock) -> None:
    async with open_store(url, SERVICE, clock):
        await anyio.sleep_forever()
