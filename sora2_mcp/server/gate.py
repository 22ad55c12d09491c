"""Which names and pages an HTTP request may come by: against DNS rebinding and doors that a proxy opens by accident."""

import re
from collections.abc import Iterable
from ipaddress import ip_address

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from sora2_mcp.server.request_id import HEADER

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?")
_LOOPBACK_ORIGIN = r"https?://(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?"
_FORWARDED = re.compile(r"forwarded|via|x-forwarded-.*|x-real-ip|.*-client-ip|.*-connecting-ip")
_MISDIRECTED = "This server is not served under that Host name; SORA2_ALLOWED_HOSTS can add it."
_ELSEWHERE = "Without SORA2_AUTH_TOKENS this server serves its own machine only, and nothing that a proxy passed on."
_FOREIGN_PAGE = "Pages of that Origin may not call this server; SORA2_ALLOWED_ORIGINS can add it."


class Gate:
    """Lets a request through if its ``Host`` is one of ``hosts`` and its ``Origin``, if any, one of ``origins``.

    A host without a port stands for all its ports; an origin counts exactly as browsers send it. This machine's own
    names and pages always count. With ``own_only`` nothing comes in from another machine, nor what shows that a proxy
    passed it on.
    """

    def __init__(self, *, hosts: Iterable[str], origins: Iterable[str], own_only: bool) -> None:
        self._hosts = {*LOOPBACK_NAMES, *hosts}
        self._origins = {*origins}
        self._own_only = own_only

    def guarded(self, app: ASGIApp) -> ASGIApp:
        """``app`` for requests that may come in: 421 for other hosts, 403 for other pages."""
        inner = CORSMiddleware(
            app,
            allow_origins=sorted(self._origins),
            allow_origin_regex=_LOOPBACK_ORIGIN,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["mcp-session-id", "mcp-protocol-version", "www-authenticate", HEADER],
        )

        async def gate(scope: Scope, receive: Receive, send: Send) -> None:
            refusal = self._refusal(scope)
            await (refusal or inner)(scope, receive, send)

        return gate

    def _refusal(self, scope: Scope) -> JSONResponse | None:
        headers = Headers(scope=scope)
        if not self._is_ours(headers.getlist("host")):
            return JSONResponse({"error": _MISDIRECTED}, status_code=421)
        if self._own_only and not _is_from_here(scope):
            return JSONResponse({"error": _ELSEWHERE}, status_code=421)
        origins = headers.getlist("origin")
        if len(origins) > 1 or (origins and not self._may_call(origins[0])):
            return JSONResponse({"error": _FOREIGN_PAGE}, status_code=403)
        return None

    def _is_ours(self, hosts: list[str]) -> bool:
        host = hosts[0].lower() if len(hosts) == 1 else ""
        parts = _HOST.fullmatch(host)
        return parts is not None and (host in self._hosts or parts["name"] in self._hosts)

    def _may_call(self, origin: str) -> bool:
        return origin in self._origins or re.fullmatch(_LOOPBACK_ORIGIN, origin) is not None


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
