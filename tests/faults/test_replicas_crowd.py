"""A crowd at three replicas, one of which is killed: everybody is told, at hardly more looks than one process needs."""

from collections import defaultdict
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
import pytest

from tests.e2e.replicas import Balancer, Caller, calling, replicas
from tests.faults.hosts import service
from tests.postgres import PostgresServer
from tests.stores import PostgresStore

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(240)]

CROWD = 60
KILLED_AFTER = CROWD // 3
AT_ONCE = 15
TASK_SECONDS = "8"
SERVICE = ("--seconds", TASK_SECONDS, "--fault", "look-slow=0.1")
"""A look takes its time, so that two of one task at once would be seen."""

PACE = {"SORA2_IDLE_POLL_SECONDS": "40"}
LEASE = timedelta(seconds=30)
LOOKS_RATIO = 1.05


@dataclass(kw_only=True)
class Crowd:
    """People who order a video each and wait for it, wherever they get through."""

    balancer: Balancer
    ids: dict[int, str] = field(default_factory=dict)
    told: dict[int, str] = field(default_factory=dict)
    repeated: int = 0
    many_told: anyio.Event = field(default_factory=anyio.Event)
    turn: anyio.Semaphore = field(default_factory=lambda: anyio.Semaphore(AT_ONCE))

    @asynccontextmanager
    async def between_orders(self) -> AsyncIterator[None]:
        """A moment in which no order is under way: one cut off before its POST would be unconfirmed, never told."""
        for _ in range(AT_ONCE):
            await self.turn.acquire()
        yield
        for _ in range(AT_ONCE):
            self.turn.release()

    async def all_told(self) -> None:
        """Returns when everybody has their video."""
        async with calling(self.balancer.url) as somebody, anyio.create_task_group() as group:
            for number in range(CROWD):
                group.start_soon(self._order_and_wait, somebody, number)

    async def _order_and_wait(self, somebody: Caller, number: int) -> None:
        order = {"prompt": f"Kitten {number}", "idempotency_key": f"kitten-{number}"}
        async with self.turn:
            ordered = await self._got_through(somebody, "generate_video", order)
        self.ids[number] = ordered["task_id"]
        waited = await self._got_through(somebody, "wait_for_video", {"task_id": ordered["task_id"]})
        while waited["status"] == "generating":
            waited = await self._got_through(somebody, "wait_for_video", {"task_id": ordered["task_id"]})
        self.told[number] = waited["status"]
        if len(self.told) >= KILLED_AFTER:
            self.many_told.set()

    async def _got_through(self, somebody: Caller, tool: str, arguments: dict[str, Any]) -> dict[str, Any]:
        """The call's content; one that a replica took with it, or was too busy for, is made once more."""
        while True:
            with suppress(httpx2.HTTPError):
                result = await somebody.call(tool, **arguments)
                if not result.get("isError"):
                    content: dict[str, Any] = result["structuredContent"]
                    return content
                assert "Repeating the same call later can help." in str(result["content"])
            self.repeated += 1
            await anyio.sleep(0.1)


async def test_three_replicas_one_of_them_killed_tell_everybody_with_hardly_a_look_more_than_one_would_need(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    store = PostgresStore(postgres.empty_place())
    with service(tmp_path, *SERVICE) as sora:
        async with replicas(tmp_path, store, sora, PACE) as (balancer, [victim, *_]):
            crowd = Crowd(balancer=balancer)
            async with anyio.create_task_group() as group:
                group.start_soon(crowd.all_told)
                await crowd.many_told.wait()
                async with crowd.between_orders():
                    await anyio.to_thread.run_sync(victim.kill)
        received = await anyio.to_thread.run_sync(sora.received)

    assert crowd.told == dict.fromkeys(range(CROWD), "succeeded")
    assert crowd.repeated > 0
    assert len(balancer.served) == 3
    rows = await anyio.to_thread.run_sync(store.rows, "prompt", "task_id", "status")
    ordered = {post["prompt"]: post["taskId"] for post in received if post["method"] == "POST"}
    assert sorted(rows) == sorted((prompt, id, "succeeded") for prompt, id in ordered.items())
    assert [request["method"] for request in received].count("POST") == len(ordered) == CROWD
    assert overlapping(received) == {}
    # One process alone cannot do with less than one look at each.
    assert CROWD <= len(looks(received)) <= LOOKS_RATIO * CROWD


def looks(received: list[Any]) -> list[Any]:
    return [request for request in received if request["method"] == "GET"]


def overlapping(received: list[Any]) -> dict[str, list[tuple[datetime, datetime]]]:
    """When the tasks were looked at that were looked at while they were being looked at."""
    by_task = defaultdict[str, list[tuple[datetime, datetime]]](list)
    for look in looks(received):
        began = datetime.fromisoformat(look["at"])
        ended = datetime.fromisoformat(look["answeredAt"]) if look["answeredAt"] else began + LEASE
        by_task[look["taskId"]].append((began, ended))
    return {
        id: sorted(spans)
        for id, spans in by_task.items()
        if any(later[0] < earlier[1] for earlier, later in zip(sorted(spans), sorted(spans)[1:], strict=False))
    }
