"""Saves finished videos by itself, also those that ended while no process ran.

With ``SORA2_AUTO_DOWNLOAD`` all of them; without it those that only the service's key opens.
"""

import logging
from functools import partial
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskGroup

from sora2_mcp.domain.task import Task
from sora2_mcp.tasks.background import Signal, outlive_failures
from sora2_mcp.tasks.core import Core
from sora2_mcp.tasks.downloads import Downloads

logger = logging.getLogger(__name__)

_AT_ONCE = 12
_AT_ONCE_EACH = 3
"""Of one host: a slow one does not keep videos from the others."""

_BATCH = 200
_LONGEST_NAP_SECONDS = 60.0
_FIRST_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 3600.0


class AutoSave:
    """What is to be saved is read from the store; events only say that it is time to read again."""

    def __init__(self, core: Core, downloads: Downloads) -> None:
        self._core = core
        self._store, self._clock = core.store, core.clock
        self._downloads = downloads
        self._wakeup = Signal()
        self._under_way: dict[str, str] = {}
        self._failing: dict[str, tuple[float, float]] = {}

    async def run(self) -> None:
        """Runs until cancelled."""
        with self._core.bus.subscribed(lambda _: self._wakeup.set()):
            async with anyio.create_task_group() as group:
                await outlive_failures(partial(self._turn, group), self._clock, "videos to be saved")

    async def _turn(self, group: TaskGroup) -> None:
        await self._begin_due(group)
        with self._clock.timeout(self._nap_seconds()):
            await self._wakeup.wait()

    async def _begin_due(self, group: TaskGroup) -> None:
        """Begins, the oldest first, what is neither under way nor to be tried later, as far as there is room."""
        now = self._clock.monotonic()
        passed_over = len(self._under_way) + len(self._failing)
        unsaved = await self._store.unsaved(_BATCH + passed_over, only_keyed=not self._core.settings.auto_download)
        if len(unsaved) < _BATCH + passed_over:
            # All there are: what is not among them has been saved, or deleted by the service.
            self._failing = {task.id: self._failing[task.id] for task in unsaved if task.id in self._failing}
        for task in unsaved:
            if task.id not in self._under_way and self._due_at(task.id) <= now:
                self._begin_if_room(task, group)

    def _begin_if_room(self, task: Task, group: TaskGroup) -> None:
        """Where there is none, the end of another download wakes the loop."""
        host = urlsplit(task.video_url).netloc
        of_host = list(self._under_way.values()).count(host)
        if len(self._under_way) < _AT_ONCE and of_host < _AT_ONCE_EACH:
            self._under_way[task.id] = host
            group.start_soon(self._save, task)

    async def _save(self, task: Task) -> None:
        try:
            download = self._downloads.begin(task, "")
            await download.done.wait()
            if download.error is None:
                self._failing.pop(task.id, None)
                return
            if task.id not in self._failing:
                logger.warning("the video of task %s is not saved yet: %s", task.reference, download.error)
            _, pause = self._failing.get(task.id, (0.0, _FIRST_PAUSE_SECONDS / 2))
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
            self._failing[task.id] = (self._clock.monotonic() + pause, pause)
        finally:
            del self._under_way[task.id]
            self._wakeup.set()

    def _due_at(self, id: str) -> float:
        return self._failing.get(id, (0.0, 0.0))[0]

    def _nap_seconds(self) -> float:
        now = self._clock.monotonic()
        waits = [at - now for at, _ in self._failing.values()]
        return max(0.05, min([_LONGEST_NAP_SECONDS, *waits]))
