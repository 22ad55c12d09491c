"""Orders in the store: reserve, bind and what lies between."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, and_, delete, func, insert, not_, or_, select
from sqlalchemy.ext.asyncio import AsyncConnection

from sora2_mcp.domain.task import Status, Task
from sora2_mcp.errors import KeyReusedError, LimitError, UnknownTaskError
from sora2_mcp.tasks.store.base import StorePart
from sora2_mcp.tasks.store.conditions import UNCONFIRMED_COUNTS_ACTIVE, active, next_look, ordered_since, unconfirmed
from sora2_mcp.tasks.store.port import Budget, LimitUse, LookPlan, Outcome, Reservation
from sora2_mcp.tasks.store.rows import fact_columns, order_columns, task_from
from sora2_mcp.tasks.store.schema import tasks

_REFUSED_KEPT = timedelta(days=1)
_NEW_KEY = "Use a new idempotency_key to order this."


class Orders(StorePart):
    """An order's way from intent to task.

    What decides by several rows is done alone; everything else changes one row, under conditions that name its state.
    """

    async def preview(self, draft: Task, fingerprint: str, budget: Budget) -> Reservation | None:
        async with self._engine.reading() as connection:
            known = await self._known_order(connection, draft, fingerprint, budget)
            if known is None:
                await self._checked_budget(connection, budget, draft.principal, self._clock.now())
            return known

    async def reserve(
        self,
        draft: Task,
        fingerprint: str,
        budget: Budget,
        consent: str = "",
        admit: Callable[[Task], None] = lambda _: None,
    ) -> Reservation:
        async with self._alone() as connection:
            used = await self._row(connection, tasks.c.confirmation == consent) if consent else None
            if used is not None:
                return Reservation(task=task_from(used), outcome=Outcome.SAME_CONSENT)
            known = await self._known_order(connection, draft, fingerprint, budget)
            if known is not None:
                return known
            limits = await self._checked_budget(connection, budget, draft.principal, self._clock.now())
            admit(draft)
            if draft.sending_until is not None:
                # The lease lasts from here on, however long this transaction was waited for.
                waited = max(self._clock.now() - draft.created_at, timedelta())
                draft = replace(draft, sending_until=draft.sending_until + waited)
            await self._insert(connection, draft, fingerprint, consent)
            return Reservation(task=draft, outcome=Outcome.NEW, limits=limits)

    async def hold(self, id: str, lease: timedelta) -> None:
        async with self._engine.writing() as connection:
            until = self._clock.now() + lease
            await self._note(connection, id, {"sending_until": until}, tasks.c.task_id.is_(None))

    async def hand_out(self, id: str) -> Task:
        async with self._engine.writing() as connection:
            await self._note(connection, id, {"handed_out": True}, tasks.c.status != Status.REFUSED)
            return await self._task(connection, id)

    async def refuse(self, refused: Task) -> Task:
        async with self._engine.writing() as connection:
            facts = {**fact_columns(refused), "sending_until": None}
            unanswered = tasks.c.task_id.is_(None)
            hidden = {**facts, "status": Status.REFUSED.value, "idempotency_key": None}
            if not await self._change(connection, refused.id, hidden, unanswered, tasks.c.handed_out.is_(False)):
                await self._change(connection, refused.id, facts, unanswered)
            return await self._task(connection, refused.id)

    async def unclear(self, id: str, reason: str) -> Task:
        async with self._engine.writing() as connection:
            values = {"status": Status.UNCONFIRMED.value, "sending_until": None, "failure_message": reason}
            still_open = tasks.c.status == Status.GENERATING.value
            await self._change(connection, id, values, tasks.c.task_id.is_(None), still_open)
            return await self._task(connection, id)

    async def bind(self, id: str, task_id: str, plan: LookPlan) -> Task:
        async with self._alone() as connection:
            task = await self._task(connection, id, held=True)
            return task if task.task_id else await self._bound(connection, task, task_id, plan)

    async def bind_hinted(self, id: str, task_id: str, plan: LookPlan) -> Task | None:
        async with self._alone() as connection:
            task = await self._task(connection, id, held=True)
            if task.task_id:
                return task
            adoptable = and_(tasks.c.adopted.is_(True), tasks.c.principal == task.principal)
            taken = await self._row(connection, tasks.c.task_id == task_id, not_(adoptable))
            return None if taken is not None or task.finished else await self._bound(connection, task, task_id, plan)

    async def _bound(self, connection: AsyncConnection, task: Task, task_id: str, plan: LookPlan) -> Task:
        values = {"task_id": task_id, "sending_until": None, **await self._adopted_facts(connection, task, task_id)}
        if values["status"] == Status.GENERATING.value:
            values["next_look_at"] = next_look(self._clock.now(), plan)
        await self._change(connection, task.id, values)
        return await self._task(connection, task.id)

    async def adopt(self, task: Task, plan: LookPlan) -> Task:
        async with self._alone() as connection:
            known = await self._row(connection, tasks.c.task_id == task.task_id)
            if known is not None and known["principal"] != task.principal:
                raise UnknownTaskError(task.task_id)
            if known is not None:
                return task_from(known)
            await self._insert(connection, task, fingerprint="")
            if not task.finished:
                await self._note(connection, task.id, {"next_look_at": plan.idle_at, "last_look_at": self._clock.now()})
            return await self._task(connection, task.id)

    def _alone(self) -> AbstractAsyncContextManager[AsyncConnection]:
        """A transaction beside which nobody else reserves, binds or adopts for this service."""
        return self._engine.writing(lock=self._service)

    async def _adopted_facts(self, connection: AsyncConnection, task: Task, task_id: str) -> dict[str, Any]:
        """The facts to bind with: those of a task adopted under this id meanwhile, whose place this one takes."""
        adopted = await self._row(connection, tasks.c.task_id == task_id, tasks.c.adopted.is_(True), held=True)
        if adopted is None:
            begun = replace(task, status=Status.GENERATING, failure=None, known_unfinished_at=task.created_at)
            return fact_columns(begun)
        await connection.execute(delete(tasks).where(*self._mine(tasks.c.id == adopted["id"])))
        known = task_from(adopted)
        merged = replace(known, id=task.id, adopted=False, created_at=task.created_at)
        files = {name: adopted[name] for name in ("file_path", "file_size_bytes", "file_sha256")}
        return {**fact_columns(merged), **files}

    async def _known_order(
        self, connection: AsyncConnection, draft: Task, fingerprint: str, budget: Budget
    ) -> Reservation | None:
        """The task the order already has; None where it is new."""
        now = self._clock.now()
        same = await self._same_key(connection, draft, fingerprint)
        if same is not None:
            return Reservation(task=same, outcome=Outcome.SAME_KEY)
        repeat = await self._repeat(connection, draft, fingerprint, now - budget.duplicate_window, now)
        if repeat is not None:
            return Reservation(task=repeat, outcome=Outcome.REPEAT)
        return None

    async def _insert(self, connection: AsyncConnection, task: Task, fingerprint: str, consent: str = "") -> None:
        await self._forget_refused(connection)
        stamp = {"version": task.version, "changed_at": self._clock.now(), "confirmation": consent or None}
        columns = {**order_columns(task, fingerprint), **stamp}
        await connection.execute(insert(tasks).values(columns))
        await self._engine.announce(connection, self._service, task.id)

    async def _forget_refused(self, connection: AsyncConnection) -> None:
        old = self._clock.now() - _REFUSED_KEPT
        gone = self._mine(tasks.c.status == Status.REFUSED.value, tasks.c.created_at < old)
        await connection.execute(delete(tasks).where(*gone))

    async def _same_key(self, connection: AsyncConnection, draft: Task, fingerprint: str) -> Task | None:
        if not draft.idempotency_key:
            return None
        of_key = (tasks.c.principal == draft.principal, tasks.c.idempotency_key == draft.idempotency_key)
        row = await self._row(connection, *of_key)
        if row is None:
            return None
        if row["fingerprint"] != fingerprint:
            problem = "was used before with other arguments, so nothing was ordered."
            raise KeyReusedError(
                draft.idempotency_key, problem, f"Repeat the first arguments, or {_NEW_KEY[0].lower()}{_NEW_KEY[1:]}"
            )
        if row["status"] == Status.FAILED.value:
            reference = task_from(row).reference
            problem = f"belongs to task {reference}, which failed, so nothing was ordered."
            raise KeyReusedError(draft.idempotency_key, problem, _NEW_KEY)
        return task_from(row)

    async def _repeat(
        self, connection: AsyncConnection, draft: Task, fingerprint: str, since: datetime, now: datetime
    ) -> Task | None:
        """The unfinished task that is exactly this order: a recent one, or one nobody knows the fate of."""
        if draft.idempotency_key:
            return None
        recent = and_(tasks.c.status == Status.GENERATING.value, tasks.c.created_at > since)
        row = await self._row(
            connection,
            tasks.c.principal == draft.principal,
            tasks.c.fingerprint == fingerprint,
            or_(recent, unconfirmed(now)),
        )
        return task_from(row) if row is not None else None

    async def _checked_budget(
        self, connection: AsyncConnection, budget: Budget, principal: str, now: datetime
    ) -> tuple[LimitUse, ...]:
        """How much one more order leaves of each limit that is set.

        Raises:
            LimitError: nothing.
        """
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        tomorrow = f"It frees at {today + timedelta(days=1):%Y-%m-%d} 00:00 UTC."
        limits: list[LimitUse] = []
        if budget.max_active_tasks:
            running = await self._count(connection, active(now))
            if running >= budget.max_active_tasks:
                frees = f"It frees when a running task ends{await self._unclear_until(connection, principal, now)}."
                raise LimitError(
                    "SORA2_MAX_ACTIVE_TASKS", budget.max_active_tasks, running, f"{frees} list_tasks shows them."
                )
            limits.append(LimitUse("SORA2_MAX_ACTIVE_TASKS", budget.max_active_tasks, running + 1))
        if budget.daily_limit:
            ordered = await self._count(connection, ordered_since(today))
            if ordered >= budget.daily_limit:
                raise LimitError("SORA2_DAILY_LIMIT", budget.daily_limit, ordered, tomorrow)
            limits.append(LimitUse("SORA2_DAILY_LIMIT", budget.daily_limit, ordered + 1))
        if budget.daily_cost:
            cost = await self._cost_since(connection, today) or 0.0
            if cost >= budget.daily_cost:
                raise LimitError("SORA2_DAILY_COST", budget.daily_cost, cost, tomorrow)
            limits.append(LimitUse("SORA2_DAILY_COST", budget.daily_cost, cost))
        return tuple(limits)

    async def _unclear_until(self, connection: AsyncConnection, principal: str, now: datetime) -> str:
        """When the principal's oldest order of unknown fate ceases to count as active, in words.

        Others' orders are none of its business.
        """
        counted = self._mine(unconfirmed(now), active(now), tasks.c.principal == principal)
        oldest = (await connection.execute(select(func.min(tasks.c.created_at)).where(*counted))).scalar_one()
        return (
            f", or at {oldest + UNCONFIRMED_COUNTS_ACTIVE:%H:%M} UTC, when an unconfirmed one stops counting"
            if oldest
            else ""
        )

    async def _cost_since(self, connection: AsyncConnection, instant: datetime) -> float | None:
        """What the orders since then have cost, as far as it is known; None where nothing is."""
        known = select(func.sum(tasks.c.cost)).where(*self._mine(ordered_since(instant)))
        cost: float | None = (await connection.execute(known)).scalar_one()
        return cost

    async def _count(self, connection: AsyncConnection, condition: ColumnElement[bool]) -> int:
        counted = await connection.execute(select(func.count()).select_from(tasks).where(*self._mine(condition)))
        return int(counted.scalar_one())
