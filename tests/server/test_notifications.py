"""Clients of both eras hear of their own tasks' changes when they happen, each change once."""

from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any
from uuid import uuid4

import anyio
import pytest
from mcp.client import Client
from mcp.shared.exceptions import MCPError
from mcp_types import INVALID_PARAMS

from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from sora2_mcp.server.apps import EXTENSION
from sora2_mcp.server.mcp_tasks import MCP_TASKS
from sora2_mcp.server.notifications import CLIENTS_LIMIT
from sora2_mcp.server.subscriptions import URIS_LIMIT
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.store.database import open_store
from tests.clocks import PATIENCE_SECONDS, FakeClock, eventually, settle
from tests.ears import LIST, Ear, acting_as, subscribe, unsubscribe
from tests.network import simulated
from tests.servers import Agent, agent, settings_in
from tests.stores import store_in
from tests.tasks.core import paced_looks, until
from tests.tasks.store.drafts import draft, reserve

pytestmark = pytest.mark.anyio

TASKS, USAGE = "sora2://tasks", "sora2://usage"
UNHURRIED: dict[str, Any] = {"poll_seconds": 86_400, "idle_poll_seconds": 86_400}
"""Only what a test asks for looks at tasks, however far its clock has come."""


@pytest.fixture(params=["auto", "legacy"])
def mode(request: pytest.FixtureRequest) -> str:
    return str(request.param)


async def ordered(me: Agent, prompt: str = "A cat") -> str:
    """The address of a task that is finished as soon as somebody looks."""
    return f"{TASKS}/{(await me.content('generate_video', prompt=prompt))['task_id']}"


async def look(me: Agent, uri: str) -> None:
    await me.content("get_task_status", task_id=uri.removeprefix(f"{TASKS}/"))


async def caught_up(me: Agent, ear: Ear, principal: str = "local") -> list[str]:
    """Lets another process change something, and waits until it is heard here; gives all that was heard till then.

    The feed of all processes has then told of all that was saved before, once more.
    """
    marker = await ordered(me, f"Marker {uuid4().hex}")
    async with ear.listening(me.client, marker, lists=False):
        await looked_at_elsewhere(me, marker, principal)
        await until(clock_of(me), lambda: marker in ear.heard)
    await settle()
    heard, ear.heard[:] = list(ear.heard), []
    return heard


def clock_of(me: Agent) -> FakeClock:
    assert isinstance(me.runtime.clock, FakeClock)
    return me.runtime.clock


async def looked_at_elsewhere(me: Agent, uri: str, principal: str = "local") -> None:
    async with simulated(me.runtime.settings, me.simulator, me.runtime.clock) as other:
        await (await other.tasks()).get(uri.removeprefix(f"{TASKS}/"), principal)


async def test_every_change_is_told_once_to_whoever_watches_what_it_changes(
    tmp_path: Path, mode: str, clock: FakeClock
) -> None:
    ear = Ear()
    async with agent(tmp_path, mode=mode, told=ear.on_message, clock=clock, **UNHURRIED) as me:
        uri = await ordered(me)
        async with ear.listening(me.client, TASKS, USAGE, uri, f"{uri}/video", "sora2://guide"):
            await caught_up(me, ear)
            await look(me, uri)
            await ear.hears(LIST, TASKS, USAGE, uri)
            await me.content("download_video", task_id=uri.removeprefix(f"{TASKS}/"))
            await ear.hears(TASKS, uri, f"{uri}/video")
            assert not [told for told in await caught_up(me, ear) if told.startswith(uri)]


async def test_a_new_task_is_news_to_all_overviews(tmp_path: Path, mode: str, clock: FakeClock) -> None:
    ear = Ear()
    async with (
        agent(tmp_path, mode=mode, told=ear.on_message, clock=clock, **UNHURRIED) as me,
        ear.listening(me.client, TASKS, USAGE),
    ):
        await ordered(me)
        await eventually(lambda: set(ear.heard) == {LIST, TASKS, USAGE})


