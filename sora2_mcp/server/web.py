"""One ASGI application: MCP over streamable HTTP and SSE, the service's callbacks, and health."""

import ipaddress
import logging
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from urllib.parse import urlsplit

from mcp.server.transport_security import TransportSecuritySettings
from starlette.applications import Starlette
from starlette.middleware import Middleware
from starlette.routing import BaseRoute, Mount, Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sora2_mcp.errors import ConfigurationError
from sora2_mcp.runtime import Endpoint, Runtime
from sora2_mcp.server.access import Access, access_of, issuer_routes
from sora2_mcp.server.app import Sora2Server, build_server
from sora2_mcp.server.bodies import BodyLimit, CheckedMessages
from sora2_mcp.server.callbacks import callback_routes, hide_paths
from sora2_mcp.server.connections import Limits, open_files_limit
from sora2_mcp.server.gate import Gate, is_loopback
from sora2_mcp.server.health import health_routes
from sora2_mcp.server.messages import LONGEST_CALL_BYTES
from sora2_mcp.server.pictures import picture_routes
from sora2_mcp.server.request_id import RequestIds
from sora2_mcp.server.sessions import FairRequests, FairSessions
from sora2_mcp.server.simulated import endpoint_of
from sora2_mcp.server.unread import answered_in_exchange, answered_in_session
from sora2_mcp.settings import Settings
from sora2_mcp.telemetry.logs import join_logging

logger = logging.getLogger(__name__)

SESSION_IDLE_SECONDS = 1800.0
"""How long a legacy session may be silent, with no request and no stream open, until it is closed."""

_SESSIONS = 1000
SESSIONS_EACH = 100
"""Legacy sessions of one principal: nobody takes all there are."""

_HEALTH_BODY_LIMIT_BYTES = 1000
_TOKENS_HELP = (
    "needs tokens: set SORA2_AUTH_TOKENS=name:token (at least 16 characters), or SORA2_OAUTH_ISSUER and its companions"
)


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
    runtime = Runtime(settings, endpoint=endpoint or endpoint_of(settings))
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
    """The application over a server that listens at ``host``; None: its owner decides. ``limits`` are the web server's.

    ``opens_runtime``: nobody else has entered it. A server that has the process for itself has the default limits.
    """
    settings = runtime.settings
    access = access_of(settings, runtime.clock)
    check_reach(settings, host)
    gate = _gate_of(settings, host, own_only=access is None)
    # The gate looks at names and pages, here and on every route alike.
    unchecked = TransportSecuritySettings(enable_dns_rebinding_protection=False)
    streamable = server.streamable_http_app(
        transport_security=unchecked,
        max_request_body_size=LONGEST_CALL_BYTES,
        session_idle_timeout=session_idle_seconds,
        max_sessions=_SESSIONS,
    )
    sse = server.sse_app(transport_security=unchecked, max_request_body_size=LONGEST_CALL_BYTES)

    @asynccontextmanager
    async def lifespan(_: Starlette) -> AsyncIterator[None]:
        async with streamable.router.lifespan_context(streamable):
            if not opens_runtime:
                yield
                return
            async with runtime:
                if not settings.missing:
                    # Tasks of an earlier run are looked at from now on, not from the first call on.
                    runtime.begin()
                yield

    sessions = server.low_level.session_manager
    own = [Route(route.path, FairSessions(route.app, sessions, SESSIONS_EACH)) for route in _plain(streamable.routes)]
    fair = FairRequests((limits or Limits.of_files(open_files_limit())).connections)
    routes = [guarded for route in (*own, *sse.routes) for guarded in _guarded(route, gate, access, fair)]
    app = Starlette(routes=[*routes, *_open_routes(runtime)], lifespan=lifespan, middleware=[Middleware(RequestIds)])
    # A redirect would name whatever host the request does, before the gate has looked at it.
    app.router.redirect_slashes = False
    return app


def _open_routes(runtime: Runtime) -> list[Route]:
    """What the service and whoever watches over this process ask for; the secret in its path lets a caller in."""
    return [
        *callback_routes(runtime),
        *picture_routes(runtime),
        *issuer_routes(runtime.settings),
        *_limited(health_routes(runtime)),
    ]


def _gate_of(settings: Settings, host: str | None, *, own_only: bool) -> Gate:
    if own_only and settings.public_url and not is_loopback(urlsplit(settings.public_url).hostname or ""):
        logger.warning(
            "SORA2_PUBLIC_URL without tokens: whatever passes it on should pass on /callbacks/ and /pictures/ only"
        )
    named = [in_url(host).lower()] if host and not _is_wildcard(host) else []
    hosts = [*named, *settings.hosts, *settings.public_host]
    return Gate(hosts=hosts, origins=settings.origins, own_only=own_only)


def check_reach(settings: Settings, host: str | None) -> None:
    """Keeps other machines out unless there are tokens; ``host`` is None where somebody else decides on the address.

    Raises:
        ConfigurationError: the address, or a name to be served, is not this machine's own.
    """
    if settings.has_access_control:
        return
    if host is not None and not is_loopback(host):
        # An empty one is every address there is.
        raise ConfigurationError(
            "--host", f"{host.strip() or '(empty)'} lets other machines connect, which {_TOKENS_HELP}."
        )
    if settings.hosts:
        raise ConfigurationError("SORA2_ALLOWED_HOSTS", f"lets other machines connect, which {_TOKENS_HELP}.")


def _guarded(route: BaseRoute, gate: Gate, access: Access | None, fair: FairRequests) -> list[BaseRoute]:
    """The route behind the gate, with and without a slash at its end; for known callers only where there are tokens."""
    assert isinstance(route, Route | Mount)  # noqa: S101 - the SDK makes no others
    # Inside of both: a stranger need not hear how much there may be.
    answered = answered_in_session if isinstance(route, Mount) else answered_in_exchange
    limited = fair.shared(BodyLimit(CheckedMessages(answered(route.app))))
    app = gate.guarded(access.guarded(limited) if access else limited)
    if isinstance(route, Mount):
        return [Mount(route.path, app=app)]
    # A browser's question beforehand (CORS) comes as OPTIONS; the gate answers it.
    methods = {*route.methods, "OPTIONS"} if route.methods else None
    return [Route(path, endpoint=_Application(app), methods=methods) for path in (route.path, f"{route.path}/")]


def _plain(routes: Sequence[BaseRoute]) -> list[Route]:
    return [route for route in routes if isinstance(route, Route)]


def _limited(routes: Sequence[Route]) -> list[Route]:
    """Routes that take no body worth mentioning."""
    return [
        Route(
            route.path,
            endpoint=_Application(BodyLimit(route.app, _HEALTH_BODY_LIMIT_BYTES)),
            methods=route.methods,
        )
        for route in routes
    ]


class _Application:
    """An ASGI application that Starlette does not take for a function of a request."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await self._app(scope, receive, send)


def _is_wildcard(host: str) -> bool:
    try:
        return ipaddress.ip_address(host.strip("[]")).is_unspecified
    except ValueError:
        return False


def in_url(host: str) -> str:
    """The host as an address bar wants it."""
    name = host.strip("[]")
    return f"[{name}]" if ":" in name else name
