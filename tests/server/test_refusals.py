"""Orders that are not sent, and why, as the agent reads it; and what the service received meanwhile."""

from pathlib import Path
from typing import Any

import anyio
import pytest

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.received import ReceivedRequest
from tests.clocks import PATIENCE_SECONDS, FakeClock, eventually
from tests.servers import Agent, agent, text_of
from tests.stores import file_in

pytestmark = pytest.mark.anyio


def timed(clock: FakeClock, *faults: str, seconds_per_task: float = 1000) -> Simulator:
    """A service that lives in the same time as the server."""
    return Simulator(seconds_per_task=seconds_per_task, faults=faults, now=clock.now, sleep=clock.sleep)


def orders(me: Agent) -> list[ReceivedRequest]:
    return [request for request in me.simulator.received if request.method == "POST"]


async def read(me: Agent, tool: str, **arguments: str | int) -> tuple[bool, list[str]]:
    """Whether the call counts as failed, and the lines that the agent reads."""
    result = await me.call(tool, **arguments)
    return result.is_error, text_of(result).splitlines()


def still_generating(task_id: str, seconds: int) -> list[str]:
    return [
        (
            f"Still generating: {task_id}, {seconds} s so far (landscape, standard). Nothing is lost; it goes on "
            "without you."
        ),
        f'Next: wait_for_video(task_id="{task_id}") again, or tell the user and come back later.',
    ]


