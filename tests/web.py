"""ASGI applications behind a real socket."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, nullcontext
from typing import Any

import anyio
import uvicorn
from starlette.types import ASGIApp

from sora2_mcp.runtime import Endpoint
from sora2_mcp.server.web import create_app
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running


class _Server(uvicorn.Server):
    def capture_signals(self) -> Any:
        return nullcontext()


@asynccontextmanager
async def listening(app: ASGIApp) -> AsyncIterator[str]:
    """Serves the application, lifespan included; gives its address."""
    server = _Server(uvicorn.Config(app, log_config=None, timeout_graceful_shutdown=1))
    with socket.create_server(("127.0.0.1", 0)) as listener:
        async with anyio.create_task_group() as group:
            group.start_soon(server.serve, [listener])
            with anyio.fail_after(20):
                while not server.started:  # noqa: ASYNC110 - uvicorn has no event for it
                    await anyio.sleep(0.005)
            yield f"http://127.0.0.1:{listener.getsockname()[1]}"
            server.should_exit = True


@asynccontextmanager
async def served(settings: Settings, simulator: Simulator | None = None) -> AsyncIterator[str]:
    """The whole server on HTTP, on a simulator; gives its address."""
    service = simulator or Simulator(seconds_per_task=0)
    endpoint: Endpoint = lambda: running(service)  # noqa: E731 - a function by its type
    async with listening(create_app(settings, endpoint=endpoint)) as base:
        yield base


def tokens_of(settings: Settings) -> list[str]:
    return [token for _, token in settings.tokens]
