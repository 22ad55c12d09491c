import asyncio

import anyio
import pytest

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Sighting
from sora2_mcp.services.client import open_client
from sora2_mcp.services.sora2api import Sora2API
from tests.clocks import FakeClock

pytestmark = pytest.mark.anyio


class Loopback:
    """A service on a real socket that keeps connections open and notes which request came over which."""

    def __init__(self) -> None:
        self.connections = 0
        self.requests: list[tuple[int, str, dict[str, str]]] = []

    async def accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        number = self.connections
        try:
            while head := await self._head(reader):
                first, *lines = head.decode().split("\r\n")
                headers = {name.lower(): value for name, _, value in (line.partition(": ") for line in lines)}
                await reader.readexactly(int(headers.get("content-length", "0")))
                self.requests.append((number, first.split()[0], headers))
                body = b'{"code": 200, "data": {"taskId": "sora2_task_a", "successFlag": 0}}'
                writer.write(b"HTTP/1.1 200 OK\r\ncontent-length: %d\r\n\r\n%b" % (len(body), body))
                await writer.drain()
        finally:
            writer.close()

    async def _head(self, reader: asyncio.StreamReader) -> bytes:
        try:
            return await reader.readuntil(b"\r\n\r\n")
        except asyncio.IncompleteReadError:
            return b""


async def test_orders_never_reuse_a_connection_while_looks_do_and_all_carry_the_key() -> None:
    loopback = Loopback()
    server = await asyncio.start_server(loopback.accept, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]

    with anyio.fail_after(30):
        async with (
            server,
            open_client(
                Sora2API(),
                base_url=f"http://127.0.0.1:{port}/v1",
                key="sk-Test",
                requests_per_second=1000,
                clock=FakeClock(),
            ) as client,
        ):
            for _ in range(3):
                assert (await client.look("sora2_task_a")).sighting is Sighting.GENERATING
                assert await client.order(VideoRequest(prompt="A cat")) == "sora2_task_a"

    looks = {number for number, method, _ in loopback.requests if method == "GET"}
    orders = [number for number, method, _ in loopback.requests if method == "POST"]
    assert len(loopback.requests) == 6
    assert len(looks) == 1
    assert len(set(orders) - looks) == 3
    assert {headers["authorization"] for *_, headers in loopback.requests} == {"Bearer sk-Test"}
