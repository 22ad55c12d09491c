"""The one writer of task facts: whatever a witness reports is saved here, then published."""

import json
import logging
from collections.abc import Callable
from dataclasses import replace
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import uuid4

from sora2_mcp.clock import Clock
from sora2_mcp.domain.events import (
    TaskEvent,
    TaskFinished,
    TaskRefused,
    TaskSubmitted,
    TaskUnconfirmed,
    VideoSaved,
)
from sora2_mcp.domain.request import SORA2API, Capabilities, Quality, VideoRequest
from sora2_mcp.domain.task import NOT_REACHED, Failure, SavedFile, Snapshot, Stage, Status, Task, advance
from sora2_mcp.errors import LostAnswerError, NotReachedError, ServiceError, Sora2Error, UnknownTaskError
from sora2_mcp.services.service import ORDER_LIMIT_SECONDS
from sora2_mcp.tasks.bus import EventBus
from sora2_mcp.tasks.pacing import Pacing
from sora2_mcp.tasks.store.port import Budget, Reservation, Store
from sora2_mcp.telemetry.work import task_ended

SENDING_LEASE = timedelta(seconds=ORDER_LIMIT_SECONDS + 15)
"""How long an order counts as being sent; longer than its POST can last."""

logger = logging.getLogger(__name__)


