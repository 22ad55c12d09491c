"""The words of the domain in SQL, and the questions that change nothing."""

from collections.abc import Sequence
from datetime import datetime, timedelta
from statistics import median
from typing import Any

from sqlalchemy import ColumnElement, Label, ScalarSelect, and_, case, func, literal, or_, select

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import DOWNLOAD_ATTEMPTS, LOCAL_PREFIX, Status, Task
from sora2_mcp.tasks.store.interface import LONGEST_SENDING, MOST_COUNTED, CallerUsage, LookPlan, PageMark, Usage
from sora2_mcp.tasks.store.part import Part
from sora2_mcp.tasks.store.rows import task_from
from sora2_mcp.tasks.store.schema import Instant, tasks

UNCONFIRMED_COUNTS_ACTIVE = timedelta(hours=1)

_CALLERS_SHOWN = 100
_USUAL_OF = 20

_CLOCKS_APART = timedelta(minutes=1)
"""How far another process may be ahead: its clock, and the time that a statement of ours waited for its lock."""


def is_free(lease: ColumnElement[datetime | None], now: datetime, longest: timedelta) -> ColumnElement[bool]:
    """The lease is not held. One further ahead than any lease lasts was taken before a clock was set back."""
    return or_(lease.is_(None), lease <= now, lease > now + longest + _CLOCKS_APART)


def being_sent() -> list[ColumnElement[bool]]:
    """Conditions of an order under a sending lease, lapsed or not."""
    unanswered = (tasks.c.status == Status.GENERATING.value, tasks.c.task_id.is_(None))
    # The first one is the condition of an index, which holds few rows.
    return [tasks.c.sending_until.is_not(None), *unanswered]


def lapsed(now: datetime) -> ColumnElement[bool]:
    """The process that sent the order has died: the lease has ended without an answer."""
    return and_(*being_sent(), is_free(tasks.c.sending_until, now, LONGEST_SENDING))


def unconfirmed(now: datetime) -> ColumnElement[bool]:
    """It is unknown whether the order arrived; a lapsed one counts before the poller has written that."""
    return or_(tasks.c.status == Status.UNCONFIRMED.value, lapsed(now))


def active(now: datetime) -> ColumnElement[bool]:
    """Counts against the limit of unfinished tasks; an unconfirmed one does for an hour."""
    young = tasks.c.created_at > now - UNCONFIRMED_COUNTS_ACTIVE
    under_way = and_(tasks.c.status == Status.GENERATING.value, ~lapsed(now))
    # The first condition says nothing new, but is the one that an index has.
    is_open = tasks.c.status.in_([Status.GENERATING.value, Status.UNCONFIRMED.value])
    return and_(is_open, or_(under_way, and_(unconfirmed(now), young)))


def ordered_since(instant: datetime) -> ColumnElement[bool]:
    """Orders that were, or may have been, charged."""
    not_accepted = and_(tasks.c.status == Status.FAILED.value, tasks.c.task_id.is_(None))
    ours = and_(tasks.c.adopted.is_(False), tasks.c.status != Status.REFUSED.value)
    return and_(tasks.c.created_at >= instant, ours, ~not_accepted)


def unsaved_videos(now: datetime) -> list[ColumnElement[bool]]:
    """Conditions of a task whose video is done, not saved, and not deleted yet."""
    expires_at = tasks.c.video_expires_at
    kept = or_(expires_at.is_(None), expires_at > now)
    return [tasks.c.status == Status.SUCCEEDED.value, tasks.c.file_path.is_(None), kept]


def next_look(now: datetime, plan: LookPlan) -> Label[datetime]:
    """The next look's time, by whether a caller waits now."""
    wanted_at, idle_at = literal(plan.wanted_at, Instant), literal(plan.idle_at, Instant)
    return case((tasks.c.wanted_until > now, wanted_at), else_=idle_at).label("next_look_at")


