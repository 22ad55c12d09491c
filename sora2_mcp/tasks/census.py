"""How many tasks have not ended, for those who watch over this program; nothing is counted where nobody does."""

import logging

from sora2_mcp.clock import Clock
from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.store.port import Store
from sora2_mcp.telemetry.reading import Reading
from sora2_mcp.telemetry.work import reported

logger = logging.getLogger(__name__)

PAUSE_SECONDS = 30.0
"""How old the number may be, beside the time since somebody asked for it before."""


class Census:
    """Reads the number again after it was asked for, so that it is there when it is asked for next."""

    def __init__(self, *, store: Store, clock: Clock, service: str) -> None:
        self._store = store
        self._clock = clock
        self._service = service

    async def run(self) -> None:
        """Runs until cancelled."""
        reading = Reading(self._service)
        with reported(reading):
            while True:
                await self._clock.sleep(PAUSE_SECONDS)
                if reading.is_wanted:
                    reading.is_wanted = False
                    reading.value = await self._counted()

    async def _counted(self) -> int | None:
        try:
            return await self._store.unfinished()
        except StoreError as error:
            # No number is better than an old one.
            logger.debug("unfinished tasks could not be counted: %s", error)
            return None
