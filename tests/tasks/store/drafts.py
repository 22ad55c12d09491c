"""Orders to put into a store, and what lies in it."""

from collections.abc import Callable, Mapping
from dataclasses import replace
from datetime import datetime, timedelta
from typing import Any
from uuid import uuid4

from sqlalchemy import select

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Failure, Stage, Status, Task
from sora2_mcp.tasks.orders import SENDING_LEASE
from sora2_mcp.tasks.store.database import Database
from sora2_mcp.tasks.store.interface import Budget, LookPlan, Outcome, Reservation
from sora2_mcp.tasks.store.schema import tasks
from tests.clocks import START, FakeClock

SERVICE = "https://api.example/v1#aaaa"
OTHER_SERVICE = "https://api.example/v1#bbbb"
NO_LIMITS = Budget(max_active_tasks=0, daily_limit=0, duplicate_window=timedelta(seconds=60))
SOON = LookPlan(wanted_at=START + timedelta(seconds=5), idle_at=START + timedelta(seconds=60))


def plan(at: datetime) -> LookPlan:
    """Every 5 s while somebody waits, every 60 s otherwise."""
    return LookPlan(wanted_at=at + timedelta(seconds=5), idle_at=at + timedelta(seconds=60))


def draft(
    clock: FakeClock,
    *,
    prompt: str = "A cat",
    principal: str = "local",
    service: str = SERVICE,
    key: str = "",
    id: str = "",
) -> Task:
    return Task(
        id=id or uuid4().hex,
        principal=principal,
        service=service,
        request=VideoRequest(prompt=prompt),
        created_at=clock.now(),
        idempotency_key=key,
        sending_until=clock.now() + SENDING_LEASE,
    )


class TurnedAwayError(Exception):
    """The caller of a reservation had gone."""


def turn_away(_: Task) -> None:
    raise TurnedAwayError


async def reserve(
    store: Database, order: Task, budget: Budget = NO_LIMITS, admit: Callable[[Task], None] = lambda _: None
) -> Reservation:
    return await store.reserve(order, budget, admit=admit)


async def ordered(store: Database, order: Task, task_id: str) -> Task:
    """The order, reserved and accepted by the service under ``task_id``."""
    assert (await reserve(store, order)).outcome is Outcome.NEW
    return await store.bind(order.id, task_id, plan(order.created_at))


def refusal(order: Task, at: datetime) -> Task:
    failure = Failure(stage=Stage.CREATION, code=402, message="Insufficient credits")
    return replace(order, status=Status.FAILED, failure=failure, finished_at=at)


def succeeded(task: Task, at: datetime) -> Task:
    return replace(task, status=Status.SUCCEEDED, finished_at=at, video_url="https://cdn.example/a.mp4", url_seen_at=at)


def failed(task: Task, at: datetime) -> Task:
    failure = Failure(stage=Stage.GENERATION, code=501, message="Generation failed")
    return replace(task, status=Status.FAILED, finished_at=at, failure=failure)


async def saved(store: Database, task: Task) -> Task:
    """The task after a look that showed it so."""
    claim = await store.claim(task)
    assert claim is not None
    settled = await store.settle(claim, task, SOON)
    assert settled is not None
    return settled


async def due_at(store: Database) -> datetime | None:
    """When the next look is due."""
    return (await store.due()).look_at


async def row(store: Database, id: str) -> Mapping[str, Any]:
    """Every column of one task, whoever's service it is."""
    async with store.engine.reading() as connection:
        return dict((await connection.execute(select(tasks).where(tasks.c.id == id))).mappings().one())


async def count_rows(store: Database) -> int:
    async with store.engine.reading() as connection:
        return len((await connection.execute(select(tasks.c.id))).all())
