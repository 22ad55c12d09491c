"""What the words of the domain mean in SQL."""

from datetime import datetime, timedelta

from sqlalchemy import ColumnElement, Label, and_, case, literal, or_

from sora2_mcp.domain.task import LONGEST_SENDING, Status
from sora2_mcp.tasks.store.port import LOOK_LEASE, LookPlan
from sora2_mcp.tasks.store.schema import Instant, tasks

UNCONFIRMED_COUNTS_ACTIVE = timedelta(hours=1)

_CLOCKS_APART = timedelta(minutes=1)
"""How far another process may be ahead: its clock, and the time that a statement of ours waited for its lock."""

_OPEN = tasks.c.status.in_([Status.GENERATING.value, Status.UNCONFIRMED.value])
"""Says nothing that its neighbours do not say, but lets an index find the few open tasks among many finished ones."""


def unconfirmed(now: datetime) -> ColumnElement[bool]:
    """Nobody knows whether the order arrived: it was marked so, or its sender's lease lapsed without an answer."""
    return and_(_OPEN, or_(*shown_as(Status.UNCONFIRMED, now)))


def generating(now: datetime) -> ColumnElement[bool]:
    """Under way at the service, or being ordered by a live process."""
    being_sent = and_(tasks.c.sending_until > now, tasks.c.sending_until <= now + LONGEST_SENDING)
    return and_(tasks.c.status == Status.GENERATING.value, or_(tasks.c.task_id.is_not(None), being_sent))


def shown_as(status: Status, now: datetime) -> list[ColumnElement[bool]]:
    """What a task that is shown so at ``now`` fulfils, one of them; each by itself is found through an index."""
    if status is Status.GENERATING:
        return [generating(now)]
    marked = tasks.c.status == status.value
    if status is not Status.UNCONFIRMED:
        return [marked]
    lapsed = or_(tasks.c.sending_until <= now, tasks.c.sending_until > now + LONGEST_SENDING)
    return [marked, and_(tasks.c.status == Status.GENERATING.value, tasks.c.task_id.is_(None), lapsed)]


def active(now: datetime) -> ColumnElement[bool]:
    """Counts against the limit of unfinished tasks; an unconfirmed one does for an hour."""
    young = tasks.c.created_at > now - UNCONFIRMED_COUNTS_ACTIVE
    return and_(_OPEN, or_(generating(now), and_(unconfirmed(now), young)))


def ordered_since(instant: datetime) -> ColumnElement[bool]:
    """Orders that were, or may have been, charged."""
    not_accepted = and_(tasks.c.status == Status.FAILED.value, tasks.c.task_id.is_(None))
    ours = and_(tasks.c.adopted.is_(False), tasks.c.status != Status.REFUSED.value)
    return and_(tasks.c.created_at >= instant, ours, ~not_accepted)


def unsaved_videos(now: datetime) -> list[ColumnElement[bool]]:
    """What a task fulfils whose video is done, not saved, and still to be had, all of it."""
    expires_at = tasks.c.video_expires_at
    kept = or_(expires_at.is_(None), expires_at > now)
    return [tasks.c.status == Status.SUCCEEDED.value, tasks.c.file_path.is_(None), kept]


def is_free(lease: ColumnElement[datetime | None], now: datetime, longest: timedelta) -> ColumnElement[bool]:
    """The lease is not held. One further ahead than any lease lasts was taken before a clock was set back."""
    return or_(lease.is_(None), lease <= now, lease > now + longest + _CLOCKS_APART)


def look_is_free(now: datetime) -> ColumnElement[bool]:
    """No look is under way."""
    return is_free(tasks.c.look_lease_until, now, LOOK_LEASE)


def no_sooner(look_at: datetime) -> ColumnElement[datetime]:
    """``look_at``, or when the service allows the next look, if that is later."""
    wanted = literal(look_at, Instant)
    return case((tasks.c.look_not_before > wanted, tasks.c.look_not_before), else_=wanted)


def next_look(now: datetime, plan: LookPlan) -> Label[datetime]:
    """The next look's time, by whether somebody waits now."""
    wanted_at, idle_at = literal(plan.wanted_at, Instant), literal(plan.idle_at, Instant)
    return case((tasks.c.wanted_until > now, wanted_at), else_=idle_at).label("next_look_at")
