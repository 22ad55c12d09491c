"""What the parts of the store share."""

from collections.abc import Mapping
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sora2_mcp.clock import Clock
from sora2_mcp.domain.task import Task
from sora2_mcp.errors import UnknownTaskError
from sora2_mcp.tasks.store.engine import Engine
from sora2_mcp.tasks.store.rows import task_from
from sora2_mcp.tasks.store.schema import tasks


class StorePart:
    """An engine, the one service whose rows are touched, and the clock that stamps changes."""

    def __init__(self, engine: Engine, service: str, clock: Clock) -> None:
        self._engine = engine
        self._service = service
        self._clock = clock

    def _mine(self, *conditions: ColumnElement[bool]) -> list[ColumnElement[bool]]:
        return [tasks.c.service == self._service, *conditions]

    async def _row(
        self, connection: AsyncConnection, *conditions: ColumnElement[bool], held: bool = False
    ) -> RowMapping | None:
        """A row; ``held`` keeps everybody else from changing it until the transaction ends."""
        query = select(tasks).where(*self._mine(*conditions)).limit(1)
        found = await connection.execute(query.with_for_update() if held else query)
        return found.mappings().first()

    async def _task(self, connection: AsyncConnection, id: str, *, held: bool = False) -> Task:
        row = await self._row(connection, tasks.c.id == id, held=held)
        if row is None:
            raise UnknownTaskError(id)
        return task_from(row)

    async def _change(self, connection: AsyncConnection, id: str, values: Mapping[str, Any], *conditions: Any) -> bool:
        """Writes facts: counts the version up and stamps the change, so that other processes notice."""
        stamped = {**values, "version": tasks.c.version + 1, "changed_at": self._clock.now()}
        changed = await connection.execute(
            update(tasks).where(*self._mine(tasks.c.id == id, *conditions)).values(stamped)
        )
        if changed.rowcount != 1:
            return False
        await self._engine.announce(connection, self._service, id)
        return True

    async def _note(self, connection: AsyncConnection, id: str, values: Mapping[str, Any], *conditions: Any) -> bool:
        """Writes what is no fact about the task: leases and times of looks."""
        noted = await connection.execute(update(tasks).where(*self._mine(tasks.c.id == id, *conditions)).values(values))
        return noted.rowcount == 1
