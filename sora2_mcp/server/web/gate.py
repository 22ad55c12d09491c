"""What a request must look like before anything reads it: its host, its origin, its size, its id."""

import re
from collections.abc import Iterable
from ipaddress import ip_address

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sora2_mcp.errors import ConfigurationError
from sora2_mcp.server.messages import LONGEST_CALL_BYTES, checked_message
from sora2_mcp.settings import Settings
from sora2_mcp.telemetry.context import new_request_id, request_context

_LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")
_LOOPBACK_ORIGIN = r"https?://(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?"
_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?")
_FORWARDED = re.compile(r"forwarded|via|x-forwarded-.*|x-real-ip|.*-client-ip|.*-connecting-ip")
_REQUEST_ID = "x-request-id"
_PLAIN_ID = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
"""Ids stand in logs, where one must not look like several words."""

_MISDIRECTED = "This server is not served under that Host name; SORA2_ALLOWED_HOSTS can add it."
_ELSEWHERE = "Without SORA2_AUTH_TOKENS this server serves its own machine only, and nothing that a proxy passed on."
_FOREIGN_PAGE = "Pages of that Origin may not call this server; SORA2_ALLOWED_ORIGINS can add it."
_TOKENS_HELP = (
    "needs tokens: set SORA2_AUTH_TOKENS=name:token (at least 16 characters), or SORA2_OAUTH_ISSUER and its companions"
)


class HostGuard:
    """Keeps out DNS rebinding, foreign pages, and doors that a proxy opens by accident: 421 for hosts, 403 for pages.

    A host without a port stands for all its ports; an origin counts exactly as browsers send it. This machine's own
    names and pages always count, and so do this server's own pages. With ``own_only`` requests of other machines, and
    those that show a proxy's marks, get 421 as well.
    """

    def __init__(self, app: ASGIApp, *, hosts: Iterable[str], origins: Iterable[str], own_only: bool) -> None:
        self._hosts = {*_LOOPBACK_NAMES, *hosts}
        self._origins = {*origins}
        self._own_only = own_only
        self._app = CORSMiddleware(
            app,
            allow_origins=sorted(self._origins),
            allow_origin_regex=_LOOPBACK_ORIGIN,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["mcp-session-id", "mcp-protocol-version", "www-authenticate", _REQUEST_ID],
        )

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await (self._refusal(scope) or self._app)(scope, receive, send)

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        hosts = headers.getlist("host")
        if not self._is_served(hosts):
            return JSONResponse({"error": _MISDIRECTED}, status_code=421)
        if self._own_only and not _is_from_here(scope):
            return JSONResponse({"error": _ELSEWHERE}, status_code=421)
        origins = headers.getlist("origin")
        if len(origins) > 1 or (origins and not self._may_call(origins[0], hosts[0])):
            return JSONResponse({"error": _FOREIGN_PAGE}, status_code=403)
        return None

    def _is_served(self, hosts: list[str]) -> bool:
        host = hosts[0].lower() if len(hosts) == 1 else ""
        parts = _HOST.fullmatch(host)
        return parts is not None and (host in self._hosts or parts["name"] in self._hosts)

    def _may_call(self, origin: str, host: str) -> bool:
        # A page of this server's own, under the name that was just checked; which scheme it has the proxy knows.
        is_own = origin.lower() in (f"http://{host.lower()}", f"https://{host.lower()}")
        return is_own or origin in self._origins or re.fullmatch(_LOOPBACK_ORIGIN, origin) is not None


def _is_from_here(scope: Scope) -> bool:
    """Whether a request was made on this machine, as far as can be seen; clients speak HTTP/1.1 or newer."""
    ends = (scope.get("client"), scope.get("server"))
    local = all(end is not None and is_loopback(str(end[0])) for end in ends)
    forwarded = any(_FORWARDED.fullmatch(name) for name in Headers(scope=scope))
    return local and not forwarded and scope.get("http_version") != "1.0"


def is_loopback(host: str) -> bool:
    """Whether only this machine can connect there."""
    try:
        return host == "localhost" or ip_address(host.strip("[]")).is_loopback
    except ValueError:
        return False


def in_url(host: str) -> str:
    """The host as an address bar wants it."""
    name = host.strip("[]")
    return f"[{name}]" if ":" in name else name


def names_of(host: str | None) -> list[str]:
    """The ``Host`` of requests to a server that listens there; none for None, and for every address there is."""
    try:
        is_wildcard = ip_address((host or "").strip("[]")).is_unspecified
    except ValueError:
        is_wildcard = False
    return [in_url(host).lower()] if host and not is_wildcard else []


def check_reach(settings: Settings, host: str | None) -> None:
    """Keeps other machines out unless there are tokens; ``host`` is None where another web server listens.

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


class BodyLimit:
    """Hands on each request with its whole body: 413 above ``most_bytes``, 400 for JSON that is no MCP message.

    The answer to the latter is the one that JSON-RPC asks for.
    """

    def __init__(self, app: ASGIApp, most_bytes: int = LONGEST_CALL_BYTES) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        headers = Headers(scope=scope)
        body, is_whole = bytearray(), False
        is_too_large = declared_bytes(headers) > self._most_bytes
        while not (is_whole or is_too_large):
            message = await receive()
            if message["type"] != "http.request":
                return
            body += message.get("body", b"")
            is_whole = not message.get("more_body", False)
            is_too_large = len(body) > self._most_bytes
        if is_too_large:
            words = f"The request is larger than {self._most_bytes:,} bytes, more than any needs; nothing was done."
            await JSONResponse({"error": words}, status_code=413)(scope, receive, send)
            return
        if scope["method"] == "POST" and "json" in headers.get("content-type", ""):
            text, refusal = checked_message(body)
            if refusal:
                await Response(refusal, status_code=400, media_type="application/json")(scope, receive, send)
                return
            body = bytearray(text.encode())
        unread: list[Message] = [{"type": "http.request", "body": bytes(body), "more_body": False}]

        async def replay() -> Message:
            return unread.pop() if unread else await receive()

        await self._app(scope, replay, send)


def declared_bytes(headers: Headers) -> int:
    """How long a request's body is said to be; 0 where nothing is said."""
    declared = headers.get("content-length", "")
    return int(declared[:20]) if declared.isdecimal() else 0


class RequestIds:
    """Gives each request an id for logs and traces, which its answer names too.

    A client or proxy may choose it with ``X-Request-ID``.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        given = Headers(scope=scope).getlist(_REQUEST_ID)
        is_usable = len(given) == 1 and _PLAIN_ID.fullmatch(given[0])
        request_id = given[0] if is_usable else new_request_id()

        async def send_named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[_REQUEST_ID] = request_id
            await send(message)

        with request_context(request_id):
            await self._app(scope, receive, send_named)
