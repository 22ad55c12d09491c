"""How many tasks have not ended: counted only where somebody asks, and no older than was promised."""

import pytest

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.settings import Settings
from sora2_mcp.tasks.census import PAUSE_SECONDS
from sora2_mcp.tasks.service import TaskService
from tests.clocks import FakeClock, eventually
from tests.tasks.core import change, opened
from tests.telemetry.exported import Exported

pytestmark = pytest.mark.anyio

LONG_CAT = VideoRequest(prompt="A cat [sim:seconds=6000]")
LONG_DOG = VideoRequest(prompt="A dog [sim:seconds=6000]")


def told(exported: Exported) -> list[int]:
    """What is said to be unfinished, by each process that says so."""
    return [number for _, number in exported.points().get("sora2.tasks.unfinished", [])]


async def test_unfinished_tasks_are_counted_after_somebody_asked_and_not_before(
    service: TaskService, clock: FakeClock, exported: Exported
) -> None:
    await service.submit(LONG_CAT, "local")
    told(exported)
    await clock.advance(PAUSE_SECONDS)
    await eventually(lambda: told(exported) == [1])
    await clock.advance(PAUSE_SECONDS)
    # The last question has been answered once the census rests again, and from here on nobody asks.
    await eventually(lambda: clock.awaits(clock.monotonic() + PAUSE_SECONDS))

    await service.submit(LONG_DOG, "local")
    await clock.advance(PAUSE_SECONDS * 10)
    assert told(exported) == [1]
    await clock.advance(PAUSE_SECONDS)
    await eventually(lambda: told(exported) == [2])


async def test_the_number_is_that_of_the_whole_store_and_names_the_service(
    settings: Settings, clock: FakeClock, exported: Exported
) -> None:
    async with opened(settings, clock) as one:
        await one.submit(LONG_CAT, "local")
        await one.submit(LONG_CAT, "token:ann")
    async with opened(settings, clock):
        told(exported)
        await clock.advance(PAUSE_SECONDS)
        await eventually(lambda: told(exported) == [2])
        assert exported.points()["sora2.tasks.unfinished"] == [({"sora2.service": "127.0.0.1"}, 2)]


async def test_no_number_is_told_while_the_store_does_not_work(
    service: TaskService, settings: Settings, clock: FakeClock, exported: Exported
) -> None:
    await service.submit(LONG_CAT, "local")
    told(exported)
    await clock.advance(PAUSE_SECONDS)
    await eventually(lambda: told(exported) == [1])
    await change(settings, "ALTER TABLE tasks RENAME TO away")
    await clock.advance(PAUSE_SECONDS)
    await eventually(lambda: told(exported) == [])
    await change(settings, "ALTER TABLE away RENAME TO tasks")
    await clock.advance(PAUSE_SECONDS)
    await eventually(lambda: told(exported) == [1])
