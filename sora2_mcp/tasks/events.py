"""Changes of tasks: the bus of this process, and what other processes saved."""

import logging
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from sora2_mcp.clock import Clock
from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.background import Signal, outlive_failures
from sora2_mcp.tasks.store.interface import Store

logger = logging.getLogger(__name__)

Listener = Callable[[str], None]

_FEED_PAUSE_SECONDS = 0.5


class EventBus:
    """Passes the local id of each changed task on, at once. Subscribe first, then read: nothing is missed."""

    def __init__(self) -> None:
        self._listeners: dict[object, Listener] = {}
        self._signals: defaultdict[str, set[Signal]] = defaultdict(set)

    def waiters(self, id: str) -> int:
        """How many wait for a change of this task."""
        return len(self._signals.get(id, ()))

    def publish(self, id: str) -> None:
        """Never raises and never waits."""
        for signal in self._signals.get(id, ()):
            signal.set()
        for listener in list(self._listeners.values()):
            try:
                listener(id)
            except Exception:
                # The bus's border: one listener's failure must not keep the change from the others.
                logger.exception("a listener failed on a change of task %s", id)

    def wake_all(self) -> None:
        """Has every waiter read anew: the process is about to end."""
        for signals in self._signals.values():
            for signal in signals:
                signal.set()

    @contextmanager
    def subscribed(self, listener: Listener) -> Iterator[None]:
        """Calls ``listener`` with every change meanwhile; it must not block."""
        token = object()
        self._listeners[token] = listener
        try:
            yield
        finally:
            del self._listeners[token]

    @contextmanager
    def watching(self, id: str) -> Iterator[Signal]:
        """A signal that is set at every change of this task."""
        signal = Signal()
        self._signals[id].add(signal)
        try:
            yield signal
        finally:
            self._signals[id].discard(signal)
            if not self._signals[id]:
                del self._signals[id]


async def relay_changes(store: Store, bus: EventBus, clock: Clock) -> None:
    """Publishes what other processes save, until cancelled. After a failure the feed begins where it broke."""
    feed = store.changes()

    async def pass_on() -> None:
        nonlocal feed
        try:
            ids = await anext(feed)
        except StoreError:
            feed = store.changes()
            raise
        for id in ids:
            bus.publish(id)

    await outlive_failures(pass_on, clock, "changes of other processes", _FEED_PAUSE_SECONDS)
