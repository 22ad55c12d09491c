"""Many who load videos from one server at once, and slowly: it keeps its memory."""

import os
import sys
from pathlib import Path

import anyio
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from tests.e2e.processes import Process
from tests.faults.hosts import service
from tests.stores import file_in

pytestmark = [pytest.mark.anyio, pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")]

READERS = 50
FILE_BYTES = 50_000_000
MOST_BYTES = 100_000_000


def most_memory_bytes(process: Process) -> int:
    """The most that the process has ever had in memory."""
    for line in Path(f"/proc/{process.popen.pid}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    raise AssertionError


async def saved_link(base: str, folder: Path) -> str:
    """The link to a video of 50 MB."""
    async with Client(streamable_http_client(f"{base}/mcp")) as client:
        ordered = (await client.call_tool("generate_video", {"prompt": "A kitten"})).structured_content or {}
        named = {"task_id": ordered["task_id"]}
        await client.call_tool("get_task_status", named)
        saved = (await client.call_tool("download_video", named)).structured_content or {}
    os.truncate(saved["file_path"], FILE_BYTES)
    file_in(folder).change(f"UPDATE tasks SET file_size_bytes = {FILE_BYTES}")  # noqa: S608 - a number
    return str(saved["download_url"])


async def test_50_slow_readers_of_50_mb_cost_less_than_100_mb(tmp_path: Path) -> None:
    places = {"SORA2_DATABASE_URL": file_in(tmp_path).url, "SORA2_VIDEO_DIR": str(tmp_path / "videos")}
    with (
        service(tmp_path, "--seconds", "0") as sora,
        Process(
            tmp_path, "serve", "--transport", "streamable-http", "--port", "0",
            **places, SORA2_API_BASE_URL=sora.base_url, SORA2_API_KEY="any",
        ) as process,
    ):  # fmt: skip
        base = process.logged(r"serving MCP at (http://127\.0\.0\.1:\d+)/mcp").group(1)
        path = (await saved_link(base, tmp_path)).removeprefix(base)
        host, port = base.removeprefix("http://").split(":")
        before = most_memory_bytes(process)
        received, begun, all_began = [0] * READERS, list[int](), anyio.Event()

        async def read(number: int) -> None:
            async with await anyio.connect_tcp(host, int(port)) as stream:
                await stream.send(f"GET {path} HTTP/1.1\r\nhost: {host}:{port}\r\nconnection: close\r\n\r\n".encode())
                head = b""
                while b"\r\n\r\n" not in head:
                    head += await stream.receive()
                assert head.startswith(b"HTTP/1.1 200")
                received[number] = len(head.partition(b"\r\n\r\n")[2])
                # Nothing more is read until everybody has begun, and the server has filled what it can fill.
                begun.append(number)
                if len(begun) == READERS:
                    all_began.set()
                await all_began.wait()
                await anyio.sleep(1)
                while True:
                    try:
                        received[number] += len(await stream.receive(262_144))
                    except anyio.EndOfStream:
                        return

        with anyio.fail_after(50):
            async with anyio.create_task_group() as group:
                for number in range(READERS):
                    group.start_soon(read, number)
        grown = most_memory_bytes(process) - before

    assert received == [FILE_BYTES] * READERS
    assert grown < MOST_BYTES, f"{grown / 1e6:.0f} MB"
