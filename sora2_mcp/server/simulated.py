"""The simulator inside this process, for ``--simulate`` and ``SORA2_SIMULATE=1``."""

import importlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import anyio.to_thread

from sora2_mcp.errors import StoreError
from sora2_mcp.runtime import Endpoint
from sora2_mcp.settings import Settings

_SECONDS_PER_TASK = 4.0


def endpoint_of(settings: Settings) -> Endpoint | None:
    """The simulator where the settings ask for it, else None: the real service."""
    if not settings.simulate:
        return None

    @asynccontextmanager
    async def endpoint() -> AsyncIterator[str]:
        folder = state_folder(settings)
        try:
            folder.mkdir(parents=True, exist_ok=True)
        except OSError as error:
            raise StoreError(f"needs the folder {folder}, which cannot be made: {error.strerror}") from error
        # Off the event loop, and only when needed: it costs 0.1 s.
        serving = await anyio.to_thread.run_sync(importlib.import_module, "sora2_mcp.simulator.serve")
        application = importlib.import_module("sora2_mcp.simulator.app")
        simulator = application.Simulator(seconds_per_task=_SECONDS_PER_TASK, state_folder=folder)
        remembered = folder / "port"
        async with serving.running(
            simulator, port=_port(remembered), fallback=True, dialect=settings.service
        ) as base_url:
            # The same port next time keeps the addresses of earlier videos good.
            if not remembered.exists():
                remembered.write_text(base_url.rpartition(":")[2].partition("/")[0])
            yield base_url

    return endpoint


def state_folder(settings: Settings) -> Path:
    """Where the simulator keeps its tasks: beside the file that knows them, so that who moves one moves both."""
    file = settings.store_file
    return (file.parent if file else settings.data_dir) / "service"


def _port(remembered: Path) -> int:
    try:
        return int(remembered.read_text())
    except (OSError, ValueError):
        return 0
