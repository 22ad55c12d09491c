from datetime import timedelta

import pytest

from sora2_mcp.domain.task import SavedFile, Task
from sora2_mcp.tasks.store.database import Database
from tests.clocks import FakeClock
from tests.tasks.store.drafts import draft, ordered, saved, succeeded

pytestmark = pytest.mark.anyio

LEASE = timedelta(seconds=60)
FIRST = SavedFile(path="/videos/first.mp4", size_bytes=1, sha256="11")
SECOND = SavedFile(path="/videos/second.mp4", size_bytes=2, sha256="22")


async def done(store: Database, clock: FakeClock) -> Task:
    return await saved(store, succeeded(await ordered(store, draft(clock), "task-1"), clock.now()))


async def test_one_owner_at_a_time_saves_the_file(store: Database, second: Database, clock: FakeClock) -> None:
    task = await done(store, clock)

    assert await store.claim_download(task.id, LEASE)
    assert not await second.claim_download(task.id, LEASE)
    await store.release_download(task.id)
    assert await second.claim_download(task.id, LEASE)


async def test_the_owner_extends_its_lease(store: Database, second: Database, clock: FakeClock) -> None:
    task = await done(store, clock)
    await store.claim_download(task.id, LEASE)
    await clock.advance(50)

    assert await store.claim_download(task.id, LEASE)
    await clock.advance(50)
    assert not await second.claim_download(task.id, LEASE)


async def test_the_lease_of_a_dead_download_lapses(store: Database, second: Database, clock: FakeClock) -> None:
    task = await done(store, clock)
    await store.claim_download(task.id, LEASE)

    await clock.advance(60)

    assert await second.claim_download(task.id, LEASE)


async def test_a_download_lease_of_a_process_whose_clock_is_ahead_holds(
    store: Database, second: Database, clock: FakeClock
) -> None:
    task = await done(store, clock)
    assert await store.claim_download(task.id, LEASE + timedelta(seconds=1))

    assert not await second.claim_download(task.id, LEASE)


async def test_a_download_lease_from_before_the_clock_was_set_back_is_free(
    store: Database, second: Database, clock: FakeClock
) -> None:
    task = await done(store, clock)
    await store.claim_download(task.id, LEASE)

    clock.set_back(timedelta(hours=3))

    assert await second.claim_download(task.id, LEASE)


async def test_nobody_else_gives_the_lease_back(store: Database, second: Database, clock: FakeClock) -> None:
    task = await done(store, clock)
    await store.claim_download(task.id, LEASE)

    await second.release_download(task.id)

    assert not await second.claim_download(task.id, LEASE)


async def test_the_first_saved_path_wins(store: Database, second: Database, clock: FakeClock) -> None:
    task = await done(store, clock)

    first = await store.settle_download(task.id, FIRST, None)
    late = await second.settle_download(task.id, SECOND, None)

    assert (first.file, late.file) == (FIRST, FIRST)
    assert await store.load(task.id) == late


async def test_a_file_that_is_gone_is_replaced_by_the_next_one(store: Database, clock: FakeClock) -> None:
    task = await done(store, clock)
    await store.settle_download(task.id, FIRST, None)

    assert (await store.settle_download(task.id, SECOND, FIRST)).file == SECOND
    assert (await store.settle_download(task.id, FIRST, FIRST)).file == SECOND


async def test_saving_the_file_gives_the_lease_back(store: Database, second: Database, clock: FakeClock) -> None:
    task = await done(store, clock)
    await store.claim_download(task.id, LEASE)

    await store.settle_download(task.id, FIRST, None)

    assert await second.claim_download(task.id, LEASE)
