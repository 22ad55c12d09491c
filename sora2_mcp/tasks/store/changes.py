"""What any process saved."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import select

from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.store.base import StorePart
from sora2_mcp.tasks.store.engine import store_error
from sora2_mcp.tasks.store.schema import tasks

_OVERLAP = timedelta(seconds=5)
"""Processes' clocks differ, and a row is stamped a little before it is saved."""


class Changes(StorePart):
    """The feed of changes, which misses nothing over a gap: what was saved meanwhile is read afterwards."""

    _missed_since: datetime | None = None
    _told: frozenset[tuple[str, int, datetime]] = frozenset()

    async def changes(self) -> AsyncIterator[Sequence[str]]:
        heard_at = self._clock.now()
        try:
            async with self._engine.listening(self._service, self._clock) as news:
                yield []
                if self._missed_since is not None:
                    missed = await self._changed_since(self._missed_since)
                    self._missed_since = None
                    yield missed
                while True:
                    ids, before = await news(), heard_at
                    heard_at = self._clock.now()
                    if ids is None:
                        ids = await self._changed_since(before)
                    if ids:
                        yield ids
        except Exception as error:
            # The feed's border: whatever the driver raises is one kind of failure to whoever listens.
            self._missed_since = self._missed_since or heard_at
            raise store_error(error) if not isinstance(error, StoreError) else error from error

    async def _changed_since(self, instant: datetime) -> Sequence[str]:
        async with self._engine.reading() as connection:
            changed = select(tasks.c.id, tasks.c.version, tasks.c.changed_at)
            rows = (
                await connection.execute(changed.where(*self._mine(tasks.c.changed_at >= instant - _OVERLAP)))
            ).all()
        # Within the overlap every change is found several times over.
        told, self._told = self._told, frozenset((row.id, row.version, row.changed_at) for row in rows)
        return [id for id, *_ in self._told - told]
