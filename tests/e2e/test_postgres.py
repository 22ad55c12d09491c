"""Two processes' cores on one PostgreSQL server, which also goes away and comes back."""

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from sora2_mcp.domain.task import Status, Task
from sora2_mcp.errors import StoreError
from sora2_mcp.runtime import Runtime
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import PATIENCE_SECONDS, eventually
from tests.postgres import PostgresServer
from tests.tasks.core import CAT, DOG, LONG_SECONDS, listed, looks, orders, settings_for, waited_for

pytestmark = pytest.mark.anyio


@pytest.fixture
def simulator() -> Simulator:
    """A task is done as soon as it is ordered, whoever looks first."""
    return Simulator(seconds_per_task=0)


@pytest.fixture
def restarted(own_postgres: PostgresServer) -> Iterator[PostgresServer]:
    """The server, running again after the test whatever happens."""
    yield own_postgres
    own_postgres.start()


@asynccontextmanager
async def two_processes(
    folder: Path, postgres: PostgresServer, simulator: Simulator
) -> AsyncIterator[tuple[Settings, Tasks, Tasks]]:
    """Neither looks by itself: what one learns it is told by the other."""
    async with running(simulator) as base_url:
        rarely = {"poll_seconds": LONG_SECONDS, "idle_poll_seconds": LONG_SECONDS}
        settings = settings_for(folder, base_url, database_url=postgres.empty_place(), **rarely)
        async with Runtime(settings) as one, Runtime(settings) as two:
            services = await one.tasks(PATIENCE_SECONDS), await two.tasks(PATIENCE_SECONDS)
            await eventually(lambda: postgres.listeners() == len(services))
            yield settings, *services


async def finish_heard(settings: Settings, waiting: Tasks, looking: Tasks, task: Task) -> Task:
    """The task as a waiter in one process has it once the other process has learned of its end."""
    async with anyio.create_task_group() as group:
        heard: list[Task] = []

        async def wait() -> None:
            heard.append(await waiting.wait(task.reference, "local", PATIENCE_SECONDS))

        group.start_soon(wait)
        await waited_for(settings, task)
        assert heard == []
        seen = await looking.get(task.reference, "local")
        assert seen.status is Status.SUCCEEDED
        await eventually(lambda: bool(heard))
    return heard[0]


async def test_a_waiter_hears_of_a_finish_that_another_process_saved(
    tmp_path: Path, postgres: PostgresServer, simulator: Simulator
) -> None:
    async with two_processes(tmp_path, postgres, simulator) as (settings, one, two):
        task = (await one.submit(CAT, "local")).task

        heard = await finish_heard(settings, one, two, task)

        assert heard.status is Status.SUCCEEDED
        assert len(looks(simulator)) == 1


async def test_twenty_equal_orders_in_two_processes_are_sent_once(
    tmp_path: Path, postgres: PostgresServer, simulator: Simulator
) -> None:
    async with two_processes(tmp_path, postgres, simulator) as (_, *both):
        ordered: list[str] = []

        async def order(service: Tasks) -> None:
            ordered.append((await service.submit(CAT, "local", key="k")).task.id)

        async with anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(order, both[number % 2])

        assert (len(ordered), len(set(ordered)), len(orders(simulator))) == (20, 1, 1)


async def test_a_restart_of_the_server_is_survived(
    tmp_path: Path, restarted: PostgresServer, simulator: Simulator
) -> None:
    async with two_processes(tmp_path, restarted, simulator) as (settings, one, two):
        kept = (await one.submit(CAT, "local")).task

        await anyio.to_thread.run_sync(restarted.stop)
        for service in (one, two):
            with pytest.raises(StoreError, match="SORA2_DATABASE_URL"):
                await listed(service)
            with pytest.raises(StoreError, match="SORA2_DATABASE_URL"):
                await service.submit(DOG, "local")
        await anyio.to_thread.run_sync(restarted.start)

        assert [task.id for task in await listed(two)] == [kept.id]
        assert (await two.get(kept.reference, "local")).status is Status.SUCCEEDED
        assert len(orders(simulator)) == 1
        await eventually(lambda: restarted.listeners() == 2)
        task = (await one.submit(DOG, "local")).task
        assert (await finish_heard(settings, one, two, task)).status is Status.SUCCEEDED
