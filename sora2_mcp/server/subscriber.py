"""One client that wants to hear of changes: what it asked for, and what it is still to be told."""

import logging
import re
from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

import anyio
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp_types import INVALID_PARAMS

from sora2_mcp.clock import Clock
from sora2_mcp.domain.task import LOCAL_PREFIX, SavedFile, Task
from sora2_mcp.server.resources import GUIDE_URI, TASK_URI, TASKS_URI, USAGE_URI, VIDEO_URI
from sora2_mcp.server.views import ShownStatus

logger = logging.getLogger(__name__)

DELIVERY_SECONDS = 30.0
"""The longest one notification may take; whoever reads nothing for so long is told nothing more."""

URIS_LIMIT = 100
"""How many resources one client may watch; whoever wants more watches all tasks."""

_TASK = re.compile(r"sora2://tasks/([^/?#\s]{1,600})(/video)?")

Event = ResourceUpdated | ResourcesListChanged
Send = Callable[[Event], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Topic:
    """What somebody wants to hear of. ``name`` is a task's, as they call it; ``asked``: they said so themselves."""

    kind: Literal["list", "tasks", "usage", "guide", "task", "video"]
    name: str = ""
    asked: bool = True

    @property
    def is_of_many(self) -> bool:
        """Whether it is about the newest tasks rather than about one."""
        return self.kind in ("list", "tasks", "usage")


_FIXED = {TASKS_URI: Topic("tasks"), USAGE_URI: Topic("usage"), GUIDE_URI: Topic("guide")}


def topic_of(uri: str) -> Topic | None:
    """What a URI is about, whether or not there is such a task; None where it is none of ours."""
    if (found := _TASK.fullmatch(uri)) is None:
        return _FIXED.get(uri)
    return Topic("video" if found[2] else "task", unquote(found[1]))


def checked_topic(uri: str) -> Topic:
    """What a URI is about.

    Raises:
        MCPError: it is none of ours.
    """
    if (topic := topic_of(uri)) is None:
        uris = f"{TASKS_URI}, {TASK_URI}, {VIDEO_URI}, {USAGE_URI}"
        raise MCPError(INVALID_PARAMS, f"There is no resource {uri[:60]!r}; what can be subscribed to is {uris}.")
    return topic


@dataclass(frozen=True, slots=True, kw_only=True)
class Face:
    """What can be read of a task at an instant, but for what time alone moves."""

    principal: str
    names: frozenset[str]
    reference: str
    status: ShownStatus
    file: SavedFile | None
    rest: tuple[object, ...]


def face_of(task: Task, status: ShownStatus) -> Face:
    """The face of a task that is shown with this status."""
    return Face(
        principal=task.principal,
        names=frozenset(filter(None, (task.task_id, LOCAL_PREFIX + task.id))),
        reference=task.reference,
        status=status,
        file=task.file,
        rest=(task.video_url, task.failure, task.finished_at, task.video_expires_at, task.request),
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Change:
    """A task's face before and now; None where nothing was known of it, or where it has gone."""

    before: Face | None
    now: Face | None

    @property
    def names(self) -> frozenset[str]:
        """All that the task is or was called."""
        return frozenset().union(*(face.names for face in (self.before, self.now) if face))

    def touches(self, topic: Topic, *, is_recent: bool) -> bool:
        """Whether what the topic is about reads otherwise now; ``is_recent``: the task is, or was, among the newest."""
        if topic.name:
            return topic.name in self.names and (topic.kind == "task" or self._differs("file"))
        if topic.kind == "usage":
            return self._differs("status")
        listed = topic.kind == "tasks" or (topic.kind == "list" and self._differs("reference", "status"))
        return listed and is_recent

    def _differs(self, *fields: str) -> bool:
        return any(getattr(self.before, field, None) != getattr(self.now, field, None) for field in fields)


class Subscriber:
    """A client's wishes and its mailbox. Many changes of one resource are one notification until that is sent."""

    def __init__(self, principal: str, clock: Clock) -> None:
        self.principal = principal
        self.closed = False
        self.is_open = False
        self._clock = clock
        self._wishes: dict[Event, Topic] = {}
        self._pending: dict[Event, None] = {}
        self._news = anyio.Event()
        self._told = anyio.Event()
        self._told.set()
        self._sending: anyio.CancelScope | None = None

    @property
    def topics(self) -> Iterable[Topic]:
        return self._wishes.values()

    def wish(self, event: Event, topic: Topic) -> None:
        """Asks to be told ``event`` whenever what the topic is about has changed.

        Raises:
            MCPError: it asks for too much.
        """
        watched = sum(isinstance(wish, ResourceUpdated) for wish in self._wishes)
        if watched >= URIS_LIMIT and event not in self._wishes:
            raise MCPError(INVALID_PARAMS, f"At most {URIS_LIMIT} resources can be watched; watch {TASKS_URI} instead.")
        self._wishes[event] = topic

    def forget(self, event: Event) -> None:
        """Takes a wish back; what was to be told of it is not told."""
        self._wishes.pop(event, None)
        self._pending.pop(event, None)

    def open(self) -> None:
        """From here on every change is news."""
        self.is_open = True

    def hear(self, change: Change, *, is_recent: bool) -> None:
        """Notes what is to be told of a change; never waits."""
        if not self.is_open or self.closed:
            return
        for event, topic in self._wishes.items():
            if change.touches(topic, is_recent=is_recent):
                self._pending[event] = None
        if self._pending and self._told.is_set():
            self._told = anyio.Event()
        self._news.set()

    async def deliver(self, send: Send) -> None:
        """Sends whatever there is to tell, until closed."""
        while (event := await self._next()) is not None:
            await self.in_time(send(event))

    async def told(self) -> None:
        """Returns once the mailbox is empty and the last of it has been sent, or the subscriber is closed."""
        await self._told.wait()

    async def in_time(self, sending: Awaitable[None]) -> None:
        """Awaits one sending; who takes too long over it is closed, and who is closed meanwhile is not waited for."""
        with self._clock.timeout(DELIVERY_SECONDS) as self._sending:
            await sending
        if self._sending.cancelled_caught and not self.closed:
            logger.info("a client has read nothing for %d s and is told nothing more", DELIVERY_SECONDS)
            self.close()

    def close(self) -> None:
        """Ends ``deliver``, at once."""
        self.closed = True
        self._news.set()
        self._told.set()
        if self._sending is not None:
            self._sending.cancel()

    async def _next(self) -> Event | None:
        while not self.closed:
            if self._pending:
                event = next(iter(self._pending))
                del self._pending[event]
                return event
            self._told.set()
            self._news = anyio.Event()
            await self._news.wait()
        return None
