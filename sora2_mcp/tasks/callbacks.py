"""An upstream callback -> look now. Anybody may post anything, so a callback is a hint and never the truth."""

import logging
from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from anyio.abc import TaskGroup

from sora2_mcp.clock import Clock
from sora2_mcp.domain.task import Sighting, Status, Task
from sora2_mcp.errors import Sora2Error, StoreError
from sora2_mcp.services.service import ServiceClient
from sora2_mcp.tasks.bus import EventBus, Watch
from sora2_mcp.tasks.callback_path import CallbackPaths, callback_hash
from sora2_mcp.tasks.ledger import SENDING_LEASE, Ledger
from sora2_mcp.tasks.looker import Look, Looker
from sora2_mcp.tasks.pacing import Pacing
from sora2_mcp.tasks.store.port import Store
from sora2_mcp.telemetry.whose import about
from sora2_mcp.telemetry.work import CALLBACK, LOOK, counted, ended, watched

logger = logging.getLogger(__name__)

PENDING_LIMIT = 2000
"""The most hints followed at a time, and the most paths being looked up; what comes beyond is left to the poller."""

_LOOKUPS_AT_ONCE = 2
_STORE_PAUSES_SECONDS = (1.0, 4.0, 15.0)
_ASKING_PAUSES_SECONDS = (2.0, 10.0)
_LEASES_WAITED_FOR = 2

Learnt = TypeVar("Learnt")


class _Call:
    """A path that is being looked up. ``is_ours`` counts once ``settled``, and is a guess where the store failed."""

    def __init__(self) -> None:
        self.settled = anyio.Event()
        self.is_ours = True
        self.said_id = ""


class _Hint:
    """A task to be looked at. ``due`` until a look has begun after the latest callback."""

    def __init__(self, said_id: str) -> None:
        self.due = True
        self.said_id = said_id
        self.look: Look | None = None
        self.watch: Watch | None = None

    def repeat(self, said_id: str) -> None:
        """One more callback came; a look that has not begun yet serves it too."""
        self.said_id = said_id or self.said_id
        self.due = self.due or self.look is None or self.look.begun
        if self.watch is not None:
            self.watch.wake()


