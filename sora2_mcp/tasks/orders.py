"""From a request to a task: reserve the intent, send it, settle the outcome.

An order outlives the call that asked for it. Its intent is on disk before anything is sent. It is sent once: a try is
repeated only where the service certainly did not accept the one before.
"""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from datetime import timedelta
from functools import partial
from uuid import uuid4

import anyio
import anyio.lowlevel
from anyio.abc import TaskGroup

from sora2_mcp.domain.request import Quality, VideoRequest, checked_key
from sora2_mcp.domain.task import GIVEN_UP_AFTER, NOT_REACHED, Failure, Stage, Status, Task
from sora2_mcp.errors import (
    STORE_CLOSED,
    STORE_PASSES,
    LostAnswerError,
    MaintenanceError,
    NotAskedError,
    NotReachedError,
    RateLimitedError,
    ServiceError,
    Sora2Error,
    StoreError,
    service_error,
)
from sora2_mcp.services.service import ORDER_LIMIT_SECONDS
from sora2_mcp.tasks.background import Run
from sora2_mcp.tasks.callbacks import NO_CALLBACK, CallbackPath, CallbackPaths
from sora2_mcp.tasks.core import Core
from sora2_mcp.tasks.pictures import PREPARING_SECONDS, Pictures, Prepared
from sora2_mcp.tasks.polling import Polling
from sora2_mcp.tasks.store.interface import Budget, LimitUse, Outcome, Reservation
from sora2_mcp.telemetry.context import bind_task
from sora2_mcp.telemetry.spans import ORDER, set_attributes, set_outcome, traced

logger = logging.getLogger(__name__)

SUBMIT_SECONDS = 3.0
"""What ``submit`` lasts at most; some frameworks stop a call at five seconds."""

SENDING_LEASE = timedelta(seconds=ORDER_LIMIT_SECONDS + 15)
"""How long an order counts as being sent; longer than its POST can last."""

_MARGIN_SECONDS = 0.5
"""For the last question to the store, and for a machine that is busy with a crowd of orders."""

_UNREACHED_SECONDS = 2.0
"""How long an order is tried again when no connection can be made; the caller waits for it."""

_BUSY_SECONDS = 120.0
"""How long an order is tried again when the service is too busy for it."""

_FIRST_PAUSE_SECONDS = 0.25
_LONGEST_PAUSE_SECONDS = 10.0
_SAVE_PAUSE_SECONDS = 1.0
_TURN_SECONDS = 10.0
_FAREWELL_SECONDS = 0.5


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """The task an order belongs to, whether it is a new one, and how much it leaves of the limits that are set."""

    task: Task
    outcome: Outcome
    limits: tuple[LimitUse, ...] = ()


class _Order:
    """One order on its way. Its caller may give it up until it is admitted; once it is saved, it is sent.

    ``is_worth_no_wait`` is set once the caller need not wait for the answer: it is there, or will not come in time.
    ``unsent_because`` is why it was not accepted, as far as it was tried. ``is_posted``: the service may have it.
    """

    def __init__(self, *, may_be_new: bool) -> None:
        self.reserved = Run[Reservation]()
        self.answered = Run[Task]()
        self.is_worth_no_wait = anyio.Event()
        self.admitted: Reservation | None = None
        self.is_abandoned = False
        self.unsent_because: Sora2Error = NotReachedError("this program ended before it was sent")
        self.is_posted = False
        self.task_id = ""
        self._may_be_new = may_be_new

    def admit(self, task: Task) -> None:
        """Called just before the intent is saved, while no other call can join it."""
        if self.is_abandoned:
            raise StoreError("is busy, so nothing was ordered", hint=STORE_PASSES)
        if not self._may_be_new:
            raise NotAskedError
        self.admitted = Reservation(task=task, outcome=Outcome.NEW)


