"""Events inside the process -> what those are told who asked for it: each change once, and only its own principal's."""

import logging
from collections import OrderedDict
from collections.abc import Iterable
from contextlib import ExitStack, suppress

import anyio
from mcp.shared.exceptions import MCPError
from mcp_types import INTERNAL_ERROR

from sora2_mcp.domain.task import Task
from sora2_mcp.errors import Sora2Error, UnknownTaskError
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.resources import LISTED_TASKS
from sora2_mcp.server.subscriber import Change, Face, Subscriber, Topic, face_of
from sora2_mcp.server.views import shown_status
from sora2_mcp.tasks.tasks import Tasks

logger = logging.getLogger(__name__)

CLIENTS_LIMIT = 500
"""How many clients and streams of one principal are told of changes at once."""

LOOK_UP_SECONDS = 1.0
"""How long a subscription waits for the store, to learn how things stand."""

UNKNOWN_LIMIT = 1000
"""How many names that no task has are looked up for one principal while it watches them."""

_REMEMBERED_TASKS = 10_000
_STORE_PAUSE_SECONDS = 1.0


class News:
    """Reads each task that something happened to once, however many want to hear of it, and nothing if nobody does.

    What clients can read of a task is remembered, so that a change they cannot see is no news. A task of which nothing
    is remembered is news: better once too often.
    """

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._subscribers: dict[Subscriber, None] = {}
        self._seen: OrderedDict[str, tuple[int, Face]] = OrderedDict()
        self._changed: dict[str, None] = {}
        self._unknown: dict[str, set[str]] = {}
        self._missed = False
        self._reading = False
        self._read_up = anyio.Event()
        self._keeping_pace = False
        self._listening = ExitStack()

    def admit(self, subscriber: Subscriber) -> None:
        """Lets a subscriber hear of what comes, once it is open.

        Raises:
            MCPError: its principal has too many already.
        """
        if sum(other.principal == subscriber.principal for other in self._subscribers) >= CLIENTS_LIMIT:
            raise MCPError(INTERNAL_ERROR, f"At most {CLIENTS_LIMIT} clients can be told of changes; end some first.")
        if self._runtime.stopping.is_set():
            subscriber.close()
        if not self._subscribers:
            self._listening.enter_context(self._runtime.bus.subscribed(self._note, missed=self._note_gap))
        self._subscribers[subscriber] = None
        if not self._keeping_pace and not self._runtime.stopping.is_set():
            self._keeping_pace = True
            self._runtime.in_background(self._keep_pace)

    def dismiss(self, subscriber: Subscriber) -> None:
        """Ends a subscriber; idempotent."""
        subscriber.close()
        self._subscribers.pop(subscriber, None)
        if not self._subscribers:
            self._listening.close()
            self._changed, self._missed = {}, False
            self._seen.clear()
            self._unknown.clear()

    async def look_up(self, principal: str, topics: Iterable[Topic]) -> None:
        """Takes in how things stand, so that nothing older is news to who subscribes after this; never fails.

        It is read before the client is told that it is subscribed: whatever it reads after that is no older.
        """
        with self._runtime.clock.timeout(LOOK_UP_SECONDS), suppress(Sora2Error):
            await self._survey(await self._runtime.tasks(LOOK_UP_SECONDS), principal, topics)

    async def caught_up(self) -> None:
        """Returns once the mailboxes hold whatever has happened up to now; later still while the store fails."""
        while self._reading:
            await self._read_up.wait()

    async def _keep_pace(self) -> None:
        """Watching a task is waiting for it: it is looked at as often as for ``wait_for_video``."""
        over: set[tuple[str, str]] = set()
        while self._subscribers:
            watched = {(one.principal, topic.name) for one in self._subscribers for topic in one.topics if topic.name}
            for principal, name in watched - over:
                if not self._may_exist(principal, name):
                    continue
                try:
                    waits = await (await self._runtime.tasks()).expect(name, principal)
                except UnknownTaskError:
                    self._note_unknown(principal, name)
                    continue
                except Sora2Error:
                    continue
                if not waits:
                    over.add((principal, name))
            over &= watched
            for principal, names in self._unknown.items():
                names.intersection_update({name for watcher, name in watched if watcher == principal})
            await self._runtime.clock.sleep(max(self._runtime.settings.poll_seconds, 1.0))
        self._keeping_pace = False

    def _may_exist(self, principal: str, name: str) -> bool:
        """Whether to look a name up. What was unknown once is news when there is such a task, and not before."""
        unknown = self._unknown.get(principal, ())
        return name not in unknown and len(unknown) < UNKNOWN_LIMIT

    def _note_unknown(self, principal: str, name: str) -> None:
        self._unknown.setdefault(principal, set()).add(name)

    def _note(self, id: str) -> None:
        self._changed[id] = None
        self._begin()

    def _note_gap(self) -> None:
        if self._runtime.stopping.is_set():
            for subscriber in list(self._subscribers):
                subscriber.close()
            return
        self._missed = True
        self._begin()

    def _begin(self) -> None:
        if not self._reading and not self._runtime.stopping.is_set():
            self._reading = True
            self._read_up = anyio.Event()
            self._runtime.in_background(self._read)

    async def _read(self) -> None:
        failed = False
        while self._missed or self._changed:
            try:
                await self._read_next(await self._runtime.tasks())
                failed = False
            except Sora2Error as error:
                if not failed:
                    logger.warning("clients hear of changes when the task store works again: %s", error)
                failed = True
                await self._runtime.clock.sleep(_STORE_PAUSE_SECONDS)
            except Exception:
                # One change's border: whatever is wrong with it, the next ones are told.
                logger.exception("a change could not be told")
                await self._runtime.clock.sleep(_STORE_PAUSE_SECONDS)
        self._reading = False
        self._read_up.set()

    async def _read_next(self, tasks: Tasks) -> None:
        if self._missed:
            self._missed = False
            try:
                await self._read_all(tasks)
            except Sora2Error:
                self._missed = True
                raise
            return
        if not self._changed:
            # The last subscriber left while the store was being opened.
            return
        id = next(iter(self._changed))
        del self._changed[id]
        try:
            task = await tasks.by_id(id)
            if task is None:
                self._gone(id)
            else:
                await self._take_in(tasks, task)
        except Sora2Error:
            self._changed[id] = None
            raise

    async def _read_all(self, tasks: Tasks) -> None:
        """After a gap nobody knows what has changed: all that somebody asked for is read."""
        self._unknown.clear()
        asked: dict[str, set[Topic]] = {}
        for subscriber in self._subscribers:
            asked.setdefault(subscriber.principal, set()).update(topic for topic in subscriber.topics if topic.asked)
        for principal, topics in asked.items():
            await self._survey(tasks, principal, topics)

    async def _survey(self, tasks: Tasks, principal: str, topics: Iterable[Topic]) -> None:
        topics = set(topics)
        if any(topic.is_of_many for topic in topics):
            for task in (await tasks.page(principal, limit=LISTED_TASKS)).tasks:
                await self._take_in(tasks, task)
        for name in {topic.name for topic in topics if topic.name}:
            if self._may_exist(principal, name):
                try:
                    await self._take_in(tasks, await tasks.find(name, principal))
                except UnknownTaskError:
                    self._note_unknown(principal, name)

    async def _take_in(self, tasks: Tasks, task: Task) -> None:
        face = face_of(task, shown_status(task))
        if not self._is_news(task, face):
            return
        of_many = any(topic.is_of_many for subscriber in self._hearing(task.principal) for topic in subscriber.topics)
        is_recent = of_many and await _is_recent(tasks, task)
        # From here on nothing waits: who was told, and what is known to be told, stay in step.
        if self._is_news(task, face):
            _, before = self._seen.pop(task.id, (0, None))
            self._seen[task.id] = (task.version, face)
            if len(self._seen) > _REMEMBERED_TASKS:
                self._seen.popitem(last=False)
            self._tell(task.principal, Change(before=before, now=face), is_recent=is_recent)

    def _is_news(self, task: Task, face: Face) -> bool:
        version, known = self._seen.get(task.id, (0, None))
        return known is None or (task.version >= version and face != known)

    def _gone(self, id: str) -> None:
        if (seen := self._seen.pop(id, None)) is not None:
            _, before = seen
            self._tell(before.principal, Change(before=before, now=None), is_recent=True)

    def _tell(self, principal: str, change: Change, *, is_recent: bool) -> None:
        self._unknown.get(principal, set()).difference_update(change.names)
        for subscriber in self._hearing(principal):
            subscriber.hear(change, is_recent=is_recent)

    def _hearing(self, principal: str) -> list[Subscriber]:
        return [one for one in self._subscribers if one.is_open and one.principal == principal]


async def _is_recent(tasks: Tasks, task: Task) -> bool:
    """Whether the task is, or was until it was hidden, among the newest ones, which are listed by name."""
    newest = (await tasks.page(task.principal, limit=LISTED_TASKS)).tasks
    if len(newest) < LISTED_TASKS:
        return True
    return (task.created_at, task.id) >= (newest[-1].created_at, newest[-1].id)
