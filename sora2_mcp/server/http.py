"""Serves many clients over HTTP."""

import logging
import socket
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

import anyio
import uvicorn
from starlette.types import ASGIApp

from sora2_mcp.errors import ConfigurationError, Sora2Error
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.access import access_of
from sora2_mcp.server.app import build_server
from sora2_mcp.server.connections import (
    LONGEST_HEAD_BYTES,
    Limits,
    connections_within,
    open_files_limit,
    partings_unlogged,
)
from sora2_mcp.server.signals import stop_signals
from sora2_mcp.server.stdio import last_answers
from sora2_mcp.server.web import check_reach, in_url, web_app
from sora2_mcp.services.heads import read_in_linear_time

logger = logging.getLogger(__name__)

_GRACEFUL_SECONDS = 1
_BACKLOG = 128


async def serve_http(runtime: Runtime, host: str, port: int, *, ending: Callable[[], None] = lambda: None) -> None:
    """Serves until SIGINT or SIGTERM; waits that are open then get their normal result first.

    ``ending`` is called when the end begins.

    Raises:
        ConfigurationError: other machines could connect and there are no tokens, or the address cannot be listened on.
    """
    access_of(runtime.settings, runtime.clock)
    check_reach(runtime.settings, host)
    with stop_signals(ending) as stop, _listening(host, port) as listener, partings_unlogged():
        async with runtime, anyio.create_task_group() as group:
            server = build_server(runtime)
            limits = Limits.of_files(open_files_limit())
            web = _WebServer(web_app(server, runtime, host=host, limits=limits), limits)
            group.start_soon(web.serve, [listener])
            with suppress(Sora2Error):
                # Whatever is wrong, the first call says so; a server that says it serves can be used at once.
                await runtime.service()
            address = f"http://{in_url(host)}:{listener.getsockname()[1]}"
            logger.info("serving MCP at %s/mcp (streamable HTTP) and %s/sse (SSE)", address, address)
            await stop.wait()
            logger.info("ending on a signal")
            await last_answers(runtime, server)
            web.should_exit = True


class _WebServer(uvicorn.Server):
    """A web server that leaves signals to its runner."""

    def __init__(self, app: ASGIApp, limits: Limits | None = None) -> None:
        read_in_linear_time()
        limits = limits or Limits.of_files(open_files_limit())
        super().__init__(
            uvicorn.Config(
                app,
                http=connections_within(limits),  # type: ignore[arg-type]  # it is only ever called
                ws="none",
                h11_max_incomplete_event_size=LONGEST_HEAD_BYTES,
                # To asyncio also how many connections it accepts at once, before the first of them is counted.
                backlog=limits.accepted_at_once,
                log_config=None,
                access_log=False,
                server_header=False,
                proxy_headers=False,
                timeout_graceful_shutdown=_GRACEFUL_SECONDS,
            )
        )

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        for listener in sockets or []:
            # More may wait in the system's queue than are accepted at once.
            listener.listen(_BACKLOG)

    def capture_signals(self) -> Any:
        return nullcontext()


def _listening(host: str, port: int) -> socket.socket:
    name = host.strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    try:
        listener = socket.create_server((name, port), family=family, backlog=_BACKLOG)
        # asyncio does so itself only where the socket names its protocol; without it answers may wait 40 ms for an ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError("--port", f"{port} cannot be listened on ({reason}); choose another one.") from error
