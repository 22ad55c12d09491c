"""Names that no task has cost a look-up each; a name that gets its task later is heard of like any other."""

from collections.abc import Iterator
from contextlib import AsyncExitStack, contextmanager
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import event
from sqlalchemy.engine import Engine

from sora2_mcp.server.notifications import UNKNOWN_LIMIT
from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock, eventually, settle
from tests.ears import Ear
from tests.servers import agent
from tests.tasks.core import until

pytestmark = pytest.mark.anyio

TASKS = "sora2://tasks"
HARDLY = 20
"""Questions to the store that have nothing to do with names."""


class Reads(list[str]):
    """What is read from any database."""

    @property
    def by_name(self) -> int:
        """The look-ups of a task by its name."""
        return sum("tasks.task_id = " in statement for statement in self)


@contextmanager
def reads() -> Iterator[Reads]:
    """What is read from any database in the block."""
    found = Reads()

    def note(_connection: Any, _cursor: Any, statement: str, *_: Any) -> None:
        if statement.lstrip().upper().startswith("SELECT"):
            found.append(statement)

    event.listen(Engine, "before_cursor_execute", note)
    try:
        yield found
    finally:
        event.remove(Engine, "before_cursor_execute", note)


def names(number: int, count: int = 100) -> list[str]:
    return [f"{TASKS}/nobodys-{number}-{one}" for one in range(count)]


async def pass_time(clock: FakeClock, seconds: int = 5) -> None:
    for _ in range(seconds):
        await clock.advance(1.0)
        await settle()


async def test_many_streams_of_the_same_unknown_names_cost_one_look_up_for_each_name(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with agent(tmp_path, clock=clock) as me, AsyncExitStack() as streams:
        await me.content("list_tasks")
        with reads() as found:
            for _ in range(30):
                await streams.enter_async_context(me.client.listen(resource_subscriptions=names(0)))
            await eventually(lambda: found.by_name >= 100)
            await pass_time(clock)

        assert found.by_name == 100
        assert len(found) <= 100 + HARDLY


async def test_only_so_many_unknown_names_of_one_caller_are_looked_up(tmp_path: Path, clock: FakeClock) -> None:
    async with agent(tmp_path, clock=clock) as me, AsyncExitStack() as streams:
        await me.content("list_tasks")
        with reads() as found:
            for number in range(15):
                await streams.enter_async_context(me.client.listen(resource_subscriptions=names(number)))
            await until(clock, lambda: found.by_name >= UNKNOWN_LIMIT)
            await pass_time(clock)

        assert found.by_name == UNKNOWN_LIMIT
        assert len(found) <= UNKNOWN_LIMIT + HARDLY


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_name_that_gets_its_task_later_is_heard_of(tmp_path: Path, mode: str) -> None:
    ear, simulator = Ear(), Simulator(seconds_per_task=0)
    (tmp_path / "elsewhere").mkdir()
    async with agent(tmp_path / "elsewhere", simulator=simulator) as other:
        task_id = (await other.content("generate_video", prompt="A kitten"))["task_id"]
    async with (
        agent(tmp_path, mode=mode, told=ear.on_message, simulator=simulator) as me,
        ear.listening(me.client, f"{TASKS}/{task_id}", lists=False),
    ):
        await me.content("wait_for_video", task_id=task_id)
        await me.content("list_tasks")
        await eventually(lambda: f"{TASKS}/{task_id}" in ear.heard)
