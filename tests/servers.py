"""Whole servers for tests: the real assembly, in this process, on the simulator."""

from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp.client import Client
from mcp.client.extension import ClientExtension
from mcp.client.session import ElicitationFnT, MessageHandlerFnT
from mcp_types import CallToolResult, TextContent

from sora2_mcp.clock import Clock
from sora2_mcp.errors import Sora2Error
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from tests.clocks import PATIENCE_SECONDS
from tests.network import simulated
from tests.stores import store_in

KEY = "no-key-0123456789abcdef"


def settings_in(folder: Path, **values: Any) -> Settings:
    """Settings that keep everything below ``folder`` and look often."""
    defaults = {
        "api_key": KEY,
        "database_url": values.get("database_url") or store_in(folder).url,
        "video_dir": folder / "videos",
        "poll_seconds": 0.05,
        "max_requests_per_second": 1000,
    }
    return Settings.load(**{**defaults, **values})


@dataclass(frozen=True)
class Agent:
    """A client of a server, as an agent has it."""

    client: Client
    runtime: Runtime
    simulator: Simulator
    progress: list[tuple[float, float | None, str | None]] = field(default_factory=list)

    async def call(self, tool: str, /, **arguments: Any) -> CallToolResult:
        """The result of a call, progress collected."""

        async def on_progress(progress: float, total: float | None, message: str | None) -> None:
            self.progress.append((progress, total, message))

        result = await self.client.call_tool(tool, arguments, progress_callback=on_progress)
        if not result.is_error:
            content = result.structured_content or {}
            # Some hosts show the model the text only, others the data only.
            following = f"\nNext: {content['next']}" if "next" in content else ""
            assert text_of(result) == f"{content['message']}{following}"
        return result

    async def content(self, tool: str, /, **arguments: Any) -> dict[str, Any]:
        """The structured content of a call that worked."""
        result = await self.call(tool, **arguments)
        assert not result.is_error, text_of(result)
        content: dict[str, Any] = result.structured_content or {}
        return content

    async def error(self, tool: str, /, **arguments: Any) -> str:
        """The text of a call that failed."""
        result = await self.call(tool, **arguments)
        assert result.is_error
        return text_of(result)


def text_of(result: CallToolResult) -> str:
    """What the agent reads: exactly one text block."""
    (block,) = result.content
    assert isinstance(block, TextContent)
    return block.text


@asynccontextmanager
async def agent(
    folder: Path,
    *,
    mode: str = "auto",
    simulator: Simulator | None = None,
    clock: Clock | None = None,
    person: ElicitationFnT | None = None,
    told: MessageHandlerFnT | None = None,
    extensions: Sequence[ClientExtension] = (),
    **values: Any,
) -> AsyncIterator[Agent]:
    """An agent connected to the real server, in the protocol era ``mode`` asks for."""
    simulator = simulator or Simulator(seconds_per_task=0)
    runtime = simulated(settings_in(folder, **values), simulator, clock)
    server = build_server(runtime)
    client = Client(
        server, mode=mode, elicitation_callback=person, message_handler=told, extensions=list(extensions) or None
    )
    async with runtime, client:
        if clock is None:
            # An order's three seconds include opening the store, which a busy machine's imports can use up.
            with suppress(Sora2Error):
                await runtime.tasks(PATIENCE_SECONDS)
        yield Agent(client, runtime, simulator)
