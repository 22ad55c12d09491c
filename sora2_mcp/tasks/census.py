"""How many tasks have not ended, for those who watch over this program; nothing is counted where nobody does."""

import logging

from anyio.from_thread import BlockingPortal

from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.store.port import Store
from sora2_mcp.telemetry.reading import Reading
from sora2_mcp.telemetry.work import reported

logger = logging.getLogger(__name__)


class Census:
    """Counts whenever somebody has asked for the number, so that it is there when it is asked for next."""

    def __init__(self, *, store: Store, service: str) -> None:
        self._store = store
        self._service = service

    async def run(self) -> None:
        """Runs until cancelled."""
        async with BlockingPortal() as portal:
            reading = Reading(self._service, portal)
            with reported(reading):
                while True:
                    await reading.wanted()
                    reading.value = await self._counted()

    async def _counted(self) -> int | None:
        try:
            return await self._store.unfinished()
        except StoreError as error:
            # No number is better than an old one.
            logger.debug("unfinished tasks could not be counted: %s", error)
            return None
