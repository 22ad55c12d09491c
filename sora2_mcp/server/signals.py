"""SIGINT and SIGTERM as an event."""

import asyncio
import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import anyio


@contextmanager
def stop_signals() -> Iterator[anyio.Event]:
    """An event that the first SIGINT or SIGTERM sets; for the main thread, on every system."""
    stop = anyio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        # Wakes a loop that sleeps, which setting the event alone would not.
        loop.call_soon_threadsafe(stop.set)

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
