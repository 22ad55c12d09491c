"""Wakes the poller when something may be due earlier than it knows."""

import anyio

from sora2_mcp.clock import Clock


class Alarm:
    """Rung by whoever changes when a look is due. A ring between ``arm`` and ``wait`` is not lost."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._rung = anyio.Event()

    def ring(self) -> None:
        """Ends the wait under way, or the next one if it was armed before."""
        self._rung.set()

    def arm(self) -> None:
        """To be called before reading what the wait depends on."""
        self._rung = anyio.Event()

    async def wait(self, seconds: float) -> None:
        """Returns after ``seconds``, or at the next ring."""
        with self._clock.timeout(seconds):
            await self._rung.wait()
