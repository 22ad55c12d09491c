"""Which names and pages an HTTP request may come by: against DNS rebinding and doors that a proxy opens by accident."""

import re
from collections.abc import Iterable

from starlette.datastructures import Headers
from starlette.middleware.cors import CORSMiddleware
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

LOOPBACK_NAMES = ("127.0.0.1", "localhost", "[::1]")

_HOST = re.compile(r"(?P<name>\[[0-9a-f:.]+\]|[a-z0-9._-]+)(:\d{1,5})?")
_LOOPBACK_ORIGIN = r"https?://(127\.0\.0\.1|localhost|\[::1\])(:\d{1,5})?"
_FORWARDED = ("forwarded", "x-forwarded-for", "x-forwarded-host", "x-real-ip")
_MISDIRECTED = "This server is not served under that Host name; SORA2_ALLOWED_HOSTS can add it."
_PROXIED = "A proxy passed this request on, and without SORA2_AUTH_TOKENS this server serves its own machine only."
_FOREIGN_PAGE = "Pages of that Origin may not call this server; SORA2_ALLOWED_ORIGINS can add it."


class Gate:
    """Lets a request through if its ``Host`` is one of ``hosts`` and its ``Origin``, if any, one of ``origins``.

    A host without a port stands for all its ports. This machine's own names and pages always count. Unless
    ``behind_proxy``, what a proxy passed on does not come in.
    """

    def __init__(self, *, hosts: Iterable[str], origins: Iterable[str], behind_proxy: bool) -> None:
        self._hosts = {*LOOPBACK_NAMES, *hosts}
        self._origins = {*origins}
        self._behind_proxy = behind_proxy

    def guarded(self, app: ASGIApp) -> ASGIApp:
        """``app`` for requests that may come in: 421 for other hosts, 403 for other pages."""
        inner = CORSMiddleware(
            app,
            allow_origins=sorted(self._origins),
            allow_origin_regex=_LOOPBACK_ORIGIN,
            allow_methods=["GET", "POST", "DELETE"],
            allow_headers=["*"],
            expose_headers=["mcp-session-id", "mcp-protocol-version", "www-authenticate"],
        )

        async def gate(scope: Scope, receive: Receive, send: Send) -> None:
            refusal = self._refusal(Headers(scope=scope))
            await (refusal or inner)(scope, receive, send)

        return gate

    def _refusal(self, headers: Headers) -> JSONResponse | None:
        if not self._is_ours(headers.getlist("host")):
            return JSONResponse({"error": _MISDIRECTED}, status_code=421)
        if not self._behind_proxy and any(name in headers for name in _FORWARDED):
            return JSONResponse({"error": _PROXIED}, status_code=421)
        origins = headers.getlist("origin")
        if len(origins) > 1 or (origins and not self._may_call(origins[0].lower())):
            return JSONResponse({"error": _FOREIGN_PAGE}, status_code=403)
        return None

    def _is_ours(self, hosts: list[str]) -> bool:
        host = hosts[0].lower() if len(hosts) == 1 else ""
        parts = _HOST.fullmatch(host)
        return parts is not None and (host in self._hosts or parts["name"] in self._hosts)

    def _may_call(self, origin: str) -> bool:
        return origin in self._origins or re.fullmatch(_LOOPBACK_ORIGIN, origin) is not None