class Queries(Part):
    """Questions about tasks. Each is one statement."""

    async def find(self, principal: str, reference: str) -> Task | None:
        if reference.startswith(LOCAL_PREFIX):
            named = tasks.c.id == reference.removeprefix(LOCAL_PREFIX)
        else:
            named = tasks.c.task_id == reference
        return await self._read(tasks.c.principal == principal, named)

    async def beginning_with(self, principal: str, beginning: str, limit: int) -> Sequence[Task]:
        is_local = beginning.startswith(LOCAL_PREFIX)
        column = tasks.c.id if is_local else tasks.c.task_id
        text = beginning.removeprefix(LOCAL_PREFIX)
        # Not LIKE, which knows no capitals in SQLite, and has letters of its own meaning.
        begins = func.substr(column, 1, len(text)) == text
        wanted = self._mine(tasks.c.principal == principal, begins, tasks.c.status != Status.REFUSED.value)
        newest_first = select(tasks).order_by(tasks.c.created_at.desc(), tasks.c.id.desc()).limit(limit)
        return [task_from(row) for row in await self.engine.rows(newest_first.where(*wanted))]

    async def is_known(self, task_id: str) -> bool:
        return await self._read(tasks.c.task_id == task_id) is not None

    async def page(
        self, principal: str | None, status: Status | None, limit: int, after: PageMark | None
    ) -> Sequence[Task]:
        shown = tasks.c.status == status.value if status else tasks.c.status != Status.REFUSED.value
        conditions = [shown] if principal is None else [tasks.c.principal == principal, shown]
        if after is not None:
            same_time = and_(tasks.c.created_at == after.created_at, tasks.c.id < after.id)
            conditions.append(or_(tasks.c.created_at < after.created_at, same_time))
        newest_first = select(tasks).order_by(tasks.c.created_at.desc(), tasks.c.id.desc()).limit(limit)
        return [task_from(row) for row in await self.engine.rows(newest_first.where(*self._mine(*conditions)))]

    async def count(self, principal: str, status: Status | None) -> int:
        shown = tasks.c.status == status.value if status else tasks.c.status != Status.REFUSED.value
        found = select(tasks.c.id).where(*self._mine(tasks.c.principal == principal, shown)).limit(MOST_COUNTED)
        [row] = await self.engine.rows(select(func.count().label("tasks")).select_from(found.subquery()))
        return int(row["tasks"])

    async def usual_seconds(self, request: VideoRequest) -> float | None:
        same = (tasks.c.quality == request.quality.value, tasks.c.seconds == request.seconds)
        done = and_(tasks.c.status == Status.SUCCEEDED.value, tasks.c.adopted.is_(False))
        newest = select(tasks.c.created_at, tasks.c.finished_at).order_by(tasks.c.created_at.desc()).limit(_USUAL_OF)
        rows = await self.engine.rows(newest.where(*self._mine(done, *same)))
        took = [(row["finished_at"] - row["created_at"]).total_seconds() for row in rows]
        return median(took) if took else None

    async def unsaved(self, limit: int, *, only_keyed: bool = False) -> Sequence[Task]:
        promising = tasks.c.download_attempts < DOWNLOAD_ATTEMPTS
        keyed = [tasks.c.video_url.startswith("/")] if only_keyed else []
        wanted = self._mine(*unsaved_videos(self._clock.now()), promising, *keyed)
        oldest_first = select(tasks).where(*wanted).order_by(tasks.c.created_at).limit(limit)
        return [task_from(row) for row in await self.engine.rows(oldest_first)]

    async def usage(self, principal: str) -> Usage:
        now = self._clock.now()
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        mine = tasks.c.principal == principal
        mine_today = and_(mine, ordered_since(today))
        mine_this_month = and_(mine, ordered_since(today.replace(day=1)))
        failed, cost = tasks.c.status == Status.FAILED.value, func.sum(tasks.c.cost)
        counted = {
            "mine_today": self._scalar(func.count(), mine_today),
            "mine_failed_today": self._scalar(func.count(), mine_today, failed),
            "mine_this_month": self._scalar(func.count(), mine_this_month),
            "mine_failed_this_month": self._scalar(func.count(), mine_this_month, failed),
            "mine_cost_today": self._scalar(cost, mine_today),
            "mine_cost_this_month": self._scalar(cost, mine_this_month),
            "all_today": self._scalar(func.count(), ordered_since(today)),
            "all_active": self._scalar(func.count(), active(now)),
            "all_cost_today": self._scalar(cost, ordered_since(today)),
        }
        [row] = await self.engine.rows(select(*(value.label(name) for name, value in counted.items())))
        return Usage(**row)

    async def callers(self) -> Sequence[CallerUsage]:
        now = self._clock.now()
        today = now.replace(hour=0, minute=0, second=0, microsecond=0)
        month = today.replace(day=1)
        ordered = ordered_since(month)
        counted = {
            "unfinished": func.sum(case((active(now), 1), else_=0)),
            "today": func.sum(case((ordered_since(today), 1), else_=0)),
            "this_month": func.sum(case((ordered, 1), else_=0)),
            "failed_this_month": func.sum(case((and_(ordered, tasks.c.status == Status.FAILED.value), 1), else_=0)),
        }
        most_first = (
            select(tasks.c.principal, *(value.label(name) for name, value in counted.items()))
            .where(*self._mine(or_(tasks.c.created_at >= month, active(now))))
            .group_by(tasks.c.principal)
            .order_by(counted["this_month"].desc(), tasks.c.principal)
            .limit(_CALLERS_SHOWN)
        )
        return [CallerUsage(**row) for row in await self.engine.rows(most_first)]

    def _scalar(self, value: Any, *conditions: ColumnElement[bool]) -> ScalarSelect[Any]:
        """One number over the tasks that meet the conditions."""
        return select(value).select_from(tasks).where(*self._mine(*conditions)).scalar_subquery()
