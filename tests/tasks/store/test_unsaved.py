"""Which finished videos are still to be saved."""

from datetime import timedelta

import pytest

from sora2_mcp.domain.task import DOWNLOAD_ATTEMPTS, SavedFile
from sora2_mcp.tasks.store.database import Database
from tests.clocks import FakeClock
from tests.tasks.store.drafts import draft, ordered, saved, succeeded

pytestmark = pytest.mark.anyio

FILE = SavedFile(path="/videos/a.mp4", size_bytes=1, sha256="11")


async def test_what_is_saved_deleted_or_not_done_is_not_among_them(store: Database, clock: FakeClock) -> None:
    first, second, third, _ = [
        await ordered(store, draft(clock, prompt=f"{number}", principal=f"token:{number}"), f"task-{number}")
        for number in range(4)
    ]
    for task in (first, second, third):
        await saved(store, succeeded(task, clock.now()))
    await store.claim_download(second.id, timedelta())
    await store.settle_download(second.id, FILE, None)

    assert {task.id for task in await store.unsaved(10)} == {first.id, third.id}
    assert len(await store.unsaved(1)) == 1
    await clock.advance(15 * 86_400)
    assert await store.unsaved(10) == []


async def test_a_video_whose_download_fails_again_and_again_is_left_to_those_who_ask_for_it(
    store: Database, second: Database, clock: FakeClock
) -> None:
    task = await saved(store, succeeded(await ordered(store, draft(clock), "task-1"), clock.now()))
    for number in range(DOWNLOAD_ATTEMPTS):
        process = (store, second)[number % 2]
        assert [each.download_attempts for each in await store.unsaved(10)] == [number]
        # One in four brings its process down, and gives no lease back.
        assert await process.claim_download(task.id, timedelta(seconds=60))
        if number % 4:
            await process.release_download(task.id)
        else:
            await clock.advance(60)

    given_up = await store.load(task.id)
    assert given_up is not None
    assert (await store.unsaved(10), given_up.download_attempts) == ([], DOWNLOAD_ATTEMPTS)

    # Asked for by hand it is tried again, and forgotten once it is there.
    assert await store.claim_download(task.id, timedelta(seconds=60))
    assert (await store.settle_download(task.id, FILE, None)).download_attempts == 0


async def test_an_extended_lease_and_a_failure_that_is_not_the_hosts_are_no_attempts(
    store: Database, clock: FakeClock
) -> None:
    task = await saved(store, succeeded(await ordered(store, draft(clock), "task-1"), clock.now()))
    for _ in range(3):
        assert await store.claim_download(task.id, timedelta(seconds=60))
    await store.release_download(task.id, was_attempt=False)

    assert [each.download_attempts for each in await store.unsaved(10)] == [0]
