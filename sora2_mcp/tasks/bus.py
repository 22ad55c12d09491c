"""Events inside the process."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import anyio

from sora2_mcp.domain.events import TaskEvent

logger = logging.getLogger(__name__)

Listener = Callable[[TaskEvent], None]


class Watch:
    """One waiter's view of one task: wakes after every event since it last looked."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def wake(self) -> None:
        self._event.set()

    async def changed(self) -> None:
        """Returns once something happened since the last return, or since the watch began."""
        await self._event.wait()
        self._event = anyio.Event()


class EventBus:
    """Hands every event to all who listen, in the publisher's turn. Subscribe first, then read: nothing is missed."""

    def __init__(self) -> None:
        self._listeners: dict[object, tuple[Listener, Callable[[], None]]] = {}
        self._watches: defaultdict[str, set[Watch]] = defaultdict(set)

    def publish(self, *events: TaskEvent) -> None:
        """Never raises and never waits."""
        for event in events:
            for watch in self._watches.get(event.id, ()):
                watch.wake()
            for listener, _ in list(self._listeners.values()):
                try:
                    listener(event)
                except Exception:
                    # The bus's border: one listener's failure must not keep the event from the others.
                    logger.exception("a listener failed on %s", type(event).__name__)

    @contextmanager
    def subscribed(self, listener: Listener, *, missed: Callable[[], None] = lambda: None) -> Iterator[None]:
        """Calls ``listener`` with every event meanwhile, and ``missed`` whenever waiters are to read anew.

        Neither may block.
        """
        token = object()
        self._listeners[token] = (listener, missed)
        try:
            yield
        finally:
            del self._listeners[token]

    @contextmanager
    def watching(self, id: str) -> Iterator[Watch]:
        """A watch on the task with this local id."""
        watch = Watch()
        self._watches[id].add(watch)
        try:
            yield watch
        finally:
            self._watches[id].discard(watch)
            if not self._watches[id]:
                del self._watches[id]

    def wake_all(self) -> None:
        """Lets everybody read anew: after a gap in the change feed, and when the process is about to end."""
        for watches in self._watches.values():
            for watch in watches:
                watch.wake()
        for _, missed in list(self._listeners.values()):
            try:
                missed()
            except Exception:
                # The bus's border, as above.
                logger.exception("a listener failed on a gap")