async def test_an_order_just_made_is_no_news_to_who_subscribes_after_it(
    tmp_path: Path, mode: str, clock: FakeClock
) -> None:
    ear = Ear()
    async with agent(tmp_path, mode=mode, told=ear.on_message, clock=clock, **UNHURRIED) as me:
        uri = await ordered(me)
        async with ear.listening(me.client, uri, lists=False):
            assert uri not in await caught_up(me, ear)


async def test_a_task_is_told_by_the_name_it_was_asked_for(tmp_path: Path, mode: str, clock: FakeClock) -> None:
    ear = Ear()
    async with agent(tmp_path, mode=mode, told=ear.on_message, clock=clock, **UNHURRIED) as me:
        uri = await ordered(me)
        task = await (await me.runtime.tasks()).find(uri.removeprefix(f"{TASKS}/"), "local")
        alias = f"{TASKS}/local-{task.id}"
        async with ear.listening(me.client, alias):
            await caught_up(me, ear)
            await look(me, uri)
            await ear.hears(LIST, alias)


async def test_a_look_that_failed_is_no_news(tmp_path: Path, mode: str, clock: FakeClock) -> None:
    ear = Ear()
    async with agent(tmp_path, mode=mode, told=ear.on_message, clock=clock, **UNHURRIED) as me:
        uri = await ordered(me, "A cat [sim:look-401*1]")
        async with ear.listening(me.client, uri, lists=False):
            await caught_up(me, ear)
            await me.error("get_task_status", task_id=uri.removeprefix(f"{TASKS}/"))
            assert uri not in await caught_up(me, ear)
            await look(me, uri)
            await eventually(lambda: ear.heard.count(uri) == 1)


async def test_a_failed_look_at_a_task_of_an_earlier_run_is_no_news_either(tmp_path: Path, clock: FakeClock) -> None:
    simulator, ear = Simulator(seconds_per_task=0), Ear()
    async with agent(tmp_path, simulator=simulator, clock=clock) as me:
        failing, finished = await ordered(me, "A cat [sim:look-455*100]"), await ordered(me, "A dog")
    async with agent(tmp_path, simulator=simulator, clock=clock, mode="legacy", told=ear.on_message) as me:
        await me.error("get_task_status", task_id=failing.removeprefix(f"{TASKS}/"))
        await settle()
        await look(me, finished)
        await ear.hears(LIST)


async def test_what_another_process_finishes_is_heard_here(tmp_path: Path, mode: str, clock: FakeClock) -> None:
    ear = Ear()
    async with agent(tmp_path, mode=mode, told=ear.on_message, clock=clock, **UNHURRIED) as me:
        uri = await ordered(me)
        async with ear.listening(me.client, uri, f"{uri}/video", TASKS, USAGE):
            await caught_up(me, ear)
            await looked_at_elsewhere(me, uri)
            await until(clock, lambda: uri in ear.heard)
            await ear.hears(LIST, TASKS, USAGE, uri)


async def test_a_task_that_is_no_longer_listed_changes_no_list(tmp_path: Path, mode: str, clock: FakeClock) -> None:
    ear = Ear()
    async with agent(tmp_path, mode=mode, told=ear.on_message, clock=clock, **UNHURRIED) as me:
        uris = list[str]()
        for number in range(21):
            uris.append(await ordered(me, f"Cat {number}"))
            await clock.advance(1)
        oldest, *_, newest = uris
        async with ear.listening(me.client, oldest, newest, TASKS, USAGE):
            await eventually(lambda: mode != "legacy" or LIST in ear.heard)
            await look(me, newest)
            await eventually(lambda: {LIST, TASKS, USAGE, newest} <= set(ear.heard))
            ear.heard.clear()
            await look(me, oldest)
            await ear.hears(oldest, USAGE)


