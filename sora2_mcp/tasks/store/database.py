"""The store: one implementation, on SQLAlchemy Core."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager

from sora2_mcp.clock import Clock
from sora2_mcp.tasks.store.address import engine_at
from sora2_mcp.tasks.store.changes import Changes
from sora2_mcp.tasks.store.files import Files
from sora2_mcp.tasks.store.looks import Looks
from sora2_mcp.tasks.store.migration import migrate
from sora2_mcp.tasks.store.orders import Orders


class Database(Orders, Looks, Files, Changes):
    """A store in a database; ``interface.Store`` says what each method does."""


@asynccontextmanager
async def open_store(
    url: str, service: str, clock: Clock, changed: Callable[[str], None] = lambda _: None
) -> AsyncIterator[Database]:
    """The store at ``url``, migrated if need be, closed on exit.

    ``changed`` is called with the local id of a task after each change that this process has saved, a new order apart.
    It must not block.

    Raises:
        StoreError: it cannot be opened.
    """
    engine = engine_at(url)
    try:
        await migrate(engine)
        yield Database(engine, service, clock, changed)
    finally:
        await engine.close()
