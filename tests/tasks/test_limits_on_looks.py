"""What sets the pace of looks: one rate limit for all of them, the service's wishes, and failures."""

import time
from datetime import timedelta
from pathlib import Path

import anyio
import pytest
import stamina

from sora2_mcp.errors import RateLimitedError, ServerFaultError
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import START, FakeClock, eventually
from tests.tasks.core import CAT, DOG, LONG_SECONDS, due_at, looks, opened, paced_looks, settings_for, waited_for

pytestmark = pytest.mark.anyio

LOOKS_TURN_SECONDS = 1.25
"""Between two looks at one request a second: they get at most 80 % of it."""


@pytest.mark.parametrize("own", [True, False], ids=["explicit look", "adoption"])
async def test_explicit_looks_and_adoption_wait_for_their_turn_like_all_others(
    tmp_path: Path, base_url: str, settings: Settings, simulator: Simulator, clock: FakeClock, *, own: bool
) -> None:
    (tmp_path / "elsewhere").mkdir()
    elsewhere = settings if own else settings_for(tmp_path / "elsewhere", base_url)
    async with opened(settings, clock) as fast, opened(elsewhere, clock) as other:
        known = (await fast.submit(CAT, "local")).task.task_id
        asked = (await other.submit(DOG, "local")).task.task_id

    slow = settings_for(tmp_path, base_url, max_requests_per_second=1)
    async with opened(slow, clock) as service:
        began = time.monotonic()
        await service.get(known, "local")
        seen = await service.get(asked, "local")
        took = time.monotonic() - began

    assert seen.adopted is not own
    assert looks(simulator) == [known, asked]
    assert took >= LOOKS_TURN_SECONDS


async def test_a_crowd_of_explicit_looks_keeps_the_rate(
    tmp_path: Path, base_url: str, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    async with opened(settings, clock) as fast:
        ids = [(await fast.submit(CAT, "local", key=str(number))).task.task_id for number in range(12)]

    slow = settings_for(tmp_path, base_url, max_requests_per_second=10)
    async with opened(slow, clock) as service, anyio.create_task_group() as group:
        began = time.monotonic()
        for id in ids:
            group.start_soon(service.get, id, "local")
        await eventually(lambda: len(looks(simulator)) == len(ids))
        took = time.monotonic() - began

    # Eight at once, then eight a second.
    assert took >= (len(ids) - 8) / 8
    assert sorted(map(str, looks(simulator))) == sorted(ids)


async def test_while_looks_fail_waiting_pulls_the_next_one_forward_to_four_intervals_only(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    stamina.set_testing(True, attempts=1)
    task = (await service.submit(CAT, "local")).task
    simulator.add_fault("look-500*1")
    with pytest.raises(ServerFaultError):
        await service.get(task.task_id, "local")
    due = await due_at(settings)
    assert due is not None
    assert due >= START + timedelta(seconds=60 * 0.88)

    async def pulled() -> bool:
        return await due_at(settings) == START + timedelta(seconds=20)

    async with anyio.create_task_group() as group:
        group.start_soon(service.wait, task.task_id, "local", LONG_SECONDS)
        await eventually(pulled)
        await paced_looks(service, simulator, clock, task=task, count=1, earliest_seconds=19.9, latest_seconds=20)


async def test_no_waiter_gets_a_look_before_the_service_allows_one(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    task = (await service.submit(CAT, "local")).task
    simulator.add_fault("look-429=600*1")
    with pytest.raises(RateLimitedError):
        await service.get(task.task_id, "local")

    async def put_off() -> bool:
        return await due_at(settings) == START + timedelta(seconds=600)

    await eventually(put_off)
    async with anyio.create_task_group() as group:
        group.start_soon(service.wait, task.task_id, "local", LONG_SECONDS)
        await waited_for(settings, task)
        await paced_looks(service, simulator, clock, task=task, count=1, earliest_seconds=599.9, latest_seconds=600)
