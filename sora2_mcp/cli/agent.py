"""An agent without a model: starts this program over stdio, as hosts do, and calls its tools."""

import sys
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, TextIO

from mcp.client import Client
from mcp.client.stdio import StdioServerParameters, stdio_client
from mcp.shared.exceptions import MCPError
from mcp_types import TextContent

from sora2_mcp.errors import Sora2Error, leaves

_READY_CALLS = 3
SIMULATED_SERVER = (sys.executable, "-m", "sora2_mcp", "serve", "--simulate")


class AgentError(Sora2Error):
    """A step of the agent's job did not end as it should."""

    hint = "The lines above say what happened; SORA2_LOG_LEVEL=INFO shows more."


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What a tool gave: its text, and its structured content, empty where it failed."""

    text: str
    content: Mapping[str, Any]


class Agent:
    """Calls the tools as a host would."""

    def __init__(self, client: Client) -> None:
        self._client = client

    @property
    def server(self) -> str:
        """The server's name and version."""
        info = self._client.server_info
        return f"{info.name} {info.version}" if info else "the server"

    @property
    def protocol_version(self) -> str:
        return self._client.protocol_version

    async def tools(self) -> Sequence[str]:
        """The names of all tools."""
        return [tool.name for tool in (await self._client.list_tools()).tools]

    async def until_ready(self) -> None:
        """Returns when the server can work.

        Raises:
            AgentError: it still cannot after some calls that each wait for it.
        """
        # On a slow machine a new store takes longer to open than a call that orders may last.
        for _ in range(_READY_CALLS):
            listed = await self.call("list_tasks", limit=1)
            if listed.content:
                return
        raise AgentError(listed.text.splitlines()[0])

    async def call(self, tool: str, **arguments: Any) -> Answer:
        """One call of a tool."""
        result = await self._client.call_tool(tool, arguments)
        text = "\n".join(block.text for block in result.content if isinstance(block, TextContent))
        return Answer(text=text, content={} if result.is_error else result.structured_content or {})


async def employ(
    job: Callable[[Agent], Awaitable[None]],
    environment: Mapping[str, str],
    *,
    command: Sequence[str] = SIMULATED_SERVER,
    stderr: TextIO = sys.stderr,
) -> None:
    """Runs a job with an agent and a server of its own, which has ended afterwards.

    Raises:
        AgentError: raised by the job, or the server could not be started or connected to.
    """
    program, *arguments = command
    server = StdioServerParameters(command=program, args=arguments, env=dict(environment))
    failure: AgentError | None = None
    try:
        async with Client(stdio_client(server, stderr)) as client:
            try:
                await job(Agent(client))
            except AgentError as error:
                # Raised once the client is closed: its task groups would wrap it.
                failure = error
    except* (MCPError, FileNotFoundError, PermissionError) as group:
        failure = AgentError(f"The connection to the server failed: {leaves(group)[0]}")
    if failure is not None:
        raise failure
