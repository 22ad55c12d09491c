"""A person's yes is for one order only: however often, however fast and with whatever else it is sent again."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ElicitResult, InputRequiredResult

from sora2_mcp.simulator.app import Simulator
from tests.server.test_confirm import Person, orders
from tests.servers import Agent, agent, text_of
from tests.stores import store_in

pytestmark = pytest.mark.anyio

ORDER = {"prompt": "A kitten", "quality": "hd"}
OTHERS = [
    {**ORDER, "prompt": "A puppy"},
    {**ORDER, "aspect_ratio": "portrait"},
    {**ORDER, "image_urls": ["https://example.com/1.png"]},
    {**ORDER, "callback_url": "https://example.com/hook"},
    {**ORDER, "idempotency_key": "k"},
]


async def asked(me: Agent, order: dict[str, Any]) -> InputRequiredResult:
    """The question put before an order."""
    question = await me.client.session.call_tool("generate_video", order, allow_input_required=True)
    assert isinstance(question, InputRequiredResult)
    return question


async def agreed(
    me: Agent, order: dict[str, Any], question: InputRequiredResult
) -> CallToolResult | InputRequiredResult:
    """What comes of a yes to a question."""
    return await me.client.session.call_tool(
        "generate_video",
        order,
        input_responses={"order": ElicitResult(action="accept", content={"order": True})},
        request_state=question.request_state,
        allow_input_required=True,
    )


async def test_one_yes_sent_twenty_times_at_once_orders_once(tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=1000)
    async with agent(
        tmp_path, person=Person("accept"), simulator=simulator, confirm="always", duplicate_window_seconds=0
    ) as me:
        question, results = await asked(me, ORDER), list[CallToolResult]()

        async def answer() -> None:
            result = await agreed(me, ORDER, question)
            assert isinstance(result, CallToolResult)
            results.append(result)

        async with anyio.create_task_group() as group:
            for _ in range(20):
                group.start_soon(answer)

        [post] = orders(me)
        assert post == {"prompt": "A kitten", "aspectRatio": "landscape", "quality": "hd"}
        assert [result.is_error for result in results] == [False] * 20
        new = [result for result in results if text_of(result).startswith("Ordered: ")]
        joined = [result for result in results if text_of(result).startswith("Nothing new was ordered: ")]
        assert (len(new), len(joined)) == (1, 19)
        assert len({(result.structured_content or {})["task_id"] for result in results}) == 1
        assert len(store_in(tmp_path).rows("id")) == 1


async def test_two_questions_that_are_both_agreed_to_are_two_orders(tmp_path: Path) -> None:
    async with agent(tmp_path, person=Person("accept"), confirm="always", duplicate_window_seconds=0) as me:
        first, second = await asked(me, ORDER), await asked(me, ORDER)
        assert orders(me) == []

        results = [await agreed(me, ORDER, first), await agreed(me, ORDER, second)]

        assert [text_of(result)[:9] for result in results if isinstance(result, CallToolResult)] == ["Ordered: "] * 2
        assert len(orders(me)) == 2


@pytest.mark.parametrize("used_first", [False, True], ids=["unused", "used"])
@pytest.mark.parametrize("other", OTHERS, ids=lambda other: [*other][-1])
async def test_a_yes_to_one_order_sends_no_other(tmp_path: Path, other: dict[str, Any], *, used_first: bool) -> None:
    async with agent(tmp_path, person=Person("accept"), confirm="always", duplicate_window_seconds=0) as me:
        question = await asked(me, ORDER)
        if used_first:
            await agreed(me, ORDER, question)
        sent = len(orders(me))

        with pytest.raises(MCPError, match=r"^Not ordered: SORA2_CONFIRM wants a person to agree to this order"):
            await agreed(me, other, question)

        assert len(orders(me)) == sent
        assert len((await me.content("list_tasks"))["tasks"]) == sent


async def test_a_yes_that_belongs_to_no_question_orders_nothing(tmp_path: Path) -> None:
    async with agent(tmp_path, person=Person("accept"), confirm="always") as me:
        question = await asked(me, ORDER)
        forged = question.model_copy(update={"request_state": '{"consent": "0123456789abcdef"}'})
        stateless = question.model_copy(update={"request_state": None})

        with pytest.raises(MCPError, match="question that is not open here"):
            await agreed(me, ORDER, forged)
        assert isinstance(await agreed(me, ORDER, stateless), InputRequiredResult)

        assert orders(me) == []


async def test_a_legacy_host_that_cannot_ask_reads_why_and_what_the_user_can_do(tmp_path: Path) -> None:
    async with agent(tmp_path, mode="legacy", confirm="always") as me:
        assert (await me.error("generate_video", **ORDER)).splitlines() == [
            (
                "Not ordered: SORA2_CONFIRM wants a person to agree to this order, but this host cannot ask one. "
                "Nothing was spent."
            ),
            "Repeating the same call helps only once that has changed.",
            (
                "Next: Ask the user to order it with `sora2-mcp generate`, to use a host that can put questions to "
                "them, or to set SORA2_CONFIRM=never: then every order is sent, and paid for, without asking anybody."
            ),
        ]
        assert orders(me) == []
        assert (await me.content("list_tasks"))["tasks"] == []


async def test_a_replica_with_the_same_state_keys_takes_the_answer_and_one_yes_orders_once_over_both(
    tmp_path: Path,
) -> None:
    new, old, simulator = "n" * 32, "o" * 32, Simulator(seconds_per_task=1000)
    shared: dict[str, Any] = {"confirm": "always", "simulator": simulator}
    async with (
        agent(tmp_path, person=Person("accept"), state_keys=f"{new},{old}", **shared) as asking,
        agent(tmp_path, person=Person("accept"), state_keys=f"{old},{new}", **shared) as answered,
    ):
        question = await asked(asking, ORDER)
        results = [await agreed(me, ORDER, question) for me in (answered, asking, answered)]

        texts = [text_of(result) for result in results if isinstance(result, CallToolResult)]
        assert [text.partition(":")[0] for text in texts] == ["Ordered", *["Nothing new was ordered"] * 2]
        assert len(orders(answered)) == 1


async def test_a_replica_without_them_orders_nothing_and_says_what_is_missing(tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=1000)
    async with (
        agent(tmp_path, person=Person("accept"), confirm="always", state_keys="k" * 32, simulator=simulator) as asking,
        agent(tmp_path, person=Person("accept"), confirm="always", simulator=simulator) as answered,
    ):
        with pytest.raises(MCPError, match=r"^Not ordered: .* another replica that does not share SORA2_STATE_KEYS"):
            await agreed(answered, ORDER, await asked(asking, ORDER))

        assert orders(answered) == []
