"""Two people on one server process, over real sockets: what one tries with the other's shows and changes nothing."""

import base64
import re
from collections.abc import Awaitable, Callable
from pathlib import Path
from uuid import uuid4

import pytest
from mcp.client import Client
from mcp_types import CompleteResult, PromptReference, ResourceTemplateReference
from pydantic import BaseModel

from tests.clocks import eventually, settle
from tests.e2e.people import ANN, BOB, TOKENS, Person, Store, Way, answer, http_server, person, unknown_like
from tests.ears import LIST, subscribe, unsubscribe
from tests.faults.hosts import service
from tests.servers import text_of
from tests.stores import file_in

pytestmark = pytest.mark.anyio

TASKS, USAGE = "sora2://tasks", "sora2://usage"
STATUSES = ["any", "generating", "succeeded", "failed", "unconfirmed"]
KEY = "the only key"
RUNNING = "A kitten that runs [sim:seconds=600]"
TRIES = [
    "get_task_status",
    "wait_for_video",
    "wait_for_video at once",
    "download_video",
    "download_video by name",
    "task",
    "video",
    "completed for resources",
    "completed for the prompt",
    "review_failed_task",
    "watched",
    "unwatched",
]


async def attempt(what: str, client: Client, id: str) -> str:
    """What a try with this id is answered with."""
    if what in ("watched", "unwatched"):
        return await _watched(what, client, f"{TASKS}/{id}")
    asked: dict[str, Callable[[], Awaitable[BaseModel]]] = {
        "get_task_status": lambda: client.call_tool("get_task_status", {"task_id": id}),
        "wait_for_video": lambda: client.call_tool("wait_for_video", {"task_id": id, "timeout_seconds": 1}),
        "wait_for_video at once": lambda: client.call_tool("wait_for_video", {"task_id": id, "timeout_seconds": 0}),
        "download_video": lambda: client.call_tool("download_video", {"task_id": id}),
        "download_video by name": lambda: client.call_tool("download_video", {"task_id": id, "filename": "mine"}),
        "task": lambda: client.read_resource(f"{TASKS}/{id}"),
        "video": lambda: client.read_resource(f"{TASKS}/{id}/video"),
        "completed for resources": lambda: completed(client, id),
        "completed for the prompt": lambda: completed(client, id, prompt=True),
        "review_failed_task": lambda: client.get_prompt("review_failed_task", {"task_id": id}),
    }
    return await answer(asked[what]())


async def _watched(what: str, client: Client, uri: str) -> str:
    if client.protocol_version != "2026-07-28":
        await (subscribe if what == "watched" else unsubscribe)(client, uri)
        return "as asked"
    async with client.listen(resource_subscriptions=[uri, f"{uri}/video"]) as stream:
        return stream.honored.model_dump_json()


async def completed(client: Client, beginning: str, *, prompt: bool = False) -> CompleteResult:
    """Ids that begin so."""
    template = ResourceTemplateReference(type="ref/resource", uri=f"{TASKS}/{{task_id}}")
    ref = PromptReference(type="ref/prompt", name="review_failed_task") if prompt else template
    return await client.complete(ref, {"name": "task_id", "value": beginning})


async def orders_of_every_kind(one: Person) -> dict[str, str]:
    """Tasks in every state there is, by it."""
    ids = {
        "running": await one.order(RUNNING, idempotency_key=KEY),
        "finished": await one.order("A kitten that is done [sim:seconds=0]"),
        "downloaded": await one.order("A kitten that is kept [sim:seconds=0]"),
        "failed": await one.order("A kitten that fails [sim:seconds=0] [sim:generation-failure]"),
        "unconfirmed": await one.order("A kitten that is lost [sim:order-drop]"),
    }
    seen = [(await one.call("get_task_status", task_id=id))["status"] for id in ids.values()]
    assert seen == ["generating", "succeeded", "succeeded", "failed", "unconfirmed"]
    await one.call("download_video", task_id=ids["downloaded"])
    return ids


