"""Orders in the store, from the intent to the task."""

from collections.abc import Callable
from contextlib import suppress
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, case, delete, func, insert, literal, or_, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.ext.asyncio import AsyncConnection

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Status, Task
from sora2_mcp.errors import KeyReusedError, LimitError, StoreError, UnknownTaskError
from sora2_mcp.tasks.store.interface import LOOK_LEASE, Budget, LimitUse, LookPlan, Outcome, Reservation
from sora2_mcp.tasks.store.queries import (
    UNCONFIRMED_COUNTS_ACTIVE,
    Queries,
    active,
    being_sent,
    is_free,
    next_look,
    ordered_since,
    unconfirmed,
)
from sora2_mcp.tasks.store.rows import fact_columns, fingerprint, order_columns, task_from
from sora2_mcp.tasks.store.schema import Instant, tasks

_REFUSED_KEPT = timedelta(days=1)
_NEW_KEY = "Use a new idempotency_key to order this."
_UNANSWERED = tasks.c.task_id.is_(None)
_BOUND = {
    "status": Status.GENERATING.value,
    "known_unfinished_at": tasks.c.created_at,
    "look_failures": 0,
    **dict.fromkeys(("sending_until", "hinted_id", "finished_at")),
    **dict.fromkeys(("failure_stage", "failure_code", "failure_message", "failure_doubtful")),
}


