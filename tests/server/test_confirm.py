"""Asking a person before money is spent: both eras, every answer, and no answer used twice."""

from pathlib import Path
from typing import Any, Literal

import pytest
from mcp.client import ClientRequestContext
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult, InputRequiredResult

from sora2_mcp.simulator.app import Simulator
from tests.servers import Agent, agent, text_of

pytestmark = pytest.mark.anyio

ORDER = {"prompt": "A kitten", "quality": "hd"}


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


class Person:
    """Somebody who is asked and answers."""

    def __init__(self, action: Literal["accept", "decline", "cancel"], *, ticked: bool = True) -> None:
        self.asked: list[str] = []
        self._answer = ElicitResult(action=action, content={"order": ticked} if action == "accept" else None)

    async def __call__(self, context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:  # noqa: ARG002
        self.asked.append(params.message)
        return self._answer


def orders(me: Agent) -> list[Any]:
    return [request.body for request in me.simulator.received if request.method == "POST"]


async def test_a_person_is_asked_with_what_it_is_about_and_a_yes_orders_once(tmp_path: Path, mode: str) -> None:
    person = Person("accept")
    async with agent(tmp_path, mode=mode, person=person, confirm="always") as me:
        ordered = await me.content("generate_video", **ORDER)

        assert ordered["task_id"].startswith("sora2_task_")
        assert person.asked == ['Order this video (landscape, hd)? It costs credits.\n"A kitten"']
        assert len(orders(me)) == 1


@pytest.mark.parametrize("person", [Person("decline"), Person("cancel"), Person("accept", ticked=False)])
async def test_a_no_is_a_normal_result_and_nothing_is_sent(tmp_path: Path, mode: str, person: Person) -> None:
    async with agent(tmp_path, mode=mode, person=person, confirm="always") as me:
        result = await me.call("generate_video", **ORDER)

        assert not result.is_error
        assert text_of(result).startswith("Not sent: The user did not agree to this order. Nothing was spent.")
        assert (result.structured_content or {})["status"] == "failed"
        assert orders(me) == []
        assert (await me.content("list_tasks"))["tasks"] == []


async def test_a_host_that_cannot_ask_is_told_so_and_nothing_is_sent(tmp_path: Path, mode: str) -> None:
    async with agent(tmp_path, mode=mode, confirm="always") as me:
        error = await me.error("generate_video", **ORDER)

        assert error.startswith(
            "Not ordered: SORA2_CONFIRM wants a person to agree to this order, but this host cannot"
        )
        assert "Nothing was spent." in error
        assert "SORA2_CONFIRM=never" in error
        assert orders(me) == []


@pytest.mark.parametrize(("confirm", "quality", "times"), [("never", "hd", 0), ("hd", "standard", 0), ("hd", "hd", 1)])
async def test_only_what_the_setting_says_is_asked_about(
    tmp_path: Path, mode: str, confirm: str, quality: str, times: int
) -> None:
    person = Person("accept")
    async with agent(tmp_path, mode=mode, person=person, confirm=confirm) as me:
        await me.content("generate_video", prompt="A kitten", quality=quality)

        assert len(person.asked) == times


async def test_nobody_is_asked_about_an_order_that_would_not_be_sent_anyway(tmp_path: Path, mode: str) -> None:
    person = Person("accept")
    simulator = Simulator(seconds_per_task=1000)
    async with agent(tmp_path, mode=mode, person=person, simulator=simulator, confirm="always", daily_limit=1) as me:
        await me.content("generate_video", **ORDER, idempotency_key="k")
        await me.content("generate_video", **ORDER, idempotency_key="k")
        await me.content("generate_video", **ORDER)
        limit = await me.error("generate_video", prompt="Another")

        assert len(person.asked) == 1
        assert "SORA2_DAILY_LIMIT=1 is reached" in limit
        assert len(orders(me)) == 1


async def test_an_answer_sent_again_orders_nothing_twice(tmp_path: Path) -> None:
    async with agent(tmp_path, person=Person("accept"), confirm="always", duplicate_window_seconds=0) as me:
        session = me.client.session
        question = await session.call_tool("generate_video", ORDER, allow_input_required=True)
        assert isinstance(question, InputRequiredResult)

        async def answered() -> CallToolResult:
            return await session.call_tool(
                "generate_video",
                ORDER,
                input_responses={"order": ElicitResult(action="accept", content={"order": True})},
                request_state=question.request_state,
            )

        first, again = await answered(), await answered()

        assert (first.structured_content or {})["task_id"] == (again.structured_content or {})["task_id"]
        assert text_of(again).startswith("Nothing new was ordered: this answer has ordered this task already.")
        assert len(orders(me)) == 1
