"""``sora2-mcp demo``: an agent's whole job, through a real MCP client, against this server on the simulator."""

import sys
from contextlib import suppress
from typing import Any

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from mcp_types import TextContent

from sora2_mcp.cli.display import Display
from sora2_mcp.errors import Sora2Error
from sora2_mcp.settings import Settings, environment

_OPENING_TRIES = 4
_LOOK_OFTEN = {"SORA2_POLL_SECONDS": "1", "SORA2_LOG_LEVEL": "ERROR"}


class DemoError(Sora2Error):
    """A step of the demo did not end as it should."""

    hint = "The lines above say what happened; SORA2_LOG_LEVEL=INFO shows more."


async def demo(settings: Settings, prompt: str, aspect_ratio: str) -> int:
    """Orders, waits, saves and finds a video; the last line is the file's absolute path."""
    display = Display()
    display.title("sora2-mcp demo: what an agent does to make a video (simulator: no account, no cost)")
    server = StdioServerParameters(
        command=sys.executable,
        args=["-m", "sora2_mcp", "serve", "--simulate"],
        env={**_LOOK_OFTEN, **environment(), "SORA2_VIDEO_DIR": str(settings.videos)},
    )
    failure: DemoError | None = None
    try:
        async with Client(stdio_client(server)) as client:
            try:
                await _Agent(client, display).make_video(prompt, aspect_ratio)
            except DemoError as error:
                # Raised once the client is closed: its task groups would wrap it.
                failure = error
    except* MCPError as group:
        failure = DemoError(f"The connection to the server failed: {group.exceptions[0]}")
    if failure is not None:
        raise failure
    return 0


class _Agent:
    """Calls the tools as a host would, and shows each call and its text."""

    def __init__(self, client: Client, display: Display) -> None:
        self._client = client
        self._display = display

    async def make_video(self, prompt: str, aspect_ratio: str) -> None:
        tools = await self._client.list_tools()
        info = self._client.server_info
        name = f"{info.name} {info.version}" if info else "the server"
        self._display.step("start", f"{name} over stdio, MCP {self._client.protocol_version}, {len(tools.tools)} tools")
        await self._store_is_open()
        ordered = await self._call("generate_video", prompt=prompt, aspect_ratio=aspect_ratio)
        task_id = ordered["task_id"]
        with self._display.waiting("generating"):
            done = await self._call("wait_for_video", task_id=task_id)
        if done["status"] != "succeeded":
            raise DemoError(f"The demo's task ended as {done['status']}")
        saved = await self._call("download_video", task_id=task_id)
        await self._call("list_tasks", limit=3)
        size = f"{saved['size_bytes'] / 1000:.0f} kB, SHA-256 {saved['sha256'][:12]}…"
        self._display.step("done", f"the video lies here ({size}):")
        self._display.line(saved["file_path"])

    async def _store_is_open(self) -> None:
        # A first start compiles all that it imports, which may take longer than an order waits. A read waits longer.
        for _ in range(_OPENING_TRIES):
            with suppress(MCPError):
                await self._client.read_resource("sora2://usage")
                return

    async def _call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        shown = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        self._display.step("call", f"{tool}({shown})")
        result = await self._client.call_tool(tool, arguments)
        text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
        self._display.answer(text)
        if result.is_error or result.structured_content is None:
            raise DemoError(f"{tool} failed in the demo")
        content: dict[str, Any] = result.structured_content
        return content