class Callbacks:
    """Takes in callbacks; everything they lead to runs in ``background``, at most one thing at a time for each task."""

    def __init__(
        self,
        *,
        store: Store,
        ledger: Ledger,
        looker: Looker,
        client: ServiceClient,
        bus: EventBus,
        clock: Clock,
        pacing: Pacing,
        paths: CallbackPaths,
        background: TaskGroup,
        stopping: anyio.Event,
    ) -> None:
        self._store = store
        self._ledger = ledger
        self._looker = looker
        self._client = client
        self._bus = bus
        self._clock = clock
        self._pacing = pacing
        self._paths = paths
        self._background = background
        self._stopping = stopping
        self._lookups = anyio.Semaphore(_LOOKUPS_AT_ONCE)
        self._calls: dict[str, _Call] = {}
        self._hints: dict[str, _Hint] = {}

    @property
    def pending(self) -> int:
        """How many callbacks are still being dealt with."""
        return len(self._calls) + len(self._hints)

    async def received(self, secret: str, said_id: str = "") -> bool:
        """Whether the path is one of ours; True also where that cannot be told now. The look is made afterwards.

        ``said_id``: the task the callback says it is about. Cancelling takes nothing back.
        """
        if not self._paths.is_authentic(secret):
            return False
        if self._stopping.is_set():
            return True
        hash = callback_hash(secret)
        call = self._calls.get(hash)
        if call is None:
            if len(self._calls) >= PENDING_LIMIT:
                counted(CALLBACK, "dropped")
                return True
            call = self._calls[hash] = _Call()
            self._background.start_soon(self._take, hash, call)
        else:
            counted(CALLBACK, "joined")
        call.said_id = said_id or call.said_id
        await call.settled.wait()
        return call.is_ours

    async def _take(self, hash: str, call: _Call) -> None:
        try:
            with watched(CALLBACK):
                order = await self._found(hash)
                call.is_ours = order is not None
                ended(self._hear(order, call.said_id) if order is not None else "unknown")
        except StoreError as error:
            logger.warning("a callback is lost because the task store does not work: %s", error)
        except Exception:
            # One callback's border: whatever goes wrong in it must not end the others.
            logger.exception("a callback could not be taken in")
        finally:
            del self._calls[hash]
            call.settled.set()

    async def _found(self, hash: str) -> Task | None:
        async def find() -> Task | None:
            async with self._lookups:
                return await self._store.of_callback(hash)

        return await self._tried(find, _STORE_PAUSES_SECONDS)

    def _hear(self, order: Task, said_id: str) -> str:
        """Has the order's task looked at; gives what the callback thus led to, in a word."""
        about(order)
        if not self._pacing.called_back:
            logger.info("callbacks arrive, so tasks that have one are looked at less often")
            self._pacing.called_back = True
        hint = self._hints.get(order.id)
        if hint is not None:
            hint.repeat(said_id)
            return "joined"
        if not order.may_change:
            return "ended_before"
        if len(self._hints) >= PENDING_LIMIT:
            return "dropped"
        self._hints[order.id] = _Hint(said_id)
        self._background.start_soon(self._follow, order.id, self._hints[order.id])
        return "followed"

    async def _follow(self, id: str, hint: _Hint) -> None:
        try:
            while hint.due:
                await self._once(id, hint)
        except Sora2Error as error:
            # The task itself is untouched, and the poller goes on looking at it.
            logger.debug("a callback about %s led to nothing: %s", id, error.own_words)
        except Exception:
            # One callback's border: whatever goes wrong in it must not end the others.
            logger.exception("a callback about %s could not be followed", id)
        finally:
            del self._hints[id]

    async def _once(self, id: str, hint: _Hint) -> None:
        hint.due = False
        task = await self._store.load(id)
        if task is not None and not task.task_id:
            task = await self._identified(task, hint)
        if task is not None and task.task_id and task.may_change:
            await self._look(task, hint)

    async def _look(self, task: Task, hint: _Hint) -> None:
        """A look at the task, also where another process has the lease; still ``due`` if it had begun before."""
        for _ in range(_LEASES_WAITED_FOR):
            hint.look = look = self._looker.begin(task)
            # One that is under way already does not count: another one follows it.
            hint.due = look.begun
            await look.done.wait()
            if not look.elsewhere:
                break
            # Who knows when that one began; the next one, whoever makes it, has begun since.
            task = await self._store.load(task.id) or task
            if not task.may_change:
                break
        hint.look = None

    async def _identified(self, order: Task, hint: _Hint) -> Task | None:
        """The order once its sender has its id; None where there is none to wait for, or the callback's was right."""
        patience = self._clock.monotonic() + SENDING_LEASE.total_seconds()
        with self._bus.watching(order.id) as hint.watch:
            while True:
                said_id, hint.said_id = hint.said_id, ""
                if said_id and await self._bound(order, said_id):
                    return None
                task = await self._store.load(order.id)
                left = patience - self._clock.monotonic()
                if task is None or task.task_id or left <= 0:
                    return task
                if task.status_at(self._clock.now()) is not Status.GENERATING and not hint.said_id:
                    return None
                with self._clock.timeout(left):
                    await hint.watch.changed()

    async def _bound(self, order: Task, said_id: str) -> bool:
        """Whether the order is the task the callback names: the service must know it, ordered just so."""

        async def ask() -> bool:
            with watched(LOOK):
                await self._client.pace.look()
                snapshot = await self._client.record_info(said_id)
                ended(snapshot.sighting.value)
            is_known = snapshot.sighting is not Sighting.MISSING and snapshot.task_id in ("", said_id)
            if not is_known or not snapshot.fits(order.request):
                return False
            task = await self._ledger.bind_hinted(order, said_id)
            if task is None or task.task_id != said_id:
                return False
            logger.info("order %s is task %s, as a callback told and the service confirmed", order.reference, said_id)
            await self._ledger.observe(task, snapshot)
            return True

        return await self._tried(ask, _ASKING_PAUSES_SECONDS)

    async def _tried(self, attempt: Callable[[], Awaitable[Learnt]], pauses_seconds: tuple[float, ...]) -> Learnt:
        for pause in pauses_seconds:
            try:
                return await attempt()
            except Sora2Error as error:
                if not error.retryable:
                    raise
            await self._clock.sleep(pause)
        return await attempt()
