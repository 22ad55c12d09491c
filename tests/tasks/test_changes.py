"""What is published of a task: only what is saved already, each change once, and nothing where nothing is new."""

from collections.abc import Iterator
from contextlib import contextmanager

import anyio
import pytest

from sora2_mcp.domain.task import Status
from sora2_mcp.errors import NoCreditsError
from sora2_mcp.runtime import Runtime
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import FakeClock, eventually
from tests.stores import store_at
from tests.tasks.core import CAT, change, looks

pytestmark = pytest.mark.anyio

UNHURRIED = 86_400.0


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """Only what a test asks for looks at tasks."""
    return settings.model_copy(update={"poll_seconds": UNHURRIED, "idle_poll_seconds": UNHURRIED})


@contextmanager
def heard(runtime: Runtime) -> Iterator[list[str]]:
    """The tasks that changes were published of, by their status as it was stored at that moment."""
    statuses = list[str]()

    def read(id: str) -> None:
        [(status,)] = store_at(runtime.settings.store_url).query(f"SELECT status FROM tasks WHERE id = '{id}'")  # noqa: S608
        statuses.append(status)

    with runtime.bus.subscribed(read):
        yield statuses


async def test_each_step_is_published_once_after_it_is_saved(
    runtime: Runtime, service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-402*1")
    with heard(runtime) as statuses:
        with pytest.raises(NoCreditsError):
            await service.submit(CAT, "local")
        assert statuses == ["refused"]
        statuses.clear()
        task = (await service.submit(CAT, "local")).task
        assert statuses == ["generating"]
        statuses.clear()
        await clock.advance(4)
        await service.get(task.task_id, "local")
        assert statuses == ["succeeded"]
        await service.download(task.task_id, "local")
        assert statuses == ["succeeded"] * 2
        statuses.clear()
        simulator.add_fault("order-drop*1")
        await service.submit(CAT, "local", key="lost")
        assert statuses == ["unconfirmed"]


async def test_a_look_that_shows_nothing_new_is_not_published(
    runtime: Runtime, service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    task = (await service.submit(CAT, "local")).task
    with heard(runtime) as statuses:
        for _ in range(2):
            await service.get(task.task_id, "local")
            await clock.advance(2)
        assert statuses == []
        await clock.advance(2)
        done = await service.get(task.task_id, "local")
        assert await service.get(task.task_id, "local") == done

    assert len(looks(simulator)) == 3
    assert statuses == ["succeeded"]


async def test_a_hundred_who_ask_hear_of_one_finish(
    runtime: Runtime, service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    task = (await service.submit(CAT, "local")).task
    await clock.advance(4)
    with heard(runtime) as statuses:
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(service.get, task.task_id, "local")

    assert statuses == ["succeeded"]
    assert len(looks(simulator)) == 1


async def test_what_a_look_shows_is_kept_whatever_others_save_meanwhile(
    settings: Settings, service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    task = (await service.submit(CAT, "local")).task
    simulator.add_fault("look-slow=5*1")
    async with anyio.create_task_group() as group:
        group.start_soon(service.get, task.task_id, "local")
        await eventually(lambda: len(looks(simulator)) == 1)
        await change(settings, f"UPDATE tasks SET version = version + 7, watermark = 'x' WHERE id = '{task.id}'")  # noqa: S608
        await clock.advance(5)

    seen = await service.find(task.task_id, "local")
    assert (seen.status, seen.request.watermark, seen.version) == (Status.SUCCEEDED, "x", task.version + 8)


async def test_a_refusal_keeps_the_services_code_and_words(
    settings: Settings, service: Tasks, simulator: Simulator
) -> None:
    simulator.add_fault("order-402*1")
    with pytest.raises(NoCreditsError):
        await service.submit(CAT, "local")

    rows = store_at(settings.store_url).rows("status", "failure_stage", "failure_code", "failure_message")
    assert rows == [("refused", "creation", 402, "Insufficient credits")]
