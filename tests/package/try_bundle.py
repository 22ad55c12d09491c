"""``make package``: a packed bundle does its job as a desktop host starts it, with dependencies from the registry."""

import json
import os
import sys
import tempfile
import time
from pathlib import Path
from typing import Any
from zipfile import ZipFile

import anyio
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client

from tests.package.host import launch
from tests.package.outside import outside

LIMIT_SECONDS = 120
OPENING_TRIES = 5


async def make_video(server: StdioServerParameters, tools: list[str]) -> Path:
    """The file of a video that was ordered, waited for and saved through the server, which has just these tools."""

    async def called(tool: str, **arguments: Any) -> dict[str, Any]:
        result = await client.call_tool(tool, arguments)
        assert not result.is_error, result.content
        content: dict[str, Any] = result.structured_content or {}
        return content

    with anyio.fail_after(LIMIT_SECONDS):
        async with Client(stdio_client(server)) as client:
            assert [tool.name for tool in (await client.list_tools()).tools] == tools
            # A first start compiles all that it imports, on a busy machine for longer than a call waits for the store.
            for _ in range(OPENING_TRIES):
                if not (await client.call_tool("list_tasks")).is_error:
                    break
            task_id = (await called("generate_video", prompt="A bundle is unpacked"))["task_id"]
            assert (await called("wait_for_video", task_id=task_id))["status"] == "succeeded"
            return Path((await called("download_video", task_id=task_id))["file_path"])


def try_bundle(packed: Path, scratch: Path) -> None:
    """Unpacks the bundle, starts what its manifest says and makes a video; raises where anything is not as said."""
    unpacked, videos = scratch / "bundle", scratch / "videos"
    with ZipFile(packed) as bundle:
        bundle.extractall(unpacked)
    locked = (unpacked / "uv.lock").read_text()
    manifest = json.loads((unpacked / "manifest.json").read_text())
    command, variables = launch(manifest, unpacked, {"simulate": True, "video_dir": str(videos)})
    server = StdioServerParameters(command=command[0], args=command[1:], env={**outside(scratch), **variables})
    began = time.monotonic()
    video = anyio.run(make_video, server, [tool["name"] for tool in manifest["tools"]])
    # What is installed is what was locked by hash, and nothing was looked up anew.
    assert (unpacked / "uv.lock").read_text() == locked
    assert video.parent == videos
    assert video.read_bytes()[4:8] == b"ftyp"
    size = f"{packed.stat().st_size / 1000:.0f} kB"
    seconds = time.monotonic() - began
    sys.stderr.write(f"{packed.name} ({size}): installed, started and made a video in {seconds:.0f} s\n")


if __name__ == "__main__":
    with tempfile.TemporaryDirectory() as folder:
        try_bundle(Path(sys.argv[1]).absolute(), Path(os.path.realpath(folder)))
