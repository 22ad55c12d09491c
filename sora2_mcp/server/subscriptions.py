"""One client that hears of changes: what it asked for, and what is still to be sent to it."""

import logging
import re
from collections.abc import Awaitable, Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Literal
from urllib.parse import unquote

import anyio
from mcp.shared.exceptions import MCPError
from mcp.shared.subscriptions import ResourcesListChanged, ResourceUpdated
from mcp_types import INVALID_PARAMS

from sora2_mcp.clock import Clock
from sora2_mcp.domain.task import LOCAL_PREFIX, Task
from sora2_mcp.server.mcp_tasks import McpTaskChanged
from sora2_mcp.server.resources import GUIDE_URI, TASK_URI, TASKS_URI, USAGE_URI, VIDEO_URI
from sora2_mcp.server.views import shown_status

logger = logging.getLogger(__name__)

DELIVERY_SECONDS = 30.0
"""The longest one notification may take; a client that reads nothing for so long is sent nothing more."""

URIS_LIMIT = 100
"""How many resources one client may watch; a client that wants more watches all tasks."""

_TASK = re.compile(r"sora2://tasks/([^/?#\s]{1,600})(/video)?")

Event = ResourceUpdated | ResourcesListChanged | McpTaskChanged


@dataclass(frozen=True, slots=True)
class Topic:
    """What a client can hear about. ``name`` is a task's, by either of its ids."""

    kind: Literal["list", "tasks", "usage", "guide", "task", "video"]
    name: str = ""


LIST, TASKS, USAGE = Topic("list"), Topic("tasks"), Topic("usage")
_FIXED = {TASKS_URI: TASKS, USAGE_URI: USAGE, GUIDE_URI: Topic("guide")}


def topic_of(uri: str) -> Topic | None:
    """What a URI is about, whether or not there is such a task; None where it is none of ours."""
    if (found := _TASK.fullmatch(uri)) is None:
        return _FIXED.get(uri)
    # Hosts fill templates in by themselves, and some encode more of an id than others.
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


def names_of(task: Task) -> list[str]:
    """The ids that a client may call the task by."""
    return [name for name in (task.task_id, LOCAL_PREFIX + task.id) if name]


def topics_of(before: Task | None, now: Task | None, *, is_recent: bool) -> set[Topic]:
    """What reads otherwise after a change. ``before`` is None if nothing was known of the task, ``now`` if it has gone.

    ``is_recent``: the task is, or was, among the newest ones.
    """

    def differs(read: Callable[[Task], object]) -> bool:
        return (before and read(before)) != (now and read(now))

    names = {name for task in (before, now) if task for name in names_of(task)}
    topics = {Topic("task", name) for name in names}
    if differs(lambda task: task.file):
        topics |= {Topic("video", name) for name in names}
    if differs(shown_status):
        topics.add(USAGE)
    if is_recent:
        topics.add(TASKS)
        if differs(lambda task: (task.reference, shown_status(task))):
            topics.add(LIST)
    return topics


class Subscriber:
    """A client's wishes and its mailbox. Many changes of one resource are one notification until that is sent."""

    def __init__(self, principal: str, clock: Clock) -> None:
        self.principal = principal
        self.closed = False
        self._clock = clock
        self._wishes: dict[Event, Topic] = {}
        self._pending: dict[Event, None] = {}
        self._news = anyio.Event()
        self._emptied = anyio.Event()
        self._emptied.set()
        self._sending: anyio.CancelScope | None = None

    @property
    def topics(self) -> Iterable[Topic]:
        return self._wishes.values()

    @property
    def mcp_tasks(self) -> list[McpTaskChanged]:
        """The tasks that are listened to by their ids."""
        return [event for event in self._wishes if isinstance(event, McpTaskChanged)]

    def wish(self, event: Event, topic: Topic) -> None:
        """Asks for ``event`` whenever what the topic is about has changed.

        Raises:
            MCPError: it asks for too much.
        """
        watched = sum(not isinstance(wish, ResourcesListChanged) for wish in self._wishes)
        if watched >= URIS_LIMIT and event not in self._wishes:
            raise MCPError(INVALID_PARAMS, f"At most {URIS_LIMIT} resources can be watched; watch {TASKS_URI} instead.")
        self._wishes[event] = topic

    def forget(self, event: Event) -> None:
        """Takes a wish back, and what was still to be sent of it."""
        self._wishes.pop(event, None)
        self._pending.pop(event, None)

    def hear(self, topics: Collection[Topic]) -> None:
        """Notes what is to be sent after a change of these; never waits."""
        self._pending |= {event: None for event, topic in self._wishes.items() if topic in topics}
        if self._pending and not self.closed:
            if self._emptied.is_set():
                self._emptied = anyio.Event()
            self._news.set()

    async def deliver(self, send: Callable[[Event], Awaitable[None]]) -> None:
        """Sends whatever there is to send, until closed."""
        while not self.closed:
            if self._pending:
                event = next(iter(self._pending))
                del self._pending[event]
                await self.in_time(send(event))
            else:
                # Only now: the last notification has been sent, not merely taken out.
                self._emptied.set()
                self._news = anyio.Event()
                await self._news.wait()

    async def emptied(self) -> None:
        """Returns once all that was to be sent has been, or the subscriber is closed."""
        await self._emptied.wait()

    async def in_time(self, sending: Awaitable[None]) -> None:
        """Awaits one sending, but not for too long: a client that does not read is closed."""
        # Kept, so that closing cuts a sending off that no client reads.
        with self._clock.timeout(DELIVERY_SECONDS) as self._sending:
            await sending
        if self._sending.cancelled_caught and not self.closed:
            logger.info("a client has read nothing for %d s and is told nothing more", DELIVERY_SECONDS)
            self.close()

    def close(self) -> None:
        """Ends ``deliver``, at once."""
        self.closed = True
        self._news.set()
        self._emptied.set()
        if self._sending is not None:
            self._sending.cancel()
