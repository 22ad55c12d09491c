"""An event loop whose time leaps to whatever is due next, so that pauses are measured and nobody waits for them."""

import asyncio
import selectors
from collections.abc import Mapping
from typing import Any


class LeapingLoop(asyncio.SelectorEventLoop):
    """For tests without sockets and threads. Only what sleeps takes time, and exactly that."""

    def __init__(self) -> None:
        self._slept_seconds = 0.0
        super().__init__(_Leaping(self._leap))

    def time(self) -> float:
        return self._slept_seconds

    def _leap(self, seconds: float) -> None:
        self._slept_seconds += seconds


class _Leaping(selectors.BaseSelector):
    """Leaps over the time in which nothing comes."""

    def __init__(self, leap: Any) -> None:
        self._leap = leap
        self._real = selectors.DefaultSelector()

    def select(self, timeout: float | None = None) -> list[tuple[selectors.SelectorKey, int]]:
        if timeout is None:
            return self._real.select()
        found = self._real.select(0)
        if not found and timeout > 0:
            self._leap(timeout)
        return found

    def register(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.register(fileobj, events, data)

    def unregister(self, fileobj: Any) -> selectors.SelectorKey:
        return self._real.unregister(fileobj)

    def modify(self, fileobj: Any, events: int, data: Any = None) -> selectors.SelectorKey:
        return self._real.modify(fileobj, events, data)

    def get_map(self) -> Mapping[Any, selectors.SelectorKey]:
        return self._real.get_map()

    def close(self) -> None:
        self._real.close()
