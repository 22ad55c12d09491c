"""The feed of what other processes saved."""

from collections.abc import AsyncIterator, Sequence
from datetime import datetime, timedelta

from sqlalchemy import BigInteger, String, cast, literal, select, type_coerce

from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.store.engine import store_error
from sora2_mcp.tasks.store.part import Part
from sora2_mcp.tasks.store.schema import tasks

_OVERLAP = timedelta(seconds=5)
"""Processes' clocks differ, and a row is stamped a little before it is saved."""


class Changes(Part):
    """Nothing is missed before the feed begins and over a gap: what was saved meanwhile is read afterwards."""

    _gap_since: datetime | None = None
    _given: frozenset[tuple[str, int, datetime]] = frozenset()

    async def changes(self) -> AsyncIterator[Sequence[str]]:
        heard_at = self._clock.now()
        try:
            async with self.engine.listening(self._service, self._clock) as news:
                if self._gap_since is None:
                    missed = await self._changed_after(self._opened_at)
                else:
                    missed = await self._changed_after(self._gap_since - _OVERLAP)
                self._gap_since = None
                yield []
                if missed:
                    yield missed
                while True:
                    ids, before = await news(), heard_at
                    heard_at = self._clock.now()
                    if ids is None:
                        ids = await self._changed_after(before - _OVERLAP)
                    if ids:
                        yield ids
        except Exception as error:
            # The feed's border: whatever the driver raises is one kind of failure to its reader.
            self._gap_since = self._gap_since or heard_at
            raise store_error(error) if not isinstance(error, StoreError) else error from error

    async def _changed_after(self, instant: datetime) -> Sequence[str]:
        own_stamp = literal(f"{self._owner}:") + cast(type_coerce(tasks.c.changed_at, BigInteger), String)
        changed = select(tasks.c.id, tasks.c.version, tasks.c.changed_at).where(
            *self._mine(tasks.c.changed_at > instant, tasks.c.changed_by.is_distinct_from(own_stamp))
        )
        found = frozenset((row["id"], row["version"], row["changed_at"]) for row in await self.engine.rows(changed))
        # Within the overlap every change is found several times.
        given, self._given = self._given, found
        return [id for id, *_ in found - given]
