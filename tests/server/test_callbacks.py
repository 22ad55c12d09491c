"""The route the service calls back on, over a real socket: anybody may post anything there."""

import json
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, closing, nullcontext
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
import uvicorn
from starlette.applications import Starlette

from sora2_mcp.clock import Clock
from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Status
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.callbacks import BODY_LIMIT_BYTES, BODY_SECONDS, callback_routes
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.callbacks import CallbackShape
from sora2_mcp.tasks.callback_path import CallbackPaths, callback_hash
from sora2_mcp.tasks.service import TaskService
from tests.clocks import FakeClock, eventually
from tests.network import simulated
from tests.servers import agent, settings_in
from tests.tasks.core import change, looks, orders

pytestmark = pytest.mark.anyio

CAT = VideoRequest(prompt="A cat")
LONG_CAT = VideoRequest(prompt="A cat [sim:seconds=600]")
NEVER_SECONDS = 3600.0


class WebServer(uvicorn.Server):
    def capture_signals(self) -> Any:
        return nullcontext()


@asynccontextmanager
async def serving(app: Starlette, listener: socket.socket) -> AsyncIterator[None]:
    server = WebServer(uvicorn.Config(app, log_config=None, access_log=False, lifespan="off"))
    server.config.timeout_graceful_shutdown = 1
    async with anyio.create_task_group() as group:
        group.start_soon(server.serve, [listener])
        await eventually(lambda: server.started)
        try:
            yield
        finally:
            server.should_exit = True


class Host:
    """A server on the network, the service it orders at, and a client for whoever else can reach it."""

    def __init__(self, runtime: Runtime, service: TaskService, simulator: Simulator, http: httpx2.AsyncClient) -> None:
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
        await eventually(lambda: self.service._callbacks.pending == 0)


@asynccontextmanager
async def host(folder: Path, simulator: Simulator, clock: Clock | None = None, **values: Any) -> AsyncIterator[Host]:
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        public_url = f"http://127.0.0.1:{listener.getsockname()[1]}"
        paces = {"poll_seconds": NEVER_SECONDS, "idle_poll_seconds": NEVER_SECONDS}
        settings = settings_in(folder, **{"public_url": public_url, **paces, **values})
        async with (
            simulated(settings, simulator, clock) as runtime,
            serving(Starlette(routes=[*callback_routes(runtime)]), listener),
            httpx2.AsyncClient(base_url=public_url, timeout=30) as http,
        ):
            yield Host(runtime, await runtime.service(), simulator, http)


@pytest.fixture
async def reached(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Host]:
    """A server in a time of its own; the simulator calls back after 4 s of it."""
    async with host(tmp_path, Simulator(now=clock.now, sleep=clock.sleep), clock) as reached:
        yield reached


def unknown_path(key: bytes = b"nobody's") -> str:
    """A path like ours; made with a server's own key, it is authentic, but belongs to no order."""
    return "/callbacks/" + CallbackPaths("http://x", key).new().url.rpartition("/")[2]


@pytest.mark.parametrize("shape", ["full", "short"])
@pytest.mark.parametrize("outcome", ["", " [sim:generation-failure]", " [sim:creation-failure]"])
async def test_the_services_own_callbacks_end_a_wait(tmp_path: Path, shape: CallbackShape, outcome: str) -> None:
    simulator = Simulator(seconds_per_task=0.3, callback_shape=shape)
    async with host(tmp_path, simulator) as reached:
        task = (await reached.service.submit(VideoRequest(prompt=f"A cat{outcome}"), "local")).task
        with anyio.fail_after(20):
            ended = await reached.service.wait(task.task_id, "local", NEVER_SECONDS)

    assert ended.status is (Status.FAILED if outcome else Status.SUCCEEDED)
    assert looks(simulator) == [task.task_id]


@pytest.mark.parametrize("shape", ["full", "short"])
@pytest.mark.parametrize("fault", ["order-drop", "order-half", "order-html-accepted", "order-empty", "order-no-id"])
async def test_the_services_own_callback_settles_an_order_whose_answer_was_lost(
    tmp_path: Path, shape: CallbackShape, fault: str
) -> None:
    simulator = Simulator(seconds_per_task=0.3, callback_shape=shape, faults=[f"{fault}*1"])
    async with host(tmp_path, simulator) as reached:
        order = (await reached.service.submit(CAT, "local")).task
        assert order.status is Status.UNCONFIRMED

        async def settled() -> bool:
            return (await reached.service.find(order.reference, "local")).status is Status.SUCCEEDED

        await eventually(settled)
        task = await reached.service.find(order.reference, "local")

    assert task.task_id == orders(simulator)[0].task_id
    assert looks(simulator) == [task.task_id]


async def test_a_callback_may_come_before_the_orders_answer(tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=0, faults=["order-slow=1*1"])
    async with host(tmp_path, simulator) as reached:
        task = (await reached.service.submit(CAT, "local")).task
        await reached.quiet()
        known = await reached.service.find(task.reference, "local")

    assert (known.status, known.task_id) == (Status.SUCCEEDED, orders(simulator)[0].task_id)
    assert len(looks(simulator)) == 1


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


