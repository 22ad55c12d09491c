"""The wall clock set back by hours: looks go on, no lease holds anybody up for hours, times stay sensible."""

from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from sora2_mcp.domain.request import RETENTION, VideoRequest
from sora2_mcp.domain.task import Status
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.orders import SENDING_LEASE
from sora2_mcp.tasks.store.interface import Outcome
from tests.clocks import START, FakeClock, eventually
from tests.network import NETWORK
from tests.tasks.core import CAT, change, listed, looks, opened, orders, settings_for, until

pytestmark = pytest.mark.anyio

BACK = timedelta(hours=5)


def steady(clock: FakeClock) -> Simulator:
    """A service whose own clock is right."""
    began = clock.now()
    return Simulator(now=lambda: began + timedelta(seconds=clock.monotonic()), sleep=clock.sleep)


async def test_somebody_who_waits_hears_of_the_end_all_the_same(tmp_path: Path, clock: FakeClock) -> None:
    simulator = steady(clock)
    async with NETWORK.simulating(simulator) as url, opened(settings_for(tmp_path, url), clock) as service:
        ordered = (await service.submit(CAT, "local")).task
        clock.set_back(BACK)
        ended: list[Status] = []

        async def wait() -> None:
            ended.append((await service.wait(ordered.task_id, "local", 100)).status)

        async with anyio.create_task_group() as group:
            group.start_soon(wait)
            await until(clock, lambda: len(ended) == 1)

        done = await service.find(ordered.task_id, "local")
        assert ended == [Status.SUCCEEDED]
        # The end was seen hours before the order, by this clock: whatever it says, fifteen days are not exceeded.
        assert done.finished_at is not None
        assert done.video_expires_at == done.finished_at + RETENTION
        assert clock.monotonic() < 60
    assert len(orders(simulator)) == 1


async def test_an_explicit_look_at_a_task_never_looked_at_looks(tmp_path: Path, clock: FakeClock) -> None:
    simulator = steady(clock)
    async with NETWORK.simulating(simulator) as url, opened(settings_for(tmp_path, url), clock) as service:
        ordered = (await service.submit(CAT, "local")).task
        clock.set_back(BACK)
        await clock.advance(10)

        assert (await service.get(ordered.task_id, "local")).status is Status.SUCCEEDED
    assert looks(simulator) == [ordered.task_id]


async def test_an_explicit_look_at_a_task_looked_at_before_looks(tmp_path: Path, clock: FakeClock) -> None:
    simulator = steady(clock)
    async with NETWORK.simulating(simulator) as url, opened(settings_for(tmp_path, url), clock) as service:
        ordered = (await service.submit(CAT, "local")).task
        await service.get(ordered.task_id, "local")
        clock.set_back(BACK)
        await clock.advance(10)

        assert (await service.get(ordered.task_id, "local")).status is Status.SUCCEEDED
    assert looks(simulator) == [ordered.task_id] * 2


async def test_looks_nobody_asked_for_go_on(tmp_path: Path, clock: FakeClock) -> None:
    simulator = steady(clock)
    async with NETWORK.simulating(simulator) as url, opened(settings_for(tmp_path, url), clock) as service:
        ordered = (await service.submit(CAT, "local")).task
        clock.set_back(BACK)

        for _ in range(300):
            await clock.advance(1)
            await anyio.sleep(0.002)
            if looks(simulator):
                break

        async def done() -> bool:
            return (await service.find(ordered.task_id, "local")).status is Status.SUCCEEDED

        assert looks(simulator) == [ordered.task_id]
        await eventually(done)


async def test_an_order_whose_sender_died_is_unconfirmed_in_time(tmp_path: Path, clock: FakeClock) -> None:
    simulator = steady(clock)
    async with NETWORK.simulating(simulator) as url:
        settings = settings_for(tmp_path, url)
        async with opened(settings, clock) as service:
            await service.submit(CAT, "local")
        # As a process leaves it that was killed before the answer came.
        lease = int((START + SENDING_LEASE).timestamp() * 1e6)
        unanswered = f"UPDATE tasks SET task_id = NULL, next_look_at = NULL, sending_until = {lease}"  # noqa: S608
        await change(settings, unanswered)
        clock.set_back(BACK)
        # Longer than any order is sent, its repeats included.
        await clock.advance(240)
        async with opened(settings, clock) as service:
            [task] = await listed(service)

            assert task.status is Status.UNCONFIRMED
            assert (await service.page("local", status=Status.UNCONFIRMED)).tasks == (task,)
    assert len(orders(simulator)) == 1


async def test_repeats_join_and_the_newest_order_counts(tmp_path: Path, clock: FakeClock) -> None:
    simulator = steady(clock)
    async with NETWORK.simulating(simulator) as url, opened(settings_for(tmp_path, url), clock) as service:
        ordered = (await service.submit(CAT, "local")).task
        clock.set_back(BACK)
        again = await service.submit(CAT, "local")
        other = await service.submit(VideoRequest(prompt="A cow"), "local", key="cow-1")
        same = await service.submit(VideoRequest(prompt="A cow"), "local", key="cow-1")

        assert (again.outcome, again.task.task_id) == (Outcome.REPEAT, ordered.task_id)
        assert (same.outcome, same.task.task_id) == (Outcome.SAME_KEY, other.task.task_id)
        assert {task.task_id for task in await listed(service)} == {ordered.task_id, other.task.task_id}
        assert (await service.usage("local")).all_today == 2
    assert [post.task_id for post in orders(simulator)] == [ordered.task_id, other.task.task_id]
