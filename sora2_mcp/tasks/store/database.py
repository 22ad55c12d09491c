"""The store: one implementation, on SQLAlchemy Core."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from datetime import datetime, timedelta

from sqlalchemy import and_, case, func, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from sora2_mcp.clock import Clock
from sora2_mcp.domain.task import DOWNLOAD_ATTEMPTS, LOCAL_PREFIX, SavedFile, Status, Task
from sora2_mcp.tasks.store.address import engine_at
from sora2_mcp.tasks.store.changes import Changes
from sora2_mcp.tasks.store.conditions import active, is_free, ordered_since, shown_as, unsaved_videos
from sora2_mcp.tasks.store.looks import Looks
from sora2_mcp.tasks.store.migration import migrate
from sora2_mcp.tasks.store.orders import Orders
from sora2_mcp.tasks.store.port import PageMark, Usage
from sora2_mcp.tasks.store.rows import fact_columns, task_from
from sora2_mcp.tasks.store.schema import tasks


class Database(Orders, Looks, Changes):
    """A store in a database; see ``port.Store``."""

    async def load(self, id: str) -> Task | None:
        async with self._engine.reading() as connection:
            row = await self._row(connection, tasks.c.id == id)
            return task_from(row) if row is not None else None

    async def of_callback(self, callback_hash: str) -> Task | None:
        async with self._engine.reading() as connection:
            row = await self._row(connection, tasks.c.callback == callback_hash)
            return task_from(row) if row is not None else None

    async def find(self, principal: str, reference: str) -> Task | None:
        async with self._engine.reading() as connection:
            mine = tasks.c.principal == principal
            if reference.startswith(LOCAL_PREFIX):
                row = await self._row(connection, mine, tasks.c.id == reference.removeprefix(LOCAL_PREFIX))
            else:
                row = await self._row(connection, mine, tasks.c.task_id == reference)
            return task_from(row) if row is not None else None

    async def is_anybodys(self, task_id: str) -> bool:
        async with self._engine.reading() as connection:
            return await self._row(connection, tasks.c.task_id == task_id) is not None

    async def save(self, task: Task, *, quietly: bool = False) -> bool:
        async with self._engine.writing() as connection:
            values, still = fact_columns(task), tasks.c.version == task.version
            if quietly:
                return await self._note(connection, task.id, {**values, "version": tasks.c.version + 1}, still)
            if task.finished:
                values |= {"next_look_at": None, "wanted_until": None}
            return await self._change(connection, task.id, values, still)

    async def page(self, principal: str, status: Status | None, limit: int, after: PageMark | None) -> Sequence[Task]:
        async with self._engine.reading() as connection:
            older = [tasks.c.principal == principal]
            if after is not None:
                same_time = and_(tasks.c.created_at == after.created_at, tasks.c.id < after.id)
                older.append(or_(tasks.c.created_at < after.created_at, same_time))
            shown = [tasks.c.status != Status.REFUSED.value]
            found: list[Task] = []
            for wanted in shown_as(status, self._clock.now()) if status else shown:
                query = select(tasks).where(*self._mine(*older, wanted)).limit(limit)
                newest_first = query.order_by(tasks.c.created_at.desc(), tasks.c.id.desc())
                found += [task_from(row) for row in (await connection.execute(newest_first)).mappings()]
            return sorted(found, key=lambda task: (task.created_at, task.id), reverse=True)[:limit]

    async def usage(self, principal: str) -> Usage:
        async with self._engine.reading() as connection:
            now = self._clock.now()
            today = now.replace(hour=0, minute=0, second=0, microsecond=0)
            mine_today, failed_today, cost_today = await self._orders_since(connection, today, principal)
            mine_month, failed_month, cost_month = await self._orders_since(connection, today.replace(day=1), principal)
            return Usage(
                mine_today=mine_today,
                mine_failed_today=failed_today,
                mine_this_month=mine_month,
                mine_failed_this_month=failed_month,
                mine_cost_today=cost_today,
                mine_cost_this_month=cost_month,
                all_today=await self._count(connection, ordered_since(today)),
                all_active=await self._count(connection, active(now)),
                all_cost_today=await self._cost_since(connection, today),
            )

    async def unsaved(self, limit: int, *, only_keyed: bool = False) -> Sequence[Task]:
        async with self._engine.reading() as connection:
            promising = tasks.c.download_attempts < DOWNLOAD_ATTEMPTS
            keyed = [tasks.c.video_url.startswith("/")] if only_keyed else []
            wanted = self._mine(*unsaved_videos(self._clock.now()), promising, *keyed)
            oldest_first = select(tasks).where(*wanted).order_by(tasks.c.created_at).limit(limit)
            return [task_from(row) for row in (await connection.execute(oldest_first)).mappings()]

    async def claim_download(self, id: str, owner: str, lease: timedelta) -> bool:
        async with self._engine.writing() as connection:
            await self._row(connection, tasks.c.id == id, held=True)
            # Only now: a lease that was reckoned before the wait for the row might have lapsed already.
            now = self._clock.now()
            mine = tasks.c.download_owner == owner
            claimed = {
                "download_owner": owner,
                "download_lease_until": now + lease,
                "download_attempts": tasks.c.download_attempts + case((mine, 0), else_=1),
            }
            return await self._note(
                connection, id, claimed, or_(is_free(tasks.c.download_lease_until, now, lease), mine)
            )

    async def settle_download(self, id: str, owner: str, file: SavedFile, replaces: SavedFile | None) -> Task:
        async with self._engine.writing() as connection:
            place = {
                "file_path": file.path,
                "file_size_bytes": file.size_bytes,
                "file_sha256": file.sha256,
                "download_attempts": 0,
            }
            known = tasks.c.file_path
            await self._change(connection, id, place, known == replaces.path if replaces else known.is_(None))
            await self._release(connection, id, owner)
            return await self._task(connection, id)

    async def release_download(self, id: str, owner: str, *, was_attempt: bool = True) -> None:
        async with self._engine.writing() as connection:
            if not was_attempt:
                uncounted = {"download_attempts": tasks.c.download_attempts - 1}
                await self._note(connection, id, uncounted, tasks.c.download_owner == owner)
            await self._release(connection, id, owner)

    async def _release(self, connection: AsyncConnection, id: str, owner: str) -> None:
        released = {"download_owner": None, "download_lease_until": None}
        await self._note(connection, id, released, tasks.c.download_owner == owner)

    async def _orders_since(
        self, connection: AsyncConnection, instant: datetime, principal: str
    ) -> tuple[int, int, float | None]:
        failed = func.coalesce(func.sum(case((tasks.c.status == Status.FAILED.value, 1), else_=0)), 0)
        mine = self._mine(tasks.c.principal == principal, ordered_since(instant))
        counted = await connection.execute(
            select(func.count(), failed, func.sum(tasks.c.cost)).select_from(tasks).where(*mine)
        )
        orders, failures, cost = counted.one()
        return int(orders), int(failures), cost


@asynccontextmanager
async def open_store(url: str, service: str, clock: Clock) -> AsyncIterator[Database]:
    """The store at ``url``, migrated if need be, closed on exit.

    Raises:
        StoreError: it cannot be opened.
    """
    engine = engine_at(url)
    try:
        await migrate(engine)
        yield Database(engine, service, clock)
    finally:
        await engine.close()
