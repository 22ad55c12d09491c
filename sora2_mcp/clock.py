"""The only reader of time; tests pass a clock that they can move."""

import time
from contextlib import AbstractContextManager
from datetime import UTC, datetime
from typing import Protocol

import anyio


class Clock(Protocol):
    """What a clock can do."""

    def now(self) -> datetime:
        """The instant, aware and in UTC. May jump when the system's clock is set."""
        ...

    def monotonic(self) -> float:
        """Seconds since some start; never runs backwards."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Waits; cancellable."""
        ...

    def timeout(self, seconds: float) -> AbstractContextManager[anyio.CancelScope]:
        """Cancels its body after ``seconds``; then nothing is raised, and the scope's ``cancelled_caught`` is true."""
        ...


class SystemClock:
    """The machine's own time."""

    def now(self) -> datetime:
        return datetime.now(UTC)

    def monotonic(self) -> float:
        return time.monotonic()

    async def sleep(self, seconds: float) -> None:
        await anyio.sleep(seconds)

    def timeout(self, seconds: float) -> AbstractContextManager[anyio.CancelScope]:
        return anyio.move_on_after(seconds)
