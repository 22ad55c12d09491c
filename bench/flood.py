"""What ten thousand junk callbacks do to a server, and to somebody who uses it meanwhile.

    python bench/flood.py [--callbacks 10000] [--connections 8]

A real server process serves streamable HTTP under a public address. Over kept connections come paths of the right shape
that nobody was given, paths of no shape, a known path with junk for a body, and bodies over 64 kB. An ordinary client
calls ``list_tasks`` all the while; the same calls before the flood are the measure. Any 5xx ends this with 1.
"""

import argparse
import json
import multiprocessing
import os
import secrets
import socket
import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import anyio
import httpx2
import psutil  # type: ignore[import-untyped]
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running

WARMING_CALLS = 20
CALM_CALLS = 200
OVERSIZED = b"x" * 70_000
JUNK = [
    b"",
    b"junk",
    b"{" * 1000,
    b'{"data": {"taskId": "' + b"x" * 5000 + b'"}}',
    b"\xff\xfe\x00" * 100,
    json.dumps({"code": 200, "data": {"taskId": "sora2_task_nobodys00000"}}).encode(),
]
MALFORMED = [
    "/callbacks",
    "/callbacks/short",
    f"/callbacks/{'x' * 3000}",
    "/callbacks/a/b/c",
    "/callbacks/..%2f..%2fmcp",
]


