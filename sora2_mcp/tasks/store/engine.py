"""Connections to the database, and what one transaction means on it."""

import sqlite3
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import anyio
from sqlalchemy import Connection, event, make_url
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine
from sqlalchemy.pool import QueuePool

from sora2_mcp.errors import StoreError

_BUSY_SECONDS = 30
_LAST_USE_SECONDS = 0.01
_WRITES = "sora2_writes"


def create_engine(url: str) -> AsyncEngine:
    """An engine for a ``sqlite:///`` address; the file's folder is created.

    Raises:
        StoreError: the folder cannot be created.
    """
    address = make_url(url)
    if address.database:
        _create_file(Path(address.database))
    engine = create_async_engine(
        address.set(drivername="sqlite+aiosqlite"), pool_size=5, connect_args={"timeout": _BUSY_SECONDS}
    )
    event.listen(engine.sync_engine, "connect", _prepare)
    event.listen(engine.sync_engine, "begin", _begin)
    return engine


@asynccontextmanager
async def reading(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that only reads: one consistent view.

    Raises:
        StoreError: the database cannot be used.
    """
    with _translated(), uninterrupted():
        async with engine.begin() as connection:
            yield connection


@asynccontextmanager
async def writing(engine: AsyncEngine) -> AsyncIterator[AsyncConnection]:
    """A transaction that excludes every other writer from its first statement on, and is durable when it ends.

    Raises:
        StoreError: the database cannot be used; nothing was written.
    """
    with _translated(), uninterrupted():
        async with engine.execution_options(**{_WRITES: True}).begin() as connection:
            yield connection


async def unused(engine: AsyncEngine) -> None:
    """Returns when no connection is in use any more: one that comes back to a closed pool is never closed."""
    while isinstance(engine.pool, QueuePool) and engine.pool.checkedout():  # noqa: ASYNC110 - a pool has no event for it
        await anyio.sleep(_LAST_USE_SECONDS)


def uninterrupted() -> anyio.CancelScope:
    """Puts cancelling off until the body, which must be short, has ended.

    A connection cancelled in use is closed twice, and the second time waits for ever for the thread that the first one
    ended. To be removed when aiosqlite's ``close`` returns after ``stop``.
    """
    return anyio.CancelScope(shield=True)


@contextmanager
def _translated() -> Iterator[None]:
    """Turns the database's errors into ours, in one place."""
    try:
        yield
    except (SQLAlchemyError, sqlite3.Error, OSError) as error:
        raise store_error(error) from error


def store_error(error: BaseException) -> StoreError:
    """A store error in the database's own words, without statements or their values."""
    reason = getattr(error, "orig", None) or error
    return StoreError(
        f"cannot be used: {type(reason).__name__}: {str(reason).splitlines()[0][:200] if str(reason) else ''}"
    )


def _create_file(path: Path) -> None:
    """Prompts are nobody else's business: a new file, and a new folder, are its owner's only."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            path.touch(mode=0o600)
    except OSError as error:
        raise StoreError(f"needs the file {path}, which cannot be written: {error.strerror}") from error


def _prepare(connection: Any, _record: Any) -> None:
    # SQLAlchemy's "begin" event below decides when a transaction starts, not the driver's guess at the first write.
    connection.isolation_level = None
    cursor = connection.cursor()
    for statement in (f"PRAGMA busy_timeout={_BUSY_SECONDS * 1000}", "PRAGMA synchronous=FULL"):
        cursor.execute(statement)
    cursor.execute("PRAGMA journal_mode")
    if cursor.fetchone()[0] != "wal":
        _switch_to_wal(cursor)
    cursor.close()


def _switch_to_wal(cursor: Any) -> None:
    """Switches the file to WAL, which several new processes may try at once."""
    try:
        # The switch does not wait for other connections by itself; a write lock taken first does.
        cursor.execute("BEGIN EXCLUSIVE")
        cursor.execute("COMMIT")
        cursor.execute("PRAGMA journal_mode=WAL")
    except sqlite3.OperationalError as error:
        # Lost the race: whoever won it has switched, or this connection works in the old mode just as well.
        if "locked" not in str(error):
            raise


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
