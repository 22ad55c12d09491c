"""Listening to what stores save, on the machine's own time."""

from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager

import anyio

from sora2_mcp.clock import SystemClock
from sora2_mcp.tasks.store.database import Database, open_store
from tests.tasks.store.drafts import SERVICE


@asynccontextmanager
async def two_stores(url: str) -> AsyncIterator[tuple[Database, Database]]:
    clock = SystemClock()
    async with open_store(url, SERVICE, clock) as one, open_store(url, SERVICE, clock) as two:
        yield one, two


@asynccontextmanager
async def listening(store: Database) -> AsyncIterator[AsyncIterator[Sequence[str]]]:
    """The feed, from here on."""
    with anyio.fail_after(10):
        async with aclosing(store.changes()) as feed:  # type: ignore[type-var]  # an async generator, by its port an iterator
            assert await anext(feed) == []
            yield feed


async def next_ids(feed: AsyncIterator[Sequence[str]]) -> set[str]:
    """The first batch that holds anything."""
    while not (ids := await anext(feed)):
        pass
    return set(ids)
