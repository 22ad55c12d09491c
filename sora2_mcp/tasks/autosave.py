"""Saves finished videos by itself, also those that ended while nobody ran.

All of them with ``SORA2_AUTO_DOWNLOAD``; without it those whose address only the service's key opens.
"""

import logging
from urllib.parse import urlsplit

import anyio
from anyio.abc import TaskGroup

from sora2_mcp.clock import Clock
from sora2_mcp.domain.task import Task
from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.alarm import Alarm
from sora2_mcp.tasks.bus import EventBus
from sora2_mcp.tasks.downloads import Downloads
from sora2_mcp.tasks.store.port import Store

logger = logging.getLogger(__name__)

_AT_ONCE = 12
_AT_ONCE_EACH = 3
"""Of one host: one that is slow keeps nobody from the others."""

_BATCH = 200
_LONGEST_NAP_SECONDS = 60.0
_STORE_PAUSE_SECONDS = 2.0
_FIRST_PAUSE_SECONDS = 60.0
_LONGEST_PAUSE_SECONDS = 3600.0


class AutoSave:
    """What is to be saved is read from the store; events only say that it is time to read again."""

    def __init__(
        self, *, store: Store, downloads: Downloads, bus: EventBus, clock: Clock, only_keyed: bool = False
    ) -> None:
        self._only_keyed = only_keyed
        self._store = store
        self._downloads = downloads
        self._bus = bus
        self._clock = clock
        self._alarm = Alarm(clock)
        self._under_way: dict[str, str] = {}
        self._failing: dict[str, tuple[float, float]] = {}

    async def run(self) -> None:
        """Runs until cancelled."""
        failed = False
        with self._bus.subscribed(lambda _: self._alarm.ring(), missed=self._alarm.ring):
            async with anyio.create_task_group() as group:
                while True:
                    self._alarm.arm()
                    try:
                        await self._begin_due(group)
                        failed = False
                    except StoreError as error:
                        if not failed:
                            logger.warning("videos are saved when the task store works again: %s", error)
                        failed = True
                        await self._clock.sleep(_STORE_PAUSE_SECONDS)
                        continue
                    await self._alarm.wait(self._nap_seconds())

    async def _begin_due(self, group: TaskGroup) -> None:
        """Begins, the oldest first, what is neither under way nor to be tried later, as far as there is room."""
        now = self._clock.monotonic()
        passed_over = len(self._under_way) + len(self._failing)
        unsaved = await self._store.unsaved(_BATCH + passed_over, only_keyed=self._only_keyed)
        if len(unsaved) < _BATCH + passed_over:
            # All there are: what is not among them has been saved, or deleted by the service.
            self._failing = {task.id: self._failing[task.id] for task in unsaved if task.id in self._failing}
        for task in unsaved:
            if task.id not in self._under_way and self._due_at(task.id) <= now:
                self._begin_if_room(task, group)

    def _begin_if_room(self, task: Task, group: TaskGroup) -> None:
        """Where there is none, the end of another rings the alarm."""
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
            self._alarm.ring()

    def _due_at(self, id: str) -> float:
        return self._failing.get(id, (0.0, 0.0))[0]

    def _nap_seconds(self) -> float:
        now = self._clock.monotonic()
        waits = [at - now for at, _ in self._failing.values()]
        return max(0.05, min([_LONGEST_NAP_SECONDS, *waits]))
