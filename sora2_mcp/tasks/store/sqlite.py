"""A SQLite file, shared by the processes of one machine."""

import sqlite3
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, nullcontext
from pathlib import Path
from typing import Any

import anyio
from sqlalchemy import ColumnElement, Connection, Executable, RowMapping, event, make_url, text
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine

from sora2_mcp.clock import Clock
from sora2_mcp.errors import STORE_PASSES, StoreError
from sora2_mcp.tasks.store.engine import Engine, News

_OLDEST = (3, 35)
"""The first version that knows RETURNING."""

_BUSY_SECONDS = 30
_WATCH_SECONDS = 0.25
_WRITES = "sora2_writes"


class SQLiteEngine(Engine):
    """Every transaction that writes excludes every other one, by ``BEGIN IMMEDIATE``, so that locks need no names."""

    def __init__(self, url: str) -> None:
        """
        Raises:
            StoreError: Python was built with a version of SQLite that is too old.
        """
        if sqlite3.sqlite_version_info < _OLDEST:
            needed = ".".join(map(str, _OLDEST))
            problem = f"needs SQLite {needed} or newer, and this Python has {sqlite3.sqlite_version}"
            raise StoreError(
                problem,
                hint="Ask the user to install a newer Python, or to use PostgreSQL.",
                cli_hint="Install a newer Python, or use PostgreSQL.",
            )
        address = make_url(url).set(drivername="sqlite+aiosqlite")
        patience = {"timeout": _BUSY_SECONDS}
        super().__init__(create_async_engine(address, pool_size=5, connect_args=patience, hide_parameters=True))
        self._turn_to_write = anyio.Lock()
        event.listen(self._pool.sync_engine, "connect", _prepare)
        event.listen(self._pool.sync_engine, "begin", _begin)

    async def _rows(self, statement: Executable, *, writes: bool) -> Sequence[RowMapping]:
        async with self._transaction(writes=writes) as connection:
            return (await connection.execute(statement)).mappings().all()

    @asynccontextmanager
    async def _transaction(
        self, *, writes: bool, lock: str = "", shared: str = "", seconds: float | None = None
    ) -> AsyncIterator[AsyncConnection]:
        del lock, shared, seconds  # Every writer excludes every other one; the busy timeout bounds the wait.
        async with self._turn() if writes else nullcontext():
            with _uninterrupted():
                async with self._pool.execution_options(**{_WRITES: writes}).begin() as connection:
                    yield connection

    @asynccontextmanager
    async def _turn(self) -> AsyncIterator[None]:
        """Only one writer of this process waits for the file, so that the others keep no connection from readers."""
        with anyio.move_on_after(_BUSY_SECONDS) as patience:
            await self._turn_to_write.acquire()
        if patience.cancelled_caught:
            raise StoreError("is busy", hint=STORE_PASSES)
        try:
            yield
        finally:
            self._turn_to_write.release()

    def announcement(self, service: str) -> Sequence[ColumnElement[object]]:  # noqa: ARG002 - its base's
        # Listeners watch the file.
        return ()

    @asynccontextmanager
    async def listening(self, service: str, clock: Clock) -> AsyncIterator[News]:
        del service  # The file tells that something was saved, not what.
        self._refuse_if_closed()
        async with self._connected() as connection:
            seen_version = await _data_version(connection)

            async def news() -> Sequence[str] | None:
                nonlocal seen_version
                before = seen_version
                while seen_version == before:
                    await clock.sleep(_WATCH_SECONDS)
                    seen_version = await _data_version(connection)
                return None

            yield news

    @asynccontextmanager
    async def _connected(self) -> AsyncIterator[AsyncConnection]:
        with _uninterrupted():
            connection = await self._pool.connect()
        try:
            yield connection
        finally:
            with _uninterrupted():
                await connection.close()


def create_file(path: Path) -> None:
    """Makes the database's file and folder where they are missing.

    Only its owner may read what is new: it holds prompts.

    Raises:
        StoreError: it cannot be made.
    """
    try:
        path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
        if not path.exists():
            path.touch(mode=0o600)
    except OSError as error:
        raise StoreError(f"needs the file {path}, which cannot be written: {error.strerror}") from error


def _uninterrupted() -> anyio.CancelScope:
    """Puts cancelling off until the body, which must be short, has ended.

    A connection cancelled in use is closed twice, and the second time waits for ever for the thread that the first one
    ended. To be removed when aiosqlite's ``close`` returns after ``stop``.
    """
    return anyio.CancelScope(shield=True)


async def _data_version(connection: AsyncConnection) -> int:
    """SQLite's count of commits made by other connections."""
    with _uninterrupted():
        counted = await connection.execute(text("PRAGMA data_version"))
        version = int(counted.scalar_one())
        await connection.rollback()
    return version


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
        # Another process has switched it meanwhile, or this connection works in the old mode just as well.
        if "locked" not in str(error):
            raise


def _begin(connection: Connection) -> None:
    writes = connection.get_execution_options().get(_WRITES)
    connection.exec_driver_sql("BEGIN IMMEDIATE" if writes else "BEGIN")
