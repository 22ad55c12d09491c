"""The MCP tasks extension: a call becomes a task of ours, asked after by its id; for other clients nothing changes."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Literal

import anyio
import pytest
from mcp.client import Client
from mcp.client.extension import ClaimContext, ClientExtension, NotificationBinding, ResultClaim
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, NotificationParams, Request, RequestParams, Result, SubscriptionFilter
from mcp_types import SubscriptionsListenRequestParams as ListenParams
from pydantic import ConfigDict

from sora2_mcp.server.mcp_tasks import MCP_TASKS
from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock, eventually
from tests.server.site import ANN, BOB, TOKENS, site
from tests.server.test_refusals import timed
from tests.servers import Agent, agent, text_of

pytestmark = pytest.mark.anyio


UNHURRIED = {"poll_seconds": 600, "idle_poll_seconds": 600}


class Created(Result):
    """A task in place of a result."""

    model_config = ConfigDict(extra="allow")

    result_type: Literal["task"] = "task"
    task_id: str
    status: str
    status_message: str
    poll_interval_ms: int


class Told(NotificationParams):
    """A task as a stream tells of it."""

    model_config = ConfigDict(extra="allow")


class Params(RequestParams):
    model_config = ConfigDict(extra="allow")


class Declared(ClientExtension):
    """Declares the extension; sees tasks to their end, and keeps how they were created and what was told of them."""

    identifier = MCP_TASKS

    def __init__(self) -> None:
        self.created: list[Created] = []
        self.told: list[dict[str, Any]] = []

    def claims(self) -> Sequence[ResultClaim[Any]]:
        return [ResultClaim(result_type="task", model=Created, resolve=self._resolve)]

    def notifications(self) -> Sequence[NotificationBinding[Any]]:
        return [NotificationBinding(method="notifications/tasks", params_type=Told, handler=self._hear)]

    async def _hear(self, params: Told) -> None:
        self.told.append(params.model_dump(by_alias=True))

    async def _resolve(self, created: Created, context: ClaimContext) -> CallToolResult:
        self.created.append(created)
        while True:
            request = Request[Any, Any](method="tasks/get", params={"taskId": created.task_id})
            task = await context.session.send_request(request, _Anything)
            if task.status != "working":
                return CallToolResult.model_validate(task.result)
            await anyio.sleep(0.01)


class _Anything(Result):
    model_config = ConfigDict(extra="allow")

    status: str = ""
    result: dict[str, Any] | None = None


async def asked(client: Client, method: str, **params: Any) -> dict[str, Any]:
    """What a method of the extension gives."""
    answer = await client.session.send_request(Request[Any, Any](method=method, params=params), _Anything)
    shown: dict[str, Any] = answer.model_dump(by_alias=True, exclude_unset=True, exclude={"meta"})
    return shown


async def refused(client: Client, method: str, **params: Any) -> MCPError:
    with pytest.raises(MCPError) as caught:
        await asked(client, method, **params)
    return caught.value


@asynccontextmanager
async def declaring(folder: Path, **values: Any) -> AsyncIterator[tuple[Agent, Declared]]:
    extension = Declared()
    async with agent(folder, extensions=[extension], **values) as me:
        yield me, extension


async def created(me: Agent, tool: str, **arguments: Any) -> dict[str, Any]:
    """The task that a call becomes."""
    result = await me.client.session.call_tool(tool, arguments, allow_claimed=True)
    assert isinstance(result, Created), result
    shown: dict[str, Any] = result.model_dump(by_alias=True)
    return shown


async def test_an_order_becomes_a_task_of_ours_that_ends_with_the_result_of_a_wait(
    tmp_path: Path, clock: FakeClock
) -> None:
    simulator = timed(clock, seconds_per_task=20)
    async with declaring(tmp_path, simulator=simulator, clock=clock, idle_poll_seconds=600) as (me, _):
        task = await created(me, "generate_video", prompt="A kitten")
        task_id = task["taskId"]
        assert (task["status"], task["ttlMs"], task["pollIntervalMs"]) == ("working", None, 1000)
        assert task["statusMessage"].startswith(f"Ordered: task {task_id}, landscape, standard.")
        assert task["createdAt"] == "2026-11-22T12:00:00Z"

        working = await asked(me.client, "tasks/get", taskId=task_id)
        assert (working["resultType"], working["status"]) == ("complete", "working")
        assert working["statusMessage"].startswith(f"Still generating: {task_id}, 0 s so far")

        async def done() -> bool:
            await clock.advance(1)
            return str((await asked(me.client, "tasks/get", taskId=task_id))["status"]) == "completed"

        await eventually(done)
        ended = await asked(me.client, "tasks/get", taskId=task_id)
        waited = await me.call("wait_for_video", task_id=task_id)
        assert ended["result"]["structuredContent"] == waited.structured_content
        assert ended["result"]["content"][0]["text"] == text_of(waited)
        assert ended["result"]["isError"] is False
        assert clock.monotonic() < 60, "asking after it counts as waiting"


async def test_a_client_that_sees_tasks_to_their_end_has_its_video_in_one_call(tmp_path: Path) -> None:
    async with declaring(tmp_path, simulator=Simulator(seconds_per_task=0.5)) as (me, extension):
        done = await me.content("generate_video", prompt="A kitten")
        assert done["status"] == "succeeded"
        again = await me.content("generate_video", prompt="A kitten [sim:seconds=1]")
        assert again["video_url"]
        assert [task.task_id for task in extension.created] == [done["task_id"], again["task_id"]]


async def test_a_longer_wait_becomes_the_same_task_and_a_short_one_is_answered(tmp_path: Path) -> None:
    async with declaring(tmp_path, simulator=Simulator(seconds_per_task=1000)) as (me, extension):
        task_id = (await created(me, "generate_video", prompt="A kitten"))["taskId"]
        short = await me.content("wait_for_video", task_id=task_id, timeout_seconds=0)
        assert (short["status"], extension.created) == ("generating", [])
        waited = await created(me, "wait_for_video", task_id=task_id)
        assert (waited["taskId"], waited["status"]) == (task_id, "working")


async def test_a_failed_video_is_a_completed_task_that_tells_of_the_failure(tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=0.5, faults=["generation-failure"])
    async with declaring(tmp_path, simulator=simulator) as (me, extension):
        result = await me.call("generate_video", prompt="A kitten")
        assert text_of(result).startswith("Failed while generating (landscape, standard; code 501)")
        assert len(extension.created) == 1


async def test_what_is_known_at_once_is_no_task(tmp_path: Path) -> None:
    async with declaring(tmp_path, simulator=Simulator(faults=["order-402"])) as (me, extension):
        assert "no credits left" in await me.error("generate_video", prompt="A kitten")
        assert "There is no task" in await me.error("wait_for_video", task_id="nope")
        assert extension.created == []


async def test_a_key_that_stopped_working_ends_the_task_of_the_call_as_it_ends_a_wait(tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=1000, faults=["look-401"])
    async with declaring(tmp_path, simulator=simulator) as (me, extension):
        error = await me.error("generate_video", prompt="A kitten")
        assert error.startswith("Could not wait: The service does not accept the API key (401)")
        assert len(extension.created) == 1


async def test_a_key_that_was_refused_long_ago_does_not_end_a_task(tmp_path: Path, clock: FakeClock) -> None:
    simulator = timed(clock, "look-401*1")
    async with declaring(tmp_path, simulator=simulator, clock=clock, idle_poll_seconds=600) as (me, _):
        task_id = (await created(me, "generate_video", prompt="A kitten"))["taskId"]
        await me.error("get_task_status", task_id=task_id)
        refused = await asked(me.client, "tasks/get", taskId=task_id)
        assert (refused["status"], refused["result"]["isError"]) == ("completed", True)
        await clock.advance(30)
        assert (await asked(me.client, "tasks/get", taskId=task_id))["status"] == "working"


async def test_cancelling_is_acknowledged_and_does_not_pretend_to_cancel_the_video(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with declaring(tmp_path, simulator=timed(clock), clock=clock, **UNHURRIED) as (me, _):
        task_id = (await created(me, "generate_video", prompt="A kitten"))["taskId"]
        assert await asked(me.client, "tasks/cancel", taskId=task_id) == {"resultType": "complete"}
        assert await asked(me.client, "tasks/update", taskId=task_id, inputResponses={"a": {}}) == {
            "resultType": "complete"
        }
        assert (await asked(me.client, "tasks/get", taskId=task_id))["status"] == "working"


async def test_a_repeat_joins_the_order_under_way_however_old(tmp_path: Path, clock: FakeClock) -> None:
    async with declaring(tmp_path, simulator=timed(clock, seconds_per_task=900), clock=clock, **UNHURRIED) as (me, _):
        first = await created(me, "generate_video", prompt="A kitten")
        await clock.advance(600)
        again = await created(me, "generate_video", prompt="A kitten")
        assert again["taskId"] == first["taskId"]
        assert again["statusMessage"].startswith("Nothing new was ordered: exactly this was ordered 10 min 0 s ago.")
        other = await created(me, "generate_video", prompt="A kitten", idempotency_key="another")
        assert other["taskId"] != first["taskId"]


async def test_a_stream_tells_of_the_tasks_it_names_and_of_their_end(tmp_path: Path, clock: FakeClock) -> None:
    simulator = timed(clock, seconds_per_task=60)
    async with declaring(tmp_path, simulator=simulator, clock=clock, **UNHURRIED) as (me, extension):
        task_id = (await created(me, "generate_video", prompt="A kitten"))["taskId"]
        params = ListenParams(notifications=SubscriptionFilter(taskIds=[task_id, "nope"]))
        async with anyio.create_task_group() as group:
            group.start_soon(
                me.client.session.send_request, Request[Any, Any](method="subscriptions/listen", params=params), Result
            )
            await eventually(lambda: [told["status"] for told in extension.told] == ["working"])
            await clock.advance(60)
            await me.content("get_task_status", task_id=task_id)
            await eventually(lambda: extension.told[-1]["status"] == "completed")
            group.cancel_scope.cancel()
        assert {told["taskId"] for told in extension.told} == {task_id}
        assert extension.told[0]["status"] == "working"
        assert extension.told[-1]["result"]["structuredContent"]["status"] == "succeeded"


@pytest.mark.parametrize("method", ["tasks/get", "tasks/update", "tasks/cancel"])
async def test_an_unknown_task_and_a_client_that_declares_nothing_are_refused(tmp_path: Path, method: str) -> None:
    async with declaring(tmp_path) as (me, _):
        unknown = await refused(me.client, method, taskId="nope", inputResponses={})
        assert (unknown.error.code, unknown.error.message) == (
            -32602,
            'There is no task "nope". Call list_tasks to see the tasks there are, with their ids.',
        )
    async with agent(tmp_path / "other") as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        undeclared = await refused(me.client, method, taskId=task_id, inputResponses={})
        assert undeclared.error.code == -32021
        assert undeclared.error.data == {"requiredCapabilities": {"extensions": {MCP_TASKS: {}}}}


async def test_only_its_owner_may_ask_after_a_task(tmp_path: Path) -> None:
    ann, bob = Declared(), Declared()
    async with (
        site(tmp_path, simulator=Simulator(seconds_per_task=1000), auth_tokens=TOKENS) as server,
        server.person(ANN, extensions=[ann]) as anns,
        server.person(BOB, extensions=[bob]) as bobs,
    ):
        result = await anns.client.session.call_tool("generate_video", {"prompt": "A kitten"}, allow_claimed=True)
        assert isinstance(result, Created)
        assert (await asked(anns.client, "tasks/get", taskId=result.task_id))["status"] == "working"
        for method in ("tasks/get", "tasks/update", "tasks/cancel"):
            error = await refused(bobs.client, method, taskId=result.task_id, inputResponses={})
            assert (error.error.code, "There is no task" in error.error.message) == (-32602, True)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_a_client_that_does_not_declare_it_sees_no_difference(tmp_path: Path, mode: str) -> None:
    async with agent(tmp_path, mode=mode, simulator=Simulator(seconds_per_task=1000)) as me:
        ordered = await me.call("generate_video", prompt="A kitten")
        waited = await me.call("wait_for_video", task_id=ordered.structured_content["task_id"], timeout_seconds=1)
        assert text_of(ordered).startswith("Ordered: task ")
        assert text_of(waited).startswith("Still generating: ")
        extensions = me.client.server_capabilities.extensions or {}
        assert (MCP_TASKS in extensions) == (mode == "auto")
