"""Servers that the service can call back, with or without a socket, and bodies that anybody may post to them."""

import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

import anyio
import httpx2
from starlette.applications import Starlette
from starlette.types import Receive, Scope, Send

from sora2_mcp.clock import Clock
from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Status
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.web.callbacks import BODY_LIMIT_BYTES, callback_routes
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.callbacks import CallbackPaths
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import eventually
from tests.network import NETWORK, simulated
from tests.servers import settings_in
from tests.tasks.core import looks, orders, quiet
from tests.web import client_of, client_on_network, listening_on

CAT = VideoRequest(prompt="A cat")
LONG_CAT = VideoRequest(prompt="A cat [sim:seconds=600]")
NEVER_SECONDS = 3600.0
UNHURRIED: dict[str, Any] = {"poll_seconds": NEVER_SECONDS, "idle_poll_seconds": NEVER_SECONDS}
"""Only what a test asks for looks at tasks."""

BODIES: list[bytes] = [
    b"",
    b"{}",
    b"null",
    b"[]",
    b"<html>",
    b"\x00\xff\xfe",
    b"{" * 60_000,
    b'{"data":' * 5_000,
    b'{"code": 200, "data": null}',
    b'{"code": "x", "data": {"taskId": {"a": []}}}',
    json.dumps({"code": 200, "data": {"taskId": "sora2_task_lie", "successFlag": 1}}).encode(),
    json.dumps({"code": 501, "msg": "failed", "data": {"taskId": "sora2_task_lie", "successFlag": 3}}).encode(),
    json.dumps({"data": {"successFlag": 1, "response": {"imageUrl": "https://evil.example/x.mp4"}}}).encode(),
    b"x" * BODY_LIMIT_BYTES,
]


class Host:
    """A server on the network, the service it orders at, and a client for whoever else can reach it."""

    def __init__(self, runtime: Runtime, service: Tasks, simulator: Simulator, http: httpx2.AsyncClient) -> None:
        self.runtime = runtime
        self.service = service
        self.simulator = simulator
        self.http = http

    def path(self) -> str:
        """Where the latest order is to be called back about."""
        url = str((orders(self.simulator)[-1].body or {})["callBackUrl"])
        assert url.startswith(str(self.http.base_url))
        return url.removeprefix(str(self.http.base_url).rstrip("/"))

    async def quiet(self) -> None:
        await eventually(lambda: self.service.callbacks.pending == 0)
        await quiet(self.runtime.settings)


class Later:
    """An application that is made once its address is known."""

    def __init__(self) -> None:
        self.app: Starlette | None = None

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        assert self.app is not None
        await self.app(scope, receive, send)


@asynccontextmanager
async def host(folder: Path, simulator: Simulator, clock: Clock | None = None, **values: Any) -> AsyncIterator[Host]:
    """Without a socket; the simulator must send its callbacks over NETWORK."""
    later = Later()
    async with NETWORK.serving(later) as public_url:
        settings = settings_in(folder, **{"public_url": public_url, **UNHURRIED, **values})
        async with simulated(settings, simulator, clock) as runtime, client_on_network(public_url) as http:
            later.app = Starlette(routes=[*callback_routes(runtime)])
            yield Host(runtime, await runtime.tasks(), simulator, http)


@asynccontextmanager
async def listening_host(folder: Path, simulator: Simulator, clock: Clock | None = None) -> AsyncIterator[Host]:
    """Behind a real socket."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        public_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = settings_in(folder, public_url=public_url, **UNHURRIED)
        async with (
            simulated(settings, simulator, clock) as runtime,
            listening_on(listener, Starlette(routes=[*callback_routes(runtime)])),
            client_of(public_url) as http,
        ):
            yield Host(runtime, await runtime.tasks(), simulator, http)


def unknown_path(key: bytes = b"nobody's") -> str:
    """A path like ours; made with a server's own key, it is authentic, but belongs to no order."""
    return "/callbacks/" + CallbackPaths("http://x", key).new().url.rpartition("/")[2]


async def junk_leaves_nothing_behind(reached: Host, *, callers: int, calls: int) -> None:
    """Callers post whatever comes to their minds at the same time; every twentieth call is to a path of ours."""
    task = (await reached.service.submit(LONG_CAT, "local")).task
    known, codes, key = reached.path(), [], reached.runtime.settings.callback_key

    async def post(number: int) -> None:
        for count in range(calls):
            path = known if count % 20 == 7 else unknown_path(key if count % 2 else b"nobody's")
            answer = await reached.http.post(path, content=BODIES[(number + count) % len(BODIES)])
            codes.append((path == known, answer.status_code))

    async with anyio.create_task_group() as group:
        for number in range(callers):
            group.start_soon(post, number)
    await reached.quiet()

    assert len(codes) == callers * calls
    assert set(codes) == {(True, 200), (False, 404)}
    assert 1 <= len(looks(reached.simulator)) <= callers * calls // 20
    seen = await reached.service.find(task.task_id, "local")
    assert (seen.status, seen.task_id) == (Status.GENERATING, task.task_id)
