"""Changes that any process saved -> this process's bus."""

import logging

from sora2_mcp.clock import Clock
from sora2_mcp.domain.events import TaskChanged
from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.bus import EventBus
from sora2_mcp.tasks.store.port import Store

logger = logging.getLogger(__name__)

_SHORTEST_PAUSE_SECONDS = 0.5
_LONGEST_PAUSE_SECONDS = 4.0


async def relay_changes(store: Store, bus: EventBus, clock: Clock) -> None:
    """Publishes a TaskChanged for every task saved anywhere; runs until cancelled, over every gap of the store."""
    failed, pause = False, _SHORTEST_PAUSE_SECONDS
    while True:
        try:
            async for ids in store.changes():
                if not ids:
                    # From here on: whoever has read before this may have missed something.
                    bus.wake_all()
                if failed:
                    logger.info("changes of other processes are heard again")
                    failed, pause = False, _SHORTEST_PAUSE_SECONDS
                bus.publish(*(TaskChanged(id=id, at=clock.now()) for id in ids))
        except StoreError as error:
            if not failed:
                logger.warning("changes of other processes are not heard for now: %s", error)
            failed = True
            await clock.sleep(pause)
            pause = min(pause * 2, _LONGEST_PAUSE_SECONDS)
