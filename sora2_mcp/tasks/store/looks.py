"""The schedule of looks, and the lease that covers one."""

from datetime import datetime, timedelta
from typing import Any

from sqlalchemy import ColumnElement, RowMapping, and_, case, func, literal, or_, select, true, update

from sora2_mcp.domain.task import Status, Task
from sora2_mcp.tasks.store.interface import FARTHEST_LOOK, LOOK_LEASE, Claim, Due, LookPlan
from sora2_mcp.tasks.store.queries import Queries, being_sent, is_free, lapsed, next_look
from sora2_mcp.tasks.store.rows import fact_columns, task_from
from sora2_mcp.tasks.store.schema import Instant, tasks

_UNAUTHORIZED = 401


class Looks(Queries):
    """While a look is under way its task is due again when the lease lapses."""

    async def want(self, task: Task, until: datetime, look_at: datetime) -> None:
        wanted = literal(look_at, Instant)
        # Not before the service allows it, if it said so.
        soonest = case((tasks.c.look_not_before > wanted, tasks.c.look_not_before), else_=wanted)
        free = is_free(tasks.c.look_lease_until, self._clock.now(), LOOK_LEASE)
        is_later = and_(tasks.c.next_look_at > soonest, free)
        values = {
            "wanted_until": until,
            "next_look_at": case((and_(_unseen_since(task), is_later), soonest), else_=tasks.c.next_look_at),
        }
        await self._note(task.id, values, tasks.c.next_look_at.is_not(None))

    async def hint(self, callback_hash: str, task_id: str = "") -> Task | None:
        now = self._clock.now()
        has_id = tasks.c.task_id.is_not(None)
        open_still = tasks.c.status.in_([Status.GENERATING.value, Status.UNCONFIRMED.value])
        correctable = and_(tasks.c.status == Status.FAILED.value, tasks.c.failure_doubtful)
        to_look_at = and_(or_(open_still, correctable), has_id if not task_id else true())
        free = is_free(tasks.c.look_lease_until, now, LOOK_LEASE)
        values = {
            "hinted_at": case((or_(open_still, correctable), literal(now, Instant)), else_=tasks.c.hinted_at),
            "next_look_at": case((and_(to_look_at, free), literal(now, Instant)), else_=tasks.c.next_look_at),
        }
        if task_id:
            values["hinted_id"] = case((has_id, tasks.c.hinted_id), else_=literal(task_id))
        hinted = update(tasks).where(*self._mine(tasks.c.callback == callback_hash)).values(values).returning(tasks)
        rows = await self.engine.rows(hinted, writes=True)
        return task_from(rows[0]) if rows else None

    async def due(self, farthest: timedelta = FARTHEST_LOOK) -> Due:
        now = self._clock.now()
        lapses = case((lapsed(now), literal(now, Instant)), else_=tasks.c.sending_until)
        instants = {
            "first": self._scalar(func.min(tasks.c.next_look_at)),
            "last": self._scalar(func.max(tasks.c.next_look_at)),
            "lapse": self._scalar(func.min(lapses), *being_sent()),
        }
        [row] = await self.engine.rows(select(*(instant.label(name) for name, instant in instants.items())))
        # One further ahead than any plan was set before the clock was set back.
        is_astray = row["last"] is not None and row["last"] > now + farthest
        return Due(look_at=now if is_astray else row["first"], lapse_at=row["lapse"])

    async def lapse(self) -> None:
        unclear = update(tasks).where(*self._mine(lapsed(self._clock.now())))
        values = {"status": Status.UNCONFIRMED.value, "sending_until": None, "version": tasks.c.version + 1}
        for row in await self.engine.rows(self._announced(unclear.values({**values, **self._stamp()})), writes=True):
            self._changed(row["id"])

    async def unfinished(self) -> int:
        # The index of what is due holds all that this asks for.
        looked_at = self._mine(tasks.c.next_look_at.is_not(None))
        [row] = await self.engine.rows(select(func.count().label("tasks")).select_from(tasks).where(*looked_at))
        return int(row["tasks"])

    async def claim(self, task: Task | None = None, *, farthest: timedelta = FARTHEST_LOOK) -> Claim | None:
        now = self._clock.now()
        if task is None:
            chosen = tasks.c.id == self._most_urgent(now, farthest)
        else:
            chosen = and_(tasks.c.id == task.id, _unseen_since(task))
        until = literal(now + LOOK_LEASE, Instant)
        lease = {
            "look_owner": self._owner,
            "look_lease_until": until,
            # Taken with the lease: a hint that is there when the look is settled came after it began.
            "hinted_at": None,
            # If this process dies, the task is due when the lease ends.
            "next_look_at": case((tasks.c.next_look_at.is_not(None), until)),
        }
        free = is_free(tasks.c.look_lease_until, now, LOOK_LEASE)
        claimed = update(tasks).where(*self._mine(chosen, free)).values(lease).returning(tasks)
        rows = await self.engine.rows(claimed, writes=True)
        return self._claim(rows[0]) if rows else None

    def _most_urgent(self, now: datetime, farthest: timedelta) -> ColumnElement[str]:
        """The due task to look at first: one with a hint, then one that is waited for, then the longest due."""
        due = select(tasks.c.id).where(*self._mine(tasks.c.next_look_at <= now))
        beyond_any_plan = select(tasks.c.id).where(*self._mine(tasks.c.next_look_at > now + farthest))
        # Each in the order of an index of its own: however many are due, few rows are read.
        candidates = (
            due.where(tasks.c.hinted_at.is_not(None)).order_by(tasks.c.hinted_at),
            due.where(tasks.c.wanted_until > now).order_by(tasks.c.wanted_until),
            due.order_by(tasks.c.next_look_at),
            beyond_any_plan.order_by(tasks.c.next_look_at),
        )
        # Two processes that look at once take different tasks.
        locked = (query.limit(1).with_for_update(skip_locked=True).scalar_subquery() for query in candidates)
        return func.coalesce(*locked)

    async def settle(self, claim: Claim, task: Task, plan: LookPlan, error_code: int | None = None) -> Task | None:
        now = self._clock.now()
        values: dict[str, Any] = {
            "look_owner": None,
            "look_lease_until": None,
            "next_look_at": self._next_look(now, task, plan if task.task_id or error_code is not None else None),
        }
        if task.task_id:
            values |= _outcome(now, plan, error_code)
        elif error_code is None:
            # What a callback said has been looked into; a newer one is left. The hint stays: when the order gets its
            # id, that is looked at at once.
            values |= {"hinted_id": case((tasks.c.hinted_at.is_not(None), tasks.c.hinted_id)), "look_failures": 0}
            values["hinted_at"] = literal(now, Instant)
        else:
            values["look_failures"] = tasks.c.look_failures + 1
        # Of another version or owner, what was seen belongs to a row that is not there any more.
        held = (tasks.c.version == claim.task.version, tasks.c.look_owner == self._owner)
        if task != claim.task:
            values |= fact_columns(task)
            if task.finished:
                return await self._change(task.id, {**values, "wanted_until": None, "hinted_at": None}, *held)
            # That it was seen unfinished again needs no announcement.
            values["version"] = tasks.c.version + 1
        elif error_code == _UNAUTHORIZED:
            # Waiters of every process must learn of a key that stopped working.
            noted = update(tasks).where(*self._mine(tasks.c.id == task.id, *held))
            return await self._write(task.id, noted.values({**values, **self._stamp()}))
        row = await self._note(task.id, values, *held)
        return task_from(row) if row is not None else None

    async def claimed(self, claim: Claim) -> Claim | None:
        rows = await self.engine.rows(
            select(tasks).where(*self._mine(tasks.c.id == claim.task.id, tasks.c.look_owner == self._owner))
        )
        return self._claim(rows[0]) if rows else None

    async def release(self, claim: Claim) -> None:
        due = {"next_look_at": case((tasks.c.next_look_at.is_not(None), literal(self._clock.now(), Instant)))}
        lease = {"look_owner": None, "look_lease_until": None}
        await self._note(claim.task.id, {**due, **lease}, tasks.c.look_owner == self._owner)

    def _claim(self, row: RowMapping) -> Claim:
        return Claim(task=task_from(row), failures=row["look_failures"], hinted_id=row["hinted_id"] or "")

    def _next_look(self, now: datetime, task: Task, plan: LookPlan | None) -> ColumnElement[Any] | None:
        """At once if a hint came after the look began; else by the plan, for whether a caller waits."""
        if not task.may_change:
            return None
        planned = next_look(now, plan) if plan is not None and not task.finished else literal(None, Instant)
        return case((tasks.c.hinted_at.is_not(None), literal(now, Instant)), else_=planned)


def _unseen_since(task: Task) -> ColumnElement[bool]:
    """No look has been made since the task was read: one would have set the pace anew."""
    return and_(
        tasks.c.last_look_at.is_not_distinct_from(task.last_look_at),
        tasks.c.look_failed_at.is_not_distinct_from(task.look_failed_at),
    )


def _outcome(now: datetime, plan: LookPlan, error_code: int | None) -> dict[str, Any]:
    if error_code is None:
        cleared = dict.fromkeys(("look_failed_at", "look_not_before", "look_error_code"))
        return {"last_look_at": now, "look_failures": 0, **cleared}
    return {
        "look_failures": tasks.c.look_failures + 1,
        "look_failed_at": now,
        "look_not_before": plan.not_before,
        "look_error_code": error_code,
    }
