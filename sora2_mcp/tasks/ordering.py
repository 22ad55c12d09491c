"""From a request to a task: reserve, send, and what the caller gets of it within three seconds."""

import logging
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace

import anyio
from anyio.abc import TaskGroup

from sora2_mcp.clock import Clock
from sora2_mcp.domain.request import VideoRequest, checked_key
from sora2_mcp.domain.task import NOT_REACHED, Status, Task
from sora2_mcp.errors import (
    STORE_CLOSED,
    STORE_PASSES,
    NotAskedError,
    NotReachedError,
    Sora2Error,
    StoreError,
    service_error,
)
from sora2_mcp.tasks.bus import EventBus
from sora2_mcp.tasks.callback_path import NO_CALLBACK, CallbackPath, CallbackPaths
from sora2_mcp.tasks.ledger import Ledger
from sora2_mcp.tasks.sender import Sender
from sora2_mcp.tasks.store.port import LimitUse, Outcome, Reservation, Store
from sora2_mcp.telemetry.whose import about
from sora2_mcp.telemetry.work import ORDER, ended, noted, watched

logger = logging.getLogger(__name__)

SUBMIT_SECONDS = 3.0
"""What ``submit`` lasts at most; some frameworks stop a call at five seconds."""

_MARGIN_SECONDS = 0.2


@dataclass(frozen=True, slots=True, kw_only=True)
class Submission:
    """The task an order belongs to, whether it is a new one, and how much it leaves of the limits that are set."""

    task: Task
    outcome: Outcome
    limits: tuple[LimitUse, ...] = ()


class _Intent:
    """An order on its way to being reserved; the caller may give up until it is admitted."""

    def __init__(self, *, may_be_new: bool) -> None:
        self.settled = anyio.Event()
        self.admitted: Reservation | None = None
        self.reservation: Reservation | None = None
        self.error: Sora2Error | None = None
        self.refusal: Sora2Error | None = None
        self.abandoned = False
        self._may_be_new = may_be_new

    def admit(self, task: Task) -> None:
        """Called just before the intent is saved, where nobody can join it yet; once it is saved, it is sent."""
        if self.abandoned:
            raise StoreError("is busy, so nothing was ordered", hint=STORE_PASSES)
        if not self._may_be_new:
            raise NotAskedError
        self.admitted = Reservation(task=task, outcome=Outcome.NEW)


