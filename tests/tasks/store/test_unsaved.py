"""Which finished videos are still to be saved."""

import pytest

from sora2_mcp.domain.task import SavedFile
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
    await store.claim_download(second.id, "me", clock.now())
    await store.settle_download(second.id, "me", FILE, None)

    assert {task.id for task in await store.unsaved(10)} == {first.id, third.id}
    assert len(await store.unsaved(1)) == 1
    await clock.advance(15 * 86_400)
    assert await store.unsaved(10) == []
