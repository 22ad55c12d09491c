"""Asking a person before money is spent: both eras, every answer, and no answer used twice."""

from pathlib import Path
from typing import Any, Literal

import pytest
from mcp.client import ClientRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import (
    INVALID_PARAMS,
    CallToolResult,
    ElicitRequestParams,
    ElicitResult,
    ErrorData,
    InputRequiredResult,
)

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import LOCAL
from sora2_mcp.errors import NotAskedError
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


async def test_the_form_shows_a_person_nothing_but_the_question(tmp_path: Path, mode: str) -> None:
    forms = []

    async def person(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:  # noqa: ARG001
        forms.append(params.model_dump(by_alias=True)["requestedSchema"])
        return ElicitResult(action="cancel")

    async with agent(tmp_path, mode=mode, person=person, confirm="always") as me:
        await me.call("generate_video", **ORDER)

    order = {"type": "boolean", "title": "Order this video", "description": "It costs credits.", "default": True}
    assert forms == [{"type": "object", "properties": {"order": order}}]


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


async def test_an_answer_sent_again_finds_its_order_when_the_limit_is_reached_by_it(tmp_path: Path) -> None:
    person = Person("accept")
    async with agent(tmp_path, person=person, confirm="always", daily_limit=1, duplicate_window_seconds=0) as me:
        session = me.client.session
        question = await session.call_tool("generate_video", ORDER, allow_input_required=True)
        assert isinstance(question, InputRequiredResult)
        answer: Any = {"order": ElicitResult(action="accept", content={"order": True})}
        results = [
            await session.call_tool(
                "generate_video", ORDER, input_responses=answer, request_state=question.request_state
            )
            for _ in range(2)
        ]

        assert [result.is_error for result in results] == [False, False]
        assert len({(result.structured_content or {})["task_id"] for result in results}) == 1
        assert len(orders(me)) == 1


@pytest.mark.parametrize("content", [{"order": "false"}, {"order": "no"}, {"order": "certainly"}, {"order": False}])
async def test_an_answer_that_is_not_clearly_a_yes_is_a_no(tmp_path: Path, content: dict[str, Any]) -> None:
    async with agent(tmp_path, person=Person("accept"), confirm="always") as me:
        session = me.client.session
        question = await session.call_tool("generate_video", ORDER, allow_input_required=True)
        assert isinstance(question, InputRequiredResult)
        result = await session.call_tool(
            "generate_video",
            ORDER,
            input_responses={"order": ElicitResult(action="accept", content=content)},
            request_state=question.request_state,
        )

        assert text_of(result).startswith("Not sent: The user did not agree to this order. Nothing was spent.")
        assert orders(me) == []


async def test_an_answer_to_a_question_that_is_no_longer_open_orders_nothing_and_says_what_to_do(
    tmp_path: Path,
) -> None:
    async with agent(tmp_path, person=Person("accept"), confirm="always") as me:
        with pytest.raises(MCPError) as refused:
            await me.client.session.call_tool(
                "generate_video",
                ORDER,
                input_responses={"order": ElicitResult(action="accept", content={"order": True})},
                request_state="sealed by another process",
            )

        assert (refused.value.code, refused.value.data) == (INVALID_PARAMS, {"reason": "invalid_request_state"})
        assert refused.value.message == (
            "Not ordered: SORA2_CONFIRM wants a person to agree to this order, who answered a question that is not "
            "open here (it is older than ten minutes, of before a restart, about another order, or of another "
            "replica that does not share SORA2_STATE_KEYS). Nothing was spent.\n"
            "Repeating the same call later can help.\n"
            "Next: Repeat the same call: the user is asked then."
        )
        assert orders(me) == []


async def test_a_host_that_answers_the_question_with_an_error_cannot_ask(tmp_path: Path) -> None:
    async def broken(context: ClientRequestContext, params: ElicitRequestParams) -> Any:  # noqa: ARG001
        return ErrorData(code=-32603, message="no UI here")

    async with agent(tmp_path, mode="legacy", person=broken, confirm="always") as me:
        error = await me.error("generate_video", **ORDER)

        assert error.splitlines()[0] == (
            "Not ordered: SORA2_CONFIRM wants a person to agree to this order, but this host answered the question "
            'with an error: "no UI here". Nothing was spent.'
        )
        assert orders(me) == []


async def test_an_order_that_became_new_after_the_check_is_not_sent_unasked(tmp_path: Path) -> None:
    """Between the check that found a repeat and the reservation, the order it repeats may end."""
    async with agent(tmp_path, confirm="always") as me:
        service = await me.runtime.tasks()
        with pytest.raises(NotAskedError):
            await service.submit(VideoRequest(prompt="A kitten"), LOCAL, needs_consent=True)

        assert orders(me) == []
        assert (await me.content("list_tasks"))["tasks"] == []