async def test_whatever_the_body_says_a_known_path_is_a_hint_and_nothing_more(reached: Host) -> None:
    task = (await reached.service.submit(LONG_CAT, "local")).task
    for number, body in enumerate(BODIES, start=1):
        kind = ("application/json", "text/html", "x/y; charset=nope", "")[number % 4]
        answer = await reached.http.post(reached.path(), content=body, headers={"content-type": kind})
        assert (answer.status_code, answer.content) == (200, b"")
        await reached.quiet()
        assert looks(reached.simulator) == [task.task_id] * number

    seen = await reached.service.find(task.task_id, "local")
    assert (seen.status, seen.video_url, seen.task_id) == (Status.GENERATING, "", task.task_id)


UNKNOWN = [
    "/callbacks",
    "/callbacks/",
    "/callbacks//",
    "/callbacks/x",
    "/callbacks/" + "x" * 40,
    "/callbacks/" + "x" * 40 + "/",
    "/callbacks/" + "x" * 40 + "/more",
    "/callbacks/" + "x" * 30_000,
    "/callbacks/%00%ff%0a" + "x" * 29,
    "/callbacks/" + "%C3%A9" * 40,
    "/callbacks/..%2f..%2fetc%2fpasswd",
    "/callbacks/?secret=1",
]


@pytest.mark.parametrize("path", UNKNOWN, ids=lambda path: path[:40])
async def test_an_unknown_path_of_any_shape_is_not_found(reached: Host, path: str) -> None:
    assert (await reached.http.post(path, content=b"{}")).status_code == 404


async def test_what_cannot_be_a_path_of_ours_never_reaches_the_store(reached: Host) -> None:
    await change(reached.runtime.settings, "ALTER TABLE tasks RENAME TO away")
    for path in UNKNOWN:
        if not path.endswith("x" * 40):
            assert (await reached.http.post(path)).status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_only_a_post_is_a_callback(reached: Host, method: str) -> None:
    await reached.service.submit(LONG_CAT, "local")

    assert (await reached.http.request(method, reached.path())).status_code == 405
    assert (await reached.http.request(method, unknown_path())).status_code == 405
    assert looks(reached.simulator) == []


async def test_a_path_may_be_spelled_in_percents(reached: Host) -> None:
    task = (await reached.service.submit(LONG_CAT, "local")).task
    folder, _, secret = reached.path().rpartition("/")

    spelled = "".join(f"%{ord(letter):02x}" for letter in secret)
    assert (await reached.http.post(f"{folder}/{spelled}")).status_code == 200
    await reached.quiet()
    assert looks(reached.simulator) == [task.task_id]


@pytest.mark.parametrize("streamed", [False, True], ids=["declared", "streamed"])
@pytest.mark.parametrize("size", [BODY_LIMIT_BYTES + 1, 5_000_000])
async def test_an_oversized_body_is_refused_and_changes_nothing(
    reached: Host,
    size: int,
    streamed: bool,  # noqa: FBT001 - a case of its own
) -> None:
    await reached.service.submit(LONG_CAT, "local")

    def chunks() -> Iterator[bytes]:
        for begin in range(0, size, 10_000):
            yield b"x" * min(10_000, size - begin)

    async def stream() -> AsyncIterator[bytes]:
        for chunk in chunks():
            yield chunk

    content: Any = stream() if streamed else b"".join(chunks())
    assert (await reached.http.post(reached.path(), content=content)).status_code == 413
    assert reached.service._callbacks.pending == 0
    assert looks(reached.simulator) == []


