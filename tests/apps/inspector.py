"""The Inspector's web page, which shows apps as a host does; installed by `make conformance` and `make apps`."""

import base64
import json
import os
import secrets
import socket
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlencode

import anyio
import httpx2
from playwright.async_api import FrameLocator, Page

from tests.conformance.node import INSPECTOR, node

_SECONDS = 60.0
_MILLISECONDS = 1000 * _SECONDS


@dataclass(frozen=True, slots=True, kw_only=True)
class InspectorPage:
    """A running Inspector; its token lets links connect by themselves."""

    address: str
    token: str

    def link(self, server: str, tool: str, arguments: dict[str, Any]) -> str:
        """What opens a tool's app, but for the last click."""
        given = base64.urlsafe_b64encode(json.dumps(arguments).encode()).decode().rstrip("=")
        asked = {"serverUrl": server, "transport": "http", "autoConnect": self.token, "openApp": tool, "appArgs": given}
        return f"{self.address}/?{urlencode(asked)}"

    async def opened(self, page: Page, server: str, tool: str, arguments: dict[str, Any]) -> FrameLocator:
        """The app, once the Inspector calls it ready."""
        await page.goto(self.link(server, tool, arguments))
        await page.get_by_role("button", name="Open App").click(timeout=_MILLISECONDS)
        await page.locator('[data-app-status="ready"]').first.wait_for(timeout=_MILLISECONDS)
        # A page of the sandbox's own stands around the app's.
        return page.frame_locator('[data-testid="apps-form"] iframe').frame_locator("iframe")


@asynccontextmanager
async def inspecting(home: Path) -> AsyncIterator[InspectorPage]:
    """The Inspector on this machine; what it keeps is below ``home``."""
    ports = [_free_port(), _free_port()]
    page = InspectorPage(address=f"http://127.0.0.1:{ports[0]}", token=secrets.token_hex(24))
    kept = {name: value for name, value in os.environ.items() if name in ("PATH", "LANG")}
    own = {
        "HOME": str(home),
        "HOST": "127.0.0.1",
        "CLIENT_PORT": str(ports[0]),
        "MCP_SANDBOX_PORT": str(ports[1]),
        "MCP_AUTO_OPEN_ENABLED": "false",
        "MCP_INSPECTOR_API_TOKEN": page.token,
    }
    with (home / "inspector.log").open("wb") as log:
        command = [node(), str(INSPECTOR), "--web"]
        async with await anyio.open_process(
            command, env={**kept, **own}, cwd=home, stdin=subprocess.DEVNULL, stdout=log, stderr=log
        ) as process:
            try:
                await _until_it_answers(page.address)
                yield page
            finally:
                process.terminate()


async def _until_it_answers(address: str) -> None:
    async with httpx2.AsyncClient() as http:
        with anyio.fail_after(_SECONDS):
            while True:
                try:
                    await http.get(address)
                except httpx2.TransportError:
                    await anyio.sleep(0.1)
                else:
                    return


def _free_port() -> int:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port: int = listener.getsockname()[1]
        return port
