"""A PostgreSQL server, shared by the processes of many machines. Needs the extra ``postgres``."""

from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import asynccontextmanager, contextmanager, suppress
from hashlib import blake2b
from typing import Any

import anyio
import asyncpg  # type: ignore[import-untyped]
from sqlalchemy import BigInteger, event, func, literal, select
from sqlalchemy.exc import DisconnectionError
from sqlalchemy.ext.asyncio import AsyncConnection, create_async_engine
from sqlalchemy.pool import ConnectionPoolEntry, PoolProxiedConnection

from sora2_mcp.clock import Clock
from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.store.engine import Engine, News, store_error

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
    """Locks are advisory ones that end with their transaction; what is saved is told by ``NOTIFY``, ids only."""

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
        event.listen(self._pool.sync_engine, "checkout", _checked)

    @asynccontextmanager
    async def _transaction(self, *, writes: bool, lock: str, seconds: float | None) -> AsyncIterator[AsyncConnection]:
        pool = self._pool if writes else self._pool.execution_options(**_READING)
        # Nobody else cancels it: half a commit is neither done nor not done.
        with _within(seconds or self._answer_seconds, shield=True):
            async with pool.begin() as connection:
                if lock:
                    await connection.execute(select(func.pg_advisory_xact_lock(literal(_number(lock), BigInteger))))
                yield connection

    async def announce(self, connection: AsyncConnection, service: str, id: str) -> None:
        await connection.execute(select(func.pg_notify(_CHANNEL, _mark(service) + id)))

    @asynccontextmanager
    async def listening(self, service: str, clock: Clock) -> AsyncIterator[News]:
        connection = await self._connected()
        ear = _Ear(_mark(service))

        async def news() -> Sequence[str]:
            with clock.timeout(_PULSE_SECONDS):
                await ear.stirred.wait()
            if not ear.stirred.is_set():
                with _within(self._answer_seconds):
                    await connection.execute("SELECT 1")
            return ear.take()

        try:
            connection.add_termination_listener(ear.lose)
            with _within(self._answer_seconds):
                await connection.add_listener(_CHANNEL, ear.hear)
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


def _checked(connection: Any, _record: ConnectionPoolEntry, _proxy: PoolProxiedConnection) -> None:
    """Has a connection that was lost while nobody used it replaced; SQLAlchemy's own way takes four round trips."""
    try:
        connection.run_async(lambda driver: driver.execute("SELECT 1"))
    except (*_ERRORS, OSError) as error:
        raise DisconnectionError("a connection was lost") from error


class _Ear:
    """What one connection heard that nobody has taken yet."""

    def __init__(self, mark: str) -> None:
        self.stirred = anyio.Event()
        self._mark = mark
        self._ids: dict[str, None] = {}
        self._lost = False

    def hear(self, _connection: Any, _pid: int, _channel: str, payload: str) -> None:
        if payload.startswith(self._mark):
            self._ids[payload.removeprefix(self._mark)] = None
            self.stirred.set()

    def lose(self, _connection: Any) -> None:
        self._lost = True
        self.stirred.set()

    def take(self) -> list[str]:
        if self._lost:
            raise ConnectionResetError("the server ended the connection that listens for changes")
        ids, self._ids, self.stirred = list(self._ids), {}, anyio.Event()
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
    """What every notice of this service begins with."""
    return blake2b(service.encode(), digest_size=8).hexdigest() + ":"
