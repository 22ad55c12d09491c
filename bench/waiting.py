"""What waiting costs the service, how soon its end is noticed, and what many tasks cost this program.

    python bench/waiting.py [--waiters 50] [--tasks 4] [--unfinished 10000] [--rows 1000000]

Time is scaled: a "poll interval" of 5 s is 0.5 s here, the vendor's 30 s are 3 s, and a video takes 12 intervals.
"""

import argparse
import contextlib
import multiprocessing
import os
import resource
import sqlite3
import statistics
import tempfile
import time
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any

import anyio
import httpx2

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import LOCAL, Status
from sora2_mcp.errors import LimitError
from sora2_mcp.runtime import Runtime
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running
from sora2_mcp.tasks.tasks import Tasks

POLL_SECONDS = 0.5
VENDOR_POLL_SECONDS = 3.0
TASK_SECONDS = 6.0


def settings_in(folder: Path, base_url: str) -> Settings:
    return Settings.load(
        api_key="bench",
        api_base_url=base_url,
        database_url=f"sqlite:///{folder / 'tasks.db'}",
        video_dir=folder,
        poll_seconds=POLL_SECONDS,
        idle_poll_seconds=3600,
        max_requests_per_second=1000,
    )


def looks(simulator: Simulator) -> int:
    return sum(request.method == "GET" for request in simulator.received)


async def wait_all(service: Tasks, ids: list[str], waiters: int, ended: list[float]) -> None:
    """``waiters`` waits spread over the tasks; the instant each one ends."""

    async def wait(task_id: str) -> None:
        await service.wait(task_id, LOCAL, 60)
        ended.append(time.time())

    async with anyio.create_task_group() as group:
        for number in range(waiters):
            group.start_soon(wait, ids[number % len(ids)])


def wait_elsewhere(folder: str, base_url: str, ids: list[str], waiters: int, told: Any) -> None:
    """The second process."""

    async def main() -> None:
        ended: list[float] = []
        async with Runtime(settings_in(Path(folder), base_url)) as runtime:
            await wait_all(await runtime.tasks(), ids, waiters, ended)
        told.put(ended)

    anyio.run(main)


async def ours(waiters: int, tasks: int, *, processes: int) -> tuple[int, list[float]]:
    """Looks at the service, and the seconds from a task's end to each waiter's notice."""
    simulator = Simulator(seconds_per_task=TASK_SECONDS)
    with tempfile.TemporaryDirectory() as name:
        async with running(simulator) as base_url, Runtime(settings_in(Path(name), base_url)) as runtime:
            service = await runtime.tasks()
            ordered_at = time.time()
            requests = [VideoRequest(prompt=f"Task {number}") for number in range(tasks)]
            ids = [(await service.submit(request, LOCAL)).task.task_id for request in requests]
            ended: list[float] = []
            told: Any = multiprocessing.get_context("spawn").Queue()
            share = waiters // processes
            other = multiprocessing.get_context("spawn").Process(
                target=wait_elsewhere, args=(name, base_url, ids, share, told)
            )
            if processes == 2:
                other.start()
            await wait_all(service, ids, share, ended)
            if processes == 2:
                ended += await anyio.to_thread.run_sync(told.get)
                await anyio.to_thread.run_sync(other.join)
    return looks(simulator), [at - ordered_at - TASK_SECONDS for at in ended]


async def naive(waiters: int, tasks: int, every_seconds: float) -> tuple[int, list[float]]:
    """Each waiter polls for itself, as the vendor's sample client does."""
    simulator = Simulator(seconds_per_task=TASK_SECONDS)
    late: list[float] = []
    client = httpx2.AsyncClient(headers={"authorization": "Bearer bench"}, timeout=30)
    async with running(simulator) as base_url, client as http:
        answers = [await http.post(f"{base_url}/generate", json={"prompt": f"{n}"}) for n in range(tasks)]
        ordered_at = time.time()

        async def wait(task_id: str) -> None:
            while True:
                record = await http.get(f"{base_url}/record-info", params={"taskId": task_id})
                if record.json()["data"]["successFlag"] == 1:
                    late.append(time.time() - ordered_at - TASK_SECONDS)
                    return
                await anyio.sleep(every_seconds)

        async with anyio.create_task_group() as group:
            for number in range(waiters):
                group.start_soon(wait, answers[number % tasks].json()["data"]["taskId"])
    return looks(simulator), late


async def prepared(folder: Path, base_url: str) -> None:
    """A store with one task, to be copied."""
    async with Runtime(settings_in(folder, base_url)) as runtime:
        await (await runtime.tasks()).submit(VideoRequest(prompt="A kitten"), LOCAL)


