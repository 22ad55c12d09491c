"""A database that somebody else holds, and one that is damaged: the server lives, and nothing is ordered unkept.

How soon calls are answered then is looked at in tests/promises.
"""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.received import ReceivedRequest
from tests.clocks import eventually
from tests.servers import agent
from tests.stores import file_in
from tools.docs.catalogue import tool_names

pytestmark = pytest.mark.anyio


def posts(simulator: Simulator) -> list[ReceivedRequest]:
    return [request for request in simulator.received if request.method == "POST"]


@asynccontextmanager
async def held(folder: Path) -> AsyncIterator[None]:
    """Another program writes to the store for as long as the block lasts."""
    # In a thread: whoever holds the lock may need the event loop to give it back.
    lock = file_in(folder).locked()
    await anyio.to_thread.run_sync(lock.__enter__)
    try:
        yield
    finally:
        await anyio.to_thread.run_sync(lock.__exit__, None, None, None)


async def test_while_the_store_is_locked_nothing_is_ordered_and_everything_else_works(tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=0)
    async with agent(tmp_path, simulator=simulator) as me:
        done = (await me.content("generate_video", prompt="A puppy"))["task_id"]
        await me.content("wait_for_video", task_id=done)
        running = (await me.content("generate_video", prompt="A calf [sim:seconds=600]"))["task_id"]
        refused, looked = "", dict[str, Any]()

        async def order() -> None:
            nonlocal refused
            refused = await me.error("generate_video", prompt="A kitten")

        async def look() -> None:
            nonlocal looked
            looked = await me.content("get_task_status", task_id=running)

        async with held(tmp_path), anyio.create_task_group() as group:
            group.start_soon(order)
            group.start_soon(look)
            listed = (await me.content("list_tasks"))["tasks"]
            known = await me.content("get_task_status", task_id=done)
            waited = await me.content("wait_for_video", task_id=running, timeout_seconds=1)
        assert refused.splitlines()[0] == (
            "Not ordered: The task store (SORA2_DATABASE_URL) is busy, so nothing was ordered. Nothing was spent."
        )
        assert [(task["task_id"], task["status"]) for task in listed] == [(running, "generating"), (done, "succeeded")]
        assert (known["task_id"], known["status"]) == (done, "succeeded")
        assert [(task["task_id"], task["status"]) for task in (waited, looked)] == [(running, "generating")] * 2

        # What was given up comes to nothing, also after the lock is gone; the next order works.
        ordered = (await me.content("generate_video", prompt="A kid"))["task_id"]

        async def only_what_was_told() -> bool:
            tasks = (await me.content("list_tasks"))["tasks"]
            return [task["task_id"] for task in tasks] == [ordered, running, done]

        await eventually(only_what_was_told)
    prompts = [post.body["prompt"] for post in posts(simulator) if post.body]
    assert prompts == ["A puppy", "A calf [sim:seconds=600]", "A kid"]
    assert [prompt for (prompt,) in file_in(tmp_path).rows("prompt")] == prompts


async def test_many_orders_that_wait_for_a_lock_keep_nobody_from_reading(tmp_path: Path) -> None:
    refused: list[str] = []
    async with agent(tmp_path, simulator=Simulator(seconds_per_task=0)) as me:
        done = (await me.content("generate_video", prompt="A puppy"))["task_id"]

        async def order(number: int) -> None:
            refused.append(await me.error("generate_video", prompt=f"Kitten {number}"))

        async with held(tmp_path), anyio.create_task_group() as group:
            for number in range(20):
                group.start_soon(order, number)
            await eventually(lambda: len(refused) == 20)
            assert [task["task_id"] for task in (await me.content("list_tasks"))["tasks"]] == [done]
        assert {text.partition(" Nothing was spent.")[0] for text in refused} == {
            "Not ordered: The task store (SORA2_DATABASE_URL) is busy, so nothing was ordered."
        }
    assert len(posts(me.simulator)) == 1


async def test_an_order_that_was_given_up_is_not_what_its_repeat_joins(tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=600)
    again: list[str] = []
    async with agent(tmp_path, simulator=simulator) as me:
        await me.content("list_tasks")

        async def repeat() -> None:
            again.append((await me.content("generate_video", prompt="A kitten"))["task_id"])

        async with anyio.create_task_group() as group:
            async with held(tmp_path):
                await me.error("generate_video", prompt="A kitten")
                group.start_soon(repeat)
                # Both wait for their turn now, the one that was given up first.
                await anyio.wait_all_tasks_blocked()
            await eventually(lambda: len(again) == 1)

        assert again == [post.task_id for post in posts(simulator)]
        assert [task["task_id"] for task in (await me.content("list_tasks"))["tasks"]] == again
    assert file_in(tmp_path).rows("prompt", "task_id") == [("A kitten", again[0])]


async def test_an_order_under_way_keeps_its_answer_over_a_lock(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO")
    simulator = Simulator(seconds_per_task=600, faults=["order-slow=0.5*1"])
    given: list[str] = []
    async with agent(tmp_path, simulator=simulator) as me, anyio.create_task_group() as group:
        await me.content("list_tasks")

        async def order() -> None:
            given.append((await me.content("generate_video", prompt="A kitten"))["task_id"])

        group.start_soon(order)
        await eventually(lambda: len(posts(simulator)) == 1)
        async with held(tmp_path):
            await eventually(lambda: "ordered as" in caplog.text)
            await eventually(lambda: len(given) == 1)
            [(id, task_id)] = file_in(tmp_path).rows("id", "task_id")
            assert (given, task_id) == ([f"local-{id}"], None)

        task_id = posts(simulator)[0].task_id

        async def bound() -> bool:
            return bool((await me.content("get_task_status", task_id=given[0]))["task_id"] == task_id)

        await eventually(bound)
        assert [task["task_id"] for task in (await me.content("list_tasks"))["tasks"]] == [task_id]
    assert len(posts(simulator)) == 1


async def test_a_damaged_database_is_named_and_the_server_lives(tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=0)
    async with agent(tmp_path, simulator=simulator) as me:
        await me.content("generate_video", prompt="A puppy")
    _damage(file_in(tmp_path).path, from_byte=4096)

    async with agent(tmp_path, simulator=simulator) as me:
        refused = await me.error("generate_video", prompt="A kitten")
        assert_names_the_store(refused, "Not ordered")
        for tool in ("list_tasks", "get_task_status", "wait_for_video", "download_video"):
            arguments = {} if tool == "list_tasks" else {"task_id": "sora2_task_abcdefghijkl"}
            assert_names_the_store(await me.error(tool, **arguments), "")
        assert len((await me.client.list_tools()).tools) == len(tool_names())
    assert [post.body and post.body["prompt"] for post in posts(simulator)] == ["A puppy"]


def assert_names_the_store(text: str, beginning: str) -> None:
    assert text.startswith(beginning)
    assert "SORA2_DATABASE_URL" in text
    assert "Nothing was spent" in text


def _damage(path: Path, from_byte: int) -> None:
    with path.open("r+b") as file:
        file.seek(from_byte)
        file.write(b"\xa5" * (path.stat().st_size - from_byte))