class Orders(Queries):
    """An order's way from intent to task. Whatever several rows decide is done under a lock."""

    async def preview(self, draft: Task, budget: Budget) -> Reservation | None:
        async with self.engine.reading() as connection:
            known = await self._known_order(connection, draft, budget)
            if known is None:
                await self._checked_budget(connection, budget, draft.principal)
            return known

    async def reserve(
        self,
        draft: Task,
        budget: Budget,
        consent: str = "",
        admit: Callable[[Task], None] = lambda _: None,
    ) -> Reservation:
        try:
            return await self._reserved(draft, budget, consent, admit)
        except StoreError as error:
            if not isinstance(error.__cause__, IntegrityError):
                raise
            # Another order has taken the key at this moment, with other arguments: now it is found.
            return await self._reserved(draft, budget, consent, admit)

    async def _reserved(self, draft: Task, budget: Budget, consent: str, admit: Callable[[Task], None]) -> Reservation:
        # Limits concern all orders of the service. Without them an order must only not race with its own repeats, and
        # with those of processes that have limits, or of releases that always lock the whole service.
        own = f"{self._service} {draft.principal} {fingerprint(draft.request)}"
        lock, shared = (self._service, "") if budget.has_limits else (own, self._service)
        async with self.engine.writing(lock, shared=shared) as connection:
            known = await self._known_order(connection, draft, budget, consent)
            if known is not None:
                return known
            limits = await self._checked_budget(connection, budget, draft.principal)
            admit(draft)
            if draft.sending_until is not None:
                # The lease begins now, however long this transaction was waited for.
                waited = max(self._clock.now() - draft.created_at, timedelta())
                draft = replace(draft, sending_until=draft.sending_until + waited)
            await self._insert(connection, {**order_columns(draft), "confirmation": consent or None})
        # In this process only its caller may know of it yet; the service's answer is published.
        return Reservation(task=draft, outcome=Outcome.NEW, limits=limits)

    async def hold(self, id: str, lease: timedelta) -> None:
        await self._note(id, {"sending_until": self._clock.now() + lease}, *being_sent())

    async def hand_out(self, id: str) -> Task:
        row = await self._note(id, {"handed_out": True}, tasks.c.status != Status.REFUSED.value)
        return task_from(row) if row is not None else await self._loaded(id)

    async def refuse(self, refused: Task) -> Task:
        # Decided in the statement: a caller may be given the local id at this moment.
        hidden = tasks.c.handed_out.is_(False)
        values = {
            **fact_columns(refused),
            "sending_until": None,
            "next_look_at": None,
            "status": case((hidden, Status.REFUSED.value), else_=Status.FAILED.value),
            "idempotency_key": case((hidden, None), else_=tasks.c.idempotency_key),
        }
        task = await self._change(refused.id, values, _UNANSWERED)
        # Only tidying up: that the refusal is saved is what counts.
        with suppress(StoreError):
            await self._forget_refused()
        return task or await self._loaded(refused.id)

    async def unclear(self, id: str, reason: str) -> Task:
        # A failure message without a stage is the reason why an order is unconfirmed, see ``task_from``.
        values = {"status": Status.UNCONFIRMED.value, "sending_until": None, "failure_message": reason}
        return await self._change(
            id, values, _UNANSWERED, tasks.c.status == Status.GENERATING.value
        ) or await self._loaded(id)

    async def bind(self, id: str, task_id: str, plan: LookPlan) -> Task:
        return await self._bound(id, task_id, plan) or await self._loaded(id)

    async def bind_hinted(self, id: str, task_id: str, plan: LookPlan) -> Task | None:
        bound = await self._bound(id, task_id, plan, *self._may_take_id(task_id))
        # Its sender may have had the answer meanwhile: then the order keeps that id.
        known = bound or await self._loaded(id)
        return known if known.task_id else None

    async def _bound(self, id: str, task_id: str, plan: LookPlan, *conditions: ColumnElement[bool]) -> Task | None:
        values = {**_BOUND, "task_id": task_id, "next_look_at": self._first_look(plan)}
        async with self.engine.writing(self._lock_of(task_id), shared=self._service) as connection:
            bound = self._announced(self._changing(id, values, _UNANSWERED, *conditions))
            row = (await connection.execute(bound)).mappings().first()
            if row is not None:
                # Under the same lock as ``adopt``: a task is adopted before this, or finds the order's row.
                row = await self._merged(connection, row)
        if row is None:
            return None
        self._changed(id)
        return task_from(row)

    async def adopt(self, task: Task, plan: LookPlan) -> Task:
        async with self.engine.writing(self._lock_of(task.task_id), shared=self._service) as connection:
            known = await self._row(connection, tasks.c.task_id == task.task_id)
            if known is not None and known["principal"] != task.principal:
                raise UnknownTaskError(task.task_id)
            if known is not None:
                return task_from(known)
            looks = {} if task.finished else {"next_look_at": plan.idle_at, "last_look_at": self._clock.now()}
            row = await self._insert(connection, {**order_columns(task), **looks})
        self._changed(task.id)
        return task_from(row)

    def _lock_of(self, task_id: str) -> str:
        """The lock for whatever decides which row has the service's id."""
        return f"{self._service} task {task_id}"

    def _may_take_id(self, task_id: str) -> list[ColumnElement[bool]]:
        """Conditions of an order that may get an id which only a callback named: no other order has it."""
        other = tasks.alias()
        adopted = and_(other.c.adopted, other.c.principal == tasks.c.principal)
        taken = select(other.c.id).where(other.c.service == self._service, other.c.task_id == task_id, ~adopted)
        return [tasks.c.status.in_([Status.GENERATING.value, Status.UNCONFIRMED.value]), ~taken.exists()]

    async def _merged(self, connection: AsyncConnection, bound: RowMapping) -> RowMapping:
        """The order with what is known of the task that was adopted under its id, whose place it takes."""
        same_id = (tasks.c.task_id == bound["task_id"], tasks.c.adopted)
        taken_over = delete(tasks).where(*self._mine(*same_id)).returning(tasks)
        adopted = (await connection.execute(taken_over)).mappings().first()
        if adopted is None:
            return bound
        order, known = task_from(bound), task_from(adopted)
        task = replace(known, id=order.id, adopted=False, created_at=order.created_at, retention=order.retention)
        values = {name: adopted[name] for name in ("file_path", "file_size_bytes", "file_sha256")} | fact_columns(task)
        if task.finished:
            values["next_look_at"] = None
        merged = update(tasks).where(tasks.c.id == order.id).values(values).returning(tasks)
        row: RowMapping = (await connection.execute(merged)).mappings().one()
        return row

    def _first_look(self, plan: LookPlan) -> ColumnElement[datetime]:
        """By the plan, or at once where a callback came before the answer.

        A look under way, at the id that the callback named, settles the time itself.
        """
        now = self._clock.now()
        is_looked_at = ~is_free(tasks.c.look_lease_until, now, LOOK_LEASE)
        return case(
            (is_looked_at, tasks.c.look_lease_until),
            (tasks.c.hinted_at.is_not(None), literal(now, Instant)),
            else_=next_look(now, plan),
        )

    async def _known_order(
        self, connection: AsyncConnection, draft: Task, budget: Budget, consent: str = ""
    ) -> Reservation | None:
        """The task the order already has; None where it is new."""
        now, mine = self._clock.now(), tasks.c.principal == draft.principal
        recent = and_(tasks.c.status == Status.GENERATING.value, tasks.c.created_at > now - budget.duplicate_window)
        repeat = and_(mine, tasks.c.fingerprint == fingerprint(draft.request), or_(recent, unconfirmed(now)))
        same_key = and_(mine, tasks.c.idempotency_key == draft.idempotency_key)
        known = [(Outcome.SAME_CONSENT, tasks.c.confirmation == consent)] if consent else []
        known.append((Outcome.SAME_KEY, same_key) if draft.idempotency_key else (Outcome.REPEAT, repeat))
        # One query each: no index serves both conditions at once.
        for outcome, condition in known:
            row = await self._row(connection, condition)
            if row is not None and outcome is Outcome.SAME_KEY:
                _check_key(row, draft.request)
            if row is not None:
                return Reservation(task=task_from(row), outcome=outcome)
        return None

    async def _insert(self, connection: AsyncConnection, columns: dict[str, Any]) -> RowMapping:
        statement = self._announced(insert(tasks).values({**columns, **self._stamp(), "version": 0}))
        row: RowMapping = (await connection.execute(statement)).mappings().one()
        return row

    async def _forget_refused(self) -> None:
        old = self._clock.now() - _REFUSED_KEPT
        gone = self._mine(tasks.c.status == Status.REFUSED.value, tasks.c.created_at < old)
        await self.engine.rows(delete(tasks).where(*gone).returning(tasks.c.id), writes=True)

    async def _checked_budget(
        self, connection: AsyncConnection, budget: Budget, principal: str
    ) -> tuple[LimitUse, ...]:
        """How much of each limit that is set is used with one more order.

        Raises:
            LimitError: nothing is left of one.
        """
        if not budget.has_limits:
            return ()
        now = self._clock.now()
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        unclear = and_(unconfirmed(now), active(now), tasks.c.principal == principal)
        # Only what a limit is set for: with many tasks each count takes its time, under the lock.
        counts = {
            "active": (self._scalar(func.count(), active(now)), budget.max_active_tasks),
            "ordered": (self._scalar(func.count(), ordered_since(today)), budget.daily_limit),
            "cost": (self._scalar(func.coalesce(func.sum(tasks.c.cost), 0.0), ordered_since(today)), budget.daily_cost),
            "unclear_since": (self._scalar(func.min(tasks.c.created_at), unclear), budget.max_active_tasks),
        }
        wanted = [count.label(name) for name, (count, limit) in counts.items() if limit]
        used = dict.fromkeys(counts) | dict((await connection.execute(select(*wanted))).mappings().one())
        tomorrow = f"The limit resets at {today + timedelta(days=1):%Y-%m-%d} 00:00 UTC."
        frees = f"Another order is possible when a running task ends{_unclear_until(used['unclear_since'])}."
        limits = (
            ("SORA2_MAX_ACTIVE_TASKS", budget.max_active_tasks, used["active"], 1, frees),
            ("SORA2_DAILY_LIMIT", budget.daily_limit, used["ordered"], 1, tomorrow),
            ("SORA2_DAILY_COST", budget.daily_cost, used["cost"], 0, tomorrow),
        )
        for variable, limit, count, _, hint in limits:
            if limit and count >= limit:
                raise LimitError(variable, limit, count, hint)
        return tuple(LimitUse(variable, limit, count + more) for variable, limit, count, more, _ in limits if limit)


def _unclear_until(since: datetime | None) -> str:
    """When the caller's oldest unconfirmed order ceases to count as active, in words."""
    if since is None:
        return ""
    return f", or at {since + UNCONFIRMED_COUNTS_ACTIVE:%H:%M} UTC, when an unconfirmed one stops counting"


def _check_key(row: RowMapping, request: VideoRequest) -> None:
    """Raises:
    KeyReusedError: the key stands for another order, or for one that failed.
    """
    if row["fingerprint"] != fingerprint(request):
        problem = "was used before with other arguments, so nothing was ordered."
        hint = f"Repeat the first arguments, or {_NEW_KEY[0].lower()}{_NEW_KEY[1:]}"
        raise KeyReusedError(row["idempotency_key"], problem, hint)
    if row["status"] == Status.FAILED.value:
        problem = f"belongs to task {task_from(row).reference}, which failed, so nothing was ordered."
        raise KeyReusedError(row["idempotency_key"], problem, _NEW_KEY)
