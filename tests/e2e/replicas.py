"""Replicas: server processes on one PostgreSQL behind one address, without sticky routing."""

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, closing, contextmanager, suppress
from pathlib import Path
from typing import Any

import httpx2
from mcp.client import Client
from mcp.client.session import ElicitationFnT
from mcp.client.streamable_http import streamable_http_client

from tests.e2e.people import Person
from tests.e2e.processes import Process
from tests.ears import Ear
from tests.faults.hosts import Service
from tests.stores import Store

READY = r"serving MCP at (http://127\.0\.0\.1:\d+)/mcp"
REPLICAS = 3
CALL_SECONDS = 90.0
_MODERN = "2026-07-28"


class Balancer:
    """One address for all replicas: each connection goes to one at random, and past those that do not listen."""

    def __init__(self, seed: int = 7) -> None:
        self.url = ""
        self.ports: list[int] = []
        self.served: dict[int, int] = {}
        self._chance = random.Random(seed)  # noqa: S311 - routing, no secret

    @asynccontextmanager
    async def listening(self) -> AsyncIterator[None]:
        """Listens for the block, at ``url``."""
        server = await asyncio.start_server(self._pass_on, "127.0.0.1", 0)
        self.url = f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"
        try:
            yield
        finally:
            server.close()

    async def _pass_on(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # Connections that are still open at the end are cancelled.
        with closing(writer), suppress(asyncio.CancelledError):
            for port in self._chance.sample(self.ports, len(self.ports)):
                with suppress(OSError):
                    behind_reader, behind = await asyncio.open_connection("127.0.0.1", port)
                    self.served[port] = self.served.get(port, 0) + 1
                    with closing(behind):
                        await _both_ways(reader, writer, behind_reader, behind)
                    return


async def _both_ways(
    reader: asyncio.StreamReader,
    writer: asyncio.StreamWriter,
    behind_reader: asyncio.StreamReader,
    behind: asyncio.StreamWriter,
) -> None:
    """Passes bytes on until either end is over, or breaks."""
    there = asyncio.ensure_future(_copied(reader, behind))
    back = asyncio.ensure_future(_copied(behind_reader, writer))
    try:
        await asyncio.wait((there, back), return_when=asyncio.FIRST_COMPLETED)
    finally:
        for copying in (there, back):
            copying.cancel()


async def _copied(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    with suppress(OSError):
        while some := await reader.read(65536):
            writer.write(some)
            await writer.drain()


class Replica:
    """One server process; ``base`` is its own address, past the balancer."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self.base: str = process.logged(READY).group(1)
        self.port = int(self.base.rpartition(":")[2])

    def kill(self) -> None:
        """What nothing in the process can see coming: SIGKILL."""
        self.process.popen.kill()
        self.process.popen.wait()


@contextmanager
def processes(folder: Path, count: int, variables: Mapping[str, str]) -> Iterator[list[Process]]:
    """Server processes that start at the same time, on an empty store perhaps."""
    arguments = ("serve", "--transport", "streamable-http", "--port", "0")
    with _closed_in_turn() as started:
        for number in range(count):
            home = folder / f"replica-{number}"
            home.mkdir(exist_ok=True)
            started.append(Process(home, *arguments, **variables))
        yield started


@contextmanager
def _closed_in_turn() -> Iterator[list[Process]]:
    started: list[Process] = []
    try:
        yield started
    finally:
        for process in started:
            process.__exit__()


@asynccontextmanager
async def replicas(
    folder: Path, store: Store, sora: Service, variables: Mapping[str, str] | None = None, *, count: int = REPLICAS
) -> AsyncIterator[tuple[Balancer, list[Replica]]]:
    """Replicas that look at nothing by themselves for long, ready to be called, with callbacks at the balancer."""
    balancer = Balancer()
    async with balancer.listening():
        common = {
            "SORA2_DATABASE_URL": store.url,
            "SORA2_VIDEO_DIR": str(folder / "videos"),
            "SORA2_API_BASE_URL": sora.base_url,
            "SORA2_API_KEY": "any",
            "SORA2_PUBLIC_URL": balancer.url,
            "SORA2_POLL_SECONDS": "5",
            "SORA2_IDLE_POLL_SECONDS": "3600",
            "SORA2_MAX_REQUESTS_PER_SECOND": "1000",
        }
        with processes(folder, count, {**common, **(variables or {})}) as started:
            running = [await asyncio.to_thread(Replica, process) for process in started]
            balancer.ports = [replica.port for replica in running]
            yield balancer, running


class Caller:
    """Calls tools of the modern protocol, each on a connection of its own and without a word before: for crowds."""

    def __init__(self, base: str, http: httpx2.AsyncClient) -> None:
        self._url = f"{base}/mcp"
        self.http = http

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The result of a call, worked or not.

        Raises:
            httpx2.HTTPError: no answer came.
        """
        envelope = {
            "io.modelcontextprotocol/protocolVersion": _MODERN,
            "io.modelcontextprotocol/clientCapabilities": {},
        }
        params = {"name": tool, "arguments": arguments, "_meta": envelope}
        headers = {
            "accept": "application/json, text/event-stream",
            "mcp-protocol-version": _MODERN,
            "mcp-method": "tools/call",
            "mcp-name": tool,
        }
        body = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": params}
        response = await self.http.post(self._url, json=body, headers=headers)
        lines = [line.removeprefix("data: ") for line in response.text.splitlines() if line.startswith(("data: ", "{"))]
        if not lines:
            raise httpx2.RemoteProtocolError("the answer is missing")
        result: dict[str, Any] = json.loads(lines[-1])["result"]
        return result


@asynccontextmanager
async def calling(base: str) -> AsyncIterator[Caller]:
    """A caller for many at once."""
    async with _without_kept_connections() as http:
        yield Caller(base, http)


def _without_kept_connections(headers: Mapping[str, str] | None = None) -> httpx2.AsyncClient:
    unkept = httpx2.Limits(max_connections=None, max_keepalive_connections=0)
    return httpx2.AsyncClient(headers=headers, timeout=CALL_SECONDS, trust_env=False, limits=unkept)


@asynccontextmanager
async def connected(base: str, token: str = "", answers: ElicitationFnT | None = None) -> AsyncIterator[Person]:
    """An unmodified client that keeps no connection: through the balancer each request is anybody's."""
    ear = Ear()
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with _without_kept_connections(headers) as http:
        streams = streamable_http_client(f"{base}/mcp", http_client=http)
        async with Client(streams, message_handler=ear.on_message, elicitation_callback=answers) as client:
            yield Person(client, ear)
