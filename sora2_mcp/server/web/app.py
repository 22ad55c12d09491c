"""One ASGI application: MCP over streamable HTTP and SSE, the routes of the service, and health."""

import logging
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Any
from urllib.parse import urlsplit

from mcp.server import Server
from mcp.server.sse import SseServerTransport
from mcp.server.streamable_http_manager import StreamableHTTPASGIApp, StreamableHTTPSessionManager
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sora2_mcp.runtime import Endpoint, Runtime
from sora2_mcp.server.app import Sora2Server, build_server
from sora2_mcp.server.links import VIDEO_FOLDER
from sora2_mcp.server.web.auth import authenticated, issuer_routes, token_verifier
from sora2_mcp.server.web.callbacks import callback_routes, hide_paths, picture_routes
from sora2_mcp.server.web.gallery import gallery_routes
from sora2_mcp.server.web.gate import BodyLimit, HostGuard, RequestIds, check_reach, is_loopback, names_of
from sora2_mcp.server.web.health import health_routes
from sora2_mcp.server.web.limits import Limits, RequestLimit, SessionLimit, TrackedAnswers, UnansweredLimit
from sora2_mcp.server.web.videos import OwnAddress, video_routes
from sora2_mcp.settings import Settings
from sora2_mcp.tasks.callbacks import CALLBACK_FOLDER
from sora2_mcp.tasks.pictures import PICTURE_FOLDER
from sora2_mcp.telemetry.logs import join_logging

logger = logging.getLogger(__name__)

SESSION_IDLE_SECONDS = 1800.0
"""How long a legacy session may be silent, with no request and no stream open, until it is closed."""

SESSIONS_EACH = 100
"""Legacy sessions of one principal."""

_SESSIONS = 1000
_SMALL_BODY_BYTES = 1000


def create_app(settings: Settings | None = None, *, endpoint: Endpoint | None = None) -> Starlette:
    """The whole server as an ASGI application, by the environment's settings unless others are given.

    Its lifespan must run: it opens and closes everything. Mounted in another application, that one runs it::

        app = create_app()
        outer = Starlette(routes=[Mount("/video", app)], lifespan=lambda _: app.router.lifespan_context(app))

    Raises:
        ConfigurationError: a variable cannot be used.
    """
    hide_paths(logging.getLogger("uvicorn.access"))
    settings = settings or Settings.load()
    join_logging(settings.log_level, settings.log_format)
    runtime = Runtime(settings, endpoint=endpoint)
    return web_app(build_server(runtime), runtime, opens_runtime=True)


def web_app(
    server: Sora2Server,
    runtime: Runtime,
    *,
    host: str | None = None,
    opens_runtime: bool = False,
    session_idle_seconds: float = SESSION_IDLE_SECONDS,
    limits: Limits | None = None,
) -> Starlette:
    """The application over a server; its lifespan enters the runtime too where it ``opens_runtime``.

    ``host`` and ``limits`` are those of its web server; None where that one is not ours.

    Raises:
        ConfigurationError: other machines could connect and there are no tokens, or the tokens' variables do not fit.
    """
    guard = _Guard(runtime, host, limits or Limits.of_process())
    sessions = StreamableHTTPSessionManager(server, session_idle_timeout=session_idle_seconds, max_sessions=_SESSIONS)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            await stack.enter_async_context(sessions.run())
            if opens_runtime:
                await stack.enter_async_context(runtime)
                if not runtime.settings.missing:
                    # Tasks of an earlier run are looked at from now on, not from the first call on.
                    runtime.begin()
            yield

    routes = [
        *_mcp_routes(server, sessions, guard.for_callers),
        # The secret in its path lets a caller in.
        *callback_routes(runtime),
        *picture_routes(runtime),
        *video_routes(runtime),
        *gallery_routes(runtime, [Middleware(guard.for_all)]),
        *issuer_routes(runtime.settings),
        *health_routes(runtime),
    ]
    own_address = Middleware(OwnAddress, runtime.settings.public_url)
    app = Starlette(routes=routes, lifespan=lifespan, middleware=[Middleware(RequestIds), own_address])
    # A redirect would name whatever host the request does, before the guard has looked at it.
    app.router.redirect_slashes = False
    return app


class _Guard:
    """The checks in front of the routes for clients and people; the same for all of them.

    Raises:
        ConfigurationError: as ``web_app``.
    """

    def __init__(self, runtime: Runtime, host: str | None, limits: Limits) -> None:
        settings = runtime.settings
        self._settings, self._clock = settings, runtime.clock
        self._verifier = token_verifier(settings, runtime.clock)
        self._limits = limits
        self._opened: Counter[str] = Counter()
        self._hosts = [*names_of(host), *settings.hosts, *settings.public_host]
        check_reach(settings, host)
        is_public = settings.public_url and not is_loopback(urlsplit(settings.public_url).hostname or "")
        if self._verifier is None and is_public:
            passed_on = ", ".join(f"/{folder}/" for folder in (CALLBACK_FOLDER, PICTURE_FOLDER, VIDEO_FOLDER))
            logger.warning("SORA2_PUBLIC_URL without tokens: whatever passes it on should pass on %s only", passed_on)

    def for_callers(self, app: ASGIApp) -> HostGuard:
        """``app`` for callers whose token is known."""
        settings = self._settings
        app = RequestLimit(BodyLimit(app), self._opened, self._limits.connections)
        # Outside of the limits: a stranger learns nothing of them.
        app = authenticated(app, self._verifier, settings, self._clock) if self._verifier else app
        return self._for_hosts(app)

    def for_all(self, app: ASGIApp) -> HostGuard:
        """``app`` for every request with a ``Host`` and an ``Origin`` that are served; no token is asked for."""
        return self._for_hosts(BodyLimit(app, _SMALL_BODY_BYTES))

    def _for_hosts(self, app: ASGIApp) -> HostGuard:
        origins = self._settings.origins
        return HostGuard(app, hosts=self._hosts, origins=origins, own_only=self._verifier is None)


def _mcp_routes(
    server: Server[Any], sessions: StreamableHTTPSessionManager, guarded: Callable[[ASGIApp], HostGuard]
) -> list[BaseRoute]:
    """Streamable HTTP at ``/mcp``, SSE at ``/sse`` and ``/messages/``."""
    sse = SseServerTransport("/messages/")

    async def stream(scope: Scope, receive: Receive, send: Send) -> None:
        async with sse.connect_sse(scope, receive, send) as (received, sent):
            await server.run(received, sent, server.create_initialization_options())

    mcp = guarded(TrackedAnswers(SessionLimit(StreamableHTTPASGIApp(sessions), sessions, SESSIONS_EACH)))
    return [
        *(Route(path, mcp) for path in ("/mcp", "/mcp/")),
        # OPTIONS is a browser's question beforehand (CORS), which the host guard answers.
        *(Route(path, guarded(stream), methods=["GET", "OPTIONS"]) for path in ("/sse", "/sse/")),
        Mount("/messages/", guarded(UnansweredLimit(sse.handle_post_message))),
    ]
