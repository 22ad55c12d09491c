"""The route the service calls back on: anybody may post anything there."""

import logging
from collections.abc import AsyncIterator, Iterator
from functools import partial
from pathlib import Path
from typing import Any

import anyio
import httpx2
import pytest
from starlette.applications import Starlette

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Status, Task
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.web.callbacks import BODY_LIMIT_BYTES, BODY_SECONDS, callback_routes
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.callbacks import CallbackShape
from sora2_mcp.tasks.callbacks import callback_hash
from tests.clocks import PATIENCE_SECONDS, FakeClock, eventually
from tests.network import NETWORK
from tests.server.reached import (
    BODIES,
    CAT,
    LONG_CAT,
    NEVER_SECONDS,
    Host,
    host,
    junk_leaves_nothing_behind,
    listening_host,
    unknown_path,
)
from tests.servers import agent, settings_in
from tests.stores import store_at
from tests.tasks.core import change, looks, orders, until

pytestmark = pytest.mark.anyio

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


@pytest.fixture
async def reached(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Host]:
    """A server in a time of its own, whose orders take longer than a test."""
    async with host(tmp_path, Simulator(now=clock.now, sleep=clock.sleep, transport=NETWORK), clock) as reached:
        yield reached


@pytest.fixture
async def wired(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Host]:
    """The same behind a real socket."""
    async with listening_host(tmp_path, Simulator(now=clock.now, sleep=clock.sleep), clock) as reached:
        yield reached


@pytest.fixture(scope="module")
async def listened(shared_folder: Path) -> AsyncIterator[Host]:
    """One behind a real socket for all those whose subject is a path or a method."""
    async with listening_host(shared_folder, Simulator()) as reached:
        yield reached


@pytest.mark.parametrize("shape", ["full", "short"])
@pytest.mark.parametrize("outcome", ["", " [sim:generation-failure]", " [sim:creation-failure]"])
async def test_the_services_own_callbacks_end_a_wait(
    tmp_path: Path, clock: FakeClock, shape: CallbackShape, outcome: str
) -> None:
    simulator = Simulator(callback_shape=shape, now=clock.now, sleep=clock.sleep, transport=NETWORK)
    ended: list[Task] = []
    async with host(tmp_path, simulator, clock) as reached, anyio.create_task_group() as group:
        task = (await reached.service.submit(VideoRequest(prompt=f"A cat{outcome}"), "local")).task

        async def wait() -> None:
            ended.append(await reached.service.wait(task.task_id, "local", NEVER_SECONDS))

        group.start_soon(wait)
        await until(clock, lambda: bool(ended))

    assert ended[0].status is (Status.FAILED if outcome else Status.SUCCEEDED)
    assert looks(simulator) == [task.task_id]
    assert clock.monotonic() < 60


@pytest.mark.parametrize("shape", ["full", "short"])
@pytest.mark.parametrize("fault", ["order-drop", "order-half", "order-html-accepted", "order-empty", "order-no-id"])
async def test_the_services_own_callback_settles_an_order_whose_answer_was_lost(
    tmp_path: Path, clock: FakeClock, shape: CallbackShape, fault: str
) -> None:
    simulator = Simulator(
        callback_shape=shape, faults=[f"{fault}*1"], now=clock.now, sleep=clock.sleep, transport=NETWORK
    )
    async with host(tmp_path, simulator, clock) as reached:
        order = (await reached.service.submit(CAT, "local")).task
        assert order.status is Status.UNCONFIRMED

        async def settled() -> bool:
            await clock.advance(0.5)
            return (await reached.service.find(order.reference, "local")).status is Status.SUCCEEDED

        await eventually(settled)
        task = await reached.service.find(order.reference, "local")

    assert task.task_id == orders(simulator)[0].task_id
    assert looks(simulator) == [task.task_id]


async def test_a_callback_may_come_before_the_orders_answer(tmp_path: Path, clock: FakeClock) -> None:
    faults = ["order-slow=1*1"]
    simulator = Simulator(seconds_per_task=0, faults=faults, now=clock.now, sleep=clock.sleep, transport=NETWORK)
    ordered: list[Task] = []
    async with host(tmp_path, simulator, clock) as reached, anyio.create_task_group() as group:

        async def order() -> None:
            ordered.append((await reached.service.submit(CAT, "local")).task)

        group.start_soon(order)
        hints = partial(store_at(reached.runtime.settings.store_url).rows, "hinted_at")
        # Before the order is saved there is no row at all; a hint that was acted on has become a look.
        await eventually(lambda: hints() not in ([], [(None,)]) or bool(looks(simulator)))
        assert ordered == []
        await until(clock, lambda: bool(ordered))
        await reached.quiet()
        known = await reached.service.find(ordered[0].reference, "local")

    assert (known.status, known.task_id) == (Status.SUCCEEDED, orders(simulator)[0].task_id)
    assert len(looks(simulator)) == 1


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