class Orders:
    """Everything that matters to an order runs in ``senders``, which outlives all other work by a moment."""

    def __init__(
        self,
        core: Core,
        polling: Polling,
        pictures: Pictures,
        *,
        paths: CallbackPaths,
        senders: TaskGroup,
        stopping: anyio.Event,
    ) -> None:
        self._core = core
        self._store, self._client, self._clock = core.store, core.client, core.clock
        self._polling = polling
        self._pictures = pictures
        self._paths = paths
        self._senders = senders
        self._stopping = stopping
        self._budget = core.budget

    async def is_new(self, request: VideoRequest, principal: str, key: str, *, is_local: bool) -> bool:
        """Whether ``submit`` would send an order, rather than find the one there is.

        Raises:
            ArgumentError, KeyReusedError, LimitError, StoreError: as ``submit`` would.
        """
        request = await self._checked(request, is_local=is_local)
        draft = self._draft(request, principal, checked_key(key))
        return await self._store.preview(draft, self._budget) is None

    async def submit(
        self,
        request: VideoRequest,
        principal: str,
        key: str,
        called_at: float | None,
        consent: str,
        *,
        is_local: bool,
        needs_consent: bool,
        joins_running: bool,
    ) -> Submission:
        """See ``Tasks.submit``."""
        request, key = await self._checked(request, is_local=is_local), checked_key(key)
        if self._stopping.is_set():
            raise StoreError("is closed because the server is ending, so nothing was ordered", hint=STORE_CLOSED)
        called_at = self._clock.monotonic() if called_at is None else called_at
        deadline = called_at + SUBMIT_SECONDS - _MARGIN_SECONDS
        # Not in this task: a host that gives the call up must not stop an order that may be paid.
        order = _Order(may_be_new=bool(consent) or not needs_consent)
        budget = self._budget
        if joins_running and budget.duplicate_window:
            budget = replace(budget, duplicate_window=GIVEN_UP_AFTER)
        self._senders.start_soon(self._place, order, request, principal, key, consent, budget)
        with self._clock.timeout(max(0.0, deadline - self._clock.monotonic())):
            await order.reserved.done.wait()
        reservation = await order.reserved.result() if order.reserved.done.is_set() else order.admitted
        if reservation is None:
            # Read where the intent would be saved: what the caller was refused must not be sent a moment later.
            order.is_abandoned = True
            raise StoreError("is busy, so nothing was ordered", hint=STORE_PASSES)
        if reservation.outcome is Outcome.NEW:
            task = await self._answer(order, reservation.task, deadline)
        else:
            task = await self._answer_to_another(reservation.task, deadline)
        if task.status is Status.REFUSED:
            # The service's own error where it answered us, else as the row keeps it.
            raise order.unsent_because if reservation.outcome is Outcome.NEW else refusal_of(task)
        return Submission(task=task, outcome=reservation.outcome, limits=reservation.limits)

    async def _checked(self, request: VideoRequest, *, is_local: bool) -> VideoRequest:
        valid = request.validated(self._core.service.capabilities(request.quality))
        return await self._pictures.admitted(valid, is_local=is_local)

    def _draft(self, request: VideoRequest, principal: str, key: str, callback_hash: str = "") -> Task:
        now = self._clock.now()
        return Task(
            id=uuid4().hex,
            principal=principal,
            service=self._core.settings.account,
            request=request,
            created_at=now,
            idempotency_key=key,
            sending_until=now + SENDING_LEASE,
            callback_hash=callback_hash,
            **self._core.terms(request.quality),
        )

    async def _place(
        self, order: _Order, request: VideoRequest, principal: str, key: str, consent: str, budget: Budget
    ) -> None:
        """Reserves and sends in one task, so that no caller's end can tear the two apart."""
        callback = self._callback_for(request)
        draft = self._draft(request, principal, key, callback.hash)
        with traced(ORDER, quality=request.quality.value, aspect_ratio=request.aspect_ratio.value):
            set_attributes(images=len(request.image_urls))
            reservation = await order.reserved.carry_out(
                partial(self._store.reserve, draft, budget, consent, order.admit), "the reservation of an order"
            )
            # No await from here to the sending: an intent that is saved must not be left without its outcome.
            if reservation is None:
                # Its caller raises the error; nothing was sent.
                set_outcome("turned_away", order.reserved.error)
                return
            bind_task(reservation.task)
            if reservation.outcome is not Outcome.NEW:
                set_outcome("joined")
                return
            # If this fails, the row reads as unconfirmed once its sending lease lapses, which is never wrong.
            send = partial(self._send, order, reservation.task, callback)
            await order.answered.carry_out(send, f"order {reservation.task.reference}")
            order.is_worth_no_wait.set()
            if order.answered.error is not None:
                set_outcome("error", order.answered.error)

    def _callback_for(self, request: VideoRequest) -> CallbackPath:
        """A path of our own, unless the caller gave an address: the service calls back only once."""
        if request.callback_url:
            return NO_CALLBACK
        own = self._paths.new()
        calls = own.url and self._core.service.capabilities(Quality.STANDARD).calls(own.url)
        return own if calls else NO_CALLBACK

    async def _answer(self, order: _Order, task: Task, deadline: float) -> Task:
        """The task after its answer; without one at the deadline, as it is, with its local id handed out."""
        with self._clock.timeout(max(0.0, deadline - self._clock.monotonic())):
            await order.is_worth_no_wait.wait()
        if order.answered.done.is_set() and order.answered.error is None:
            return await order.answered.result()
        # From here on the caller holds the local id, so a refusal must show as a failed task and not vanish.
        return await self._asked_in_time(self._store.hand_out, task, 0)

    async def _answer_to_another(self, task: Task, deadline: float) -> Task:
        """The same for an order that another call, perhaps in another process, has placed."""
        # Subscribe first, then read: nothing is missed.
        with self._core.bus.watching(task.id) as signal:
            while not task.task_id and task.status is Status.GENERATING:
                left = deadline - self._clock.monotonic()
                if left <= 0:
                    return await self._asked_in_time(self._store.hand_out, task, 0)
                task = await self._asked_in_time(self._store.load, task, left)
                if not task.task_id and task.status is Status.GENERATING:
                    with self._clock.timeout(deadline - self._clock.monotonic()):
                        await signal.wait()
        return task

    async def _asked_in_time(self, ask: Callable[[str], Awaitable[Task | None]], task: Task, seconds: float) -> Task:
        """What the store answers about an order that may be paid; the task as it is, where it cannot say in time.

        The question goes on in the background: no fault of the store may look like an order that was not sent.
        """
        answer = Run[Task | None]()

        async def question() -> None:
            await answer.carry_out(lambda: ask(task.id), "a question about an order")
            if answer.error is not None:
                problem = answer.error.own_words
                logger.warning("order %s goes on, but the task store does not answer: %s", task.reference, problem)

        self._senders.start_soon(question)
        with self._clock.timeout(max(seconds, 0) + _MARGIN_SECONDS / 2):
            await answer.done.wait()
        is_known = answer.done.is_set() and answer.error is None
        return (await answer.result() or task) if is_known else task

    async def _send(self, order: _Order, task: Task, callback: CallbackPath) -> Task:
        """Sends a reserved order and records what became of it, also when the process ends meanwhile."""
        try:
            try:
                order.task_id = await self._accepted(order, task, callback)
            except LostAnswerError as error:
                return await self._unclear(task, error)
            except Sora2Error as error:
                order.is_posted, order.unsent_because = False, error
                return await self._refuse(task, error)
            return await self._bind(task, order.task_id)
        except anyio.get_cancelled_exc_class():
            # The process ends. What is recorded now spares the next one to wait until the lease lapses.
            with anyio.move_on_after(_FAREWELL_SECONDS, shield=True):
                if order.task_id:
                    await self._record(task, self._bound(task, order.task_id))
                elif order.is_posted:
                    await self._unclear(task, LostAnswerError("the server ended before an answer came"))
                else:
                    await self._refuse(task, order.unsent_because)
            raise

    async def _accepted(self, order: _Order, task: Task, callback: CallbackPath) -> str:
        """The service's id, after as many tries as it takes.

        Raises:
            LostAnswerError: the service may have the order. Any other Sora2Error: it has not.
        """
        started_at, pause, prepared = self._clock.monotonic(), _FIRST_PAUSE_SECONDS, None
        while True:
            if self._client.limiter.order_wait_seconds > SUBMIT_SECONDS / 2:
                # Callers of a crowd would wait until the limit, most in vain, and then be answered all at once.
                order.is_worth_no_wait.set()
            await self._take_turn(task)
            try:
                if prepared is None:
                    # Once: pictures may be large, and the patience of a try begins after them.
                    prepared, started_at = await self._prepared(task, callback), self._clock.monotonic()
                # The last point at which the end of the process means that nothing was sent.
                await anyio.lowlevel.checkpoint()
                order.is_posted = True
                return await self._client.order(prepared.request, prepared.pictures)
            except (NotReachedError, RateLimitedError, MaintenanceError) as error:
                # None of these leaves open whether the service has the order, so it may be sent again.
                order.is_posted, order.unsent_because = False, error
                patience = _UNREACHED_SECONDS if isinstance(error, NotReachedError) else _BUSY_SECONDS
                retry_after = error.retry_after_seconds if isinstance(error, ServiceError) else None
                seconds = max(pause, retry_after or 0.0)
                if self._clock.monotonic() - started_at + seconds > patience:
                    raise
                logger.debug("order %s is tried again in %.2f s: %s", task.reference, seconds, error.own_words)
            await self._hold(task, seconds)
            await self._clock.sleep(seconds)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)

    async def _take_turn(self, task: Task) -> None:
        """Waits for the rate limiter, however long, while the order goes on counting as being sent."""
        while True:
            with self._clock.timeout(_TURN_SECONDS):
                await self._client.limiter.order()
                return
            await self._hold(task, _TURN_SECONDS)

    async def _prepared(self, task: Task, callback: CallbackPath) -> Prepared:
        """The order as the service takes it. What is saved and shown of the order never holds the callback's path."""
        request = replace(task.request, callback_url=callback.url) if callback.url else task.request
        if not request.image_urls:
            return Prepared(request=request)
        await self._hold(task, PREPARING_SECONDS)
        return await self._pictures.prepared(request)

    async def _hold(self, task: Task, seconds: float) -> None:
        """The lease must outlast the pause and the next try, or the order would be marked as unconfirmed."""
        try:
            await self._store.hold(task.id, timedelta(seconds=seconds) + SENDING_LEASE)
        except StoreError as failure:
            logger.warning("order %s may seem unconfirmed until its next try: %s", task.reference, failure)

    async def _bind(self, task: Task, task_id: str) -> Task:
        """Saves the id of an accepted, paid order. A store that fails is asked again until it works."""
        set_outcome("accepted")
        bind_task(replace(task, task_id=task_id))
        logger.info("task %s ordered as %s", task_id, task.reference)
        # Without end: the order is paid, and only this process knows the id.
        while True:
            try:
                bound = await self._bound(task, task_id)
            except StoreError as error:
                logger.warning("task %s is ordered, but its id could not be saved yet: %s", task_id, error)
                await self._clock.sleep(_SAVE_PAUSE_SECONDS)
            else:
                self._polling.wake()
                return bound

    async def _bound(self, task: Task, task_id: str) -> Task:
        plan = self._core.schedule.first(task, self._clock.now())
        return await self._store.bind(task.id, task_id, plan)

    async def _refuse(self, task: Task, error: Sora2Error) -> Task:
        set_outcome("refused", error)
        logger.info("order %s was not accepted: %s", task.reference, error.own_words)
        code, words = NOT_REACHED, error.reason if isinstance(error, NotReachedError) else str(error)
        if isinstance(error, ServiceError):
            code, words = error.code, error.message
        failure = Failure(stage=Stage.CREATION, code=code, message=words)
        refused = replace(task, status=Status.FAILED, failure=failure, finished_at=self._clock.now())
        return await self._record(task, self._store.refuse(refused)) or replace(refused, status=Status.REFUSED)

    async def _unclear(self, task: Task, error: LostAnswerError) -> Task:
        set_outcome("unconfirmed", error)
        logger.warning("order %s was sent, but it is unclear whether it arrived: %s", task.reference, error)
        unclear = replace(task, status=Status.UNCONFIRMED, unclear_because=error.reason)
        return await self._record(task, self._store.unclear(task.id, error.reason)) or unclear

    async def _record(self, task: Task, record: Awaitable[Task]) -> Task | None:
        try:
            return await record
        except StoreError as failure:
            # The row stays as it is: once its sending lease lapses it reads as unconfirmed, which is never wrong.
            logger.warning("the outcome of order %s could not be saved: %s", task.reference, failure)
            return None


def refusal_of(task: Task) -> Sora2Error:
    """Why the service did not accept an order, as the error it answered with."""
    failure = task.failure
    if failure is None or failure.code == NOT_REACHED:
        return NotReachedError(failure.message if failure else "no reason is known")
    return service_error(failure.code, failure.message)
