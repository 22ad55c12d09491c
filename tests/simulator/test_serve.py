import os
import signal
import socket
import time

import anyio
import httpx2
import pytest

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.dialects import DIALECTS
from sora2_mcp.simulator.serve import running, serve
from tests.clocks import PATIENCE_SECONDS
from tests.simulator.conftest import KEY
from tests.web import client_of

pytestmark = pytest.mark.anyio

HELD_BACK_SECONDS = 600


async def greeting(api: str) -> int:
    async with client_of() as client:
        return (await client.get(httpx2.URL(api).copy_with(path="/"))).status_code


async def seconds_to_stop_with_an_answer_held_back() -> float:
    """How long a simulator takes to stop whose client still waits; the client loses its connection."""
    held_back = anyio.Event()
    lost: list[Exception] = []

    async def sleep(seconds: float) -> None:
        held_back.set()
        await anyio.sleep(seconds)

    async def order_slowly(api: str) -> None:
        async with client_of(api, headers=KEY) as client:
            with pytest.raises(httpx2.RemoteProtocolError) as caught:
                await client.post("generate", json={"prompt": f"A cat [sim:order-slow={HELD_BACK_SECONDS}]"})
            lost.append(caught.value)

    async with anyio.create_task_group() as group:
        async with running(Simulator(sleep=sleep)) as api:
            group.start_soon(order_slowly, api)
            with anyio.fail_after(PATIENCE_SECONDS):
                await held_back.wait()
            stopping_at = time.monotonic()
        seconds = time.monotonic() - stopping_at

    assert len(lost) == 1
    return seconds


async def test_it_listens_inside_the_block_and_not_after_it() -> None:
    async with running(Simulator()) as api:
        code = await greeting(api)

    assert code == 200
    assert api.startswith("http://127.0.0.1:")
    assert api.endswith("/api/v1/sora2")
    with pytest.raises(httpx2.ConnectError):
        await greeting(api)


@pytest.mark.parametrize(("dialect", "base_path"), DIALECTS.items())
async def test_it_gives_the_base_url_of_the_dialect_asked_for(dialect: str, base_path: str) -> None:
    async with running(Simulator(), dialect=dialect) as api:
        assert httpx2.URL(api).path == base_path


async def test_it_stops_while_an_answer_is_held_back() -> None:
    assert await seconds_to_stop_with_an_answer_held_back() < HELD_BACK_SECONDS


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
