"""How many tasks have not ended: counted only where somebody asks, and no older than was promised."""

from typing import cast

import anyio
import anyio.to_thread
import pytest

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.settings import Settings
from sora2_mcp.tasks.polling import report_unfinished
from sora2_mcp.tasks.store.interface import Store
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import FakeClock, eventually, settle
from tests.tasks.core import change, opened
from tests.telemetry.exported import Exported

pytestmark = pytest.mark.anyio

LONG_CAT = VideoRequest(prompt="A cat [sim:seconds=6000]")
LONG_DOG = VideoRequest(prompt="A dog [sim:seconds=6000]")


def told(exported: Exported) -> list[int]:
    """What is said to be unfinished, by each process that says so."""
    return [number for _, number in exported.points().get("sora2.tasks.unfinished", [])]


class Counting:
    """A store that says how often it was asked."""

    def __init__(self) -> None:
        self.times = 0

    async def unfinished(self) -> int:
        self.times += 1
        return self.times


async def test_the_store_is_asked_after_somebody_asked_and_not_before(exported: Exported) -> None:
    store = Counting()
    async with anyio.create_task_group() as group:
        group.start_soon(report_unfinished, cast("Store", store), "here")
        await settle()
        assert store.times == 0
        assert told(exported) == []
        await settle()
        assert store.times == 1
        # As an exporter does, from a thread of its own.
        assert await anyio.to_thread.run_sync(told, exported) == [1]
        await eventually(lambda: store.times == 2)
        assert told(exported) == [2]
        group.cancel_scope.cancel()

    assert told(exported) == []


async def test_every_question_is_answered_by_the_one_before(service: Tasks, exported: Exported) -> None:
    await service.submit(LONG_CAT, "local")
    await eventually(lambda: told(exported) == [1])
    await service.submit(LONG_DOG, "local")
    await eventually(lambda: told(exported) == [2])


async def test_the_number_is_that_of_the_whole_store_and_names_the_service(
    settings: Settings, clock: FakeClock, exported: Exported
) -> None:
    async with opened(settings, clock) as one:
        await one.submit(LONG_CAT, "local")
        await one.submit(LONG_CAT, "token:ann")
    async with opened(settings, clock):
        await eventually(lambda: told(exported) == [2])
        assert exported.points()["sora2.tasks.unfinished"] == [({"sora2.service": "127.0.0.1"}, 2)]


async def test_no_number_is_told_while_the_store_does_not_work(
    service: Tasks, settings: Settings, exported: Exported
) -> None:
    await service.submit(LONG_CAT, "local")
    await eventually(lambda: told(exported) == [1])
    await change(settings, "ALTER TABLE tasks RENAME TO away")
    await eventually(lambda: told(exported) == [])
    await change(settings, "ALTER TABLE away RENAME TO tasks")
    await eventually(lambda: told(exported) == [1])
