"""What hosts see of this server with each service, as the server itself says it."""

import json
import tempfile
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from mcp.client import Client
from pydantic import BaseModel

from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from sora2_mcp.settings import Settings
from tools.docs.files import ROOT

SERVICES: dict[str, dict[str, str]] = {
    "sora2api": {},
    "kie": {},
    "openai": {"api_base_url": "http://gpu.example:8000/v1"},
    "openrouter": {"model": "google/veo-3.1"},
}
"""Every service, and what it needs to be set beside its key."""


def kept(service: str) -> Path:
    """Where the published catalogue of a service is kept."""
    return ROOT / "tests" / "contract" / "catalogues" / f"{service}.json"


def catalogue(service: str = "sora2api") -> dict[str, Any]:
    """The published catalogue."""
    found: dict[str, Any] = json.loads(kept(service).read_text(encoding="utf-8"))
    return found


def tool_names() -> list[str]:
    """The tools there are, in the order they are listed."""
    return [tool["name"] for tool in catalogue()["tools"]]


@asynccontextmanager
async def client_of(service: str = "sora2api", mode: str = "auto") -> AsyncIterator[Client]:
    """A client of a server that has no key and keeps nothing."""
    with tempfile.TemporaryDirectory() as folder:
        settings = Settings.load(
            api_key="",
            service=service,
            database_url=f"sqlite:///{folder}/tasks.db",
            video_dir=Path(folder),
            **SERVICES[service],
        )
        async with Runtime(settings) as runtime, Client(build_server(runtime), mode=mode) as client:
            yield client


async def published(service: str, mode: str = "auto") -> dict[str, Any]:
    """What hosts see now; ``mode`` is the client's era, ``legacy`` for the older protocol."""
    async with client_of(service, mode) as client:
        return {
            "instructions": client.instructions,
            "tools": _plain((await client.list_tools()).tools),
            "prompts": _plain((await client.list_prompts()).prompts),
            "resources": _plain((await client.list_resources()).resources),
            "resourceTemplates": _plain((await client.list_resource_templates()).resource_templates),
        }


def _plain(models: list[Any]) -> list[dict[str, Any]]:
    def dumped(model: BaseModel) -> dict[str, Any]:
        return model.model_dump(mode="json", by_alias=True, exclude_none=True)

    return [dumped(model) for model in models]
