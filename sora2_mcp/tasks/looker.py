"""Looks at one task: lease, ask the service, save what it shows."""

import logging
from contextlib import suppress
from functools import partial

import anyio
from anyio.abc import TaskGroup

from sora2_mcp.clock import Clock
from sora2_mcp.domain.events import LookFailed
from sora2_mcp.domain.task import Task, unseen
from sora2_mcp.errors import ServiceError, Sora2Error, StoreError
from sora2_mcp.services.service import ServiceClient
from sora2_mcp.tasks.alarm import Alarm
from sora2_mcp.tasks.bus import EventBus
from sora2_mcp.tasks.ledger import Ledger
from sora2_mcp.tasks.outage import Outage
from sora2_mcp.tasks.pacing import Pacing
from sora2_mcp.tasks.store.port import LOOK_LEASE, Store
from sora2_mcp.telemetry.whose import about
from sora2_mcp.telemetry.work import LOOK, ended, watched

logger = logging.getLogger(__name__)

_OTHERS_LOOK_SECONDS = 0.25
_FAREWELL_SECONDS = 0.5


class Look:
    """One look under way; whoever wants to know joins it.

    ``begun``: the service is being asked, so what happens from now on may be missing in the answer. ``elsewhere``:
    another process had the lease, and its look, begun who knows when, was waited for.
    """

    def __init__(self) -> None:
        self.begun = False
        self.elsewhere = False
        self.leased = anyio.Event()
        self.done = anyio.Event()
        self.error: Sora2Error | None = None


class Looker:
    """Looks, at most one at a time for each task, in this process and in all others on the store."""

    def __init__(
        self,
        *,
        client: ServiceClient,
        ledger: Ledger,
        store: Store,
        bus: EventBus,
        clock: Clock,
        pacing: Pacing,
        alarm: Alarm,
        outage: Outage,
        owner: str,
        background: TaskGroup,
    ) -> None:
        self._client = client
        self._ledger = ledger
        self._store = store
        self._bus = bus
        self._clock = clock
        self._pacing = pacing
        self._alarm = alarm
        self._outage = outage
        self._owner = owner
        self._background = background
        self._under_way: dict[str, Look] = {}
        self._told_failing: set[str] = set()

    def is_looking_at(self, task: Task) -> bool:
        """Whether a look at the task is under way in this process."""
        return task.id in self._under_way

    async def look(self, task: Task) -> None:
        """Returns when a look that was under way, or one begun now, has been saved. Cancelling does not stop the look.

        Raises:
            Sora2Error: the look failed; the task itself is untouched.
        """
        look = self.begin(task)
        await look.done.wait()
        if look.error is not None:
            raise look.error

    def begin(self, task: Task, *, has_turn: bool = False) -> Look:
        """Starts a look, or gives the one under way. ``has_turn``: the caller has waited for its turn already."""
        look = self._under_way.get(task.id)
        if look is None:
            look = self._under_way[task.id] = Look()
            self._background.start_soon(partial(self._run, task, look, has_turn=has_turn))
        return look

    async def _run(self, task: Task, look: Look, *, has_turn: bool) -> None:
        about(task)
        try:
            with watched(LOOK):
                if not has_turn:
                    await self._client.pace.look()
                await self._leased_look(task, look)
        except Sora2Error as error:
            look.error = error
        except anyio.get_cancelled_exc_class():
            # The end of this process: whoever looks next, soon perhaps, must not wait until the lease lapses.
            with anyio.move_on_after(_FAREWELL_SECONDS, shield=True), suppress(Sora2Error):
                await self._store.release_look(task.id, self._owner)
            raise
        except Exception as error:
            # One look's border: whatever goes wrong in it must not end the others.
            logger.exception("a look at task %s failed unexpectedly", task.task_id)
            look.error = StoreError(f"could not take in a look ({type(error).__name__})")
        finally:
            self._under_way.pop(task.id, None)
            look.leased.set()
            look.done.set()
            self._alarm.ring()

    async def _leased_look(self, task: Task, look: Look) -> None:
        failures = await self._store.claim_look(task.id, self._owner)
        look.begun, look.elsewhere = True, failures is None
        look.leased.set()
        if failures is None:
            await self._await_other(task)
            ended("elsewhere")
            return
        try:
            snapshot = await self._client.record_info(task.task_id)
        except Sora2Error as error:
            await self._settle_failed(task, error, failures)
            raise
        ended(snapshot.sighting.value)
        self._outage.answered()
        seen = await self._ledger.observe(task, snapshot)
        await self._store.settle_look(task.id, self._owner, self._pacing.next(task, self._clock.now()), None)
        if task.id in self._told_failing:
            self._told_failing.discard(task.id)
            logger.info("looks at task %s work again; it is %s", task.task_id, seen.status)

    async def _settle_failed(self, task: Task, error: Sora2Error, failures: int) -> None:
        self._outage.failed(error)
        if not failures and not self._outage.is_on:
            self._told_failing.add(task.id)
            logger.warning("a look at task %s failed, more will follow: %s", task.task_id, error.own_words)
        told = error.retry_after_seconds if isinstance(error, ServiceError) else None
        plan = self._pacing.plan(self._clock.now(), failures + 1, told)
        code = error.code if isinstance(error, ServiceError) else 0
        if given_up := unseen(task, self._clock.now(), code):
            await self._ledger.observe(task, given_up)
        await self._store.settle_look(task.id, self._owner, plan, code)
        self._bus.publish(LookFailed(id=task.id, at=self._clock.now()))

    async def _await_other(self, task: Task) -> None:
        """Another process looks just now: its look serves as well."""
        with self._clock.timeout(LOOK_LEASE.total_seconds()):
            while True:
                await self._clock.sleep(_OTHERS_LOOK_SECONDS)
                now = await self._store.load(task.id)
                if now is None or (now.last_look_at, now.look_failed_at) != (task.last_look_at, task.look_failed_at):
                    return
