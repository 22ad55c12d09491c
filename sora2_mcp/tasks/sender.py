"""Sends orders: each one POST, repeated only where it certainly was not accepted."""

import logging
from collections.abc import Awaitable
from dataclasses import replace
from datetime import timedelta
from typing import Protocol

import anyio

from sora2_mcp.clock import Clock
from sora2_mcp.domain.task import Task
from sora2_mcp.errors import (
    LostAnswerError,
    MaintenanceError,
    NotReachedError,
    RateLimitedError,
    ServiceError,
    Sora2Error,
    StoreError,
)
from sora2_mcp.services.service import ServiceClient
from sora2_mcp.tasks.alarm import Alarm
from sora2_mcp.tasks.ledger import SENDING_LEASE, Ledger
from sora2_mcp.tasks.pictures import PREPARING_SECONDS, Pictures, Prepared
from sora2_mcp.tasks.store.port import Store
from sora2_mcp.telemetry.whose import about
from sora2_mcp.telemetry.work import ended

logger = logging.getLogger(__name__)

_UNREACHED_SECONDS = 2.0
"""How long an order is tried again when no connection can be made; the caller waits for it."""

_BUSY_SECONDS = 120.0
"""How long an order is tried again when the service is too busy for it."""

_SAVE_PAUSE_SECONDS = 1.0
_TURN_SECONDS = 10.0
_FAREWELL_SECONDS = 0.5


class Caller(Protocol):
    """Who waits for an order's answer in this process."""

    refusal: Sora2Error | None


class Sender:
    """Carries reserved orders to the service and their outcome to the ledger."""

    def __init__(
        self,
        *,
        client: ServiceClient,
        pictures: Pictures,
        ledger: Ledger,
        store: Store,
        clock: Clock,
        alarm: Alarm,
    ) -> None:
        self._pictures = pictures
        self._client = client
        self._ledger = ledger
        self._store = store
        self._clock = clock
        self._alarm = alarm

    async def send(self, task: Task, caller: Caller) -> None:
        """Sends one reserved order and records what became of it; a refusal is told to the caller as it came.

        Cancelled while a POST is under way, the order ends as unconfirmed; between two tries, as not sent.
        """
        started = self._clock.monotonic()
        pause = 0.25
        prepared: Prepared | None = None
        while True:
            await self._turn(task)
            try:
                if prepared is None:
                    prepared, started = await self._prepared(task), self._clock.monotonic()
                task_id = await self._post(task, prepared)
            except (NotReachedError, RateLimitedError, MaintenanceError) as error:
                patience = _UNREACHED_SECONDS if isinstance(error, NotReachedError) else _BUSY_SECONDS
                told = error.retry_after_seconds if isinstance(error, ServiceError) else None
                wait = max(pause, told or 0.0)
                if self._clock.monotonic() - started + wait > patience:
                    caller.refusal = error
                    return await self._refused(task, error)
                await self._pause(task, wait, error)
                pause = min(pause * 2, 10.0)
            except ServiceError as error:
                caller.refusal = error
                return await self._refused(task, error)
            except LostAnswerError as error:
                return await self._unclear(task, error)
            else:
                return await self._bind(task, task_id)

    async def _turn(self, task: Task) -> None:
        """Waits for the service's rate limit, however long, while the order goes on counting as being sent."""
        try:
            while True:
                with self._clock.timeout(_TURN_SECONDS):
                    await self._client.pace.order()
                    return
                await self._hold(task, _TURN_SECONDS)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_FAREWELL_SECONDS, shield=True):
                await self._refused(task, NotReachedError("this program ended before it was sent"))
            raise

    async def _prepared(self, task: Task) -> Prepared:
        """The order as the service takes it; nothing of it has been sent when this fails."""
        if not task.request.image_urls:
            return Prepared(request=task.request)
        await self._hold(task, PREPARING_SECONDS)
        try:
            return await self._pictures.prepared(task.request)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_FAREWELL_SECONDS, shield=True):
                await self._refused(task, NotReachedError("this program ended before it was sent"))
            raise

    async def _post(self, task: Task, prepared: Prepared) -> str:
        try:
            return await self._client.generate(prepared.request, prepared.pictures)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_FAREWELL_SECONDS, shield=True):
                await self._unclear(task, LostAnswerError("the server ended before an answer came"))
            raise

    async def _pause(self, task: Task, seconds: float, error: Sora2Error) -> None:
        logger.debug("order %s is tried again in %.2f s: %s", task.reference, seconds, error.own_words)
        try:
            await self._hold(task, seconds)
            await self._clock.sleep(seconds)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_FAREWELL_SECONDS, shield=True):
                await self._refused(task, error)
            raise

    async def _hold(self, task: Task, seconds: float) -> None:
        """The lease must outlast the pause and the next try, or other processes would call the order unconfirmed."""
        try:
            await self._store.hold(task.id, timedelta(seconds=seconds) + SENDING_LEASE)
        except StoreError as failure:
            logger.warning("order %s may seem unconfirmed until its next try: %s", task.reference, failure)

    async def _bind(self, task: Task, task_id: str) -> None:
        """Saves the id of an accepted, paid order; cancelled, it tries once more."""
        ended("accepted")
        about(replace(task, task_id=task_id))
        logger.info("task %s ordered as %s", task_id, task.reference)
        try:
            await self._bound(task, task_id)
        except anyio.get_cancelled_exc_class():
            with anyio.move_on_after(_FAREWELL_SECONDS, shield=True):
                await self._recorded(task, self._ledger.bind(task, task_id))
            raise

    async def _bound(self, task: Task, task_id: str) -> None:
        """A store that fails is asked again until it works."""
        while True:
            try:
                await self._ledger.bind(task, task_id)
            except StoreError as error:
                logger.warning("task %s is ordered, but its id could not be saved yet: %s", task_id, error)
                await self._clock.sleep(_SAVE_PAUSE_SECONDS)
            else:
                self._alarm.ring()
                return

    async def _refused(self, task: Task, error: Sora2Error) -> None:
        ended("refused", error)
        logger.info("order %s was not accepted: %s", task.reference, error.own_words)
        await self._recorded(task, self._ledger.refuse(task, error))

    async def _unclear(self, task: Task, error: LostAnswerError) -> None:
        ended("unconfirmed", error)
        logger.warning("order %s was sent, but it is unclear whether it arrived: %s", task.reference, error)
        await self._recorded(task, self._ledger.unclear(task.id, error))

    async def _recorded(self, task: Task, record: Awaitable[Task]) -> None:
        try:
            await record
        except StoreError as failure:
            # The row stays as it is: once its sending lease lapses it reads as unconfirmed, which is never wrong.
            logger.warning("the outcome of order %s could not be saved: %s", task.reference, failure)
