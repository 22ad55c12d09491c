"""The whole server on HTTP, in a time of its own, at an address it knows beforehand."""

import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, closing
from pathlib import Path
from typing import Any

from starlette.types import ASGIApp, Receive, Scope, Send

from sora2_mcp.clock import Clock
from sora2_mcp.server.app import build_server
from sora2_mcp.server.web.app import web_app
from sora2_mcp.simulator.app import Simulator
from tests.network import simulated
from tests.server.reached import UNHURRIED
from tests.servers import settings_in
from tests.web import listening_on


@asynccontextmanager
async def site(folder: Path, simulator: Simulator, clock: Clock, **values: Any) -> AsyncIterator[str]:
    """Serves for the block; gives the address, which is the public one too."""
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        base = f"http://127.0.0.1:{listener.getsockname()[1]}"
        settings = settings_in(folder, **{"public_url": base, **UNHURRIED, **values})
        async with simulated(settings, simulator, clock) as runtime:
            app = web_app(build_server(runtime), runtime)
            async with listening_on(listener, app):
                await runtime.tasks()
                yield base


class Headers:
    """Middleware that notes of each path which headers came to it."""

    def __init__(self, app: ASGIApp, seen: dict[str, set[str]]) -> None:
        self._app = app
        self._seen = seen

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] == "http":
            self._seen.setdefault(scope["path"], set()).update(name.decode().lower() for name, _ in scope["headers"])
        await self._app(scope, receive, send)
