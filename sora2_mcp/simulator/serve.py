"""Runs a simulator on a socket: for a block of code, or until a signal."""

import asyncio
import signal
import socket
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, nullcontext
from types import FrameType
from typing import Any, Final

import anyio
import uvicorn
from uvicorn.protocols.http.h11_impl import H11Protocol

from sora2_mcp.simulator.answers import TRANSPORT
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.callbacks import plain_task_group
from sora2_mcp.simulator.dialects import DIALECTS

_SIGNALS: Final = (signal.SIGINT, signal.SIGTERM)


@asynccontextmanager
async def running(
    simulator: Simulator,
    *,
    host: str = "127.0.0.1",
    port: int = 0,
    fallback: bool = False,
    dialect: str = "sora2api",
) -> AsyncIterator[str]:
    """Serves the simulator for the block and gives the base URL of a dialect, `http://127.0.0.1:43121/api/v1/sora2`.

    It listens before the block starts and has stopped within a second after it, also when the block is
    cancelled or answers are being held back. Signals are left alone. Port 0 is any free port; with `fallback`
    any free port also stands in for a `port` that is taken.

    Raises:
        KeyError: `dialect` is none of `DIALECTS`.
        OSError: `host` and `port` cannot be listened on.
    """
    base_path = DIALECTS[dialect]
    with _bound(host, port, fallback=fallback) as listener:
        server = _Server(simulator)
        async with simulator.app.router.lifespan_context(simulator.app), plain_task_group() as group:
            try:
                group.start_soon(server.run_on, listener)
                await server.listening.wait()
                yield f"http://{_address(host, listener)}{base_path}"
            finally:
                # Before the server: it waits for its answers, and these may be minutes away.
                simulator.cut_slow_answers()
                server.stop.set()


async def serve(
    simulator: Simulator, *, host: str = "127.0.0.1", port: int = 0, ready: Callable[[str], None] | None = None
) -> None:
    """Serves the simulator until SIGINT or SIGTERM, then returns.

    Once it listens, it calls `ready` with the base URL of Sora2API's dialect.

    Raises:
        OSError: `host` and `port` cannot be listened on.
    """
    with _signalled() as stop:
        async with running(simulator, host=host, port=port) as url:
            if ready is not None:
                ready(url)
            await stop.wait()


class _Protocol(H11Protocol):
    """Lets the application reach the connection on which it answers: a fault may have to close it."""

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        self.app_state = {**self.app_state, TRANSPORT: transport}
        super().connection_made(transport)


class _Server(uvicorn.Server):
    """A server that sets `listening`, ends once `stop` is set, and leaves signals alone."""

    def __init__(self, simulator: Simulator) -> None:
        config = uvicorn.Config(
            simulator.app,
            http=_Protocol,
            # `running` enters the lifespan: uvicorn would run it in a task of its own and exit when it fails.
            lifespan="off",
            log_config=None,
            access_log=False,
            server_header=False,
            date_header=False,
            timeout_graceful_shutdown=1,
        )
        super().__init__(config)
        self.listening = anyio.Event()
        self.stop = anyio.Event()

    async def run_on(self, listener: socket.socket) -> None:
        # Ended by `stop` alone: cancelled midway, uvicorn would leave its connections open.
        with anyio.CancelScope(shield=True):
            await self.serve(sockets=[listener])

    def capture_signals(self) -> Any:
        return nullcontext()

    async def main_loop(self) -> None:
        self.listening.set()
        await self.stop.wait()


def _bound(host: str, port: int, *, fallback: bool) -> socket.socket:
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        # Floods of the tests and of bench/ open a thousand connections at once.
        listener = socket.create_server((host, port), family=family, backlog=2048)
    except OSError:
        if not (fallback and port):
            raise
        return _bound(host, 0, fallback=False)
    # asyncio does so itself only where the socket names its protocol; without it answers may wait 40 ms for an ACK.
    listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return listener


def _address(host: str, listener: socket.socket) -> str:
    port = listener.getsockname()[1]
    return f"[{host}]:{port}" if ":" in host else f"{host}:{port}"


@contextmanager
def _signalled() -> Iterator[anyio.Event]:
    """An event SIGINT and SIGTERM set; outside the main thread, where Python delivers no signal, nothing sets it."""
    stop = anyio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(_number: int, _frame: FrameType | None) -> None:
        # Wakes a loop that sleeps, which setting the event alone would not.
        loop.call_soon_threadsafe(stop.set)

    if threading.current_thread() is not threading.main_thread():
        yield stop
        return
    previous = {number: signal.signal(number, on_signal) for number in _SIGNALS}
    try:
        yield stop
    finally:
        for number, handler in previous.items():
            signal.signal(number, handler)
