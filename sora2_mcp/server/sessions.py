"""Legacy sessions and open requests are shared out fairly: nobody takes all there are."""

from collections import Counter

from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send


class FairSessions:
    """An application whose callers may each have ``most`` sessions open; one more gets 503."""

    def __init__(self, app: ASGIApp, sessions: StreamableHTTPSessionManager, most: int) -> None:
        self._app = app
        self._sessions = sessions
        self._most = most
        self._opening: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        user, headers = scope.get("user"), Headers(scope=scope)
        version = headers.get(MCP_PROTOCOL_VERSION_HEADER)
        is_modern = version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS
        if not isinstance(user, AuthenticatedUser) or is_modern or MCP_SESSION_ID_HEADER in headers:
            await self._app(scope, receive, send)
            return
        principal = user.access_token.client_id
        if self._open(principal) + self._opening[principal] >= self._most:
            refusal = JSONResponse({"error": f"You have {self._most} sessions; end some first."}, status_code=503)
            await refusal(scope, receive, send)
            return
        self._opening[principal] += 1
        try:
            await self._app(scope, receive, send)
        finally:
            self._opening[principal] -= 1

    def _open(self, principal: str) -> int:
        owners = self._sessions._session_owners.values()  # noqa: SLF001 - the SDK does not say how many there are
        return sum(owner["client_id"] == principal for owner in owners)


class FairRequests:
    """The open requests and streams of all callers: of ``most`` a quarter stays free for those who have few.

    A caller who has a quarter of all may open one more only while three quarters are not taken; then it gets 503.
    """

    def __init__(self, most: int) -> None:
        self._enough = max(1, most // 4)
        self._crowded = max(1, most * 3 // 4)
        self._open: Counter[str] = Counter()

    def shared(self, app: ASGIApp) -> ASGIApp:
        """The application for requests that get their share; ending a session needs none."""

        async def share(scope: Scope, receive: Receive, send: Send) -> None:
            user = scope.get("user")
            if not isinstance(user, AuthenticatedUser) or scope.get("method") == "DELETE":
                await app(scope, receive, send)
                return
            principal = user.access_token.client_id
            if self._open[principal] >= self._enough and self._open.total() >= self._crowded:
                told = f"You have {self._open[principal]} requests and streams open; end some first."
                await JSONResponse({"error": told}, status_code=503)(scope, receive, send)
                return
            self._open[principal] += 1
            try:
                await app(scope, receive, send)
            finally:
                self._open[principal] -= 1
                if not self._open[principal]:
                    del self._open[principal]

        return share
