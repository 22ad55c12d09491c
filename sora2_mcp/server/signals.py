"""SIGINT and SIGTERM as an event."""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import anyio


@contextmanager
def stop_signals(ending: Callable[[], None]) -> Iterator[anyio.Event]:
    """An event that SIGINT or SIGTERM sets; for the main thread, on every system.

    ``ending`` is called as soon as the signal comes, even while the event loop is too busy to hear of it.
    """
    stop = anyio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        ending()
        # Wakes a loop that sleeps, which setting the event alone would not.
        loop.call_soon_threadsafe(stop.set)

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
