"""A server over HTTP without a socket, and people who use it with clients of their own."""

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2
from mcp.client import Client
from mcp.client.extension import ClientExtension
from mcp.client.streamable_http import streamable_http_client
from mcp_types import CallToolResult, TextContent
from starlette.applications import Starlette
from starlette.routing import Mount

from sora2_mcp.clock import Clock
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from sora2_mcp.server.web.app import web_app
from sora2_mcp.simulator.app import Simulator
from tests.network import NETWORK, simulated
from tests.servers import settings_in
from tests.web import client_on_network

ANN, BOB = "ann-0123456789abcdef", "bob-0123456789abcdef"
TOKENS = f"ann:{ANN},bob:{BOB}"


@dataclass(frozen=True)
class Person:
    """Somebody with a client; ``answers`` is all that was ever said to them."""

    client: Client
    answers: list[str]

    async def call(self, tool: str, **arguments: Any) -> CallToolResult:
        result = await self.client.call_tool(tool, arguments)
        self.answers.append(result.model_dump_json())
        return result

    async def content(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The data of a call that worked."""
        result = await self.call(tool, **arguments)
        assert not result.is_error, result
        content: dict[str, Any] = result.structured_content or {}
        return content

    async def text(self, tool: str, **arguments: Any) -> str:
        """The text of a call, however it went."""
        block = (await self.call(tool, **arguments)).content[-1]
        assert isinstance(block, TextContent)
        return block.text

    async def resource(self, uri: str) -> str:
        """All that reading a resource gives."""
        self.answers.append((await self.client.read_resource(uri)).model_dump_json())
        return self.answers[-1]

    async def saved(self, prompt: str = "A kitten", **arguments: Any) -> dict[str, Any]:
        """A video of theirs that lies on the server's disk."""
        task_id = (await self.content("generate_video", prompt=prompt, **arguments))["task_id"]
        # A look, for a wait would need the clock to be moved on.
        assert (await self.content("get_task_status", task_id=task_id))["status"] == "succeeded"
        return await self.content("download_video", task_id=task_id)


@dataclass(frozen=True)
class Site:
    """A server; ``http`` is a client without a token."""

    runtime: Runtime
    base: str
    http: httpx2.AsyncClient

    @asynccontextmanager
    async def person(
        self,
        token: str = "",
        mode: str = "auto",
        headers: Mapping[str, str] | None = None,
        extensions: Sequence[ClientExtension] = (),
    ) -> AsyncIterator[Person]:
        """Somebody with this token."""
        known = {**({"authorization": f"Bearer {token}"} if token else {}), **(headers or {})}
        async with client_on_network(headers=known) as http:
            transport = streamable_http_client(f"{self.base}/mcp", http_client=http)
            async with Client(transport, mode=mode, extensions=list(extensions) or None) as client:
                yield Person(client, [])


@asynccontextmanager
async def site(
    folder: Path,
    *,
    simulator: Simulator | None = None,
    clock: Clock | None = None,
    mounted_at: str = "",
    **values: Any,
) -> AsyncIterator[Site]:
    """A server that keeps everything in ``folder``; with ``mounted_at`` it is part of another application."""
    runtime = simulated(settings_in(folder, **values), simulator or Simulator(seconds_per_task=0), clock)
    app = web_app(build_server(runtime), runtime, opens_runtime=True)
    outer = Starlette(routes=[Mount(mounted_at, app)]) if mounted_at else app
    async with NETWORK.serving(outer) as base, app.router.lifespan_context(app):
        await runtime.tasks()
        async with client_on_network(f"{base}{mounted_at}") as http:
            yield Site(runtime, f"{base}{mounted_at}", http)