async def test_a_slow_body_is_not_waited_for_and_is_a_hint_all_the_same(reached: Host, clock: FakeClock) -> None:
    task = (await reached.service.submit(LONG_CAT, "local")).task
    path = reached.path()
    async with await anyio.connect_tcp("127.0.0.1", reached.http.base_url.port or 0) as wire:
        await wire.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{{".encode())
        await eventually(lambda: clock.awaits(clock.monotonic() + BODY_SECONDS))
        assert looks(reached.simulator) == []
        await clock.advance(BODY_SECONDS)
        received = b""
        with anyio.fail_after(10):
            while True:
                try:
                    received += await wire.receive()
                except anyio.EndOfStream:
                    break
    await reached.quiet()

    assert received.startswith(b"HTTP/1.1 200 ")
    assert looks(reached.simulator) == [task.task_id]


async def test_a_caller_who_hangs_up_in_mid_body_has_called_all_the_same(reached: Host) -> None:
    task = (await reached.service.submit(LONG_CAT, "local")).task
    path = reached.path()
    async with await anyio.connect_tcp("127.0.0.1", reached.http.base_url.port or 0) as wire:
        await wire.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{{".encode())

    await eventually(lambda: looks(reached.simulator) == [task.task_id])


async def test_a_store_that_fails_is_answered_with_200_in_time_and_the_hint_is_kept(
    reached: Host, clock: FakeClock
) -> None:
    task = (await reached.service.submit(LONG_CAT, "local")).task
    path = reached.path()
    await change(reached.runtime.settings, "ALTER TABLE tasks RENAME TO away")
    codes: list[int] = []

    async def post() -> None:
        codes.append((await reached.http.post(path)).status_code)

    async with anyio.create_task_group() as group:
        group.start_soon(post)
        await eventually(lambda: reached.service._callbacks.pending == 1)
        await clock.advance(0.8)
        await eventually(lambda: bool(codes))
    await change(reached.runtime.settings, "ALTER TABLE away RENAME TO tasks")
    for _ in range(20):
        await clock.advance(1)
        await anyio.sleep(0.01)
    await reached.quiet()

    assert codes == [200]
    assert looks(reached.simulator) == [task.task_id]


@pytest.mark.posix
async def test_without_a_key_or_a_store_there_is_still_no_server_error(tmp_path: Path) -> None:
    async with Runtime(settings_in(tmp_path, api_key="")) as runtime:
        transport = httpx2.ASGITransport(Starlette(routes=[*callback_routes(runtime)]))
        async with httpx2.AsyncClient(transport=transport, base_url="http://here") as http:
            assert (await http.post(unknown_path())).status_code == 404
            assert (await http.post(unknown_path(runtime.settings.callback_key))).status_code == 200
    async with Runtime(settings_in(tmp_path, database_url="sqlite:////dev/null/t.db")) as runtime:
        transport = httpx2.ASGITransport(Starlette(routes=[*callback_routes(runtime)]))
        async with httpx2.AsyncClient(transport=transport, base_url="http://here") as http:
            assert (await http.post(unknown_path())).status_code == 404
            assert (await http.post(unknown_path(runtime.settings.callback_key))).status_code == 200


async def test_a_flood_of_junk_meets_no_server_error_and_leaves_nothing_behind(reached: Host) -> None:
    task = (await reached.service.submit(LONG_CAT, "local")).task
    known, codes, key = reached.path(), [], reached.runtime.settings.callback_key

    async def flood(number: int) -> None:
        for count in range(80):
            path = known if count % 20 == 7 else unknown_path(key if count % 2 else b"nobody's")
            answer = await reached.http.post(path, content=BODIES[(number + count) % len(BODIES)])
            codes.append((path == known, answer.status_code))

    async with anyio.create_task_group() as group:
        for number in range(25):
            group.start_soon(flood, number)
    await reached.quiet()

    assert len(codes) == 2000
    assert set(codes) == {(True, 200), (False, 404)}
    assert 1 <= len(looks(reached.simulator)) <= 100
    seen = await reached.service.find(task.task_id, "local")
    assert (seen.status, seen.task_id) == (Status.GENERATING, task.task_id)


async def test_the_secret_gets_into_no_log(reached: Host, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    # What stands for other programs here: the client that posts, and the simulator. And pytest listens to the access
    # log, which the server has switched off.
    for name in ("httpx2", "httpcore2", "sora2_mcp.simulator", "uvicorn.access"):
        caplog.set_level(logging.CRITICAL, name)
    caplog.set_level(logging.DEBUG)
    await reached.service.submit(LONG_CAT, "local")
    for body in (b"{}", b"x" * (BODY_LIMIT_BYTES + 1)):
        await reached.http.post(reached.path(), content=body)
    await reached.quiet()
    unknown = unknown_path(reached.runtime.settings.callback_key)
    await change(reached.runtime.settings, "ALTER TABLE tasks RENAME TO away")
    async with anyio.create_task_group() as group:
        group.start_soon(reached.http.post, unknown)
        await eventually(lambda: reached.service._callbacks.pending == 1)
        await clock.advance(0.8)

    assert "callbacks arrive" in caplog.text
    assert reached.path().rpartition("/")[2] not in caplog.text
    assert unknown.rpartition("/")[2] not in caplog.text


async def test_no_agent_ever_reads_where_an_order_is_called_back_about(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    simulator = Simulator(seconds_per_task=0)
    read: list[str] = []
    async with agent(tmp_path, simulator=simulator, public_url="http://127.0.0.1:9/here") as here:
        task_id = (await here.content("generate_video", prompt="A cat"))["task_id"]
        secret = str((orders(simulator)[0].body or {})["callBackUrl"]).rpartition("/")[2]
        async with agent(tmp_path / "elsewhere", simulator=simulator) as there:
            # Its own store knows nothing: all that it shows comes from the service's record, parameters included.
            for reader in (here, there):
                for tool, arguments in (("get_task_status", {"task_id": task_id}), ("list_tasks", {})):
                    read.append((await reader.call(tool, **arguments)).model_dump_json())
                uris = ("sora2://tasks", f"sora2://tasks/{task_id}")
                read += [(await reader.client.read_resource(uri)).model_dump_json() for uri in uris]

    assert len(secret) == 40
    assert all(task_id in text for text in read)
    assert not [text for text in read if "callbacks/" in text or secret in text or callback_hash(secret) in text]