async def test_nobody_hears_of_another_principals_tasks(tmp_path: Path, mode: str, clock: FakeClock) -> None:
    alices, bobs, simulator = Ear(), Ear(), Simulator(seconds_per_task=0)
    runtime = simulated(settings_in(tmp_path, **UNHURRIED), simulator, clock)
    server = build_server(runtime)
    async with runtime, AsyncExitStack() as stack:
        with acting_as("token:bob"):
            bobs_client = Client(server, mode=mode, message_handler=bobs.on_message)
            bob = Agent(await stack.enter_async_context(bobs_client), runtime, simulator)
        with acting_as("token:alice"):
            alices_client = Client(server, mode=mode, message_handler=alices.on_message)
            alice = Agent(await stack.enter_async_context(alices_client), runtime, simulator)
            hers = await ordered(alice)
            await stack.enter_async_context(alices.listening(alice.client, hers, TASKS, USAGE))
            await caught_up(alice, alices, "token:alice")
        with acting_as("token:bob"):
            watched = (hers, f"{hers}/video", f"{TASKS}/none", TASKS, USAGE)
            await stack.enter_async_context(bobs.listening(bob.client, *watched))
        with acting_as("token:alice"):
            await look(alice, hers)
            await alices.hears(LIST, TASKS, USAGE, hers)
            await alice.content("download_video", task_id=hers.removeprefix(f"{TASKS}/"))
            await alices.hears(TASKS, hers)
        assert bobs.heard == []
        with acting_as("token:bob"):
            heard = await caught_up(bob, bobs, "token:bob")
        assert {LIST, TASKS, USAGE} < set(heard)
        assert not [told for told in heard if told.startswith(hers)]
        assert alices.heard == []


async def test_a_modern_stream_is_told_what_it_was_granted_and_nothing_else(tmp_path: Path) -> None:
    async with agent(tmp_path) as me:
        asked = ["sora2://tasks/none", "https://example.com", "sora2://guide", "sora2://tasks/a/b", USAGE]
        async with me.client.listen(
            tools_list_changed=True,
            prompts_list_changed=True,
            resources_list_changed=True,
            resource_subscriptions=asked,
        ) as stream:
            assert stream.honored.model_dump(exclude_none=True) == {
                "resources_list_changed": True,
                "resource_subscriptions": ["sora2://tasks/none", "sora2://guide", USAGE],
            }


@pytest.mark.parametrize("uri", ["https://example.com", "sora2://tasks/", "sora2://tasks/a/b", "sora2://else", ""])
async def test_a_legacy_client_that_asks_for_what_there_is_not_reads_what_there_is(tmp_path: Path, uri: str) -> None:
    async with agent(tmp_path, mode="legacy") as me:
        with pytest.raises(MCPError) as caught:
            await subscribe(me.client, uri)

        assert caught.value.error.code == INVALID_PARAMS
        assert caught.value.error.message == (
            f"There is no resource {uri!r}; what can be subscribed to is sora2://tasks, sora2://tasks/{{task_id}}, "
            "sora2://tasks/{task_id}/video, sora2://usage."
        )


async def test_who_unsubscribes_hears_nothing_more(tmp_path: Path, clock: FakeClock) -> None:
    ear = Ear()
    async with agent(tmp_path, mode="legacy", told=ear.on_message, clock=clock, **UNHURRIED) as me:
        uri = await ordered(me)
        # An order that is read before the service has answered is told of twice: then it has another name.
        await eventually(lambda: LIST in ear.heard)
        ear.heard.clear()
        await subscribe(me.client, uri)
        await subscribe(me.client, TASKS)
        await unsubscribe(me.client, uri)
        await unsubscribe(me.client, "sora2://never")
        await look(me, uri)
        await ear.hears(LIST, TASKS)


@pytest.mark.parametrize("mode", ["auto", "legacy"])
async def test_what_a_client_is_promised_is_what_it_gets(tmp_path: Path, mode: str) -> None:
    async with agent(tmp_path, mode=mode) as me:
        promised = me.client.server_capabilities.model_dump(exclude_none=True)

        # Older protocols have no place for extensions.
        extensions = {"extensions": {**EXTENSION, MCP_TASKS: {}}} if mode == "auto" else {}
        assert promised == {
            **extensions,
            "prompts": {"list_changed": False},
            "resources": {"subscribe": True, "list_changed": True},
            "tools": {"list_changed": False},
            "completions": {},
        }


async def test_subscribing_needs_no_key_and_no_store(tmp_path: Path, mode: str) -> None:
    ear = Ear()
    async with (
        agent(tmp_path, mode=mode, told=ear.on_message, api_key="") as me,
        ear.listening(me.client, f"{TASKS}/none", TASKS),
    ):
        await me.error("list_tasks")
    assert ear.heard == []