def copy_rows(folder: Path, count: int, changes: str) -> None:
    """Multiplies the store's one row; ``changes`` are SQL assignments by column, ``n`` counting the copies."""
    with contextlib.closing(sqlite3.connect(folder / "tasks.db")) as database, database:
        columns = [row[1] for row in database.execute("PRAGMA table_info(tasks)")]
        replaced = {"id": "printf('%032x', n)", "task_id": "'bench_' || n", "created_at": "created_at - n * 1000"}
        replaced.update(dict(change.split("=", 1) for change in changes.split(";") if change))
        chosen = ", ".join(replaced.get(column, column) for column in columns)
        database.execute(
            f"WITH RECURSIVE counter(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM counter WHERE n < {count}) "  # noqa: S608
            f"INSERT INTO tasks ({', '.join(columns)}) SELECT {chosen} FROM tasks, counter "
            "WHERE task_id NOT LIKE 'bench_%'"
        )


async def median_ms(call: Callable[[], Awaitable[Any]], times: int = 41) -> float:
    taken = []
    for _ in range(times):
        began = time.perf_counter()
        await call()
        taken.append(time.perf_counter() - began)
    return statistics.median(taken) * 1000


async def many_unfinished(count: int) -> None:
    simulator = Simulator(seconds_per_task=100_000)
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        async with running(simulator) as base_url:
            await prepared(folder, base_url)
            copy_rows(folder, count, "next_look_at=created_at")
            settings = settings_in(folder, base_url).model_copy(update={"max_requests_per_second": 20.0})
            before = looks(simulator)
            async with Runtime(settings) as runtime:
                service = await runtime.tasks()
                own = next(request.task_id for request in simulator.received if request.task_id)
                began = time.perf_counter()
                status = await median_ms(lambda: service.get(own, LOCAL))
                await anyio.sleep(max(0.0, 10 - (time.perf_counter() - began)))
                seconds = time.perf_counter() - began
            rate = (looks(simulator) - before) / seconds
    memory = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(
        f"{count:,} unfinished tasks: {rate:.1f} looks/s (limit 20), get_task_status median {status:.1f} ms, ", end=""
    )
    print(f"peak memory of this whole bench {memory:.0f} MB")


async def many_finished(rows: int) -> None:
    medians: list[dict[str, float]] = []
    for count in (1000, rows):
        with tempfile.TemporaryDirectory() as name:
            folder = Path(name)
            async with running(Simulator(seconds_per_task=100_000)) as base_url:
                await prepared(folder, base_url)
                copy_rows(folder, count, "status='succeeded';next_look_at=NULL")
                settings = settings_in(folder, base_url).model_copy(update={"max_active_tasks": 1})
                async with Runtime(settings) as runtime:
                    medians.append(await reads(await runtime.tasks()))
    for name, few in medians[0].items():
        many = medians[1][name]
        print(f"{name}: {few:.2f} ms with 1,000 rows, {many:.2f} ms with {rows:,}; ratio {many / few:.2f}")


async def reads(service: Tasks) -> dict[str, float]:
    """What reading takes: pages as agents ask for them, and the check of the limit on unfinished tasks."""

    async def check() -> None:
        with contextlib.suppress(LimitError):
            await service.is_new(VideoRequest(prompt="One more"), LOCAL)

    return {
        "list_tasks": await median_ms(lambda: service.page(LOCAL, limit=50)),
        "list_tasks of succeeded ones": await median_ms(lambda: service.page(LOCAL, limit=50, status=Status.SUCCEEDED)),
        "list_tasks of unconfirmed ones": await median_ms(
            lambda: service.page(LOCAL, limit=50, status=Status.UNCONFIRMED)
        ),
        "the check of SORA2_MAX_ACTIVE_TASKS": await median_ms(check),
    }


@contextlib.contextmanager
def nobodys_home() -> Iterator[None]:
    with tempfile.TemporaryDirectory() as home:
        os.environ["HOME"] = home
        yield


async def main(arguments: argparse.Namespace) -> None:
    waiters, tasks = arguments.waiters, arguments.tasks
    print(f"{waiters} waiters on {tasks} tasks of {TASK_SECONDS:.0f} s, poll interval {POLL_SECONDS} s")
    rows = {
        "sora2-mcp, one process": await ours(waiters, tasks, processes=1),
        "sora2-mcp, two processes": await ours(waiters, tasks, processes=2),
        "each waiter polls": await naive(waiters, tasks, POLL_SECONDS),
        "vendor's sample": await naive(waiters, tasks, VENDOR_POLL_SECONDS),
    }
    for name, (count, late) in rows.items():
        noticed = f"noticed {statistics.median(late):5.2f} s after the end (median), {max(late):5.2f} s (last)"
        print(f"  {name:<26} {count:5d} looks   {noticed}")
    await many_unfinished(arguments.unfinished)
    await many_finished(arguments.rows)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--waiters", type=int, default=50)
    parser.add_argument("--tasks", type=int, default=4)
    parser.add_argument("--unfinished", type=int, default=10_000)
    parser.add_argument("--rows", type=int, default=1_000_000)
    with nobodys_home():
        anyio.run(main, parser.parse_args())