async def test_an_exact_repeat_of_a_running_order_joins_it_and_says_how_to_order_another(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with agent(tmp_path, simulator=timed(clock), clock=clock, poll_seconds=60) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        await clock.advance(20)

        repeated = await read(me, "generate_video", prompt="A kitten")
        assert repeated == (
            False,
            [
                "Nothing new was ordered: exactly this was ordered 20 s ago.",
                still_generating(task_id, 20)[0],
                "To order another one anyway, repeat the call with a new idempotency_key.",
                still_generating(task_id, 20)[1],
            ],
        )
        assert len(orders(me)) == 1

        assert (await me.content("generate_video", prompt="A kitten", idempotency_key="another"))["task_id"] != task_id
        assert len(orders(me)) == 2


async def test_the_same_key_again_gives_its_task_and_says_that_nothing_new_was_ordered(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with agent(tmp_path, simulator=timed(clock), clock=clock, poll_seconds=60) as me:
        task_id = (await me.content("generate_video", prompt="A kitten", idempotency_key="k"))["task_id"]
        await clock.advance(20)

        assert await read(me, "generate_video", prompt="A kitten", idempotency_key="k") == (
            False,
            [
                "Nothing new was ordered: this idempotency_key has ordered this task already.",
                *still_generating(task_id, 20),
            ],
        )
        assert len(orders(me)) == 1


async def test_a_refused_order_leaves_its_key_free_and_says_so(tmp_path: Path) -> None:
    async with agent(tmp_path, simulator=Simulator(faults=["order-402*2"]), poll_seconds=60) as me:
        with_key, without = [
            await read(me, "generate_video", prompt="A kitten", **key) for key in ({"idempotency_key": "k"}, {})
        ]
        freed = "Repeating the same call helps only once that has changed. The idempotency_key can be used again."
        assert with_key[1][1] == freed
        assert without[1][1] == freed.partition(" The idempotency_key")[0]
        assert (await me.content("generate_video", prompt="A kitten", idempotency_key="k"))["status"] == "generating"


async def test_the_same_key_with_other_arguments_is_an_error_that_names_the_key(tmp_path: Path) -> None:
    async with agent(tmp_path, poll_seconds=60) as me:
        await me.content("generate_video", prompt="A kitten", idempotency_key="spring-1")

        assert await read(me, "generate_video", prompt="A puppy", idempotency_key="spring-1") == (
            True,
            [
                (
                    'Not ordered: idempotency_key "spring-1" was used before with other arguments, so nothing was '
                    "ordered. Nothing was spent."
                ),
                "Repeating the same call cannot help.",
                "Next: Repeat the first arguments, or use a new idempotency_key to order this.",
            ],
        )
        assert [(post.body or {})["prompt"] for post in orders(me)] == ["A kitten"]


async def test_the_key_of_a_failed_task_orders_nothing_and_asks_for_a_new_one(tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=0, faults=["generation-failure*1"])
    async with agent(tmp_path, simulator=simulator, poll_seconds=60) as me:
        task_id = (await me.content("generate_video", prompt="A kitten", idempotency_key="k"))["task_id"]

        failed = await read(me, "get_task_status", task_id=task_id)
        assert failed == (
            False,
            [
                (
                    "Failed while generating (landscape, standard; code 501): "
                    'the service says "The video could not be generated". '
                    "Whether it was charged is not known. Nothing more will come of this task."
                ),
                (
                    "Next: ask the user, and if they agree order again with generate_video: the same prompt may do, "
                    "but change it where the service's words object to it. Its idempotency_key is used up: give "
                    "a new one, or none."
                ),
            ],
        )
        assert await read(me, "generate_video", prompt="A kitten", idempotency_key="k") == (
            True,
            [
                (
                    f'Not ordered: idempotency_key "k" belongs to task {task_id}, which failed, so nothing was '
                    "ordered. Nothing was spent."
                ),
                "Repeating the same call cannot help.",
                "Next: Use a new idempotency_key to order this.",
            ],
        )
        assert len(orders(me)) == 1

        await me.content("generate_video", prompt="A kitten", idempotency_key="k2")
        assert len(orders(me)) == 2


async def test_the_daily_limit_says_how_many_were_ordered_and_when_it_frees(tmp_path: Path, clock: FakeClock) -> None:
    async with agent(tmp_path, simulator=timed(clock), clock=clock, daily_limit=2) as me:
        for number in range(2):
            await me.content("generate_video", prompt=f"Kitten {number}")

        assert await read(me, "generate_video", prompt="Kitten 2") == (
            True,
            [
                "Not ordered: The limit SORA2_DAILY_LIMIT=2 is reached (2 counted). Nothing was spent.",
                "Repeating the same call later can help.",
                (
                    "Next: The limit resets at 2026-11-23 00:00 UTC. Tell the user; only this server's operator "
                    "can raise SORA2_DAILY_LIMIT, in its configuration."
                ),
            ],
        )
        assert len(orders(me)) == 2
        assert len((await me.content("list_tasks"))["tasks"]) == 2


async def test_the_limit_of_running_tasks_says_how_many_run_and_when_a_place_frees(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with agent(tmp_path, simulator=timed(clock), clock=clock, max_active_tasks=2) as me:
        for number in range(2):
            await me.content("generate_video", prompt=f"Kitten {number}")

        is_error, (first, retry, following) = await read(me, "generate_video", prompt="Kitten 2")
        assert is_error
        assert first == "Not ordered: The limit SORA2_MAX_ACTIVE_TASKS=2 is reached (2 counted). Nothing was spent."
        assert retry == "Repeating the same call later can help."
        assert "Another order is possible when a running task ends." in following
        assert following.endswith(
            "Tell the user; only this server's operator can raise SORA2_MAX_ACTIVE_TASKS, in its configuration."
        )
        assert len(orders(me)) == 2


async def test_while_the_store_is_being_opened_an_order_is_refused_in_time(tmp_path: Path, clock: FakeClock) -> None:
    file: dict[str, Any] = {"database_url": file_in(tmp_path).url}
    async with agent(tmp_path, simulator=timed(clock), clock=clock, **file) as me:
        answers: list[tuple[bool, list[str]]] = []

        async def order() -> None:
            answers.append(await read(me, "generate_video", prompt="A kitten"))

        with file_in(tmp_path).locked(), anyio.fail_after(PATIENCE_SECONDS):
            async with anyio.create_task_group() as group:
                group.start_soon(order)
                await eventually(lambda: clock.awaits(2.5))
                await clock.advance(2.5)

        assert answers == [
            (
                True,
                [
                    "Not ordered: The task store (SORA2_DATABASE_URL) is still being opened. Nothing was spent.",
                    "Repeating the same call later can help.",
                    (
                        "Next: Repeat the same call in some seconds; if it stays so, ask the user to check "
                        "SORA2_DATABASE_URL."
                    ),
                ],
            )
        ]
        assert orders(me) == []


async def test_a_server_that_is_ending_takes_no_order(tmp_path: Path) -> None:
    async with agent(tmp_path) as me:
        await me.content("list_tasks")
        me.runtime.stop()

        assert await read(me, "generate_video", prompt="A kitten") == (
            True,
            [
                (
                    "Not ordered: The task store (SORA2_DATABASE_URL) is closed because the server is ending, "
                    "so nothing was ordered. Nothing was spent."
                ),
                "Repeating the same call later can help.",
                "Next: Repeat the same call once the server runs again.",
            ],
        )
        assert orders(me) == []
