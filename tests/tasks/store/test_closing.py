import pytest

from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.store.database import open_store
from tests.clocks import FakeClock
from tests.tasks.store.drafts import NO_LIMITS, SERVICE, draft, reserve

pytestmark = pytest.mark.anyio

CLOSED = "is closed because the server is ending"


async def test_who_comes_after_the_end_opens_no_connection_that_nobody_would_close(
    store_url: str, clock: FakeClock
) -> None:
    async with open_store(store_url, SERVICE, clock) as store:
        await store.load("a")

    with pytest.raises(StoreError, match=CLOSED):
        await store.load("a")
    with pytest.raises(StoreError, match=CLOSED):
        await store.preview(draft(clock), NO_LIMITS)
    with pytest.raises(StoreError, match=CLOSED):
        await reserve(store, draft(clock))
    with pytest.raises(StoreError, match=CLOSED):
        await anext(store.changes())
