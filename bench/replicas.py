"""What several replicas on one PostgreSQL cost and how soon one learns what another has saved.

    python bench/replicas.py [--replicas 1 2 3] [--unfinished 1000 10000] [--videos 24]

Real server processes on a real PostgreSQL that writes through to the disk, behind a balancer that gives each request to
any of them; the simulator is a process that calls back through the balancer. First 1, 2 and 3 replicas with the
smallest number of unfinished tasks, then all of them with the larger ones: ``--unfinished 1000 10000 100000``. Those
tasks are nobody's, and due over the coming hour, so that from about 75,000 on their looks alone ask for more than the
rate limit gives them; while round trips are counted, none is due. All of it shares this machine's cores, so look at how
figures change.
"""

import argparse
import random
import statistics
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread

from tests.e2e.replicas import Caller, Replica, calling, connected, replicas
from tests.faults.hosts import Service, service
from tests.postgres import PostgresServer, running_postgres
from tests.stores import PostgresStore

TASK_SECONDS = 6.0
NOTICES = 30
NOTICE_LIMIT_MS = 100.0
ORDERING_SECONDS = 3.0
CLIENTS = (1, 4, 16)
RATE_LIMIT = 10
STAGGER_SECONDS = 0.3
CALLS = 10
BURST = 120
CALM_SECONDS = 2.0
_ADDED = "prompt LIKE 'Copied%' AND next_look_at IS NOT NULL"
ELSEWHERE = "http://127.0.0.1:9/nobody"
"""An agent's own callback address: the service then calls nobody of ours."""


