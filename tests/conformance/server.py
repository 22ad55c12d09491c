"""Our own server as it is assembled for HTTP, on the simulator, with the scenarios' fixtures beside its tools."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from sora2_mcp.server.web.app import web_app
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running
from tests.conformance.fixtures import add_fixtures
from tests.servers import settings_in
from tests.web import listening


@asynccontextmanager
async def assembled(folder: Path) -> AsyncIterator[str]:
    """Serves it on a loopback address with everything below ``folder``; gives the address of its streamable HTTP."""
    simulator = Simulator(seconds_per_task=0)
    runtime = Runtime(settings_in(folder), endpoint=lambda: running(simulator))
    server = build_server(runtime)
    add_fixtures(server, runtime)
    async with listening(web_app(server, runtime, host="127.0.0.1", opens_runtime=True)) as base:
        yield f"{base}/mcp"
