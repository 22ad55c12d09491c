"""Connections over which nothing comes, over real sockets: they end, and hold up nobody."""

import asyncio
import errno
import logging
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, ExitStack, asynccontextmanager, closing, contextmanager, suppress

import anyio
import pytest
from anyio.abc import SocketStream
from starlette.applications import Starlette
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response, StreamingResponse
from starlette.routing import Route

from sora2_mcp.server.web.limits import Limits
from sora2_mcp.server.web.serve import DisconnectFilter, WebServer
from tests.clocks import PATIENCE_SECONDS, eventually

pytestmark = pytest.mark.anyio

LONG_SECONDS = 3600.0
SHORT_SECONDS = 0.1
HEAD = b"GET /quick HTTP/1.1\r\nHost: test\r\n\r\n"
STREAM = HEAD.replace(b"/quick", b"/stream")
HALF_A_HEAD = HEAD[:-2]
HALF_A_BODY = b"POST /quick HTTP/1.1\r\nHost: test\r\nContent-Length: 8\r\n\r\nhalf"
WELCOME = b"HTTP/1.1 200 OK"
LARGE = b"x" * 10_000_000
"""More than any system takes in for somebody who does not read."""

PIPELINED = 100_000 * HEAD.replace(b"/quick", b"/large")


class Server:
    """A server whose long answers end when told to."""

    def __init__(self) -> None:
        self.port = 0
        self.go_on = anyio.Event()
        self.asked = 0
        self.app = Starlette(
            routes=[
                Route("/quick", self._quick, methods=["GET", "POST"]),
                Route("/stream", self._stream),
                Route("/wait", self._wait, methods=["POST"]),
                Route("/large", self._large),
            ]
        )

    async def connect(self, first: bytes = b"") -> SocketStream:
        # What is sent lies there when the server takes the connection, however busy the machine is.
        connected = socket.create_connection(("127.0.0.1", self.port))
        connected.sendall(first)
        return await SocketStream.from_socket(connected)

    async def _quick(self, request: Request) -> Response:
        return Response(await request.body())

    async def _wait(self, request: Request) -> Response:
        await request.body()
        await self.go_on.wait()
        return Response("the end")

    async def _large(self, _: Request) -> Response:
        self.asked += 1
        return Response(LARGE)

    async def _stream(self, _: Request) -> Response:
        async def events() -> AsyncIterator[str]:
            yield "the beginning"
            await self.go_on.wait()
            yield "the end"

        return StreamingResponse(events(), media_type="text/event-stream")


@asynccontextmanager
async def serving(
    *,
    connections: int = 100,
    head_seconds: float = LONG_SECONDS,
    body_seconds: float = LONG_SECONDS,
    quiet_seconds: float = LONG_SECONDS,
    write_seconds: float = LONG_SECONDS,
) -> AsyncIterator[Server]:
    limits = Limits(
        connections=connections,
        head_seconds=head_seconds,
        body_seconds=body_seconds,
        quiet_seconds=quiet_seconds,
        write_seconds=write_seconds,
    )
    server = Server()
    web = WebServer(server.app, limits)
    with closing(socket.create_server(("127.0.0.1", 0))) as listener:
        server.port = listener.getsockname()[1]
        async with anyio.create_task_group() as group:
            group.start_soon(web.serve, [listener])
            await eventually(lambda: web.started)
            try:
                yield server
            finally:
                server.go_on.set()
                web.should_exit = True


@contextmanager
def unread(server: Server) -> Iterator[socket.socket]:
    """A client that asks on and on, and reads nothing."""
    with socket.create_connection(("127.0.0.1", server.port)) as client:
        client.setblocking(False)
        client.send(PIPELINED)
        yield client


async def ended(stream: SocketStream) -> bytes:
    """What came until the server closed the connection."""
    received = b""
    with anyio.fail_after(PATIENCE_SECONDS):
        try:
            while True:
                received += await stream.receive()
        except (anyio.EndOfStream, anyio.BrokenResourceError):
            return received


async def answer(stream: SocketStream, request: bytes = b"", until: bytes = b"\r\n\r\n") -> bytes:
    """What comes after a request."""
    received = b""
    with anyio.fail_after(PATIENCE_SECONDS):
        await stream.send(request)
        while until not in received:
            received += await stream.receive()
    return received


@pytest.mark.parametrize("sent", [b"", b"G", HALF_A_HEAD])
async def test_a_connection_that_never_sends_a_whole_head_is_closed(sent: bytes) -> None:
    async with serving(head_seconds=SHORT_SECONDS) as server, await server.connect(sent) as slow:
        assert await ended(slow) == b""


async def test_bytes_that_drip_in_do_not_put_the_end_off() -> None:
    async with serving(head_seconds=SHORT_SECONDS) as server, await server.connect(HALF_A_HEAD) as slow:

        async def drip() -> None:
            while True:
                await slow.send(b"X: y\r\n")
                await anyio.sleep(SHORT_SECONDS / 10)

        with anyio.fail_after(PATIENCE_SECONDS), pytest.raises(anyio.BrokenResourceError):
            await drip()


async def test_half_a_head_after_an_answer_is_not_waited_for_either() -> None:
    async with serving(head_seconds=SHORT_SECONDS) as server, await server.connect(HEAD + HALF_A_HEAD) as slow:
        assert (await answer(slow)).startswith(WELCOME)
        await ended(slow)


