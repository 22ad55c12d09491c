"""A stand-in between the server and the simulator: passes requests on and does what it likes with the answers."""

import asyncio
import socket
import struct
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager, suppress
from urllib.parse import urlsplit

from anyio.from_thread import start_blocking_portal

_END_OF_HEAD = b"\r\n\r\n"


class Visit:
    """One request that came, on a connection of its own."""

    def __init__(self, request: bytes, writer: asyncio.StreamWriter, behind: tuple[str, int]) -> None:
        self.request = request
        self._writer = writer
        self._behind = behind

    @property
    def is_order(self) -> bool:
        return self.request.startswith(b"POST ")

    @property
    def is_video(self) -> bool:
        return self.request.startswith(b"GET /videos/")

    async def answer(self) -> bytes:
        """The simulator's whole answer, head and body; it has received the request then."""
        reader, writer = await asyncio.open_connection(*self._behind)
        try:
            head, _, body = self.request.partition(_END_OF_HEAD)
            writer.write(head + b"\r\nConnection: close" + _END_OF_HEAD + body)
            await writer.drain()
            return await reader.read()
        finally:
            writer.close()

    async def send(self, some: bytes) -> None:
        self._writer.write(some)
        await self._writer.drain()

    def reset(self) -> None:
        """Ends the connection as a crashed host does: not with a goodbye but with a reset."""
        connection = self._writer.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._writer.transport.abort()


Treatment = Callable[[Visit], Awaitable[None]]


async def passed_on(visit: Visit) -> None:
    """The treatment that is none."""
    await visit.send(await visit.answer())


@asynccontextmanager
async def in_front(base_url: str, treat: Treatment) -> AsyncIterator[str]:
    """Serves the stand-in before the simulator at ``base_url``; gives its own base URL.

    Every answer ends its connection.
    """
    address = urlsplit(base_url)
    behind = (address.hostname or "", address.port or 0)
    visits: set[asyncio.Task[None]] = set()

    async def receive(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        visits.add(task)
        try:
            # A client that leaves in the middle, and a test that ends before an answer, are what this is for.
            with suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await treat(Visit(await _request(reader), writer, behind))
        finally:
            visits.discard(task)
            writer.close()

    server = await asyncio.start_server(receive, "127.0.0.1", 0)
    try:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}{address.path}"
    finally:
        server.close()
        for visit in visits:
            visit.cancel()
        await asyncio.gather(*visits, return_exceptions=True)


@contextmanager
def in_front_of_process(base_url: str, treat: Treatment) -> Iterator[str]:
    """The same for tests that are no coroutines: in a thread of its own."""
    with start_blocking_portal() as portal, portal.wrap_async_context_manager(in_front(base_url, treat)) as url:
        yield url


async def _request(reader: asyncio.StreamReader) -> bytes:
    head = await reader.readuntil(_END_OF_HEAD)
    lengths = [line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
    return head + await reader.readexactly(int(lengths[0].partition(b":")[2]) if lengths else 0)