async def test_one_client_can_watch_so_much_and_no_more(tmp_path: Path, mode: str) -> None:
    ear = Ear()
    async with agent(tmp_path, mode=mode, told=ear.on_message, api_key="") as me:
        uris = [f"{TASKS}/{number}" for number in range(URIS_LIMIT)]
        async with ear.listening(me.client, *uris):
            pass
        with pytest.raises(MCPError, match=f"At most {URIS_LIMIT} resources can be watched; watch {TASKS} instead."):
            async with ear.listening(me.client, *uris, USAGE):
                pass


async def test_one_principal_can_have_so_many_streams_and_what_has_ended_makes_room(tmp_path: Path) -> None:
    runtime = Runtime(settings_in(tmp_path, api_key=""))
    server = build_server(runtime)
    async with runtime, Client(server) as client:
        for _ in range(2):
            async with Client(server, mode="legacy") as gone:
                await subscribe(gone, TASKS)
            async with AsyncExitStack() as streams:
                for _ in range(CLIENTS_LIMIT):
                    await streams.enter_async_context(client.listen(resource_subscriptions=[TASKS]))
                with pytest.raises(MCPError, match=f"At most {CLIENTS_LIMIT} clients"):
                    async with client.listen(resource_subscriptions=[TASKS]):
                        pass
                with acting_as("token:bob"):
                    async with client.listen(resource_subscriptions=[TASKS]):
                        pass
            await settle()


async def test_a_stream_ends_gracefully_at_once_when_the_server_ends(tmp_path: Path) -> None:
    ear = Ear()
    runtime = simulated(settings_in(tmp_path), Simulator())
    server = build_server(runtime)
    async with runtime, Client(server) as client:
        await client.call_tool("list_tasks", {})
        async with ear.listening(client, TASKS):
            runtime.stop()
            with anyio.fail_after(PATIENCE_SECONDS):
                await ear.ended.wait()
                await server.idle()
        with anyio.fail_after(PATIENCE_SECONDS):
            async with client.listen(resource_subscriptions=[TASKS]) as late:
                assert [event async for event in late] == []


async def test_an_order_whose_sender_died_is_news_when_time_has_made_it_unconfirmed(
    tmp_path: Path, mode: str, clock: FakeClock
) -> None:
    ear = Ear()
    async with agent(tmp_path, mode=mode, told=ear.on_message, clock=clock) as me:
        await me.content("list_tasks")
        async with ear.listening(me.client, TASKS):
            settings = me.runtime.settings
            async with open_store(settings.store_url, settings.account, clock) as dying:
                await reserve(dying, draft(clock, service=settings.account))
            # In small steps: were the lease to end before the order is told of, one notice would tell both.
            await until(clock, lambda: TASKS in ear.heard, step_seconds=0.5)
            ear.heard.clear()
            await until(clock, lambda: TASKS in ear.heard, step_seconds=5)
            (task,) = (await me.content("list_tasks"))["tasks"]
            assert task["status"] == "unconfirmed"


async def test_a_task_that_is_watched_is_looked_at_as_often_as_one_that_is_waited_for(
    tmp_path: Path, mode: str, clock: FakeClock
) -> None:
    ear, simulator = Ear(), Simulator(seconds_per_task=600, now=clock.now, sleep=clock.sleep)
    async with agent(
        tmp_path,
        mode=mode,
        told=ear.on_message,
        clock=clock,
        simulator=simulator,
        poll_seconds=5,
        idle_poll_seconds=3600,
    ) as me:
        uri = await ordered(me)
        service = await me.runtime.tasks()
        task = await service.find(uri.removeprefix(f"{TASKS}/"), "local")
        async with ear.listening(me.client, uri):
            # The first look comes as soon as the demand is seen.
            await until(clock, lambda: store_in(tmp_path).rows("last_look_at") != [(None,)], step_seconds=0.1)
            pace = {"earliest_seconds": 4.4, "latest_seconds": 5.6}
            await paced_looks(service, simulator, clock, task=task, count=3, **pace)
