"""When tasks are looked at, and by whom."""

from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import func, select, update
from sqlalchemy.ext.asyncio import AsyncConnection

from sora2_mcp.domain.task import Task
from sora2_mcp.tasks.store.base import StorePart
from sora2_mcp.tasks.store.conditions import look_is_free, next_look, no_sooner
from sora2_mcp.tasks.store.port import FARTHEST_LOOK, LOOK_LEASE, LookPlan
from sora2_mcp.tasks.store.rows import task_from
from sora2_mcp.tasks.store.schema import tasks

_UNAUTHORIZED = 401


class Looks(StorePart):
    """Demand and leases. While a look is under way its task is due again only when the lease lapses."""

    async def want(self, task: Task, until: datetime, look_at: datetime) -> None:
        async with self._engine.writing() as connection:
            now = self._clock.now()
            await self._note(connection, task.id, {"wanted_until": until}, tasks.c.next_look_at.is_not(None))
            later = (tasks.c.next_look_at > no_sooner(look_at), look_is_free(now))
            # A look made since the task was read has set the pace anew.
            unseen = (
                tasks.c.last_look_at.is_not_distinct_from(task.last_look_at),
                tasks.c.look_failed_at.is_not_distinct_from(task.look_failed_at),
            )
            await self._note(connection, task.id, {"next_look_at": no_sooner(look_at)}, *later, *unseen)

    async def most_urgent(self, farthest: timedelta = FARTHEST_LOOK) -> Task | None:
        async with self._engine.reading() as connection:
            now = self._clock.now()
            in_order = select(tasks).where(*self._mine()).order_by(tasks.c.next_look_at).limit(1)
            due = in_order.where(tasks.c.next_look_at <= now)
            astray = in_order.where(tasks.c.next_look_at > now + farthest)
            for query in (due.where(tasks.c.wanted_until > now), due, astray):
                row = (await connection.execute(query)).mappings().first()
                if row is not None:
                    return task_from(row)
            return None

    async def next_due_at(self, farthest: timedelta = FARTHEST_LOOK) -> datetime | None:
        async with self._engine.reading() as connection:
            now = self._clock.now()
            earliest = await self._look_time(connection, func.min)
            if earliest is None or earliest <= now:
                return earliest
            latest = await self._look_time(connection, func.max)
            return now if latest is not None and latest > now + farthest else earliest

    async def unfinished(self) -> int:
        async with self._engine.reading() as connection:
            # The index of what is due holds all that this asks for.
            looked_at = self._mine(tasks.c.next_look_at.is_not(None))
            found = await connection.execute(select(func.count()).select_from(tasks).where(*looked_at))
            return int(found.scalar_one())

    async def _look_time(self, connection: AsyncConnection, which: Callable[..., Any]) -> datetime | None:
        found = await connection.execute(select(which(tasks.c.next_look_at)).where(*self._mine()))
        instant: datetime | None = found.scalar_one()
        return instant

    async def claim_look(self, id: str, owner: str, lease: timedelta = LOOK_LEASE) -> int | None:
        async with self._engine.writing() as connection:
            await self._row(connection, tasks.c.id == id, held=True)
            now = self._clock.now()
            until = now + lease
            claimed = {"look_owner": owner, "look_lease_until": until}
            if not await self._note(connection, id, claimed, look_is_free(now)):
                return None
            await self._note(connection, id, {"next_look_at": until}, tasks.c.next_look_at.is_not(None))
            row = await self._row(connection, tasks.c.id == id)
            return int(row["look_failures"]) if row is not None else None

    async def settle_look(self, id: str, owner: str, plan: LookPlan, error_code: int | None) -> None:
        async with self._engine.writing() as connection:
            now = self._clock.now()
            own = tasks.c.look_owner == owner
            if error_code is None:
                cleared = dict.fromkeys(("look_failed_at", "look_not_before", "look_error_code"))
                await self._note(connection, id, {"last_look_at": now, "look_failures": 0, **cleared}, own)
            else:
                failed = {
                    "look_failures": tasks.c.look_failures + 1,
                    "look_failed_at": now,
                    "look_not_before": plan.not_before,
                    "look_error_code": error_code,
                }
                await self._note(connection, id, failed, own)
            if error_code == _UNAUTHORIZED:
                # Waiters, in other processes too, are to hear of a key that stopped working.
                stamped = update(tasks).where(*self._mine(tasks.c.id == id)).values(changed_at=now)
                await connection.execute(stamped)
                await self._engine.announce(connection, self._service, id)
            await self._note(
                connection, id, {"next_look_at": next_look(now, plan)}, tasks.c.next_look_at.is_not(None), own
            )
            await self._note(connection, id, {"look_owner": None, "look_lease_until": None}, own)

    async def release_look(self, id: str, owner: str) -> None:
        async with self._engine.writing() as connection:
            own = tasks.c.look_owner == owner
            due = {"next_look_at": self._clock.now()}
            await self._note(connection, id, due, tasks.c.next_look_at.is_not(None), own)
            await self._note(connection, id, {"look_owner": None, "look_lease_until": None}, own)