async def test_whatever_is_tried_with_anothers_ids_is_answered_as_for_ids_nobody_has(tmp_path: Path, way: Way) -> None:
    with service(tmp_path) as sora, http_server(tmp_path, sora, **TOKENS) as base:
        store = Store(tmp_path, sora)
        async with person(base, ANN, *way) as ann, person(base, BOB, *way) as bob:
            own = await orders_of_every_kind(ann)
            ids, kept, asked = store.ids("token:ann"), store.rows("token:ann"), store.requests()
            assert len(ids) == 9
            for what in TRIES:
                for hers in ids:
                    nobodys = unknown_like(hers)
                    given = await attempt(what, bob.client, hers)
                    assert given.replace(hers, "ID") == (await attempt(what, bob.client, nobodys)).replace(
                        nobodys, "ID"
                    )
            assert store.rows("token:bob") == []
            assert store.rows("token:ann") == kept
            assert store.requests() == asked
            # Each of these tries does show something to whom the task belongs to.
            shown = {what: await attempt(what, ann.client, own["failed"]) for what in TRIES[:-2]}
            denied = {what: await attempt(what, bob.client, own["failed"]) for what in TRIES[:-2]}
            assert [what for what in shown if shown[what] == denied[what]] == []


async def test_lists_completions_and_counts_show_everybody_their_own(tmp_path: Path, way: Way) -> None:
    limits = {"SORA2_DAILY_LIMIT": "20", "SORA2_MAX_ACTIVE_TASKS": "10"}
    with service(tmp_path) as sora, http_server(tmp_path, sora, **TOKENS, **limits) as base:
        store = Store(tmp_path, sora)
        async with person(base, ANN, *way) as ann, person(base, BOB, *way) as bob:
            fixed = await bob.listed()
            none = [_but_time(await bob.page(status=status)) for status in STATUSES]
            his = await bob.order(RUNNING)
            hers = await orders_of_every_kind(ann)
            kept, asked = store.rows("token:ann"), store.requests()

            assert len(await ann.tasks()) == 5
            assert len(await ann.listed()) == len(fixed) + 5
            assert [await bob.tasks(status=status) for status in STATUSES] == [[his], [his], [], [], []]
            assert [_but_time(await bob.page(status=status)) for status in STATUSES[2:]] == none[2:]
            assert [task["task_id"] for task in (await bob.content(TASKS))["tasks"]] == [his]
            assert await bob.listed() == [*fixed, f"{TASKS}/{his}"]
            cursor = (await ann.call("list_tasks", limit=2))["next_cursor"]
            assert await bob.tasks(cursor=cursor) == [his]
            for status in STATUSES:
                given = await bob.page(status=status, cursor=cursor)
                assert _but_time(given) == _but_time(await bob.page(status=status, cursor=nobodys_cursor(cursor)))

            for beginning in ("", "s", "sora2_task_"):
                assert (await completed(bob.client, beginning)).completion.values == [his]
                assert (await completed(bob.client, beginning, prompt=True)).completion.values == []
            assert (await completed(ann.client, "", prompt=True)).completion.values == [hers["failed"]]

            shared = {
                "daily": {"used": 6, "limit": 20, "left": 14},
                "active": {"used": 3, "limit": 10, "left": 7},
            }
            hers_counted, his_counted = {"orders": 5, "failed": 1}, {"orders": 1, "failed": 0}
            for one, counted in ((ann, hers_counted), (bob, his_counted)):
                usage = {"today": counted, "this_month": counted, "limits": shared}
                assert await one.content(USAGE) == usage
            assert (store.rows("token:ann"), store.requests()) == (kept, asked)


def nobodys_cursor(cursor: str) -> str:
    """A cursor of the same instant that names a task of nobody's."""
    created_at, _, _ = base64.urlsafe_b64decode(cursor.encode()).decode().partition("|")
    return base64.urlsafe_b64encode(f"{created_at}|{uuid4().hex}".encode()).decode()


def _but_time(text: str) -> str:
    """Without what passes by itself, and the counts, in which the callers share a limit."""
    return re.sub(r'"elapsed_seconds":[0-9.]+|\b[0-9]+ s\b|Ordered today: .*? UTC\.', "", text)