class Ordering:
    """Orders outlive the calls that ask for them: everything that matters runs in ``senders``."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        sender: Sender,
        bus: EventBus,
        clock: Clock,
        senders: TaskGroup,
        stopping: anyio.Event,
        callback_paths: CallbackPaths,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._sender = sender
        self._bus = bus
        self._clock = clock
        self._senders = senders
        self._stopping = stopping
        self._callback_paths = callback_paths

    async def submit(
        self,
        request: VideoRequest,
        principal: str,
        key: str,
        called_at: float | None,
        consent: str = "",
        *,
        needs_consent: bool = False,
    ) -> Submission:
        """See ``TaskService.submit``."""
        if self._stopping.is_set():
            raise StoreError("is closed because the server is ending, so nothing was ordered", hint=STORE_CLOSED)
        called_at = self._clock.monotonic() if called_at is None else called_at
        deadline = called_at + SUBMIT_SECONDS - _MARGIN_SECONDS
        intent = _Intent(may_be_new=bool(consent) or not needs_consent)
        self._senders.start_soon(
            self._order, intent, self._ledger.checked(request), principal, checked_key(key), consent
        )
        with self._clock.timeout(max(0.0, deadline - self._clock.monotonic())):
            await intent.settled.wait()
        if intent.error is not None:
            raise intent.error
        reservation = intent.reservation or intent.admitted
        if reservation is None:
            intent.abandoned = True
            raise StoreError("is busy, so nothing was ordered", hint=STORE_PASSES)
        task = await self._answered(reservation.task, deadline)
        if task.status is Status.REFUSED:
            raise intent.refusal or refusal_of(task)
        return Submission(task=task, outcome=reservation.outcome, limits=reservation.limits)

    async def _order(self, intent: _Intent, request: VideoRequest, principal: str, key: str, consent: str) -> None:
        """Reserves and sends, so that no caller's end can tear the two apart."""
        callback = self._callback_of(request)
        with watched(ORDER, quality=request.quality.value, aspect_ratio=request.aspect_ratio.value):
            noted(images=len(request.image_urls))
            reservation = await self._reserved(intent, request, principal, key, consent, callback)
            if reservation is not None and reservation.outcome is Outcome.NEW:
                await self._send(_calling_back(reservation.task, callback), intent)

    async def _send(self, order: Task, intent: _Intent) -> None:
        try:
            await self._sender.send(order, intent)
        except Exception as error:
            # One order's border: whatever goes wrong in it must not end the others. Its row, once its sending lease
            # lapses, reads as unconfirmed, which is never wrong.
            logger.exception("order %s was given up", order.reference)
            ended("error", error)

    def _callback_of(self, request: VideoRequest) -> CallbackPath:
        """A path of our own, unless the caller gave an address: the service calls back only once."""
        if request.callback_url:
            return NO_CALLBACK
        own = self._callback_paths.new()
        return own if own.url and self._ledger.calls(own.url) else NO_CALLBACK

    async def _reserved(
        self, intent: _Intent, request: VideoRequest, principal: str, key: str, consent: str, callback: CallbackPath
    ) -> Reservation | None:
        try:
            intent.reservation = await self._ledger.reserve(
                request, principal, key, consent, callback.hash, intent.admit
            )
            about(intent.reservation.task)
            if intent.reservation.outcome is not Outcome.NEW:
                ended("joined")
        except Sora2Error as error:
            intent.error = error
            ended("turned_away", error)
        except Exception as error:
            # One order's border: whatever goes wrong in it must not end the others.
            logger.exception("an order could not be reserved")
            intent.error = StoreError(f"failed ({type(error).__name__}), so nothing was ordered")
            ended("turned_away", error)
        intent.settled.set()
        return intent.reservation

    async def _answered(self, task: Task, deadline: float) -> Task:
        """The task once its order was answered, or as it is at the deadline; then its local id is handed out."""
        with self._bus.watching(task.id) as watch:
            while True:
                task = await self._bounded(self._store.load, task, deadline - self._clock.monotonic())
                left = deadline - self._clock.monotonic()
                if task.task_id or task.status_at(self._clock.now()) is not Status.GENERATING or left <= 0:
                    break
                with self._clock.timeout(left):
                    await watch.changed()
        is_answered = bool(task.task_id) or task.status is Status.REFUSED
        return task if is_answered else await self._bounded(self._store.hand_out, task, 0)

    async def _bounded(self, ask: Callable[[str], Awaitable[Task | None]], task: Task, seconds: float) -> Task:
        """What the store answers about an order that may be paid; the task as it is, where it cannot say in time.

        The question goes on in the background: no fault of the store may look like an order that was not sent.
        """
        answers: list[Task] = []
        done = anyio.Event()

        async def question() -> None:
            try:
                answers.extend(filter(None, [await ask(task.id)]))
            except Sora2Error as error:
                logger.warning("order %s goes on, but the task store does not answer: %s", task.reference, error)
            except Exception:
                # One question's border: whatever goes wrong in it must not end the orders under way.
                logger.exception("order %s goes on, but a question about it failed", task.reference)
            finally:
                done.set()

        self._senders.start_soon(question)
        with self._clock.timeout(max(seconds, 0) + _MARGIN_SECONDS / 2):
            await done.wait()
        return answers[0] if answers else task


def _calling_back(order: Task, callback: CallbackPath) -> Task:
    """The order as it is sent, every time it is tried; what is saved and shown of it never holds the path."""
    return replace(order, request=replace(order.request, callback_url=callback.url)) if callback.url else order


def refusal_of(task: Task) -> Sora2Error:
    """Why the service did not accept an order, as the error it answered with."""
    failure = task.failure
    if failure is None or failure.code == NOT_REACHED:
        return NotReachedError(failure.message if failure else "no reason is known")
    return service_error(failure.code, failure.message)