@pytest.mark.parametrize("path", UNKNOWN, ids=lambda path: path[:40])
async def test_an_unknown_path_of_any_shape_is_not_found(listened: Host, path: str) -> None:
    assert (await listened.http.post(path, content=b"{}")).status_code == 404


async def test_what_cannot_be_a_path_of_ours_never_reaches_the_store(reached: Host) -> None:
    await change(reached.runtime.settings, "ALTER TABLE tasks RENAME TO away")
    for path in UNKNOWN:
        if not path.endswith("x" * 40):
            assert (await reached.http.post(path)).status_code == 404


@pytest.mark.parametrize("method", ["GET", "HEAD", "PUT", "PATCH", "DELETE", "OPTIONS"])
async def test_only_a_post_is_a_callback(listened: Host, method: str) -> None:
    order = VideoRequest(prompt=f"A cat that is asked about with {method} [sim:seconds=600]")
    task = (await listened.service.submit(order, "local")).task

    assert (await listened.http.request(method, listened.path())).status_code == 405
    assert (await listened.http.request(method, unknown_path())).status_code == 405
    assert task.task_id not in looks(listened.simulator)


async def test_a_path_may_be_spelled_in_percents(listened: Host) -> None:
    task = (await listened.service.submit(LONG_CAT, "local")).task
    folder, _, secret = listened.path().rpartition("/")

    spelled = "".join(f"%{ord(letter):02x}" for letter in secret)
    assert (await listened.http.post(f"{folder}/{spelled}")).status_code == 200
    await listened.quiet()
    assert looks(listened.simulator).count(task.task_id) == 1


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
    assert reached.service.callbacks.pending == 0
    assert looks(reached.simulator) == []


async def test_a_slow_body_is_not_waited_for_and_is_a_hint_all_the_same(wired: Host, clock: FakeClock) -> None:
    task = (await wired.service.submit(LONG_CAT, "local")).task
    path = wired.path()
    async with await anyio.connect_tcp("127.0.0.1", wired.http.base_url.port or 0) as wire:
        await wire.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{{".encode())
        await eventually(lambda: clock.awaits(clock.monotonic() + BODY_SECONDS))
        assert looks(wired.simulator) == []
        await clock.advance(BODY_SECONDS)
        received = b""
        with anyio.fail_after(PATIENCE_SECONDS):
            while True:
                try:
                    received += await wire.receive()
                except anyio.EndOfStream:
                    break
    await wired.quiet()

    assert received.startswith(b"HTTP/1.1 200 ")
    assert looks(wired.simulator) == [task.task_id]


async def test_a_caller_who_hangs_up_in_mid_body_has_called_all_the_same(wired: Host) -> None:
    task = (await wired.service.submit(LONG_CAT, "local")).task
    path = wired.path()
    async with await anyio.connect_tcp("127.0.0.1", wired.http.base_url.port or 0) as wire:
        await wire.send(f"POST {path} HTTP/1.1\r\nHost: x\r\nContent-Length: 50\r\n\r\n{{".encode())

    await eventually(lambda: looks(wired.simulator) == [task.task_id])


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
        await eventually(lambda: reached.service.callbacks.pending == 1)
        await clock.advance(0.8)
        await eventually(lambda: bool(codes))
    await change(reached.runtime.settings, "ALTER TABLE away RENAME TO tasks")
    await until(clock, lambda: reached.service.callbacks.pending == 0, step_seconds=1)
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


async def test_junk_meets_no_server_error_and_leaves_nothing_behind(reached: Host) -> None:
    await junk_leaves_nothing_behind(reached, callers=5, calls=40)


async def test_the_secret_gets_into_no_log(wired: Host, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
    # What stands for other programs here: the client that posts, and the simulator. And pytest listens to the access
    # log, which the server has switched off.
    for name in ("httpx2", "httpcore2", "sora2_mcp.simulator", "uvicorn.access"):
        caplog.set_level(logging.CRITICAL, name)
    caplog.set_level(logging.DEBUG)
    await wired.service.submit(LONG_CAT, "local")
    for body in (b"{}", b"x" * (BODY_LIMIT_BYTES + 1)):
        await wired.http.post(wired.path(), content=body)
    await wired.quiet()
    unknown = unknown_path(wired.runtime.settings.callback_key)
    await change(wired.runtime.settings, "ALTER TABLE tasks RENAME TO away")
    async with anyio.create_task_group() as group:
        group.start_soon(wired.http.post, unknown)
        await eventually(lambda: wired.service.callbacks.pending == 1)
        await clock.advance(0.8)

    assert "callbacks arrive" in caplog.text
    assert wired.path().rpartition("/")[2] not in caplog.text
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
