"""An agent on a server process, over stdio: what it calls, and all that it is told."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any

import anyio
from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp_types import CallToolResult, TextContent

from tests.hosts.served import Served

PATIENCE_SECONDS = 150
_OPENING = "is still being opened"


@dataclass(frozen=True, slots=True, kw_only=True)
class Agent:
    """A client; ``told`` holds every result as it came."""

    client: Client
    told: list[str] = field(default_factory=list)

    async def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The data of a call that worked."""
        result = await self._called(tool, arguments)
        assert not result.is_error, self.told[-1]
        return dict(result.structured_content or {})

    async def refused(self, tool: str, **arguments: Any) -> str:
        """The text of a call that did not."""
        result = await self._called(tool, arguments)
        assert result.is_error, self.told[-1]
        return "\n".join(block.text for block in result.content if isinstance(block, TextContent))

    async def waited(self, task_id: str) -> dict[str, Any]:
        """The task once it is finished, and saved where it must be; each wait may be too short for a busy machine."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while (task := await self.call("wait_for_video", task_id=task_id))["status"] == "generating":
                pass
        return task

    async def ready(self) -> None:
        """The store is open: a busy machine's imports eat up no order's three seconds."""
        with anyio.fail_after(PATIENCE_SECONDS):
            while (await self._called("list_tasks", {})).is_error and _OPENING in self.told[-1]:
                pass

    async def _called(self, tool: str, arguments: dict[str, Any]) -> CallToolResult:
        result = await self.client.call_tool(tool, arguments)
        self.told.append(result.model_dump_json())
        return result


@asynccontextmanager
async def agent(server: Served) -> AsyncIterator[Agent]:
    """An agent on a server that is ready; the server's stderr goes to ``stderr.txt`` in its folder."""
    with (server.folder / "stderr.txt").open("a") as stderr:
        async with Client(stdio_client(StdioServerParameters(**server.stdio), errlog=stderr)) as client:
            connected = Agent(client=client)
            await connected.ready()
            yield connected
