"""Who waits for what: demand sets the pace of looks, through the store."""

import logging
from datetime import timedelta

from anyio.abc import TaskGroup

from sora2_mcp.clock import Clock
from sora2_mcp.domain.task import Task
from sora2_mcp.errors import StoreError, UnauthorizedError
from sora2_mcp.tasks.alarm import Alarm
from sora2_mcp.tasks.pacing import Pacing
from sora2_mcp.tasks.store.port import Store

logger = logging.getLogger(__name__)


class Demand:
    """Notes which tasks are waited for; a crowd of waiters on one task costs the store no more than one."""

    def __init__(self, *, store: Store, alarm: Alarm, clock: Clock, pacing: Pacing, background: TaskGroup) -> None:
        self._store = store
        self._alarm = alarm
        self._clock = clock
        self._pacing = pacing
        self.refresh_seconds = max(pacing.poll_seconds, 1.0)
        self._background = background
        self._noted: dict[str, float] = {}

    def note(self, task: Task) -> None:
        """Says that somebody waits for the task; to be repeated every ``refresh_seconds`` as long as it is true.

        The store hears of it in the background: no wait outlasts its time because a database is held up.
        """
        now = self._clock.monotonic()
        fresh = now - self.refresh_seconds / 2
        if not task.task_id or self._noted.get(task.id, fresh) > fresh:
            return
        self._noted = {id: noted for id, noted in self._noted.items() if noted > fresh} | {task.id: now}
        self._background.start_soon(self._tell_store, task)

    async def _tell_store(self, task: Task) -> None:
        until = self._clock.now() + timedelta(seconds=self.refresh_seconds * 3)
        # A key that is not accepted is told at once; other faults are given time to pass.
        failing = task.look_failed_at is not None and task.look_error_code != UnauthorizedError.code
        pause = timedelta(seconds=self._pacing.wanted_seconds(task, failing=failing))
        # Instants ahead of now stem from a clock that was set back meanwhile.
        looked_at = min(max(filter(None, (task.last_look_at, task.look_failed_at, task.created_at))), self._clock.now())
        try:
            await self._store.want(task, until, looked_at + pause)
        except StoreError as error:
            logger.debug("that task %s is waited for could not be noted: %s", task.task_id, error)
        self._alarm.ring()
