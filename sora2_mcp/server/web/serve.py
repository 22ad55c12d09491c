"""Serves many clients over HTTP."""

import asyncio
import logging
import socket
from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext, suppress
from functools import partial

import anyio
import uvicorn
from anyio import ClosedResourceError
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp

from sora2_mcp.errors import ConfigurationError, Sora2Error, leaves
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from sora2_mcp.server.signals import stop_signals
from sora2_mcp.server.stdio import last_answers
from sora2_mcp.server.web.app import web_app
from sora2_mcp.server.web.gate import in_url
from sora2_mcp.server.web.limits import Connection, Connections, Limits
from sora2_mcp.services.heads import read_in_linear_time

logger = logging.getLogger(__name__)

_LONGEST_HEAD_BYTES = 65_536
_GRACEFUL_SECONDS = 1
_BACKLOG = 128
_NOISY_LOGGERS = ("asyncio", "uvicorn.error", "mcp.server.streamable_http")


async def serve_http(
    runtime: Runtime,
    host: str,
    port: int,
    *,
    ready: Callable[[str], None] = lambda _: None,
    ending: Callable[[], None] = lambda: None,
) -> None:
    """Serves until SIGINT or SIGTERM; waits that are open then get their normal result first.

    ``ready`` is called with the server's address once it can be used, ``ending`` when the end begins.

    Raises:
        ConfigurationError: other machines could connect and there are no tokens, or the address cannot be listened on.
    """
    limits = Limits.of_process()
    server = build_server(runtime)
    app = web_app(server, runtime, host=host, limits=limits)
    for name in _NOISY_LOGGERS:
        logging.getLogger(name).addFilter(DisconnectFilter())
    with stop_signals(ending) as stop, listening_socket(host, port) as listener:
        async with runtime, anyio.create_task_group() as group:
            web = WebServer(app, limits)
            group.start_soon(web.serve, [listener])
            with suppress(Sora2Error):
                # The first call says what is wrong; a server that says it serves can be used at once.
                await runtime.tasks()
            address = f"http://{in_url(host)}:{listener.getsockname()[1]}"
            logger.info("serving MCP at %s/mcp (streamable HTTP) and %s/sse (SSE)", address, address)
            ready(address)
            await stop.wait()
            logger.info("ending on a signal")
            await last_answers(runtime, server)
            web.should_exit = True


class WebServer(uvicorn.Server):
    """A web server whose connections have limits, and which leaves signals to its runner."""

    def __init__(self, app: ASGIApp, limits: Limits) -> None:
        read_in_linear_time()
        super().__init__(
            uvicorn.Config(
                app,
                http=partial(Connection, connections=Connections(limits)),  # type: ignore[arg-type]  # only called
                ws="none",
                h11_max_incomplete_event_size=_LONGEST_HEAD_BYTES,
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

    def capture_signals(self) -> AbstractContextManager[None]:  # type: ignore[override]
        return nullcontext()


def listening_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there.

    Raises:
        ConfigurationError: the address cannot be listened on.
    """
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


class DisconnectFilter(logging.Filter):
    """Drops what the SDK and uvicorn log, as errors of the server, of clients that hang up and sessions that end."""

    def filter(self, record: logging.LogRecord) -> bool:
        error = record.exc_info[1] if record.exc_info else None
        return error is None or not all(map(_is_disconnect, leaves(error)))


def _is_disconnect(error: BaseException | None) -> bool:
    """Whether one side had gone."""
    if isinstance(error, RuntimeError):
        # The SDK answers a second time when its session has gone: "Unexpected ASGI message".
        return _is_disconnect(error.__context__)
    # The last one: a server that ends cuts off what takes too long.
    return isinstance(error, ClientDisconnect | ClosedResourceError | asyncio.CancelledError)
