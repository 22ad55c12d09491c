"""How soon an agent learns that its video is done, by callback and by polling, and what each costs the service.

    python bench/push.py [--videos 20]

A real server process serves streamable HTTP; the agent is an unmodified MCP client whose ``wait_for_video`` calls are
open; the simulator posts real callbacks. Time is scaled: a poll interval of 5 s is 0.5 s here, and a video takes 12
intervals. The 30 s to the first safety look are not scaled, so that look is left out of a video this short.
"""

import argparse
import os
import socket
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio
import httpx2
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running

POLL_SECONDS = 0.5
TASK_SECONDS = 6.0
STAGGER_SECONDS = 0.15
MEDIAN_LIMIT_MS = 50.0
LOOKS_LIMIT = 2


@asynccontextmanager
async def server(folder: Path, base_url: str, *, callbacks: bool) -> AsyncIterator[str]:
    """A server process; gives its address once it answers."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    address = f"http://127.0.0.1:{port}"
    kept = {name: value for name, value in os.environ.items() if not name.startswith(("PYTHON", "SORA2_"))}
    variables = {
        "HOME": str(folder),
        "SORA2_API_KEY": "bench",
        "SORA2_API_BASE_URL": base_url,
        "SORA2_DATABASE_URL": f"sqlite:///{folder / 'tasks.db'}",
        "SORA2_POLL_SECONDS": str(POLL_SECONDS),
        "SORA2_MAX_REQUESTS_PER_SECOND": "1000",
        "SORA2_LOG_LEVEL": "ERROR",
        "SORA2_PUBLIC_URL": address if callbacks else "",
    }
    command = [sys.executable, "-m", "sora2_mcp", "serve", "--transport", "streamable-http", "--port", str(port)]
    async with await anyio.open_process(command, env={**kept, **variables}, stdout=None, stderr=None) as process:
        try:
            await answering(address)
            yield address
        finally:
            process.terminate()
            await process.wait()


async def answering(address: str) -> None:
    async with httpx2.AsyncClient() as http:
        with anyio.fail_after(30):
            while True:
                try:
                    await http.get(f"{address}/callbacks")
                except httpx2.ConnectError:
                    await anyio.sleep(0.05)
                else:
                    return


async def notices(videos: int, *, callbacks: bool) -> tuple[list[float], int]:
    """Milliseconds from the end of each video at the service to the end of its wait, and the looks at all of them."""
    simulator = Simulator(seconds_per_task=TASK_SECONDS)
    late_ms: list[float] = []

    async def watch(client: Client, number: int) -> None:
        ordered = await client.call_tool("generate_video", {"prompt": f"Video {number}"})
        task_id = (ordered.structured_content or {})["task_id"]
        waited = await client.call_tool("wait_for_video", {"task_id": task_id, "timeout_seconds": 60})
        noticed = time.time()
        if (waited.structured_content or {})["status"] != "succeeded":
            sys.exit(f"{task_id} did not succeed")
        ordered_at = next(request.at for request in simulator.received if request.task_id == task_id)
        late_ms.append((noticed - ordered_at.timestamp() - TASK_SECONDS) * 1000)

    with tempfile.TemporaryDirectory() as name:
        async with (
            running(simulator) as base_url,
            server(Path(name), base_url, callbacks=callbacks) as address,
            Client(streamable_http_client(f"{address}/mcp")) as client,
            anyio.create_task_group() as group,
        ):
            for number in range(videos):
                group.start_soon(watch, client, number)
                await anyio.sleep(STAGGER_SECONDS)
    return late_ms, sum(request.method == "GET" for request in simulator.received)


async def main(videos: int) -> None:
    print(f"{videos} videos of {TASK_SECONDS:.0f} s, each waited for by an MCP client over streamable HTTP")
    medians: dict[bool, tuple[float, float]] = {}
    for callbacks in (True, False):
        late_ms, looks = await notices(videos, callbacks=callbacks)
        medians[callbacks] = (statistics.median(late_ms), looks / videos)
        name = "callbacks" if callbacks else f"polling every {POLL_SECONDS} s"
        noticed = f"noticed {medians[callbacks][0]:6.1f} ms after the end (median), {max(late_ms):6.1f} ms (last)"
        print(f"  {name:<20} {medians[callbacks][1]:5.1f} record-info calls per video   {noticed}")
    median_ms, looks_each = medians[True]
    if median_ms >= MEDIAN_LIMIT_MS or looks_each > LOOKS_LIMIT:
        sys.exit(f"callbacks must be noticed within {MEDIAN_LIMIT_MS:.0f} ms, at {LOOKS_LIMIT} looks for each video")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--videos", type=int, default=20)
    anyio.run(main, parser.parse_args().videos)