async def test_a_key_and_an_exact_repeat_are_ones_own(tmp_path: Path, way: Way) -> None:
    with service(tmp_path) as sora, http_server(tmp_path, sora, **TOKENS) as base:
        store = Store(tmp_path, sora)
        async with person(base, ANN, *way) as ann, person(base, BOB, *way) as bob:
            hers = [await ann.order(RUNNING, idempotency_key=KEY), await ann.order("A", idempotency_key="another key")]
            hers.append(await ann.order("Exactly this"))
            kept = store.rows("token:ann")

            his = [
                await bob.order(RUNNING, idempotency_key=KEY),
                await bob.order("Something else", idempotency_key="another key"),
                await bob.order("Exactly this"),
            ]
            refused = await bob.client.call_tool("generate_video", {"prompt": "A", "idempotency_key": KEY})

            assert len({*hers, *his}) == 6
            assert len(sora.posts()) == 6
            assert text_of(refused).startswith(f'Not ordered: idempotency_key "{KEY}"')
            assert not [id for id in hers if id in text_of(refused)]
            assert store.rows("token:ann") == kept
            # Each finds what is theirs again.
            assert [await one.order(RUNNING, idempotency_key=KEY) for one in (ann, bob)] == [hers[0], his[0]]
            assert [await one.order("Exactly this") for one in (ann, bob)] == [hers[2], his[2]]
            assert len(sora.posts()) == 6


async def test_nobody_hears_of_what_another_does_or_tries(tmp_path: Path, way: Way) -> None:
    with service(tmp_path) as sora, http_server(tmp_path, sora, **TOKENS) as base:
        store = Store(tmp_path, sora)
        async with person(base, ANN) as ann, person(base, BOB) as bob:
            hers = [*(await orders_of_every_kind(ann)).values(), *await _unseen(ann)]
            his = await _unseen(bob)
        everything = [TASKS, USAGE]
        for name in ("token:ann", "token:bob"):
            everything += [f"{TASKS}/{id}{part}" for id in store.ids(name) for part in ("", "/video")]

        async with (
            person(base, ANN, *way) as ann,
            person(base, BOB, *way) as bob,
            ann.ear.listening(ann.client, *everything),
            bob.ear.listening(bob.client, *everything),
        ):
            await _hears_first(ann, hers[-1])
            await _hears_first(bob, his[-1])

            for what in TRIES[:-2]:
                for id in store.ids("token:ann"):
                    await attempt(what, bob.client, id)
            await bob.order("His last")
            # Told in order: had there been anything before, it would be heard now.
            await ann.call("get_task_status", task_id=hers[-2])
            await ann.ear.hears(LIST, TASKS, USAGE, *_uris(store, hers[-2]))

            await eventually(lambda: {LIST, TASKS, USAGE} <= set(bob.ear.heard))
            await bob.call("get_task_status", task_id=his[-2])
            await eventually(lambda: set(_uris(store, his[-2])) <= set(bob.ear.heard))
            assert set(bob.ear.heard) == {LIST, TASKS, USAGE, *_uris(store, his[-2])}
            bob.ear.heard.clear()

            await ann.call("download_video", task_id=hers[1])
            await ann.ear.hears(TASKS, *_uris(store, hers[1]), *_uris(store, hers[1], "/video"))
            await bob.call("download_video", task_id=his[-1])
            await bob.ear.hears(TASKS, *_uris(store, his[-1]), *_uris(store, his[-1], "/video"))


async def _hears_first(one: Person, task_id: str) -> None:
    """Lets them hear of a task of theirs; what the subscriptions themselves had to tell comes before that."""
    await one.call("get_task_status", task_id=task_id)
    await eventually(lambda: {LIST, TASKS, USAGE, f"{TASKS}/{task_id}"} <= set(one.ear.heard))
    await settle()
    one.ear.heard.clear()


async def _unseen(one: Person) -> list[str]:
    """Two tasks that are finished, which nobody has noticed."""
    return [await one.order(f"Unseen {number} [sim:seconds=0]") for number in range(2)]


def _uris(store: Store, task_id: str, part: str = "") -> list[str]:
    """A task's address by each of its names."""
    [id] = [id for id, known in file_in(store.folder).rows("id", "task_id") if known == task_id]
    return [f"{TASKS}/{name}{part}" for name in (task_id, f"local-{id}")]
