"""The core as it runs, on a store of its own and a simulator behind a real socket."""

import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import anyio
import anyio.to_thread
import httpx2
from starlette.types import ASGIApp, Receive, Scope, Send

from sora2_mcp.clock import Clock
from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Task
from sora2_mcp.runtime import Runtime
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.received import ReceivedRequest
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import PATIENCE_SECONDS, START, FakeClock, eventually
from tests.network import NETWORK
from tests.stores import store_at, store_in

CAT = VideoRequest(prompt="A cat")
DOG = VideoRequest(prompt="A dog")
LONG_SECONDS = 86_400.0


def settings_for(folder: Path, base_url: str, **changes: Any) -> Settings:
    """Settings of one process; more of them on the same folder share its store."""
    fast = {"max_requests_per_second": 1000}
    places = {"video_dir": folder / "videos", "database_url": changes.get("database_url") or store_in(folder).url}
    return Settings.load(**{"api_key": "test-key", "api_base_url": base_url, **places, **fast, **changes})


@asynccontextmanager
async def opened(
    settings: Settings, clock: Clock | None = None, transport: httpx2.AsyncBaseTransport | None = NETWORK
) -> AsyncIterator[Tasks]:
    """One process's core, until the block ends; with ``transport`` None it is on the machine's own network."""
    async with Runtime(settings, clock=clock, transport=transport) as runtime:
        yield await runtime.tasks()


def orders(simulator: Simulator) -> list[ReceivedRequest]:
    return [request for request in simulator.received if request.method == "POST"]


def looks(simulator: Simulator) -> list[str | None]:
    """The ids that were looked at, in order."""
    return [request.task_id for request in simulator.received if request.method == "GET"]


async def paced_looks(
    service: Tasks,
    simulator: Simulator,
    clock: FakeClock,
    *,
    task: Task,
    count: int,
    earliest_seconds: float,
    latest_seconds: float,
) -> None:
    """Lets time pass until ``count`` more looks at the task were saved; each must come in its time, and alone."""
    before, seen = len(looks(simulator)), await service.find(task.reference, "local")
    looked_at = seen.look_failed_at or seen.last_look_at or clock.now()

    async def saved() -> bool:
        nonlocal seen, looked_at
        now = await service.find(task.reference, "local")
        if (now.last_look_at, now.look_failed_at) == (seen.last_look_at, seen.look_failed_at):
            return False
        seen, looked_at = now, now.look_failed_at or now.last_look_at or clock.now()
        return True

    for number in range(count):
        await clock.advance(earliest_seconds - (clock.now() - looked_at).total_seconds())
        assert len(looks(simulator)) == before + number
        await clock.advance(latest_seconds - earliest_seconds)
        await eventually(saved)
        assert len(looks(simulator)) == before + number + 1


async def due_at(settings: Settings) -> datetime | None:
    """When the next look is due; None where nothing is to be looked at."""
    times = [row[0] for row in store_at(settings.store_url).rows("next_look_at") if row[0] is not None]
    return datetime.fromtimestamp(min(times) / 1_000_000, UTC) if times else None


async def quiet(settings: Settings) -> None:
    """Returns once every callback has been followed and no look is under way."""
    under_way = "hinted_at IS NOT NULL AND next_look_at IS NOT NULL OR look_owner IS NOT NULL"
    query = f"SELECT count(*) FROM tasks WHERE {under_way}"  # noqa: S608 - names of columns
    await eventually(lambda: store_at(settings.store_url).query(query) == [(0,)])


async def waited_for(settings: Settings, task: Task, at: datetime = START) -> None:
    """Returns once the store knows that the task is waited for at this time."""
    is_wanted = f"id = '{task.id}' AND wanted_until > {at.timestamp() * 1_000_000:.0f}"
    query = f"SELECT count(*) FROM tasks WHERE {is_wanted}"  # noqa: S608 - an id of ours
    await eventually(lambda: store_at(settings.store_url).query(query) == [(1,)])


async def change(settings: Settings, statement: str) -> None:
    """Changes the database behind the store's back, as an accident would."""
    # In a thread: whoever holds the lock may need the event loop to give it back.
    await anyio.to_thread.run_sync(store_at(settings.store_url).change, statement)


async def listed(service: Tasks, principal: str = "local") -> list[Task]:
    return list((await service.page(principal, limit=50)).tasks)


async def until(clock: FakeClock, holds: Callable[[], bool], *, step_seconds: float = 0.5) -> None:
    """Lets the clock run on, much faster than real time, until ``holds()`` is true."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while not holds():
            await clock.advance(step_seconds)
            await work_done(min(0.005, step_seconds / 100))


async def work_done(seconds: float) -> None:
    """Leaves work in threads, such as a store's, some time, and on a busy machine as much more as everything takes."""
    for _ in range(20):
        await anyio.to_thread.run_sync(_nothing)
    await anyio.sleep(seconds)


def _nothing() -> None:
    """What a thread does when it is only to have had its turn."""


class Fetched:
    """Put before the simulator's app: the paths of the videos fetched, and a gate before them."""

    def __init__(self, app: ASGIApp, paths: list[str], gate: anyio.Event) -> None:
        self._app = app
        self._paths = paths
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http" and scope["path"].startswith("/videos/"):
            self._paths.append(scope["path"])
            await self._gate.wait()
        await self._app(scope, receive, send)


def closed_address() -> str:
    """An address nobody listens at."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    return f"http://127.0.0.1:{port}/api/v1/sora2"
