"""A network within the process: addresses lead to ASGI applications, and everywhere else connections are refused."""

import itertools
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx2
from starlette.types import ASGIApp

from sora2_mcp.clock import Clock
from sora2_mcp.runtime import Runtime
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.dialects import DIALECTS


class Network(httpx2.AsyncBaseTransport):
    """Give it to whatever sends requests. An answer is whole when it arrives; a broken stream needs a real socket."""

    def __init__(self) -> None:
        self._applications: dict[str, httpx2.ASGITransport] = {}
        self._ports = itertools.count(1024)

    async def handle_async_request(self, request: httpx2.Request) -> httpx2.Response:
        application = self._applications.get(request.url.netloc.decode())
        if application is None:
            raise httpx2.ConnectError("Connection refused", request=request)
        try:
            return await application.handle_async_request(request)
        except ConnectionAbortedError as error:
            raise httpx2.RemoteProtocolError("Server disconnected", request=request) from error

    @asynccontextmanager
    async def serving(self, app: ASGIApp) -> AsyncIterator[str]:
        """Leads an address of its own, which it gives, to the application."""
        host = f"127.0.0.1:{next(self._ports)}"
        self._applications[host] = httpx2.ASGITransport(app)
        try:
            yield f"http://{host}"
        finally:
            del self._applications[host]

    @asynccontextmanager
    async def simulating(self, simulator: Simulator, dialect: str = "sora2api") -> AsyncIterator[str]:
        """The same for a simulator, whose callbacks are delivered; gives the base URL of a dialect."""
        async with self.serving(simulator.app) as url, simulator.app.router.lifespan_context(simulator.app):
            yield f"{url}{DIALECTS[dialect]}"


NETWORK = Network()
"""Addresses are never given twice, so one serves all tests."""


def simulated(settings: Settings, simulator: Simulator, clock: Clock | None = None) -> Runtime:
    """A runtime whose service is the simulator."""
    return Runtime(
        settings, clock=clock, endpoint=lambda: NETWORK.simulating(simulator, settings.service), transport=NETWORK
    )
