"""What the parts of the store share."""

from collections.abc import Callable, Mapping
from typing import Any
from uuid import uuid4

from sqlalchemy import ColumnElement, Insert, RowMapping, Update, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sora2_mcp.clock import Clock
from sora2_mcp.domain.task import Task
from sora2_mcp.errors import StoreError, UnknownTaskError
from sora2_mcp.tasks.store.engine import Engine
from sora2_mcp.tasks.store.rows import task_from
from sora2_mcp.tasks.store.schema import microseconds, tasks


class Part:
    """An engine, the one service whose rows are touched, and the clock that stamps changes.

    ``changed`` is called with the local id of each task after a change of this process is saved.
    """

    def __init__(self, engine: Engine, service: str, clock: Clock, changed: Callable[[str], None]) -> None:
        self.engine = engine
        self._service = service
        self._clock = clock
        self._changed = changed
        self._owner = uuid4().hex
        # Where the feed of changes begins.
        self._opened_at = clock.now()

    def _mine(self, *conditions: ColumnElement[bool]) -> list[ColumnElement[bool]]:
        return [tasks.c.service == self._service, *conditions]

    async def _row(self, connection: AsyncConnection, *conditions: ColumnElement[bool]) -> RowMapping | None:
        found = await connection.execute(select(tasks).where(*self._mine(*conditions)).limit(1))
        return found.mappings().first()

    async def _read(self, *conditions: ColumnElement[bool]) -> Task | None:
        rows = await self.engine.rows(select(tasks).where(*self._mine(*conditions)).limit(1))
        return task_from(rows[0]) if rows else None

    async def load(self, id: str) -> Task | None:
        return await self._read(tasks.c.id == id)

    async def _loaded(self, id: str) -> Task:
        task = await self.load(id)
        if task is None:
            raise UnknownTaskError(id)
        return task

    async def _change(self, id: str, values: Mapping[str, Any], *conditions: ColumnElement[bool]) -> Task | None:
        """The task after a change of its facts; None, and nothing is written, where a condition does not hold."""
        return await self._write(id, self._changing(id, values, *conditions))

    async def _write(self, id: str, statement: Update) -> Task | None:
        """The task after a change that all processes are to hear of."""
        try:
            rows = await self.engine.rows(self._announced(statement), writes=True)
        except StoreError:
            # The connection may have broken after the change was saved, and no feed brings our own.
            self._changed(id)
            raise
        if not rows:
            return None
        self._changed(id)
        return task_from(rows[0])

    async def _note(self, id: str, values: Mapping[str, Any], *conditions: ColumnElement[bool]) -> RowMapping | None:
        """The row after a change that is no fact of the task: a lease, a time of its schedule."""
        # Neither version nor announcement: a lease must not make others' changes of facts fail, nor wake waiters.
        noted = update(tasks).where(*self._mine(tasks.c.id == id, *conditions)).values(values).returning(tasks)
        rows = await self.engine.rows(noted, writes=True)
        return rows[0] if rows else None

    def _changing(self, id: str, values: Mapping[str, Any], *conditions: ColumnElement[bool]) -> Update:
        stamped = {**values, **self._stamp(), "version": tasks.c.version + 1}
        return update(tasks).where(*self._mine(tasks.c.id == id, *conditions)).values(stamped)

    def _stamp(self) -> dict[str, Any]:
        now = self._clock.now()
        # With the instant: releases before schema 0004 stamp a row without their name, and leave ours in it.
        return {"changed_at": now, "changed_by": f"{self._owner}:{microseconds(now)}"}

    def _announced(self, statement: Insert | Update) -> Any:
        # In the same statement: an announcement of its own would be one more trip, and could get lost.
        return statement.returning(tasks, *self.engine.announcement(self._service))