async def test_a_body_that_does_not_arrive_closes_the_connection() -> None:
    async with serving(body_seconds=SHORT_SECONDS) as server, await server.connect(HALF_A_BODY) as slow:
        assert await ended(slow) == b""


@pytest.mark.parametrize(
    "request_bytes",
    [
        b"GET /stream HTTP/1.1\r\nHost: test\r\n\r\n",
        b"POST /wait HTTP/1.1\r\nHost: test\r\nContent-Length: 2\r\n\r\n{}",
    ],
)
async def test_an_answer_may_take_as_long_as_it_likes_once_its_request_is_complete(request_bytes: bytes) -> None:
    async with (
        serving(head_seconds=SHORT_SECONDS, body_seconds=SHORT_SECONDS) as server,
        await server.connect(request_bytes) as patient,
        await server.connect() as witness,
        await server.connect(HALF_A_BODY) as second_witness,
    ):
        await ended(witness)
        await ended(second_witness)
        server.go_on.set()
        assert (await answer(patient, until=b"the end")).startswith(WELCOME)


async def test_beyond_the_limit_whoever_has_sent_nothing_for_longest_is_closed_and_others_are_served(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "sora2_mcp")
    async with serving(connections=3) as server, AsyncExitStack() as stack:
        busy = await stack.enter_async_context(await server.connect())
        assert (await answer(busy, STREAM)).startswith(WELCOME)
        idle = [await stack.enter_async_context(await server.connect()) for _ in range(20)]
        for each in idle[:-2]:
            assert await ended(each) == b""
        assert (await answer(idle[-1], HEAD)).startswith(WELCOME)
        async with await server.connect() as another:
            assert (await answer(another, HEAD)).startswith(WELCOME)
        server.go_on.set()
        await answer(busy, until=b"the end")
    assert [record.getMessage().partition(" connections")[0] for record in caplog.records] == ["3"]
    assert caplog.records[0].levelno == logging.WARNING


async def test_where_every_connection_is_busy_the_newcomer_is_closed_until_there_is_room(
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level("INFO", "sora2_mcp")
    async with serving(connections=2, quiet_seconds=SHORT_SECONDS) as server:
        async with (
            await server.connect(STREAM) as one,
            await server.connect(STREAM) as two,
        ):
            assert (await answer(one)).startswith(WELCOME)
            assert (await answer(two)).startswith(WELCOME)
            async with await server.connect() as refused:
                assert await ended(refused) == b""
            async with await server.connect() as refused:
                assert await ended(refused) == b""
        await eventually(lambda: "there is room for connections again" in caplog.text)
        async with await server.connect() as welcome:
            assert (await answer(welcome, HEAD)).startswith(WELCOME)
    assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_who_does_not_read_what_it_asks_for_is_cut_off_though_it_asked_in_whole() -> None:
    async with serving(write_seconds=SHORT_SECONDS) as server:
        with unread(server) as client:
            await eventually(lambda: server.asked > 0)
            await eventually(lambda: client.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR) == errno.ECONNRESET)


async def test_a_slow_reader_gets_all_of_a_large_answer() -> None:
    async with serving(write_seconds=SHORT_SECONDS) as server, await server.connect() as slow:
        await slow.send(HEAD.replace(b"/quick", b"/large").replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        received = 0
        with anyio.fail_after(PATIENCE_SECONDS), suppress(anyio.EndOfStream):
            while True:
                received += len(await slow.receive(65_536))
                await anyio.sleep(0.002)
        assert received > len(LARGE)


async def test_those_who_do_not_read_make_room_for_newcomers() -> None:
    async with serving(connections=3) as server:
        with ExitStack() as stack:
            for number in range(3):
                stack.enter_context(unread(server))
                await eventually(lambda number=number: server.asked > number)
            async with await server.connect() as newcomer:
                assert (await answer(newcomer, HEAD)).startswith(WELCOME)


@pytest.mark.parametrize(
    ("files", "connections", "accepted_at_once"), [(256, 128, 16), (1024, 512, 64), (1_000_000, 1000, 128)]
)
def test_half_of_the_files_a_process_may_open_are_left_to_it(
    files: int, connections: int, accepted_at_once: int
) -> None:
    assert Limits.of_files(files) == Limits(connections=connections, accepted_at_once=accepted_at_once)


def after_a_parting(error: Exception) -> Exception:
    """The error as if it was raised while a closed session was being dealt with."""
    error.__context__ = anyio.ClosedResourceError()
    return error


def is_logged(error: BaseException) -> bool:
    record = logging.LogRecord("uvicorn.error", logging.ERROR, "", 0, "Exception", None, (type(error), error, None))
    return DisconnectFilter().filter(record)


@pytest.mark.parametrize(
    "error",
    [
        ClientDisconnect(),
        anyio.ClosedResourceError(),
        after_a_parting(RuntimeError("Unexpected ASGI message")),
        ExceptionGroup("", [anyio.ClosedResourceError()]),
        asyncio.CancelledError(),
    ],
    ids=repr,
)
def test_a_message_to_a_session_that_ends_is_no_error_of_the_server(error: BaseException) -> None:
    assert not is_logged(error)


@pytest.mark.parametrize(
    "error",
    [
        RuntimeError("Unexpected ASGI message"),
        after_a_parting(ValueError("a fault of ours")),
        ExceptionGroup("", [anyio.ClosedResourceError(), ValueError("a fault of ours")]),
    ],
    ids=repr,
)
def test_an_error_of_the_server_is_logged_though_a_session_ends(error: Exception) -> None:
    assert is_logged(error)
