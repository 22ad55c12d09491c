"""Serves many clients over HTTP: streamable HTTP at /mcp, SSE at /sse, in one application."""

import ipaddress
import logging
import socket
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any

import anyio
import uvicorn
from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette

from sora2_mcp.errors import ConfigurationError, Sora2Error
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import Sora2Server, build_server
from sora2_mcp.server.callbacks import callback_routes
from sora2_mcp.server.signals import stop_signals
from sora2_mcp.server.stdio import last_answers

logger = logging.getLogger(__name__)

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_GRACEFUL_SECONDS = 1


async def serve_http(runtime: Runtime, host: str, port: int, *, ending: Callable[[], None] = lambda: None) -> None:
    """Serves until SIGINT or SIGTERM; waits that are open then get their normal result first.

    ``ending`` is called when the end begins.

    Raises:
        ConfigurationError: the address is no loopback address, or cannot be listened on.
    """
    check_loopback(host)
    with stop_signals() as stop, _listening(host, port) as listener:
        async with runtime, anyio.create_task_group() as group:
            server = build_server(runtime)
            app = http_app(server, host)
            app.router.routes.extend(callback_routes(runtime))
            web = _WebServer(app)
            group.start_soon(web.serve, [listener])
            with suppress(Sora2Error):
                # Whatever is wrong, the first call says so; a server that says it serves can be used at once.
                await runtime.service()
            address = f"http://{_in_url(host)}:{listener.getsockname()[1]}"
            logger.info("serving MCP at %s/mcp (streamable HTTP) and %s/sse (SSE)", address, address)
            await stop.wait()
            logger.info("ending on a signal")
            ending()
            await last_answers(runtime, server)
            web.should_exit = True


def http_app(server: Sora2Server, host: str = "127.0.0.1") -> Starlette:
    """Both HTTP transports over one server, for the names of this machine and ``host``; its lifespan must run."""
    names = {*_LOOPBACK_NAMES, _in_url(host)}
    security = TransportSecuritySettings(
        enable_dns_rebinding_protection=True,
        allowed_hosts=[pattern for name in names for pattern in (name, f"{name}:*")],
        allowed_origins=[pattern for name in names for pattern in (f"http://{name}", f"http://{name}:*")],
    )
    app = server.streamable_http_app(transport_security=security)
    app.router.routes.extend(server.sse_app(transport_security=security).routes)
    return app


def check_loopback(host: str) -> None:
    """Raises:
    ConfigurationError: anybody but this machine could connect there.
    """
    try:
        is_loopback = host == "localhost" or ipaddress.ip_address(host.strip("[]")).is_loopback
    except ValueError:
        is_loopback = False
    if not is_loopback:
        problem = f"{host} is not served: only this machine may connect; allowed are 127.0.0.1, ::1 and localhost."
        raise ConfigurationError("--host", problem)


class _WebServer(uvicorn.Server):
    """A web server that leaves signals to its runner."""

    def __init__(self, app: Starlette) -> None:
        super().__init__(
            uvicorn.Config(app, log_config=None, access_log=False, timeout_graceful_shutdown=_GRACEFUL_SECONDS)
        )

    def capture_signals(self) -> Any:
        return nullcontext()


def _listening(host: str, port: int) -> socket.socket:
    name = host.strip("[]")
    family = socket.AF_INET6 if ":" in name else socket.AF_INET
    try:
        listener = socket.create_server((name, port), family=family, backlog=2048)
        # asyncio does so itself only where the socket names its protocol; without it answers may wait 40 ms for an ACK.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        return listener
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise ConfigurationError("--port", f"{port} cannot be listened on ({reason}); choose another one.") from error


def _in_url(host: str) -> str:
    name = host.strip("[]")
    return f"[{name}]" if ":" in name else name