class Ledger:
    """Facts about tasks, saved before anyone hears of them."""

    def __init__(
        self,
        *,
        store: Store,
        service: str,
        bus: EventBus,
        clock: Clock,
        pacing: Pacing,
        budget: Budget,
        capabilities: Callable[[Quality], Capabilities] = lambda _: SORA2API,
    ) -> None:
        self._store = store
        self._service = service
        self._bus = bus
        self._clock = clock
        self._pacing = pacing
        self._budget = budget
        self._capabilities = capabilities

    def checked(self, request: VideoRequest) -> VideoRequest:
        """The request as it is ordered.

        Raises:
            ArgumentError: the service cannot honour it, or nobody can.
        """
        return request.validated(self._capabilities(request.quality))

    def calls(self, url: str) -> bool:
        """Whether the service would call this address back."""
        return self._capabilities(Quality.STANDARD).calls(url)

    async def preview(self, request: VideoRequest, principal: str, key: str) -> Reservation | None:
        """The task the order already has; None where it would be a new one.

        Raises:
            KeyReusedError, LimitError, StoreError.
        """
        return await self._store.preview(self._draft(request, principal, key), fingerprint(request), self._budget)

    async def reserve(
        self,
        request: VideoRequest,
        principal: str,
        key: str,
        consent: str = "",
        callback_hash: str = "",
        admit: Callable[[Task], None] = lambda _: None,
    ) -> Reservation:
        """Saves the intent to order, durably, or finds the task the order already has.

        ``callback_hash``: of the path of ours that a new order is sent with. ``admit`` may raise to keep the intent
        from being saved.

        Raises:
            KeyReusedError, LimitError, StoreError: nothing was saved.
        """
        draft = replace(self._draft(request, principal, key), callback_hash=callback_hash)
        return await self._store.reserve(draft, fingerprint(request), self._budget, consent, admit)

    def _draft(self, request: VideoRequest, principal: str, key: str) -> Task:
        now = self._clock.now()
        return Task(
            id=uuid4().hex,
            principal=principal,
            service=self._service,
            request=request,
            created_at=now,
            idempotency_key=key,
            sending_until=now + SENDING_LEASE,
            **self._terms(request.quality),
        )

    def _terms(self, quality: Quality) -> dict[str, Any]:
        """What is true of a task because of its service."""
        capabilities = self._capabilities(quality)
        return {"retention": capabilities.retention, "price_unit": capabilities.price_unit}

    async def bind(self, order: Task, task_id: str) -> Task:
        """Gives an order the service's id; idempotent."""
        task = await self._store.bind(order.id, task_id, self._pacing.first(order, self._clock.now()))
        return self._published(task, TaskSubmitted)

    async def bind_hinted(self, order: Task, task_id: str) -> Task | None:
        """Gives an order the id that a callback named and the service confirmed; None if another order has that one.

        An order that has an id by now keeps it.
        """
        task = await self._store.bind_hinted(order.id, task_id, self._pacing.first(order, self._clock.now()))
        return task and self._published(task, TaskSubmitted)

    async def refuse(self, task: Task, error: Sora2Error) -> Task:
        """Ends an order that certainly was not accepted."""
        code, words = (error.code, error.message) if isinstance(error, ServiceError) else (NOT_REACHED, _reason(error))
        failure = Failure(stage=Stage.CREATION, code=code, message=words)
        refused = replace(task, status=Status.FAILED, failure=failure, finished_at=self._clock.now())
        return self._published(await self._store.refuse(refused), TaskRefused)

    async def unclear(self, id: str, error: LostAnswerError) -> Task:
        """Marks an order whose answer was lost."""
        return self._published(await self._store.unclear(id, error.reason), TaskUnconfirmed)

    async def observe(self, task: Task, snapshot: Snapshot) -> Task:
        """Moves a task on by one observation, whatever others save meanwhile."""
        while True:
            moved, events = advance(task, snapshot)
            if moved == task:
                return task
            if await self._store.save(moved, quietly=not events and not moved.finished):
                self._bus.publish(*events)
                _tell(moved, events)
                return replace(moved, version=task.version + 1)
            stored = await self._store.load(task.id)
            if stored is None:
                raise UnknownTaskError(task.reference)
            task = stored

    async def adopt(self, task_id: str, principal: str, snapshot: Snapshot) -> Task:
        """Takes in a task that was ordered elsewhere."""
        now = self._clock.now()
        seen = Task(
            id=uuid4().hex,
            principal=principal,
            service=self._service,
            request=snapshot.request or VideoRequest(prompt=""),
            created_at=now,
            task_id=task_id,
            adopted=True,
            **self._terms(Quality.STANDARD),
        )
        task, _ = advance(seen, snapshot)
        adopted = self._published(await self._store.adopt(task, self._pacing.plan(now)), TaskSubmitted)
        logger.info("task %s was ordered elsewhere and is taken in; it is %s", adopted.reference, adopted.status)
        return adopted

    async def file_saved(self, task: Task, owner: str, file: SavedFile) -> Task:
        """Notes where the video's file lies, unless another was noted since ``task`` was read."""
        saved = await self._store.settle_download(task.id, owner, file, task.file)
        logger.info("the video of task %s is saved, %d bytes", saved.reference, file.size_bytes)
        return self._published(saved, VideoSaved)

    def _published(self, task: Task, event: type[TaskEvent]) -> Task:
        self._bus.publish(event(id=task.id, at=self._clock.now()))
        return task


def _tell(task: Task, events: tuple[TaskEvent, ...]) -> None:
    """Says what an observation has changed, to those who watch over this program."""
    why = f" ({task.failure.stage}, code {task.failure.code})" if task.failure is not None else ""
    for event in events:
        if isinstance(event, TaskFinished):
            logger.info("task %s has %s%s", task.reference, task.status, why)
            task_ended(task)
        else:
            logger.info("task %s is better known: it has %s%s", task.reference, task.status, why)


def _reason(error: Sora2Error) -> str:
    return error.reason if isinstance(error, NotReachedError) else str(error)


def fingerprint(request: VideoRequest) -> str:
    """The same for exactly the same order, and nothing to be read back from."""
    fields: list[Any] = [
        request.prompt,
        list(request.image_urls),
        request.aspect_ratio,
        request.quality,
        request.watermark,
        request.callback_url,
    ]
    if request.seconds:
        # Orders of a service where no length can be chosen keep the mark they always had.
        fields.append(request.seconds)
    return sha256(json.dumps(fields).encode()).hexdigest()
