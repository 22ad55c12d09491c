"""A PostgreSQL server, shared by the processes of many machines. Needs the extra ``postgres``."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from hashlib import blake2b
from typing import Any

import anyio
import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import BigInteger, ColumnElement, Executable, RowMapping, func, literal, select
from sqlalchemy.exc import DBAPIError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine, create_async_engine

from sora2_mcp.clock import Clock
from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.store.engine import Engine, News, store_error
from sora2_mcp.tasks.store.schema import tasks

_CHANNEL = "sora2_tasks"
_CONNECTIONS = 5
_ANSWER_SECONDS = 5.0
"""A server that has not ended a transaction after so long counts as dead; waiting for connections and locks counts."""

_HANG_UP_SECONDS = 1.0
_PULSE_SECONDS = 10.0
"""How often a silent connection is asked whether it still hears; a broken network does not tell."""

_READING = {"isolation_level": "REPEATABLE READ", "postgresql_readonly": True}
_DURABLE = "SELECT set_config('synchronous_commit', 'on', false) WHERE current_setting('synchronous_commit') = 'off'"


_ERRORS = (asyncpg.PostgresError, asyncpg.InterfaceError, asyncpg.InternalClientError)
"""The driver's own; the last when a connection breaks between two of its steps."""


class PostgresEngine(Engine):
    """Locks are advisory and end with their transaction. ``NOTIFY`` announces what is saved, by ids only."""

    driver_errors = _ERRORS

    def __init__(self, url: str, answer_seconds: float = _ANSWER_SECONDS) -> None:
        # The driver reads the address itself: it knows libpq's forms, and nothing else here ever holds the password.
        self._url = url
        self._answer_seconds = answer_seconds
        super().__init__(
            create_async_engine(
                "postgresql+asyncpg://",
                async_creator=self._connected,
                pool_size=_CONNECTIONS,
                max_overflow=_CONNECTIONS,
                hide_parameters=True,
            )
        )

    async def _rows(self, statement: Executable, *, writes: bool) -> Sequence[RowMapping]:
        del writes  # A statement by itself needs no transaction around it, which would be two round trips more.
        with _within(self._answer_seconds, shield=True):
            async with self._ready(self._pool.execution_options(isolation_level="AUTOCOMMIT"), statement) as (_, rows):
                return rows

    @asynccontextmanager
    async def _transaction(self, *, writes: bool, lock: str, seconds: float | None) -> AsyncIterator[AsyncConnection]:
        pool = self._pool if writes else self._pool.execution_options(**_READING)
        first = select(func.pg_advisory_xact_lock(literal(_number(lock), BigInteger))) if lock else select(1)
        # Shielded: a commit that is cancelled is neither done nor not done.
        with _within(seconds or self._answer_seconds, shield=True):
            async with self._ready(pool, first) as (connection, _):
                yield connection
                await connection.commit()

    @asynccontextmanager
    async def _ready(
        self, pool: AsyncEngine, first: Executable
    ) -> AsyncIterator[tuple[AsyncConnection, Sequence[RowMapping]]]:
        """A connection, and what its first statement gave.

        A connection may have broken while it was idle, which only its next use tells. All others of the pool are
        replaced then, and a new one is tried: every first statement may be repeated.
        """
        try:
            connection, rows = await _opened(pool, first)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            connection, rows = await _opened(pool, first)
        try:
            yield connection, rows
        finally:
            await connection.close()

    def announcement(self, service: str, owner: str) -> Sequence[ColumnElement[object]]:
        return (func.pg_notify(_CHANNEL, literal(_mark(service)) + tasks.c.id + f":{owner}"),)

    @asynccontextmanager
    async def listening(self, service: str, owner: str, clock: Clock) -> AsyncIterator[News]:
        connection = await self._connected()
        inbox = _Inbox(_mark(service), owner)

        async def news() -> Sequence[str]:
            with clock.timeout(_PULSE_SECONDS):
                await inbox.filled.wait()
            if not inbox.filled.is_set():
                with _within(self._answer_seconds):
                    await connection.execute("SELECT 1")
            return inbox.take()

        try:
            connection.add_termination_listener(inbox.lose)
            with _within(self._answer_seconds):
                await connection.add_listener(_CHANNEL, inbox.put)
            yield news
        finally:
            with anyio.CancelScope(shield=True):
                await _hang_up(connection)

    async def _connected(self) -> Any:
        """A connection of the driver's own.

        Raises:
            StoreError: the address cannot be understood, or the server refuses. Errors of the network pass as they are.
        """
        with _within(self._answer_seconds):
            return await self._connect()

    async def _connect(self) -> Any:
        try:
            connection = await asyncpg.connect(self._url)
        except ValueError:
            # The driver quotes what it stumbles over, which may be part of a password.
            raise StoreError("holds an address that the driver does not understand") from None
        except _ERRORS as error:
            # A server that is just starting or ending says so here, where SQLAlchemy knows none of the driver's errors.
            raise store_error(error) from error
        try:
            # An order that was reserved must survive a power failure, whatever the server is set to.
            await connection.execute(_DURABLE)
        except BaseException:
            connection.terminate()
            raise
        return connection


async def _opened(pool: AsyncEngine, first: Executable) -> tuple[AsyncConnection, Sequence[RowMapping]]:
    connection = await pool.connect()
    try:
        return connection, (await connection.execute(first)).mappings().all()
    except BaseException:
        await connection.close()
        raise


class _Inbox:
    """The notices of other processes that the feed has not taken yet."""

    def __init__(self, mark: str, owner: str) -> None:
        self.filled = anyio.Event()
        self._mark = mark
        self._owner = owner
        self._ids: dict[str, None] = {}
        self._lost = False

    def put(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        # Before schema 0004 a notice named no owner.
        id, _, owner = payload.removeprefix(self._mark).partition(":")
        if payload.startswith(self._mark) and owner != self._owner:
            self._ids[id] = None
            self.filled.set()

    def lose(self, _connection: Any) -> None:
        self._lost = True
        self.filled.set()

    def take(self) -> list[str]:
        if self._lost:
            raise ConnectionResetError("the server ended the connection that listens for changes")
        ids, self._ids, self.filled = list(self._ids), {}, anyio.Event()
        return ids


@contextmanager
def _within(seconds: float, *, shield: bool = False) -> Iterator[None]:
    """Ends its body, and says so, when the server takes longer than that."""
    with anyio.move_on_after(seconds, shield=shield) as scope:
        yield
    if scope.cancelled_caught:
        raise TimeoutError(f"the server did not answer within {seconds:g} seconds")


async def _hang_up(connection: Any) -> None:
    with suppress(*_ERRORS, OSError):
        await connection.close(timeout=_HANG_UP_SECONDS)


def _number(name: str) -> int:
    """PostgreSQL knows locks by 64-bit numbers."""
    return int.from_bytes(blake2b(name.encode(), key=b"sora2-mcp lock", digest_size=8).digest(), signed=True)


def _mark(service: str) -> str:
    """The beginning of every notice of this service."""
    return blake2b(service.encode(), digest_size=8).hexdigest() + ":"
