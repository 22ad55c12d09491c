"""Looks at tasks: claim a due one, ask the service, settle.

The table is the only queue. The loop takes what is due, and an explicit look claims its own task; waiting
and callbacks only make a row due.
"""

import logging
from contextlib import suppress
from dataclasses import replace
from datetime import timedelta
from functools import partial

import anyio
from anyio.from_thread import BlockingPortal

from sora2_mcp.domain.events import TaskEvent, TaskFinished
from sora2_mcp.domain.task import Sighting, Snapshot, Task, advance, unseen
from sora2_mcp.errors import ServiceError, Sora2Error, StoreError, UnauthorizedError, UnknownTaskError
from sora2_mcp.tasks.background import Runs, Signal, outlive_failures
from sora2_mcp.tasks.core import Core
from sora2_mcp.tasks.schedule import CircuitBreaker
from sora2_mcp.tasks.store.interface import LOOK_LEASE, Claim, LookPlan, Store
from sora2_mcp.telemetry.context import bind_task
from sora2_mcp.telemetry.metrics import Reading
from sora2_mcp.telemetry.spans import LOOK, record_task_end, report_reading, set_outcome, traced

logger = logging.getLogger(__name__)

_LOOKS_AT_ONCE = 20
_LONGEST_NAP_SECONDS = 30.0
_OTHERS_LOOK_SECONDS = 0.25
_WANTED_INTERVALS = 3
"""A wait that is not noted again for so many intervals has ended."""

_HINT_ATTEMPTS = 3
"""So many looks at the id that a callback named may fail."""

_FAREWELL_SECONDS = 0.5