@dataclass(frozen=True, kw_only=True)
class Site:
    """Replicas at work."""

    postgres: PostgresServer
    store: PostgresStore
    sora: Service
    running: list[Replica]
    caller: Caller

    async def content(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """What a call at any replica gives."""
        result = await self.caller.call(tool, **arguments)
        if result.get("isError"):
            raise SystemExit(result["content"][0]["text"])
        content: dict[str, Any] = result["structuredContent"]
        return content


async def filled(site: Site, count: int) -> None:
    """Adds that many unfinished tasks, copies of one that is real, to be looked at over the coming hour."""
    await site.content("generate_video", prompt="Copied [sim:seconds=86400]", callback_url=ELSEWHERE)
    names = await anyio.to_thread.run_sync(_columns, site.store)
    changed = {
        "id": "lpad(to_hex(n), 32, '0')",
        "created_at": "created_at - n * 1000",
        "next_look_at": f"created_at + 3600000000 * n / {count}",
    }
    chosen = ", ".join(changed.get(name, name) for name in names)
    copied = f"SELECT {chosen} FROM tasks, generate_series(1, {count}) AS n"  # noqa: S608 - our own names
    await anyio.to_thread.run_sync(site.store.change, f"INSERT INTO tasks ({', '.join(names)}) {copied}")
    await anyio.to_thread.run_sync(site.store.change, "ANALYZE tasks")


def _columns(store: PostgresStore) -> list[str]:
    [(schema,)] = store.query("SELECT current_schema()")
    wanted = f"table_name = 'tasks' AND table_schema = '{schema}' ORDER BY ordinal_position"
    return [name for (name,) in store.query(f"SELECT column_name FROM information_schema.columns WHERE {wanted}")]  # noqa: S608


async def waits(site: Site, videos: int) -> tuple[list[float], float]:
    """Milliseconds from each video's end to the end of its wait, called back, and looks at each."""
    ended: dict[str, float] = {}

    async def wait(number: int) -> None:
        task_id = (await site.content("generate_video", prompt=f"Waited for {number}"))["task_id"]
        await site.content("wait_for_video", task_id=task_id, timeout_seconds=60)
        ended[task_id] = time.time()

    async with anyio.create_task_group() as group:
        for number in range(videos):
            group.start_soon(wait, number)
            await anyio.sleep(STAGGER_SECONDS)
    received = await anyio.to_thread.run_sync(site.sora.received)
    posts = {post["taskId"]: datetime.fromisoformat(post["at"]) for post in received if post["method"] == "POST"}
    looks = sum(request["method"] == "GET" and request["taskId"] in ended for request in received)
    late = [(at - posts[task_id].timestamp() - TASK_SECONDS) * 1000 for task_id, at in ended.items()]
    return late, looks / videos


async def notices(site: Site) -> list[float]:
    """Milliseconds from the instant one replica stamps a change to a listener at another that hears of it."""
    prompts = [f"Noticed {number} [sim:seconds=0]" for number in range(NOTICES)]
    ids = [
        (await site.content("generate_video", prompt=prompt, callback_url=ELSEWHERE))["task_id"] for prompt in prompts
    ]
    uris = {f"sora2://tasks/{id}": id for id in ids}
    heard: dict[str, float] = {}
    async with AsyncExitStack() as stack:
        listener = await stack.enter_async_context(connected(site.running[-1].base))
        stream = await stack.enter_async_context(listener.client.listen(resource_subscriptions=list(uris)))
        group = await stack.enter_async_context(anyio.create_task_group())

        async def hear() -> None:
            async for event in stream:
                heard.setdefault(uris[getattr(event, "uri", "")], time.time())

        group.start_soon(hear)
        saving = Caller(site.running[0].base, site.caller.http)
        for id in ids:
            await saving.call("get_task_status", task_id=id)
        with anyio.move_on_after(10):
            while len(heard) < len(ids):  # noqa: ASYNC110 - another process's doing
                await anyio.sleep(0.01)
        group.cancel_scope.cancel()
    rows = dict(await anyio.to_thread.run_sync(site.store.rows, "task_id", "changed_at"))
    return [at * 1000 - rows[id] / 1000 for id, at in heard.items()]


async def orders_per_second(site: Site, clients: int) -> float:
    """How many orders that many clients get through, each ordering without a pause."""
    made = 0

    async def order(client: int) -> None:
        nonlocal made
        while time.perf_counter() - began < ORDERING_SECONDS:
            prompt = f"Order {client} {made} {random.random()}"  # noqa: S311 - only different
            await site.content("generate_video", prompt=f"{prompt} [sim:seconds=86400]", callback_url=ELSEWHERE)
            made += 1

    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for client in range(clients):
            group.start_soon(order, client)
    return made / (time.perf_counter() - began)


async def burst(site: Site) -> tuple[int, float]:
    """How many of ``BURST`` orders at once get a task, and the seconds until the last answer."""
    tasks = 0

    async def order(number: int) -> None:
        nonlocal tasks
        prompt = f"Burst {number} {random.random()} [sim:seconds=86400]"  # noqa: S311 - only different
        result = await site.caller.call("generate_video", prompt=prompt, callback_url=ELSEWHERE)
        tasks += not result.get("isError")

    began = time.perf_counter()
    async with anyio.create_task_group() as group:
        for number in range(BURST):
            group.start_soon(order, number)
    return tasks, time.perf_counter() - began


async def hushed(site: Site) -> None:
    """Lets none of the added tasks be due for an hour: what is counted then belongs to the calls."""
    later = "(extract(epoch FROM now()) * 1000000)::bigint + 3900000000"
    await anyio.to_thread.run_sync(site.store.change, f"UPDATE tasks SET next_look_at = {later} WHERE {_ADDED}")  # noqa: S608
    await anyio.to_thread.run_sync(site.store.change, "VACUUM ANALYZE tasks")


async def round_trips(site: Site) -> dict[str, tuple[float, float]]:
    """Statements sent to PostgreSQL, and milliseconds, for one call of each tool."""
    ordered = await site.content("generate_video", prompt="Asked about [sim:seconds=0]", callback_url=ELSEWHERE)
    done = {"task_id": ordered["task_id"]}
    await site.content("get_task_status", **done)
    await site.content("download_video", **done)
    await hushed(site)
    orders = [{"prompt": f"Counted {number} [sim:seconds=86400]", "callback_url": ELSEWHERE} for number in range(CALLS)]
    found: dict[str, tuple[float, float]] = {}
    with site.postgres.statements() as count:
        before = count()
        await anyio.sleep(CALM_SECONDS)
        calm = (count() - before) / CALM_SECONDS

        async def counted(tool: str, calls: list[dict[str, Any]]) -> list[str]:
            began, before = time.perf_counter(), count()
            took, ids = list[float](), list[str]()
            for arguments in calls:
                called = time.perf_counter()
                ids.append((await site.content(tool, **arguments)).get("task_id", ""))
                took.append((time.perf_counter() - called) * 1000)
            sent = count() - before - calm * (time.perf_counter() - began)
            found[tool] = sent / CALLS, statistics.median(took)
            return ids

        new = await counted("generate_video", orders)
        # None of them has been looked at yet, so each call looks.
        await counted("get_task_status", [{"task_id": id} for id in new])
        await counted("wait_for_video", [done] * CALLS)
        await counted("list_tasks", [{}] * CALLS)
        await counted("download_video", [done] * CALLS)
    return found


async def measured(postgres: PostgresServer, count: int, unfinished: int, videos: int) -> float:
    """All figures of one site, printed; gives the median of the notices across replicas, in milliseconds."""
    store = PostgresStore(postgres.empty_place())
    # Who watches a task waits for it; no look but the one that is asked for is to find its end.
    pace = {"SORA2_MAX_REQUESTS_PER_SECOND": str(RATE_LIMIT), "SORA2_POLL_SECONDS": "3600"}
    with tempfile.TemporaryDirectory() as name, service(Path(name), "--seconds", str(TASK_SECONDS)) as sora:
        async with (
            replicas(Path(name), store, sora, pace, count=count) as (balancer, running),
            calling(balancer.url) as caller,
        ):
            site = Site(postgres=postgres, store=store, sora=sora, running=running, caller=caller)
            await filled(site, unfinished)
            print(f"{count} replicas, {unfinished:,} unfinished tasks")
            late, looks = await waits(site, videos)
            print(f"  {looks:.2f} looks per task; end to notice {spread(late)}")
            told = await notices(site)
            print(f"  saved at one, heard at another: {spread(told)}, {len(told)} of {NOTICES}")
            rates = [f"{await orders_per_second(site, clients):.1f} with {clients}" for clients in CLIENTS]
            print(f"  orders/s: {', '.join(rates)} clients; the limit allows {RATE_LIMIT * count}")
            for tool, (sent, took) in (await round_trips(site)).items():
                print(f"  {tool}: {sent:.1f} statements, {took:.0f} ms")
            answered, seconds = await burst(site)
            print(f"  {BURST} orders at once: {answered} answered with a task, the last after {seconds:.1f} s")
    return statistics.median(told)


def spread(milliseconds: Sequence[float]) -> str:
    """Median and 95th percentile."""
    return (
        f"{statistics.median(milliseconds):.0f} ms (median), {statistics.quantiles(milliseconds, n=20)[-1]:.0f} (p95)"
    )


async def main(arguments: argparse.Namespace) -> None:
    least, *more = sorted(arguments.unfinished)
    most = max(arguments.replicas)
    sites = [(count, least) for count in arguments.replicas] + [(most, unfinished) for unfinished in more]
    with running_postgres() as postgres:
        postgres.execute("ALTER SYSTEM SET fsync = on", "ALTER SYSTEM SET full_page_writes = on")
        postgres.execute("SELECT pg_reload_conf()")
        medians = [await measured(postgres, count, unfinished, arguments.videos) for count, unfinished in sites]
    verdict = "met" if max(medians) < NOTICE_LIMIT_MS else "MISSED"
    print(f"heard within {NOTICE_LIMIT_MS:.0f} ms at the median: {verdict} (at most {max(medians):.0f} ms)")
    raise SystemExit(int(verdict != "met"))


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--replicas", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--unfinished", type=int, nargs="+", default=[1_000, 10_000])
    parser.add_argument("--videos", type=int, default=24)
    anyio.run(main, parser.parse_args())
