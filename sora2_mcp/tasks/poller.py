"""One loop that looks at every task that is due."""

import logging

import anyio
from anyio.abc import TaskGroup

from sora2_mcp.clock import Clock
from sora2_mcp.errors import StoreError
from sora2_mcp.services.service import Turns
from sora2_mcp.tasks.alarm import Alarm
from sora2_mcp.tasks.looker import Look, Looker
from sora2_mcp.tasks.outage import Outage
from sora2_mcp.tasks.pacing import Pacing
from sora2_mcp.tasks.store.port import Store

logger = logging.getLogger(__name__)

_LOOKS_AT_ONCE = 20
_LONGEST_NAP_SECONDS = 30.0
_STORE_PAUSE_SECONDS = 2.0


class Poller:
    """Takes a turn at the service, then picks the most urgent task: so a turn never goes to a less urgent one."""

    def __init__(
        self,
        *,
        store: Store,
        looker: Looker,
        pace: Turns,
        clock: Clock,
        pacing: Pacing,
        alarm: Alarm,
        outage: Outage,
    ) -> None:
        self._store = store
        self._looker = looker
        self._pace = pace
        self._clock = clock
        self._farthest = pacing.farthest
        self._alarm = alarm
        self._outage = outage
        self._room = anyio.Semaphore(_LOOKS_AT_ONCE)

    async def run(self) -> None:
        """Runs until cancelled."""
        store_failed = False
        async with anyio.create_task_group() as looks:
            while True:
                try:
                    await self._turn(looks)
                    store_failed = False
                except StoreError as error:
                    if not store_failed:
                        logger.warning("looks wait until the task store works again: %s", error)
                    store_failed = True
                    await self._clock.sleep(_STORE_PAUSE_SECONDS)
                except Exception:
                    # One turn's border: a failure nobody foresaw must not stop all looks for good.
                    logger.exception("a turn of the poller failed")
                    await self._clock.sleep(_STORE_PAUSE_SECONDS)

    async def _turn(self, looks: TaskGroup) -> None:
        await self._until_due()
        if self._outage.is_on:
            await self._clock.sleep(self._outage.pause_seconds)
        await self._room.acquire()
        try:
            await self._pace.round()
            task = await self._store.most_urgent(self._farthest)
        except BaseException:
            self._room.release()
            raise
        if task is None:
            self._room.release()
            return
        look = self._looker.begin(task, has_turn=True)
        looks.start_soon(self._finish, look)
        # Until the lease is in the store, the same task would be the most urgent one again; and while the service is
        # down, one look at a time finds out whether it is back.
        await (look.done if self._outage.is_on else look.leased).wait()

    async def _finish(self, look: Look) -> None:
        try:
            await look.done.wait()
        finally:
            self._room.release()

    async def _until_due(self) -> None:
        while True:
            self._alarm.arm()
            due_at = await self._store.next_due_at(self._farthest)
            now = self._clock.now()
            if due_at is not None and due_at <= now:
                return
            nap = _LONGEST_NAP_SECONDS if due_at is None else min((due_at - now).total_seconds(), _LONGEST_NAP_SECONDS)
            await self._alarm.wait(nap)