@asynccontextmanager
async def server(folder: Path, base_url: str) -> AsyncIterator[tuple[str, psutil.Process]]:
    """A server process and its address, once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SORA2_"))}
    variables = {
        "HOME": str(folder),
        "SORA2_API_KEY": "bench",
        "SORA2_API_BASE_URL": base_url,
        "SORA2_DATABASE_URL": f"sqlite:///{folder / 'tasks.db'}",
        "SORA2_LOG_LEVEL": "ERROR",
        "SORA2_PUBLIC_URL": address,
    }
    command = [sys.executable, "-m", "sora2_mcp", "serve", "--transport", "streamable-http", "--port", str(port)]
    async with await anyio.open_process(command, env={**kept, **variables}, stdout=None, stderr=None) as process:
        try:
            await answering(address)
            yield address, psutil.Process(process.pid)
        finally:
            process.terminate()
            await process.wait()


async def answering(address: str) -> None:
    async with httpx2.AsyncClient(trust_env=False) as http:
        with anyio.fail_after(30):
            while True:
                try:
                    await http.get(f"{address}/callbacks")
                except httpx2.ConnectError:
                    await anyio.sleep(0.05)
                else:
                    return


def callback(number: int, known: str) -> tuple[str, str, bytes]:
    """What kind of junk this one is, its path and its body."""
    body = JUNK[number // 4 % len(JUNK)]
    if number % 20 == 19:
        return "oversized, known path", known, OVERSIZED
    kinds = [
        ("unknown path", f"/callbacks/{secrets.token_urlsafe(24)}", body),
        ("malformed path", MALFORMED[number // 4 % len(MALFORMED)], body),
        ("junk, known path", known, body),
        ("unknown path", f"/callbacks/{secrets.token_urlsafe(24)}", body),
    ]
    return kinds[number % 4]


async def flood(address: str, known: str, callbacks: int, connections: int) -> tuple[Counter[tuple[str, str]], float]:
    """Sends all of them; gives how many of each kind got which status, and how many seconds it took."""
    began = time.perf_counter()
    answers: Counter[tuple[str, str]] = Counter()
    numbers = iter(range(callbacks))

    async def send() -> None:
        async with httpx2.AsyncClient(base_url=address, timeout=30, trust_env=False) as http:
            for number in numbers:
                kind, path, body = callback(number, known)
                try:
                    status = str((await http.post(path, content=body)).status_code)
                except httpx2.TransportError as error:
                    # A body that is not wanted may find its connection closed.
                    status = type(error).__name__
                answers[kind, status] += 1

    async with anyio.create_task_group() as group:
        for _ in range(connections):
            group.start_soon(send)
    return answers, time.perf_counter() - began


def flood_elsewhere(address: str, known: str, callbacks: int, connections: int, told: Any) -> None:
    """The flood in a process of its own, so that the ordinary client's times are the server's."""
    told.put("ready")
    told.put(anyio.run(flood, address, known, callbacks, connections))


async def listed_ms(client: Client) -> float:
    began = time.perf_counter()
    result = await client.call_tool("list_tasks", {})
    if result.is_error:
        sys.exit("list_tasks failed")
    return (time.perf_counter() - began) * 1000


@dataclass
class Measured:
    """What a flood was answered with, and what it did to the server."""

    answers: Counter[tuple[str, str]] = field(default_factory=Counter)
    seconds: float = 0.0
    calm_ms: list[float] = field(default_factory=list)
    flooded_ms: list[float] = field(default_factory=list)
    resident_bytes: list[int] = field(default_factory=list)
    looks: int = 0


async def measured(callbacks: int, connections: int) -> Measured:
    simulator, found = Simulator(seconds_per_task=100_000), Measured()
    with tempfile.TemporaryDirectory() as name:
        async with (
            running(simulator) as base_url,
            server(Path(name), base_url) as (address, process),
            Client(streamable_http_client(f"{address}/mcp")) as client,
        ):
            await client.call_tool("generate_video", {"prompt": "A kitten"})
            known = httpx2.URL(str((simulator.received[-1].body or {})["callBackUrl"])).path
            for _ in range(WARMING_CALLS):
                await listed_ms(client)
            found.calm_ms = [await listed_ms(client) for _ in range(CALM_CALLS)]
            found.resident_bytes = [process.memory_info().rss]
            await flooded(found, client, process, (address, known, callbacks, connections))
            await listed_ms(client)
            found.resident_bytes.append(process.memory_info().rss)
    found.looks = sum(request.method == "GET" for request in simulator.received)
    return found


async def flooded(found: Measured, client: Client, process: psutil.Process, flood: tuple[str, str, int, int]) -> None:
    """Uses the server until the flood is over."""
    ended, spawn = anyio.Event(), multiprocessing.get_context("spawn")
    told: Any = spawn.Queue()
    other = spawn.Process(target=flood_elsewhere, args=(*flood, told))

    async def use() -> None:
        while not ended.is_set():
            found.flooded_ms.append(await listed_ms(client))
            found.resident_bytes.append(process.memory_info().rss)

    other.start()
    await anyio.to_thread.run_sync(told.get)
    async with anyio.create_task_group() as group:
        group.start_soon(use)
        found.answers, found.seconds = await anyio.to_thread.run_sync(told.get)
        ended.set()
    await anyio.to_thread.run_sync(other.join)


async def main(callbacks: int, connections: int) -> None:
    found = await measured(callbacks, connections)
    rate = f"in {found.seconds:.1f} s, {found.looks} looks at the service"
    print(f"{callbacks} junk callbacks over {connections} connections {rate}")
    for (kind, status), count in sorted(found.answers.items()):
        print(f"  {kind:<24} {status:<12} {count:6d}")
    resident = found.resident_bytes
    before, peak, after = (f"{value / 2**20:.1f} MiB" for value in (resident[0], max(resident), resident[-1]))
    print(f"  {'memory':<24} {before} before, {peak} at peak, {after} after")
    print_times("list_tasks, calm", found.calm_ms)
    print_times("list_tasks, flooded", found.flooded_ms)
    ratio = statistics.median(found.flooded_ms) / statistics.median(found.calm_ms)
    print(f"  {'ratio of the medians':<24} {ratio:6.1f}")
    if any(status.startswith("5") for _, status in found.answers):
        sys.exit("a callback was answered with a 5xx")


def print_times(name: str, taken_ms: list[float]) -> None:
    median = statistics.median(taken_ms)
    print(f"  {name:<24} {median:6.1f} ms (median of {len(taken_ms)}), {max(taken_ms):6.1f} ms (slowest)")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--callbacks", type=int, default=10_000)
    parser.add_argument("--connections", type=int, default=8)
    arguments = parser.parse_args()
    anyio.run(main, arguments.callbacks, arguments.connections)
