"""PostgreSQL is restarted under three replicas at work: nothing is lost, and all recover by themselves."""

import re
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import pytest

from tests.clocks import eventually
from tests.e2e.replicas import Caller, Replica, calling, connected, replicas
from tests.faults.hosts import service
from tests.postgres import PostgresServer
from tests.stores import PostgresStore

pytestmark = pytest.mark.anyio

TASKS = "sora2://tasks"
CALLS = ("generate_video", "get_task_status", "list_tasks")


@pytest.fixture
def restarted(own_postgres: PostgresServer) -> Iterator[PostgresServer]:
    """The server, running again after the test whatever happens."""
    yield own_postgres
    own_postgres.start()


@dataclass(kw_only=True)
class Load:
    """Calls one after another: orders with a key each, looks and lists. ``until`` lets it end."""

    caller: Caller
    name: str
    known: str
    until: anyio.Event
    ordered: dict[str, str] = field(default_factory=dict)
    refused: list[tuple[str, str]] = field(default_factory=list)

    async def run(self) -> None:
        number = 0
        while not self.until.is_set():
            number += 1
            prompt = f"Kitten {self.name} {number}"
            ordered = await self._made("generate_video", prompt=prompt, idempotency_key=prompt)
            if not ordered.get("isError"):
                self.ordered[prompt] = ordered["structuredContent"]["task_id"]
            await self._made("get_task_status", task_id=self.known)
            await self._made("list_tasks")

    def refusals(self, tool: str) -> int:
        """How often a call of that tool failed."""
        return [refused for refused, _ in self.refused].count(tool)

    async def _made(self, tool: str, **arguments: Any) -> dict[str, Any]:
        result = await self.caller.call(tool, **arguments)
        if result.get("isError"):
            self.refused.append((tool, result["content"][0]["text"]))
        return result


async def test_calls_in_the_gap_say_so_and_afterwards_orders_waiters_and_listeners_are_all_there(
    tmp_path: Path, restarted: PostgresServer
) -> None:
    store = PostgresStore(restarted.empty_place())
    with service(tmp_path, "--seconds", "0") as sora:
        async with replicas(tmp_path, store, sora, {"SORA2_PUBLIC_URL": ""}) as (_, running):
            loads: list[Load] = []
            waits: dict[str, str] = {}
            async with calling(running[0].base) as first, anyio.create_task_group() as group:
                ids = [await ordered(first, f"Puppy {replica.port} [sim:seconds=600]") for replica in running]
                ends = [await ordered(first, f"Calf {replica.port} [sim:seconds=12]") for replica in running]
                over = anyio.Event()
                for replica, known, end in zip(running, ids, ends, strict=True):
                    group.start_soon(hear_of_the_end, replica, end, waits)
                    caller = Caller(replica.base, first.http)
                    loads.append(Load(caller=caller, name=str(replica.port), known=known, until=over))
                    group.start_soon(loads[-1].run)
                await eventually(lambda: all(len(load.ordered) > 1 for load in loads))

                await anyio.to_thread.run_sync(restarted.stop)
                # Each call has failed twice at each replica: once perhaps because it was cut off.
                await eventually(lambda: all(load.refusals(tool) > 1 for load in loads for tool in CALLS))
                before = {load.name: len(load.ordered) for load in loads}
                await anyio.to_thread.run_sync(restarted.start)

                await eventually(lambda: all(len(load.ordered) > before[load.name] + 1 for load in loads))
                await eventually(lambda: len(waits) == 2 * len(ends))
                over.set()

            async def every_id_is_kept() -> bool:
                received = await anyio.to_thread.run_sync(sora.posts)
                rows = dict(await anyio.to_thread.run_sync(store.rows, "prompt", "task_id"))
                return all(rows[post["prompt"]] == post["taskId"] for post in received)

            # One that was under way when the server went is kept a moment after it is back.
            await eventually(every_id_is_kept)
            logs = [replica.process.stderr for replica in running]

        posts = {post["prompt"]: post["taskId"] for post in sora.posts()}
        assert len(posts) == len(sora.posts())

    assert set(waits.values()) == {"succeeded", "heard"}
    for load in loads:
        assert [text for _, text in load.refused if not says_to_try_again(text)] == []
    rows = dict(await anyio.to_thread.run_sync(store.rows, "prompt", "task_id"))
    assert {prompt: id for prompt, id in rows.items() if prompt in posts} == posts
    assert {prompt for load in loads for prompt in load.ordered} <= posts.keys()
    assert [log for log in logs if "Traceback" in log] == []


def says_to_try_again(text: str) -> bool:
    """Whether an error names what is wrong and says that the same call works later."""
    return "SORA2_DATABASE_URL" in text and re.search(r"Repeating the same call later can help\.", text) is not None


async def ordered(caller: Caller, prompt: str) -> str:
    result = await caller.call("generate_video", prompt=prompt)
    return str(result["structuredContent"]["task_id"])


async def hear_of_the_end(replica: Replica, end: str, waits: dict[str, str]) -> None:
    """A wait and a subscription that are open over the gap, at one replica, for a task that ends after it."""
    async with connected(replica.base) as somebody, anyio.create_task_group() as group:

        async def wait() -> None:
            waited = await somebody.call("wait_for_video", task_id=end, timeout_seconds=60)
            waits[f"waiter {replica.port}"] = waited["status"]

        async with somebody.ear.listening(somebody.client, f"{TASKS}/{end}", lists=False):
            group.start_soon(wait)
            await eventually(lambda: f"{TASKS}/{end}" in somebody.ear.heard)
            waits[f"listener {replica.port}"] = "heard"
