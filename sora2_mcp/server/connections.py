"""Connections over which nothing comes: strangers can open many, so each has a deadline and all together a limit."""

import asyncio
import logging
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Self

import h11
from anyio import ClosedResourceError
from starlette.requests import ClientDisconnect
from uvicorn.protocols.http.h11_impl import H11Protocol

logger = logging.getLogger(__name__)

_MOST_CONNECTIONS = 1000
_MOST_ACCEPTED_AT_ONCE = 128
_FILES_IF_UNKNOWN = 1024
_READ_BYTES = 16_384
LONGEST_HEAD_BYTES = 65_536
_CARRIERS: Final = ("asyncio", "uvicorn.error", "mcp.server.streamable_http")
_PARTINGS: Final = (ClientDisconnect, ClosedResourceError, asyncio.CancelledError)
"""The client has gone, or the session has (the SDK then answers a second time, which uvicorn reports as well), or the
server is ending and cuts off what has taken too long.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Limits:
    """How many connections there may be, and how long each is waited for."""

    connections: int = _MOST_CONNECTIONS
    accepted_at_once: int = _MOST_ACCEPTED_AT_ONCE
    head_seconds: float = 10.0
    """From the connection, or the end of the answer before, to the last line of a request's head."""

    body_seconds: float = 30.0
    """From the head to the last byte of the body."""

    write_seconds: float = 30.0
    """How long a client may take over ``write_bytes`` of an answer that waits for it to read."""

    write_bytes: int = 16_384

    quiet_seconds: float = 60.0
    """How long nobody must have been turned away until that is over."""

    @classmethod
    def of_files(cls, files: int) -> Self:
        """What a process that may have so many files open can afford: half of them, the rest are its own.

        asyncio accepts several times as many as ``accepted_at_once`` before the first of them is counted.
        """
        return cls(
            connections=min(_MOST_CONNECTIONS, files // 2),
            accepted_at_once=max(1, min(_MOST_ACCEPTED_AT_ONCE, files // 16)),
        )


def open_files_limit() -> int:
    """How many files this process may have open; a guess where the system does not say."""
    try:
        import resource  # noqa: PLC0415 - Windows has none
    except ImportError:
        return _FILES_IF_UNKNOWN
    soft, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    return 2 * _MOST_CONNECTIONS if soft == resource.RLIM_INFINITY else soft


class OpenConnections:
    """The connections of one server: at most as many as its limits say."""

    def __init__(self, limits: Limits) -> None:
        self.limits = limits
        self._open: set[Connection] = set()
        self._awaited: dict[Connection, None] = {}
        self._turned_away = 0
        self._look: asyncio.TimerHandle | None = None

    def enter(self, connection: "Connection") -> None:
        """Counts one more. Beyond the limit, the one that has been waited for longest is closed at once.

        That is the newcomer only where a whole request has come over every other one: who holds connections open
        and sends nothing keeps nobody out.
        """
        self._open.add(connection)
        if len(self._open) > self.limits.connections:
            longest = next(iter(self._awaited), connection)
            self.leave(longest)
            longest.transport.abort()
            self._turned_away += 1
            self._warn(connection.loop)

    def leave(self, connection: "Connection") -> None:
        self._open.discard(connection)
        self.awaits(connection, awaited=False)

    def awaits(self, connection: "Connection", *, awaited: bool) -> None:
        """Notes since when something is still to come over this connection, or that nothing is."""
        self._awaited.pop(connection, None)
        if awaited:
            self._awaited[connection] = None

    def _warn(self, loop: asyncio.AbstractEventLoop) -> None:
        if self._look is None:
            most = self.limits.connections
            logger.warning("%d connections are open, the most there may be; each further one ends another", most)
            self._look_later(loop)

    def _look_later(self, loop: asyncio.AbstractEventLoop) -> None:
        self._look = loop.call_later(self.limits.quiet_seconds, self._look_again, loop)

    def _look_again(self, loop: asyncio.AbstractEventLoop) -> None:
        # Said once it has been quiet for a while: said at every change, it would fill the log.
        if self._turned_away or len(self._open) >= self.limits.connections:
            self._turned_away = 0
            self._look_later(loop)
        else:
            self._look = None
            logger.info("there is room for connections again, %d are open", len(self._open))


class Connection(H11Protocol, asyncio.BufferedProtocol):
    """A connection that ends when a request's head or body does not come in time, or its answer is not read.

    Once a request is complete nothing else is limited: an answer may take as long as it likes.
    """

    def __init__(self, *arguments: Any, connections: OpenConnections, **options: Any) -> None:
        super().__init__(*arguments, **options)
        self._all = connections
        self._buffer = bytearray(_READ_BYTES)
        self._awaited: object = None
        self._deadline: asyncio.TimerHandle | None = None
        self._reading: asyncio.TimerHandle | None = None

    def get_buffer(self, sizehint: int) -> bytearray:  # noqa: ARG002 - as its base is called
        """Where asyncio puts what it reads: little at a time, as thousands of chunks of one byte may be in it."""
        return self._buffer

    def buffer_updated(self, nbytes: int) -> None:
        self.data_received(bytes(memoryview(self._buffer)[:nbytes]))

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]  # as uvicorn narrows it
        super().connection_made(transport)
        self._await_the_rest()
        self._all.enter(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._set_deadline(None)
        self._expect_reading(expected=False)
        self._all.leave(self)
        super().connection_lost(exc)

    def handle_events(self) -> None:
        super().handle_events()
        self._await_the_rest()

    def shutdown(self) -> None:
        if self.conn.their_state is h11.SEND_BODY:
            # The rest of the body will not come, and without it there is no answer to wait for.
            self.transport.abort()
        else:
            super().shutdown()

    def pause_writing(self) -> None:
        super().pause_writing()
        # Somebody who does not read holds a place like somebody who does not send, and makes room like him.
        self._all.awaits(self, awaited=True)
        self._expect_reading(expected=True)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._all.awaits(self, awaited=self._awaited is not None)
        self._expect_reading(expected=False)

    def _expect_reading(self, *, expected: bool) -> None:
        if self._reading is not None:
            self._reading.cancel()
            self._reading = None
        if expected:
            unread = self.transport.get_write_buffer_size()
            self._reading = self.loop.call_later(self._all.limits.write_seconds, self._check_reading, unread)

    def _check_reading(self, unread: int) -> None:
        """Ends it where too little was read of what waited; large answers to slow clients go on."""
        if unread - self.transport.get_write_buffer_size() < self._all.limits.write_bytes:
            self.transport.abort()
        else:
            self._expect_reading(expected=True)

    def _await_the_rest(self) -> None:
        awaited = None if self.transport.is_closing() else self._missing()
        if awaited is not self._awaited:
            self._awaited = awaited
            self._set_deadline(awaited)
            self._all.awaits(self, awaited=awaited is not None)

    def _missing(self) -> object:
        """What is still to come, told apart from one request to the next: a head, the body of a request, or None."""
        if self.conn.their_state is h11.IDLE:
            return h11.IDLE
        return self.cycle if self.conn.their_state is h11.SEND_BODY else None

    def _set_deadline(self, awaited: object) -> None:
        if self._deadline is not None:
            self._deadline.cancel()
            self._deadline = None
        if awaited is not None:
            limits = self._all.limits
            # Between requests uvicorn's shorter timeout_keep_alive ends a connection first, unless something comes.
            seconds = limits.head_seconds if awaited is h11.IDLE else limits.body_seconds
            # By the event loop's own time: protocols are not tasks, and the clock offers them no timer.
            self._deadline = self.loop.call_later(seconds, self.transport.abort)


def connections_within(limits: Limits) -> Callable[..., Connection]:
    """What makes the connections of one server."""
    connections = OpenConnections(limits)

    def made(*arguments: Any, **options: Any) -> Connection:
        return Connection(*arguments, connections=connections, **options)

    return made


class Partings(logging.Filter):
    """Drops what is logged of clients that hang up midway, and lets anything else pass.

    The SDK and uvicorn log such a client as an error of the server, with a traceback, and likewise one whose message
    arrives while its session ends.
    """

    def filter(self, record: logging.LogRecord) -> bool:
        return not (record.exc_info and _stems_from_a_parting(record.exc_info[1]))


def _stems_from_a_parting(error: BaseException | None) -> bool:
    """Whether one side had gone; of a group every member must say so."""
    if isinstance(error, BaseExceptionGroup):
        return all(_stems_from_a_parting(member) for member in error.exceptions)
    if isinstance(error, RuntimeError):
        # "Unexpected ASGI message": the second answer.
        return _stems_from_a_parting(error.__context__)
    return isinstance(error, _PARTINGS)


@contextmanager
def partings_unlogged() -> Iterator[None]:
    """Keeps clients that hang up out of the log of the libraries that serve, for the block."""
    loggers = [logging.getLogger(name) for name in _CARRIERS]
    partings = Partings()
    for each in loggers:
        each.addFilter(partings)
    try:
        yield
    finally:
        for each in loggers:
            each.removeFilter(partings)
