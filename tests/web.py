"""ASGI applications behind a real socket, and whole servers on HTTP with or without one."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import anyio
import httpx2
import uvicorn
from starlette.applications import Starlette
from starlette.types import ASGIApp

from sora2_mcp.server.app import build_server
from sora2_mcp.server.web.app import web_app
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from tests.clocks import PATIENCE_SECONDS
from tests.network import NETWORK, simulated


class _Server(uvicorn.Server):
    def capture_signals(self) -> Any:
        return nullcontext()


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[str]:
    """Serves the application, lifespan included; gives its address."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with listening_on(listener, app):
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"


@asynccontextmanager
async def listening_on(listener: socket.socket, app: ASGIApp) -> AsyncIterator[None]:
    """The same on a socket whose address was known before."""
    server = _Server(uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=1))

    async def serve() -> None:
        # Were it cut off by a test that fails, the loop would keep the number of its socket, which the next one gets.
        with anyio.CancelScope(shield=True):
            await server.serve([listener])

    async with anyio.create_task_group() as group:
        group.start_soon(serve)
        with anyio.fail_after(PATIENCE_SECONDS):
            while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                await anyio.sleep(0.005)
        try:
            yield
        finally:
            server.should_exit = True


def whole_app(settings: Settings, simulator: Simulator | None = None) -> Starlette:
    """The whole server as an application, on a simulator."""
    runtime = simulated(settings, simulator or Simulator(seconds_per_task=0))
    return web_app(build_server(runtime), runtime, opens_runtime=True)


@asynccontextmanager
async def served(settings: Settings, simulator: Simulator | None = None) -> AsyncIterator[str]:
    """The whole server on HTTP, behind a real socket; gives its address."""
    async with listening(whole_app(settings, simulator)) as base:
        yield base


@asynccontextmanager
async def in_process(settings: Settings, simulator: Simulator | None = None) -> AsyncIterator[httpx2.AsyncClient]:
    """The whole server on HTTP, without a socket; gives a client of it, whose answers are whole when they arrive."""
    app = whole_app(settings, simulator)
    async with NETWORK.serving(app) as base, app.router.lifespan_context(app), client_on_network(base) as http:
        yield http


def client_on_network(base: str = "", **options: Any) -> httpx2.AsyncClient:
    """A client of what NETWORK serves."""
    return httpx2.AsyncClient(base_url=base, transport=NETWORK, trust_env=False, **options)


def client_of(base: str = "", **options: Any) -> httpx2.AsyncClient:
    """A client of what listens on this machine. Reading certificates for it would take longer than a request."""
    return httpx2.AsyncClient(base_url=base, verify=False, trust_env=False, timeout=PATIENCE_SECONDS, **options)
