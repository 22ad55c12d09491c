import os
import signal
import socket
import time

import anyio
import httpx2
import pytest

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running, serve

pytestmark = pytest.mark.anyio

KEY = {"Authorization": "Bearer any-key"}


async def greeting(api: str) -> int:
    async with httpx2.AsyncClient() as client:
        return (await client.get(httpx2.URL(api).copy_with(path="/"))).status_code


async def test_it_listens_inside_the_block_and_not_after_it() -> None:
    async with running(Simulator()) as api:
        code = await greeting(api)

    assert code == 200
    assert api.startswith("http://127.0.0.1:")
    assert api.endswith("/api/v1/sora2")
    with pytest.raises(httpx2.ConnectError):
        await greeting(api)


async def test_it_stops_within_a_second_while_an_answer_is_held_back() -> None:
    held_back = anyio.Event()
    lost: list[Exception] = []

    async def sleep(seconds: float) -> None:
        held_back.set()
        await anyio.sleep(seconds)

    async def order_slowly(api: str) -> None:
        async with httpx2.AsyncClient(base_url=api, headers=KEY, timeout=5) as client:
            try:
                await client.post("generate", json={"prompt": "A cat [sim:order-slow=60]"})
            except httpx2.RemoteProtocolError as error:
                lost.append(error)

    async with anyio.create_task_group() as group:
        async with running(Simulator(sleep=sleep)) as api:
            group.start_soon(order_slowly, api)
            with anyio.fail_after(30):
                await held_back.wait()
            stopping_at = time.monotonic()
        stopped_after_seconds = time.monotonic() - stopping_at

    assert stopped_after_seconds < 1
    assert len(lost) == 1


async def test_a_cancelled_block_leaves_nothing_listening() -> None:
    with anyio.CancelScope() as scope:
        async with running(Simulator()) as api:
            scope.cancel()
            await anyio.sleep_forever()

    assert scope.cancelled_caught
    with pytest.raises(httpx2.ConnectError):
        await greeting(api)


async def test_an_error_in_the_block_comes_out_as_it_is() -> None:
    cause = ValueError("the cause")

    with pytest.raises(KeyError, match="mine") as raised:
        async with running(Simulator()):
            raise KeyError("mine") from cause

    assert raised.value.__cause__ is cause


async def test_a_simulator_can_be_served_again() -> None:
    simulator = Simulator()

    codes = []
    for _ in range(2):
        async with running(simulator) as api:
            codes.append(await greeting(api))

    assert codes == [200, 200]


async def test_a_taken_port_is_an_error_unless_another_may_stand_in() -> None:
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(OSError, match="in use"):
            async with running(Simulator(), port=port):
                pass
        async with running(Simulator(), port=port, fallback=True) as api:
            assert httpx2.URL(api).port not in (None, port)
            assert await greeting(api) == 200


@pytest.mark.posix
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
async def test_serve_reports_its_address_and_returns_on_a_signal(number: signal.Signals) -> None:
    before = signal.getsignal(number)
    addresses: list[str] = []

    def stop(api: str) -> None:
        addresses.append(api)
        os.kill(os.getpid(), number)

    with anyio.fail_after(30):
        await serve(Simulator(), ready=stop)

    assert len(addresses) == 1
    assert signal.getsignal(number) is before
