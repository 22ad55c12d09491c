"""What a transaction is, whatever the database; each kind of database fills in the rest in a module of its own."""

import re
import sqlite3
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from contextlib import AbstractAsyncContextManager, asynccontextmanager, contextmanager

import anyio
from sqlalchemy import ColumnElement, Executable, RowMapping
from sqlalchemy.exc import SQLAlchemyError
from sqlalchemy.ext.asyncio import AsyncConnection, AsyncEngine
from sqlalchemy.pool import QueuePool

from sora2_mcp.clock import Clock
from sora2_mcp.errors import STORE_CLOSED, StoreError

_CLOSING_SECONDS = 1.0
_LAST_USE_SECONDS = 0.01
_WORDS_LIMIT = 200
_VALUE = re.compile(r"(query argument \$\d+): .*")

News = Callable[[], Awaitable[Sequence[str] | None]]
"""Waits for the next changes: the local ids that others saved, perhaps none, or None where they must be looked up."""


class Engine(ABC):
    """One database. Queries are the same on every kind; what differs is here and nowhere else."""

    driver_errors: tuple[type[Exception], ...] = ()
    """What the driver may raise past SQLAlchemy, which knows not all of its errors."""

    def __init__(self, pool: AsyncEngine) -> None:
        self._pool = pool
        self._is_closed = False

    async def rows(self, statement: Executable, *, writes: bool = False) -> Sequence[RowMapping]:
        """What one statement gives; it is a transaction by itself.

        Raises:
            StoreError: the database cannot be used.
        """
        with self._used():
            return await self._rows(statement, writes=writes)

    @asynccontextmanager
    async def reading(self) -> AsyncIterator[AsyncConnection]:
        """A transaction that only reads: one consistent view.

        Raises:
            StoreError: the database cannot be used.
        """
        with self._used():
            async with self._transaction(writes=False) as connection:
                yield connection

    @asynccontextmanager
    async def writing(
        self, lock: str = "", *, shared: str = "", seconds: float | None = None
    ) -> AsyncIterator[AsyncConnection]:
        """A transaction that is durable when it ends; ``seconds`` where it may take longer than others.

        No two transactions that name the same ``lock`` run at once, in whatever process, nor one that names it and one
        that names it as ``shared``. Without a lock, each change must be guarded by a condition that names the row's
        state.

        Raises:
            StoreError: the database cannot be used. Nothing was written, unless the connection broke at the very end.
        """
        with self._used():
            async with self._transaction(writes=True, lock=lock, shared=shared, seconds=seconds) as connection:
                yield connection

    async def close(self) -> None:
        """Gives every connection back, or gives up on those that take too long. Later uses are refused."""
        self._is_closed = True
        # Cancelled halfway, a connection's thread would outlive the process's end.
        with anyio.move_on_after(_CLOSING_SECONDS, shield=True):
            await self._unused()
            await self._pool.dispose()

    @abstractmethod
    async def _rows(self, statement: Executable, *, writes: bool) -> Sequence[RowMapping]: ...

    @abstractmethod
    def _transaction(
        self, *, writes: bool, lock: str = "", shared: str = "", seconds: float | None = None
    ) -> AbstractAsyncContextManager[AsyncConnection]: ...

    @abstractmethod
    def announcement(self, service: str) -> Sequence[ColumnElement[object]]:
        """What a statement must return so that its rows are announced to other processes once it is committed."""

    @abstractmethod
    def listening(self, service: str, clock: Clock) -> AbstractAsyncContextManager[News]:
        """What other engines save from now on. Errors are raised as the driver raises them."""

    @contextmanager
    def _used(self) -> Iterator[None]:
        self._refuse_if_closed()
        with translated(self.driver_errors):
            yield

    def _refuse_if_closed(self) -> None:
        """Called before each use: SQLAlchemy would connect anew, and that connection would never be closed.

        Raises:
            StoreError: the engine is closed, or just closing.
        """
        if self._is_closed:
            raise StoreError("is closed because the server is ending", hint=STORE_CLOSED)

    async def _unused(self) -> None:
        """Returns when no connection is in use: one that comes back to a closed pool is never closed."""
        while isinstance(self._pool.pool, QueuePool) and self._pool.pool.checkedout():  # noqa: ASYNC110 - no event for it
            await anyio.sleep(_LAST_USE_SECONDS)


@contextmanager
def translated(driver_errors: tuple[type[Exception], ...] = ()) -> Iterator[None]:
    """Turns the database's errors into ours, in one place.

    Raises:
        StoreError: in their place.
    """
    errors: tuple[type[Exception], ...] = (SQLAlchemyError, sqlite3.Error, OSError, *driver_errors)
    try:
        yield
    except errors as error:
        raise store_error(error) from error


def store_error(error: BaseException) -> StoreError:
    """A store error in the database's own words, without statements or their values."""
    reason = getattr(error, "orig", None) or error
    reason = reason.__cause__ or reason
    words = _VALUE.sub(r"\1", str(reason).splitlines()[0])[:_WORDS_LIMIT] if str(reason) else ""
    return StoreError(f"cannot be used: {type(reason).__name__}: {words}")
