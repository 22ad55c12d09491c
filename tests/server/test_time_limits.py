"""No call outlasts what hosts allow, whatever the service does, and nothing is lost by that."""

from pathlib import Path

import anyio
import pytest

from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock, eventually
from tests.servers import Agent, agent

pytestmark = pytest.mark.anyio


def slow(clock: FakeClock, *faults: str) -> Simulator:
    return Simulator(seconds_per_task=1000, faults=faults, now=clock.now, sleep=clock.sleep)


async def _called_within(me: Agent, clock: FakeClock, seconds: float, tool: str, **arguments: str) -> dict[str, object]:
    contents: list[dict[str, object]] = []

    async def call() -> None:
        contents.append(await me.content(tool, **arguments))

    with anyio.fail_after(30):
        async with anyio.create_task_group() as group:
            group.start_soon(call)
            seen = len(me.simulator.received)
            await eventually(lambda: len(me.simulator.received) > seen)
            await clock.advance(seconds)
    return contents[0]


async def test_an_order_answers_within_three_seconds_and_goes_on_without_its_call(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with agent(tmp_path, simulator=slow(clock, "order-slow=20"), clock=clock) as me:
        await me.content("list_tasks")
        ordered = await _called_within(me, clock, 3.0, "generate_video", prompt="A kitten")
        local_id = str(ordered["task_id"])
        assert (local_id.startswith("local-"), ordered["status"]) == (True, "generating")

        await clock.advance(20)

        async def bound() -> bool:
            tasks = (await me.content("list_tasks"))["tasks"]
            return [task["task_id"].startswith("sora2_task_") for task in tasks] == [True]

        await eventually(bound)
        by_alias = await me.content("wait_for_video", task_id=local_id, timeout_seconds=0)
        assert by_alias["task_id"] == me.simulator.received[0].task_id
        assert len(me.simulator.received) == 1


async def test_a_look_answers_within_ten_seconds_with_what_is_known(tmp_path: Path, clock: FakeClock) -> None:
    async with agent(tmp_path, simulator=slow(clock, "look-slow=60"), clock=clock) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        looked = await _called_within(me, clock, 9.9, "get_task_status", task_id=task_id)

        assert (looked["task_id"], looked["status"]) == (task_id, "generating")


async def test_looks_within_two_seconds_are_one(tmp_path: Path, clock: FakeClock) -> None:
    async with agent(tmp_path, simulator=slow(clock), clock=clock) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]

        async def look() -> None:
            await me.content("get_task_status", task_id=task_id)

        async with anyio.create_task_group() as group:
            for _ in range(5):
                group.start_soon(look)
        await clock.advance(1.9)
        await look()
        assert len(me.simulator.received) == 2

        await clock.advance(0.2)
        await look()
        assert len(me.simulator.received) == 3


async def test_a_wait_that_names_no_time_ends_before_hosts_that_cut_calls_after_thirty_seconds(tmp_path: Path) -> None:
    async with agent(tmp_path) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        me.progress.clear()
        await me.content("wait_for_video", task_id=task_id)

        assert {total for _, total, _ in me.progress} == {25.0}
