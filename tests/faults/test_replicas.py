"""Three real server processes on a real PostgreSQL: whatever one of them does, the others know."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest
from mcp.client import ClientRequestContext
from mcp.shared.exceptions import MCPError
from mcp_types import CallToolResult, ElicitRequestParams, ElicitResult, InputRequiredResult

from tests.clocks import eventually
from tests.e2e.people import ANN, BOB, TOKENS, Person
from tests.e2e.replicas import Balancer, Replica, connected, replicas
from tests.ears import LIST
from tests.faults.hosts import Service, service
from tests.postgres import PostgresServer
from tests.servers import text_of
from tests.stores import PostgresStore

pytestmark = pytest.mark.anyio

RACERS = 20
LIMIT = 6
TASKS = "sora2://tasks"


@pytest.fixture
def store(postgres: PostgresServer) -> PostgresStore:
    """An empty place on a real server."""
    return PostgresStore(postgres.empty_place())


async def stored(store: PostgresStore, *columns: str) -> list[tuple[Any, ...]]:
    """Columns of every row; for coroutines."""
    return await anyio.to_thread.run_sync(store.rows, *columns)


async def answers(base: str, *calls: tuple[str, dict[str, Any]], token: str = "") -> list[Any]:
    """What the server at ``base`` answers somebody, as structured content."""
    async with connected(base, token) as somebody:
        return [await somebody.call(tool, **arguments) for tool, arguments in calls]


async def test_any_replica_answers_any_call_and_they_can_be_mixed_within_one_job(
    tmp_path: Path, store: PostgresStore
) -> None:
    with service(tmp_path, "--seconds", "0") as sora:
        async with replicas(tmp_path, store, sora) as (balancer, running):
            ids = []
            for ordering in running:
                [ordered] = await answers(ordering.base, ("generate_video", {"prompt": f"Kitten {ordering.port}"}))
                ids.append(ordered["task_id"])
                for answering in running:
                    called = [("get_task_status", {"task_id": ids[-1]}), ("list_tasks", {})]
                    seen, listed = await answers(answering.base, *called)
                    assert (seen["task_id"], seen["status"]) == (ids[-1], "succeeded")
                    assert [task["task_id"] for task in listed["tasks"]] == ids[::-1]

            async with connected(balancer.url) as somebody:
                for number in range(5):
                    ids.append(await somebody.order(f"Puppy {number}"))
                    assert (await somebody.call("wait_for_video", task_id=ids[-1]))["status"] == "succeeded"
                    saved = await somebody.call("download_video", task_id=ids[-1])
                    again = await somebody.call("download_video", task_id=ids[-1])
                    assert (again["file_path"], again["sha256"]) == (saved["file_path"], saved["sha256"])
                    assert (await somebody.content(f"{TASKS}/{ids[-1]}"))["file_path"] == saved["file_path"]
        assert sorted(balancer.served) == sorted(replica.port for replica in running)

        assert await stored(store, "task_id", "status") == [(id, "succeeded") for id in ids]
        assert [post["taskId"] for post in sora.posts()] == ids


async def test_a_callback_that_arrives_at_one_ends_a_wait_and_tells_a_listener_at_the_others(
    tmp_path: Path, store: PostgresStore
) -> None:
    with service(tmp_path, "--seconds", "4") as sora:
        async with replicas(tmp_path, store, sora) as (balancer, [waiting, called_back, listening]):
            balancer.ports = [called_back.port]
            async with connected(waiting.base) as waiter, connected(listening.base) as listener:
                id = await waiter.order("A kitten")
                async with listener.ear.listening(listener.client, f"{TASKS}/{id}", TASKS):
                    waited = await waiter.call("wait_for_video", task_id=id, timeout_seconds=25)
                    await eventually(lambda: {f"{TASKS}/{id}", TASKS, LIST} <= set(listener.ear.heard))
                    told = await listener.content(f"{TASKS}/{id}")
        # That look was made long before anybody would have looked of their own accord.
        assert sora.looks() == [id]
        assert balancer.served == {called_back.port: 1}

    assert (waited["status"], told["status"]) == ("succeeded", "succeeded")
    assert await stored(store, "task_id", "status", "last_look_at IS NULL") == [(id, "succeeded", False)]


async def test_what_a_killed_replica_was_looking_at_is_looked_at_by_another_once_the_lease_has_run_out(
    tmp_path: Path, store: PostgresStore
) -> None:
    with service(tmp_path, "--seconds", "0", "--fault", "look-slow=600*1") as sora:
        polled = {"SORA2_PUBLIC_URL": "", "SORA2_IDLE_POLL_SECONDS": "3600"}
        async with replicas(tmp_path, store, sora, polled) as (_, [one, *others]):
            id, [leased] = await _killed_while_it_looks(one, store, sora)
            assert sora.looks() == [id]
            # As if almost all of its 30 s had passed.
            await anyio.to_thread.run_sync(store.change, _SOONER)
            async with connected(others[0].base) as somebody:
                waited = await somebody.call("wait_for_video", task_id=id, timeout_seconds=25)
            looks = [request for request in sora.received() if request["method"] == "GET"]

    assert waited["status"] == "succeeded"
    assert [(look["taskId"], look["code"]) for look in looks] == [(id, None), (id, 200)]
    [(owner, lease)] = await stored(store, "look_owner", "look_lease_until")
    assert (owner, lease) == (None, None)
    assert leased


_SOONER = "UPDATE tasks SET look_lease_until = look_lease_until - 27000000, next_look_at = next_look_at - 27000000"


async def _killed_while_it_looks(one: Replica, store: PostgresStore, sora: Service) -> tuple[str, list[str]]:
    """The task that ``one``, killed now, was looking at, and who had the lease: nobody but ``one`` knew of a waiter."""
    async with connected(one.base) as somebody:
        id = await somebody.order("A kitten")
        with anyio.move_on_after(60) as looking:

            async def look() -> None:
                await somebody.client.call_tool("get_task_status", {"task_id": id})

            async with anyio.create_task_group() as group:
                group.start_soon(look)
                await eventually(lambda: sora.looks() == [id])
                looking.cancel()
    owners = [str(owner) for (owner,) in await stored(store, "look_owner")]
    one.kill()
    return id, owners


@pytest.mark.parametrize("limit", ["SORA2_DAILY_LIMIT", "SORA2_MAX_ACTIVE_TASKS"])
async def test_racing_orders_at_all_replicas_keep_their_key_and_the_limit(
    tmp_path: Path, store: PostgresStore, limit: str
) -> None:
    with service(tmp_path) as sora:
        async with replicas(tmp_path, store, sora, {limit: str(LIMIT)}) as (balancer, _):
            same = await raced(balancer, lambda _: {"prompt": "A kitten", "idempotency_key": "k"})
            repeated = await raced(balancer, lambda _: {"prompt": "A puppy"})
            different = await raced(balancer, lambda number: {"prompt": f"Calf {number}"})
        assert len(balancer.served) == 3
        posts = sora.posts()

    joined = [{str((result.structured_content or {})["task_id"]) for result in race} for race in (same, repeated)]
    assert [len(ids) for ids in joined] == [1, 1]
    accepted = [result for result in different if not result.is_error]
    refused = [text_of(result) for result in different if result.is_error]
    assert len(accepted) == LIMIT - 2
    assert [text for text in refused if limit not in text] == []
    assert len(posts) == LIMIT
    assert sorted(await stored(store, "task_id")) == sorted((post["taskId"],) for post in posts)


async def raced(balancer: Balancer, arguments: Callable[[int], dict[str, Any]]) -> list[CallToolResult]:
    """The results of orders made at all replicas at once."""
    results: list[CallToolResult] = []
    async with connected(balancer.url) as somebody, anyio.create_task_group() as group:

        async def order(number: int) -> None:
            results.append(await somebody.client.call_tool("generate_video", arguments(number)))

        for number in range(RACERS):
            group.start_soon(order, number)
    return results


async def test_a_question_asked_at_one_is_answered_at_another_by_whom_it_was_put_to_and_orders_once(
    tmp_path: Path, store: PostgresStore
) -> None:
    asking = {**TOKENS, "SORA2_CONFIRM": "always", "SORA2_STATE_KEYS": "k" * 32}
    with service(tmp_path) as sora:
        async with replicas(tmp_path, store, sora, asking) as (_, [one, two, three]):
            async with connected(one.base, ANN, _agrees) as ann:
                question = await ann.client.session.call_tool("generate_video", _ORDER, allow_input_required=True)
            assert isinstance(question, InputRequiredResult)
            async with connected(two.base, BOB, _agrees) as bob:
                with pytest.raises(MCPError, match="not open here"):
                    await _agreed(bob, question)
            assert sora.posts() == []
            ids = []
            for base in (two.base, three.base, one.base):
                async with connected(base, ANN, _agrees) as ann:
                    ids.append(await _agreed(ann, question))
                    assert await ann.tasks() == ids[:1]
                async with connected(base, BOB) as bob:
                    assert await bob.tasks() == []
                    unknown = await bob.client.call_tool("get_task_status", {"task_id": ids[0]})
                    assert unknown.is_error
        assert [post["taskId"] for post in sora.posts()] == ids[:1]

    assert len(set(ids)) == 1
    assert await stored(store, "principal", "task_id") == [("token:ann", ids[0])]


_ORDER = {"prompt": "A kitten"}


async def _agrees(context: ClientRequestContext, params: ElicitRequestParams) -> ElicitResult:  # noqa: ARG001
    return ElicitResult(action="accept", content={"order": True})


async def _agreed(person: Person, question: InputRequiredResult) -> str:
    result = await person.client.session.call_tool(
        "generate_video",
        _ORDER,
        input_responses={"order": ElicitResult(action="accept", content={"order": True})},
        request_state=question.request_state,
        allow_input_required=True,
    )
    assert isinstance(result, CallToolResult), result
    return str((result.structured_content or {})["task_id"])
