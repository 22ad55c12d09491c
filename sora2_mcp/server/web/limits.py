"""What clients may hold open: connections, sessions, requests, and answers that they do not read.

Each is bounded, and shared out so that one client cannot keep the others out. uvicorn's own limit would: it answers 503
to newcomers while silent connections keep their places. Here the one that has been silent for longest makes room.
"""

import asyncio
import logging
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self
from urllib.parse import parse_qs
from uuid import UUID
from weakref import WeakValueDictionary

import h11
from mcp.server.auth.middleware.bearer_auth import AuthenticatedUser
from mcp.server.streamable_http import MCP_SESSION_ID_HEADER
from mcp.server.streamable_http_manager import StreamableHTTPSessionManager
from mcp.shared.inbound import MCP_PROTOCOL_VERSION_HEADER
from mcp_types.version import HANDSHAKE_PROTOCOL_VERSIONS
from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.protocols.http.h11_impl import H11Protocol

from sora2_mcp.server.unread import Calls, calls_of_session, response_over

logger = logging.getLogger(__name__)

UNANSWERED_LIMIT = 200
"""Calls of one SSE session that may be under way or wait to be read."""

_MOST_CONNECTIONS = 1000
_MOST_ACCEPTED_AT_ONCE = 128
_FILES_IF_UNKNOWN = 1024
_READ_BYTES = 16_384
_LARGE_BYTES = 65_536
_READER: Final = object()


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many connections there may be, and how long each may be silent."""

    connections: int = _MOST_CONNECTIONS
    accepted_at_once: int = _MOST_ACCEPTED_AT_ONCE
    head_seconds: float = 10.0
    """From the connection, or the end of the previous answer, to the end of a request's head."""

    body_seconds: float = 30.0
    """From the head to the last byte of the body."""

    write_seconds: float = 30.0
    """How long a client may take to read ``write_bytes`` of an answer that waits for it."""

    write_bytes: int = 16_384

    quiet_seconds: float = 60.0
    """How long after the last eviction the log says that there is room again."""

    @classmethod
    def of_process(cls) -> Self:
        """What this process can afford."""
        try:
            import resource  # noqa: PLC0415 - Windows has none
        except ImportError:
            return cls.of_files(_FILES_IF_UNKNOWN)
        soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
        return cls() if soft == resource.RLIM_INFINITY else cls.of_files(soft)

    @classmethod
    def of_files(cls, files: int) -> Self:
        """Half of the files that a process may have open; the rest are its own.

        asyncio accepts several times as many as ``accepted_at_once`` before the first of them is counted.
        """
        return cls(
            connections=min(_MOST_CONNECTIONS, files // 2),
            accepted_at_once=max(1, min(_MOST_ACCEPTED_AT_ONCE, files // 16)),
        )


class Connections:
    """The open connections of one server, and which of them wait for their client."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: set[Connection] = set()
        self._silent: dict[Connection, None] = {}
        """The one that has been silent for longest comes first."""
        self._quiet: asyncio.TimerHandle | None = None

    def add(self, connection: "Connection") -> None:
        """Counts one more. Beyond the limit the one that has been silent for longest is closed.

        That is the newcomer only where every other client has sent a whole request and reads its answer.
        """
        self._open.add(connection)
        if len(self._open) > self.limits.connections:
            longest = next(iter(self._silent), connection)
            self.discard(longest)
            longest.transport.abort()
            self._note_full(connection.loop)

    def discard(self, connection: "Connection") -> None:
        self._open.discard(connection)
        self._silent.pop(connection, None)

    def mark(self, connection: "Connection", *, silent: bool) -> None:
        """Notes that the connection waits for its client from now on, or that it does not."""
        self._silent.pop(connection, None)
        if silent:
            self._silent[connection] = None

    def _note_full(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._quiet is None:
            most = self.limits.connections
            logger.warning("%d connections are open, the most there may be; each further one ends another", most)
        else:
            self._quiet.cancel()
        self._quiet = loop.call_later(self.limits.quiet_seconds, self._note_quiet, loop)

    def _note_quiet(self, loop: asyncio.AbstractEventLoop) -> None:
        if len(self._open) >= self.limits.connections:
            self._quiet = loop.call_later(self.limits.quiet_seconds, self._note_quiet, loop)
        else:
            self._quiet = None
            logger.info("there is room for connections again, %d are open", len(self._open))


class Connection(H11Protocol, asyncio.BufferedProtocol):
    """A connection that ends when a request does not arrive in time, or its answer is not read.

    Between the two nothing is limited: an answer may take as long as it likes.
    """

    def __init__(self, *arguments: Any, connections: Connections, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._connections = connections
        self._buffer = bytearray(_READ_BYTES)
        self._awaited: object = None
        self._unread_bytes = 0
        self._deadline: asyncio.TimerHandle | None = None

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - as its base is called
        """Where asyncio puts what it reads: little at a time, as thousands of chunks of one byte may be in it."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(memoryview(self._buffer)[:nbytes]))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(transport)
        self._watch()
        self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._expect(None)
        self._connections.discard(self)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        self._watch()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._watch()

    def shutdown(self) -> None:
        if self.conn.their_state is h11.SEND_BODY:
            # The rest of the body will not come, and without it there is no answer to wait for.
            self.transport.abort()
        else:
            super().shutdown()

    def _watch(self) -> None:
        """Starts a new deadline whenever something else is awaited of the client than before."""
        limits = self._connections.limits
        if self.transport.is_closing():
            self._expect(None)
        elif self.flow.write_paused:
            self._expect(_READER, limits.write_seconds)
        elif self.conn.their_state is h11.IDLE:
            # Between requests uvicorn's shorter timeout_keep_alive ends a connection first, unless something comes.
            self._expect(h11.IDLE, limits.head_seconds)
        else:
            # The cycle tells one request's body from the next one's.
            self._expect(self.cycle if self.conn.their_state is h11.SEND_BODY else None, limits.body_seconds)

    def _expect(self, awaited: object, seconds: float = 0.0) -> None:
        if awaited is self._awaited:
            return
        self._awaited = awaited
        self._connections.mark(self, silent=awaited is not None)
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if awaited is not None:
            self._unread_bytes = self.transport.get_write_buffer_size()
            # By the event loop's own time: protocols are not tasks, and the clock offers them no timer.
            self._deadline = self.loop.call_later(seconds, self._expire)

    def _expire(self) -> None:
        read_bytes = self._unread_bytes - self.transport.get_write_buffer_size()
        if self._awaited is _READER and read_bytes >= self._connections.limits.write_bytes:
            # A slow client that reads on gets all of a large answer.
            self._expect(None)
            self._watch()
        else:
            self.transport.abort()


class SessionLimit:
    """Refuses with 503 the session that is one more than ``most`` of one principal; legacy sessions only."""

    def __init__(self, app: ASGIApp, sessions: StreamableHTTPSessionManager, most: int) -> None:
        self._app = app
        self._sessions = sessions
        self._most = most
        self._opening: Counter[str] = Counter()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal, headers = _principal(scope), Headers(scope=scope)
        version = headers.get(MCP_PROTOCOL_VERSION_HEADER)
        is_modern = version is not None and version not in HANDSHAKE_PROTOCOL_VERSIONS
        if principal is None or is_modern or MCP_SESSION_ID_HEADER in headers:
            await self._app(scope, receive, send)
            return
        owners = self._sessions._session_owners.values()  # noqa: SLF001 - the SDK does not say how many there are
        count = sum(owner["client_id"] == principal for owner in owners)
        if count + self._opening[principal] >= self._most:
            await _refuse(f"You have {self._most} sessions; end some first.", scope, receive, send)
            return
        with _one_more(self._opening, principal):
            await self._app(scope, receive, send)


class RequestLimit:
    """Keeps a quarter of ``most`` requests and streams free for callers with few: the others then get 503.

    A caller who has a quarter of all may open one more only while three quarters are not taken. ``opened`` counts them
    by principal, over all routes.
    """

    def __init__(self, app: ASGIApp, opened: Counter[str], most: int) -> None:
        self._app = app
        self._opened = opened
        self._enough = max(1, most // 4)
        self._crowded = max(1, most * 3 // 4)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        principal = _principal(scope)
        # Ending a session needs no room.
        if principal is None or scope.get("method") == "DELETE":
            await self._app(scope, receive, send)
            return
        count = self._opened[principal]
        if count >= self._enough and self._opened.total() >= self._crowded:
            await _refuse(f"You have {count} requests and streams open; end some first.", scope, receive, send)
            return
        with _one_more(self._opened, principal):
            await self._app(scope, receive, send)


class TrackedAnswers:
    """Tells ``unread.Turns`` when the answer to a request has left: for streamable HTTP, where each request has one."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        over: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        response_over.set(over)

        async def send_to_the_end(message: Message) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if last and len(message.get("body", b"")) > _LARGE_BYTES:
                await send({**message, "more_body": True})
                # Web servers hold back what follows until most of what went before has been read.
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        try:
            await self._app(scope, receive, send_to_the_end)
        finally:
            over.set_result(None)


class UnansweredLimit:
    """Refuses calls of an SSE session with 503 while ``UNANSWERED_LIMIT`` are not answered, or not read."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app
        self._sessions: WeakValueDictionary[str, Calls] = WeakValueDictionary()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        calls = self._sessions.setdefault(_session_id(scope), Calls())
        if len(calls) >= UNANSWERED_LIMIT:
            # Not their number: a call that was let in is counted when its turn comes, so it may be a few more.
            words = (
                f"{UNANSWERED_LIMIT} calls of this session are not answered yet, or not read; read its stream first."
            )
            await _refuse(words, scope, receive, send)
            return
        calls_of_session.set(calls)
        await self._app(scope, receive, send)


def _session_id(scope: Scope) -> str:
    """The session's id in one spelling, empty where the SDK will refuse it."""
    given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("session_id", [""])[0]
    try:
        return UUID(hex=given).hex
    except ValueError:
        return ""


def _principal(scope: Scope) -> str | None:
    user = scope.get("user")
    return user.access_token.client_id if isinstance(user, AuthenticatedUser) else None


@contextmanager
def _one_more(counts: Counter[str], principal: str) -> Iterator[None]:
    counts[principal] += 1
    try:
        yield
    finally:
        counts[principal] -= 1
        if not counts[principal]:
            del counts[principal]


async def _refuse(words: str, scope: Scope, receive: Receive, send: Send) -> None:
    await JSONResponse({"error": words}, status_code=503)(scope, receive, send)
