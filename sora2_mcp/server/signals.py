"""SIGINT and SIGTERM, for the event loop. ``cli/terminal.py`` turns SIGHUP into SIGTERM.

A file of its own: commands that need no MCP server use it, and must not wait for the SDK to be imported.
"""

import asyncio
import signal
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

import anyio


@contextmanager
def stop_signals(ending: Callable[[], None]) -> Iterator[anyio.Event]:
    """An event that SIGINT or SIGTERM sets; see ``on_stop_signal``."""
    stop = anyio.Event()
    with on_stop_signal(stop.set, ending):
        yield stop


@contextmanager
def on_stop_signal(stop: Callable[[], object], ending: Callable[[], None]) -> Iterator[None]:
    """Has the event loop call ``stop`` on SIGINT or SIGTERM; for the main thread, on every system.

    ``ending`` is called as soon as the signal comes, even while the event loop is busy.
    """
    loop = asyncio.get_running_loop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        ending()
        # Wakes a loop that sleeps, which a direct call would not.
        loop.call_soon_threadsafe(stop)

    previous = {number: signal.signal(number, on_signal) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
