"""A PostgreSQL server, shared by the processes of many machines. Needs the extra ``postgres``."""

from collections.abc import AsyncIterator, Iterator, Sequence
from collections.abc import Set as AbstractSet
from contextlib import asynccontextmanager, contextmanager, suppress
from hashlib import blake2b
from typing import Any
from weakref import WeakSet

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
_IDLE_SECONDS = 2.0
"""A connection that was in use so recently is taken to live."""

_USED_AT = "sora2_used_at"
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
        self._own_pids = set[int]()
        self._connections = WeakSet[Any]()
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
        # A statement by itself needs no transaction around it, which would be two round trips more.
        pool = self._pool.execution_options(isolation_level="AUTOCOMMIT")
        with _within(self._answer_seconds, shield=True):
            if not writes:
                async with self._ready(pool, statement) as (_, rows):
                    return rows
            # A change must not be sent twice, so the connection is tried before, unless it was in use just now.
            async with self._ready(pool, select(1), only_if_idle=True) as (connection, _):
                return (await connection.execute(statement)).mappings().all()

    @asynccontextmanager
    async def _transaction(
        self, *, writes: bool, lock: str = "", shared: str = "", seconds: float | None = None
    ) -> AsyncIterator[AsyncConnection]:
        pool = self._pool if writes else self._pool.execution_options(**_READING)
        # Always the shared one first, so that no two transactions wait for each other.
        locks = [func.pg_advisory_xact_lock_shared(_number(shared))] if shared else []
        locks += [func.pg_advisory_xact_lock(_number(lock))] if lock else []
        # Shielded: a commit that is cancelled is neither done nor not done.
        with _within(seconds or self._answer_seconds, shield=True):
            async with self._ready(pool, select(*(locks or (literal(1),)))) as (connection, _):
                yield connection
                await connection.commit()

    @asynccontextmanager
    async def _ready(
        self, pool: AsyncEngine, first: Executable, *, only_if_idle: bool = False
    ) -> AsyncIterator[tuple[AsyncConnection, Sequence[RowMapping]]]:
        """A connection, and what its first statement gave, which changes nothing and so may be repeated.

        A connection may have broken while it was idle, which only its next use tells. All others of the pool are
        replaced then, and a new one is tried. ``only_if_idle``: one that was in use just now is not tried.
        """
        try:
            connection, rows = await _opened(pool, first, only_if_idle=only_if_idle)
        except DBAPIError as error:
            if not error.connection_invalidated:
                raise
            connection, rows = await _opened(pool, first, only_if_idle=only_if_idle)
        try:
            yield connection, rows
        finally:
            if not connection.invalidated and not connection.closed:
                (await connection.get_raw_connection()).info[_USED_AT] = anyio.current_time()
            await connection.close()

    async def close(self) -> None:
        await super().close()
        # Also those that were still in use, or that a timeout cut off on their way into or out of the pool.
        for connection in list(self._connections):
            connection.terminate()

    def announcement(self, service: str) -> Sequence[ColumnElement[object]]:
        return (func.pg_notify(_CHANNEL, literal(_mark(service)) + tasks.c.id),)

    @asynccontextmanager
    async def listening(self, service: str, clock: Clock) -> AsyncIterator[News]:
        connection = await self._connected()
        inbox = _Inbox(_mark(service), self._own_pids)

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
        # Shielded: the driver loses a connection's socket that is cancelled on its way.
        with _within(self._answer_seconds, shield=True):
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
        self._connections.add(connection)
        try:
            # Closing knows only the connections that there are by then.
            self._refuse_if_closed()
            # An order that was reserved must survive a power failure, whatever the server is set to.
            await connection.execute(_DURABLE)
        except BaseException:
            connection.terminate()
            raise
        # A notice names the connection that it comes from: those of our own are no news.
        pid = connection.get_server_pid()
        self._own_pids.add(pid)
        connection.add_termination_listener(lambda _: self._own_pids.discard(pid))
        return connection


async def _opened(
    pool: AsyncEngine, first: Executable, *, only_if_idle: bool
) -> tuple[AsyncConnection, Sequence[RowMapping]]:
    connection = await pool.connect()
    try:
        raw = await connection.get_raw_connection()
        is_fresh = anyio.current_time() - raw.info.get(_USED_AT, 0.0) < _IDLE_SECONDS
        if only_if_idle and is_fresh and raw.driver_connection and not raw.driver_connection.is_closed():
            return connection, ()
        return connection, (await connection.execute(first)).mappings().all()
    except BaseException:
        await connection.close()
        raise


class _Inbox:
    """The notices of other processes that the feed has not taken yet."""

    def __init__(self, mark: str, own_pids: AbstractSet[int]) -> None:
        self.filled = anyio.Event()
        self._mark = mark
        self._own_pids = own_pids
        self._ids: dict[str, None] = {}
        self._lost = False

    def put(self, _connection: Any, pid: int, _channel: str, payload: str) -> None:
        if payload.startswith(self._mark) and pid not in self._own_pids:
            self._ids[payload.removeprefix(self._mark)] = None
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


def _number(name: str) -> ColumnElement[int]:
    """PostgreSQL knows locks by 64-bit numbers."""
    digest = blake2b(name.encode(), key=b"sora2-mcp lock", digest_size=8).digest()
    return literal(int.from_bytes(digest, signed=True), BigInteger)


def _mark(service: str) -> str:
    """The beginning of every notice of this service."""
    return blake2b(service.encode(), digest_size=8).hexdigest() + ":"
