"""What the agent reads while nobody knows: an order without an answer, or refused late; a look that failed."""

from pathlib import Path

import anyio
import pytest

from sora2_mcp.simulator.app import Simulator
from tests.clocks import PATIENCE_SECONDS, FakeClock, eventually
from tests.servers import Agent, agent, text_of

pytestmark = pytest.mark.anyio

UNSURE = (
    "It may have been charged, so it was not sent again. No call can settle this; the user's account page at the "
    "service can."
)
ASK_FIRST = (
    "Next: ask the user before ordering again. The same arguments give this task again; if they agree to a new order, "
    "call generate_video with a new idempotency_key."
)


def timed(clock: FakeClock, *faults: str) -> Simulator:
    """A service that lives in the same time as the server; a task takes long."""
    return Simulator(seconds_per_task=1000, faults=faults, now=clock.now, sleep=clock.sleep)


async def read(me: Agent, tool: str, **arguments: str | int) -> tuple[bool, list[str]]:
    """Whether the call counts as failed, and the lines that the agent reads."""
    result = await me.call(tool, **arguments)
    return result.is_error, text_of(result).splitlines()


async def ordered_slowly(me: Agent, clock: FakeClock, **arguments: str) -> tuple[bool, list[str]]:
    """What is read of an order that the service has not accepted within three seconds."""
    answers: list[tuple[bool, list[str]]] = []

    async def order() -> None:
        answers.append(await read(me, "generate_video", prompt="A kitten", **arguments))

    await me.content("list_tasks")
    with anyio.fail_after(PATIENCE_SECONDS):
        async with anyio.create_task_group() as group:
            group.start_soon(order)
            await eventually(lambda: len(me.simulator.received) == 1)
            await clock.advance(3)
    return answers[0]


async def listed_id(me: Agent) -> str:
    """The id of the only task there is."""
    (task,) = (await me.content("list_tasks"))["tasks"]
    return str(task["task_id"])


async def test_an_unconfirmed_order_tells_when_it_was_sent_why_it_is_unclear_and_to_ask_before_a_new_key(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with agent(tmp_path, simulator=timed(clock, "order-html*1"), clock=clock) as me:
        first = await read(me, "generate_video", prompt="A kitten")
        local_id = await listed_id(me)
        told = [
            (
                f"Unclear whether the order arrived: {local_id} (landscape, standard) "
                "was sent at 2026-11-22T12:00:00Z, "
                f"but no readable answer came back (HTTP 502 with a web page). {UNSURE}"
            ),
            ASK_FIRST,
        ]
        await clock.advance(7200)

        assert first == (False, told)
        assert await read(me, "wait_for_video", task_id=local_id) == (False, told)
        assert await read(me, "list_tasks", status="unconfirmed") == (
            False,
            [
                f'{local_id} · unconfirmed · 2026-11-22 12:00 UTC · landscape, standard · "A kitten"',
                "1 of 1 unconfirmed. Ordered today: 1; this month: 1. It is 2026-11-22 14:00 UTC.",
                "Next: Tell the user which orders are unconfirmed: only their account page at the service can tell.",
            ],
        )
        assert await read(me, "generate_video", prompt="A kitten") == (
            False,
            [
                "Nothing new was ordered: exactly this was ordered 2 h 0 min ago.",
                told[0],
                "To order another one anyway, repeat the call with a new idempotency_key.",
                told[1],
            ],
        )
        assert len(me.simulator.received) == 1

        await me.content("generate_video", prompt="A kitten", idempotency_key="agreed")
        assert len(me.simulator.received) == 2


async def test_an_order_that_the_servers_end_overtook_says_so_to_the_next_agent(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with agent(tmp_path, simulator=timed(clock, "order-slow=3600"), clock=clock) as me:
        await ordered_slowly(me, clock)
        me.simulator.clear_faults()
    async with agent(tmp_path, simulator=timed(clock), clock=clock) as me:
        local_id = await listed_id(me)

        assert await read(me, "get_task_status", task_id=local_id) == (
            False,
            [
                (
                    f"Unclear whether the order arrived: {local_id} (landscape, standard) "
                    "was sent at 2026-11-22T12:00:00Z, "
                    f"but no readable answer came back (the server ended before an answer came). {UNSURE}"
                ),
                ASK_FIRST,
            ],
        )
        assert me.simulator.received == ()


async def test_an_order_whose_answer_takes_long_is_told_as_under_way_with_the_next_call(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with agent(tmp_path, simulator=timed(clock, "order-slow=10"), clock=clock) as me:
        told = await ordered_slowly(me, clock, aspect_ratio="portrait", quality="hd")
        local_id = await listed_id(me)

        assert local_id.startswith("local-")
        assert told == (
            False,
            [
                (
                    f"Being ordered: task {local_id}, portrait, hd. "
                    "The service is slow to answer; the order goes on by itself. This id stays valid."
                ),
                f'Next: wait_for_video(task_id="{local_id}").',
            ],
        )
        assert len(me.simulator.received) == 1


async def test_an_order_refused_after_its_id_was_shown_is_a_failed_task_whose_key_orders_nothing_more(
    tmp_path: Path, clock: FakeClock
) -> None:
    simulator = timed(clock, "order-429=5*1", "order-402*1")
    async with agent(tmp_path, simulator=simulator, clock=clock) as me:
        await ordered_slowly(me, clock, idempotency_key="k")
        local_id = await listed_id(me)

        async def failed() -> bool:
            await clock.advance(1)
            return bool((await me.content("get_task_status", task_id=local_id))["status"] == "failed")

        await eventually(failed)
        assert await read(me, "get_task_status", task_id=local_id) == (
            False,
            [
                (
                    "Failed before it was created (landscape, standard): The account has no credits left (402); "
                    'the service says "Insufficient credits". Nothing was spent.'
                ),
                (
                    "Next: Ask the user to top up their account on the service's own site, then repeat the same call. "
                    "Its idempotency_key is used up: give a new one, or none."
                ),
            ],
        )
        assert await read(me, "generate_video", prompt="A kitten", idempotency_key="k") == (
            True,
            [
                (
                    f'Not ordered: idempotency_key "k" belongs to task {local_id}, which failed, so nothing was '
                    "ordered. Nothing was spent."
                ),
                "Repeating the same call cannot help.",
                "Next: Use a new idempotency_key to order this.",
            ],
        )
        assert len(me.simulator.received) == 2, "refused for now, then for good"


@pytest.mark.parametrize(("fault", "code"), [("look-500*3", " (500)"), ("look-drop*3", "")])
async def test_a_task_whose_last_look_failed_says_when_and_that_looks_go_on(
    tmp_path: Path, clock: FakeClock, fault: str, code: str
) -> None:
    async with agent(tmp_path, simulator=timed(clock, fault), clock=clock, poll_seconds=60) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        await clock.advance(30)
        await me.error("get_task_status", task_id=task_id)
        await clock.advance(10)

        assert await read(me, "wait_for_video", task_id=task_id, timeout_seconds=0) == (
            False,
            [
                (
                    f"Still generating: {task_id}, 40 s so far (landscape, standard). Nothing is lost; it goes on "
                    "without you."
                ),
                f"The last look failed at 2026-11-22T12:00:30Z{code}; looks go on by themselves.",
                f'Next: wait_for_video(task_id="{task_id}") again, or tell the user and come back later.',
            ],
        )

        worked = text_of(await me.call("get_task_status", task_id=task_id))
        assert "failed" not in worked