class Polling:
    """Looks, at most one at a time for each task, in this process and in all others on the store."""

    def __init__(self, core: Core) -> None:
        self._core = core
        self._store, self._client, self._clock, self._schedule = core.store, core.client, core.clock, core.schedule
        self._breaker = CircuitBreaker(core.settings.poll_seconds)
        self._explicit_looks = Runs[Task](core.group, "a look at a task")
        self._due_looks = Runs[Task](core.group, "a look at a task that is due")
        # The loop takes one before it claims; the look gives it back when it ends.
        self._free_slots = anyio.Semaphore(_LOOKS_AT_ONCE)
        self._wakeup = Signal()
        self._failing: set[str] = set()
        # The tasks that calls of this process wait for, and when that was noted last.
        self._wanted: dict[str, float] = {}
        self.refresh_seconds = max(core.settings.poll_seconds, 1.0)
        self.caught_up = anyio.Event()
        """Set once orders of processes that died before this one began are marked as unconfirmed."""

    def wake(self) -> None:
        """Has the loop read anew what is due."""
        self._wakeup.set()

    async def look(self, task: Task) -> Task:
        """The task after a look that was under way, or one begun now. Cancelling does not stop the look.

        Raises:
            Sora2Error: the look failed; the task itself is untouched.
        """
        run = self._due_looks.get(task.id) or self._explicit_looks.join(task.id, partial(self._explicit_look, task))
        return await run.result()

    def look_soon(self, order: Task) -> None:
        """Looks, in the background, at a task that a callback has made due: before the loop gets to it.

        What this does not look at, because another look is under way or the process ends, stays due.
        """
        self._explicit_looks.join(order.id, partial(self._explicit_look, order))

    def want(self, task: Task) -> None:
        """Notes that a caller waits for the task; to be repeated every ``refresh_seconds`` as long as it does.

        The note is written in the background: no wait may outlast its time because a database is slow. Many waits for
        one task cost as many writes as one.
        """
        now, wanted_seconds = self._clock.monotonic(), self.refresh_seconds * _WANTED_INTERVALS
        self._wanted = {id: noted_at for id, noted_at in self._wanted.items() if now - noted_at < wanted_seconds}
        if not task.task_id or now - self._wanted.get(task.id, -wanted_seconds) < self.refresh_seconds / 2:
            return
        self._wanted[task.id] = now
        self._core.group.start_soon(self._note_want, task)

    async def run(self) -> None:
        """Looks at what is due, until cancelled."""
        await outlive_failures(self._turn, self._clock, "looks")

    async def _note_want(self, task: Task) -> None:
        # A key that is not accepted ends waits at once, so there is nothing to slow down.
        failing = task.look_failed_at is not None and task.look_error_code != UnauthorizedError.code
        pause = timedelta(seconds=self._schedule.wanted_seconds(task, failing=failing))
        now = self._clock.now()
        # Instants ahead of now are from before the clock was set back.
        looked_at = min(max(filter(None, (task.last_look_at, task.look_failed_at, task.created_at))), now)
        try:
            until = now + timedelta(seconds=self.refresh_seconds * _WANTED_INTERVALS)
            await self._store.want(task, until, looked_at + pause)
        except StoreError as error:
            logger.debug("that task %s is waited for could not be noted: %s", task.task_id, error)
        self.wake()

    async def _turn(self) -> None:
        """Takes its turn at the service before it picks a task: so no turn goes to a less urgent one."""
        await self._until_due()
        if self._breaker.is_open:
            await self._clock.sleep(self._breaker.pause_seconds)
        await self._free_slots.acquire()
        try:
            await self._client.limiter.due_look()
            claim = await self._store.claim(farthest=self._schedule.farthest)
        except BaseException:
            self._free_slots.release()
            raise
        if claim is None or self._due_looks.get(claim.task.id) is not None:
            # Where a clock jumped ahead, the lease of a look has lapsed that is still under way here: it settles both.
            self._free_slots.release()
            return
        run = self._due_looks.join(claim.task.id, partial(self._due_look, claim))
        if self._breaker.is_open:
            # One look at a time finds out whether the service is back.
            await run.done.wait()

    async def _until_due(self) -> None:
        while True:
            due = await self._store.due(self._schedule.farthest)
            now = self._clock.now()
            if due.lapse_at is not None and due.lapse_at <= now:
                await self._store.lapse()
                continue
            self.caught_up.set()
            if due.look_at is not None and due.look_at <= now:
                return
            soonest = min(filter(None, (due.look_at, due.lapse_at)), default=None)
            seconds = _LONGEST_NAP_SECONDS if soonest is None else (soonest - now).total_seconds()
            with self._clock.timeout(min(seconds, _LONGEST_NAP_SECONDS)):
                await self._wakeup.wait()

    async def _due_look(self, claim: Claim) -> Task:
        bind_task(claim.task)
        try:
            with traced(LOOK):
                return await self._leased_look(claim)
        finally:
            self._free_slots.release()
            self.wake()

    async def _explicit_look(self, task: Task) -> Task:
        bind_task(task)
        try:
            with traced(LOOK):
                await self._client.limiter.look()
                claim = await self._store.claim(task)
                if claim is not None:
                    return await self._leased_look(claim)
                # The loop, or another process, was faster.
                set_outcome("elsewhere")
                if due := self._due_looks.get(task.id):
                    return await due.result()
                return await self._others_look(task) if task.task_id else task
        finally:
            self.wake()

    async def _others_look(self, task: Task) -> Task:
        """The task after the look of another process, which serves as well."""
        with self._clock.timeout(LOOK_LEASE.total_seconds()):
            while True:
                now = await self._loaded(task)
                if (now.last_look_at, now.look_failed_at) != (task.last_look_at, task.look_failed_at):
                    return now
                await self._clock.sleep(_OTHERS_LOOK_SECONDS)
        return await self._loaded(task)

    async def _loaded(self, task: Task) -> Task:
        stored = await self._store.load(task.id)
        if stored is None:
            raise UnknownTaskError(task.reference)
        return stored

    async def _leased_look(self, claim: Claim) -> Task:
        try:
            try:
                if not claim.task.task_id:
                    return await self._identify(claim)
                snapshot = await self._client.look(claim.task.task_id)
            except Sora2Error as error:
                await self._settle_failure(claim, error)
                raise
            set_outcome(snapshot.sighting.value)
            self._breaker.answered()
            seen = await self._settle(claim, snapshot, self._schedule.next(claim.task, self._clock.now()))
        except anyio.get_cancelled_exc_class():
            # The process ends: the next one must not wait until the lease lapses.
            with anyio.move_on_after(_FAREWELL_SECONDS, shield=True), suppress(Sora2Error):
                await self._store.release(claim)
            raise
        if claim.task.id in self._failing:
            self._failing.discard(claim.task.id)
            logger.info("looks at task %s work again; it is %s", claim.task.task_id, seen.status)
        return seen

    async def _settle(
        self, claim: Claim, snapshot: Snapshot | None, plan: LookPlan, error_code: int | None = None
    ) -> Task:
        """Saves what a look showed, whatever others save meanwhile."""
        while True:
            moved, events = advance(claim.task, snapshot) if snapshot is not None else (claim.task, ())
            settled = await self._store.settle(claim, moved, plan, error_code)
            if settled is not None:
                _report(settled, events)
                return settled
            current = await self._store.claimed(claim)
            if current is None:
                # The look outlasted its lease, or the task has gone.
                return await self._loaded(claim.task)
            if current.task.task_id and not claim.task.task_id:
                # The answer came while the id of a callback was looked at. Due at once: what the callback said of it
                # is still to be seen.
                await self._store.release(current)
                return current.task
            claim = current

    async def _settle_failure(self, claim: Claim, error: Sora2Error) -> None:
        self._breaker.failed(error)
        if not claim.failures and not self._breaker.is_open:
            self._failing.add(claim.task.id)
            logger.warning("a look at task %s failed, more will follow: %s", claim.task.reference, error.own_words)
        retry_after = error.retry_after_seconds if isinstance(error, ServiceError) else None
        code = error.code if isinstance(error, ServiceError) else 0
        now = self._clock.now()
        if claim.task.task_id:
            plan = self._schedule.plan(now, claim.failures + 1, retry_after)
            await self._settle(claim, unseen(claim.task, now, code), plan, code)
            return
        # An id that cannot be looked at is let go: the account page can still settle the order.
        is_tried_again = error.retryable and claim.failures + 1 < _HINT_ATTEMPTS
        plan = self._schedule.next_hint(now, claim.failures + 1)
        await self._settle(claim, None, plan, code if is_tried_again else None)

    async def _identify(self, claim: Claim) -> Task:
        """Gives an order the id that a callback named, if the service knows such a task and it was ordered just so."""
        order, task_id = claim.task, claim.hinted_id
        plan = self._schedule.first(order, self._clock.now())
        if not task_id:
            return await self._settle(claim, None, plan)
        snapshot = await self._client.look(task_id)
        set_outcome(snapshot.sighting.value)
        self._breaker.answered()
        is_known = snapshot.sighting is not Sighting.MISSING and snapshot.task_id in ("", task_id)
        if is_known and snapshot.fits(order.request):
            bound = await self._store.bind_hinted(order.id, task_id, plan)
            if bound is not None and bound.task_id == task_id:
                logger.info("order %s is task %s: a callback named it, the service confirms it", order.id, task_id)
                return await self._settle(replace(claim, task=bound), snapshot, plan)
        return await self._settle(claim, None, plan)


def _report(task: Task, events: tuple[TaskEvent, ...]) -> None:
    """Logs and counts what an observation has changed."""
    why = f" ({task.failure.stage}, code {task.failure.code})" if task.failure is not None else ""
    for event in events:
        if isinstance(event, TaskFinished):
            logger.info("task %s has %s%s", task.reference, task.status, why)
            record_task_end(task)
        else:
            logger.info("task %s is better known: it has %s%s", task.reference, task.status, why)


async def report_unfinished(store: Store, service: str) -> None:
    """Counts unfinished tasks for metrics, after each time the number was read; runs until cancelled."""
    async with BlockingPortal() as portal:
        reading = Reading(service, portal)
        with report_reading(reading):
            while True:
                await reading.wanted()
                try:
                    reading.value = await store.unfinished()
                except StoreError as error:
                    # No number is better than an old one.
                    reading.value = None
                    logger.debug("unfinished tasks could not be counted: %s", error)
