"""People who visit the page of a real server in a browser of their own, and agents that order there for them."""

from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from playwright.async_api import Browser, ConsoleMessage, Locator, Page, Route, expect

from sora2_mcp.simulator.app import Simulator
from tests.apps.browser import Addresses
from tests.servers import settings_in
from tests.web import client_of, served

ANN, BOB, OPERATOR = "ann-0123456789abcdef", "bob-0123456789abcdef", "operator-0123456789abcdef"
TOKENS = f"ann:{ANN},bob:{BOB}"


@asynccontextmanager
async def site(folder: Path, simulator: Simulator | None = None, **values: Any) -> AsyncIterator[str]:
    """A server for Ann, Bob and its operator; gives its address."""
    settings = settings_in(folder, **{"auth_tokens": TOKENS, "admin_token": OPERATOR, **values})
    async with served(settings, simulator) as base:
        yield base


@dataclass(kw_only=True)
class Visit:
    """A person at the page."""

    page: Page
    addresses: Addresses
    errors: list[str] = field(default_factory=list)

    @property
    def cards(self) -> Locator:
        return self.page.get_by_role("listitem")

    def button(self, name: str) -> Locator:
        return self.page.get_by_role("button", name=name)

    async def sign_in(self, token: str) -> None:
        await self.page.get_by_label("Access token").fill(token)
        await self.page.keyboard.press("Enter")

    async def signed_in(self, token: str) -> None:
        """Signs in; returns once the page is there."""
        await self.sign_in(token)
        await expect(self.button("Sign out")).to_be_visible()

    async def come_back(self) -> None:
        """Comes back to the page from another tab, so it asks for what is new; not for one who is signed out."""
        await self.page.evaluate("document.dispatchEvent(new Event('visibilitychange'))")

    async def answer_list(self, tasks: Callable[[dict[str, Any]], dict[str, Any]]) -> None:
        """Answers ``list_tasks`` by its arguments in the server's place; everything else goes on to the server."""

        async def answer(route: Route) -> None:
            asked = route.request.post_data_json or {}
            if asked.get("params", {}).get("name") != "list_tasks":
                await route.fallback()
                return
            result = {"content": [], "structuredContent": tasks(asked["params"]["arguments"]), "resultType": "complete"}
            await route.fulfill(json={"jsonrpc": "2.0", "id": asked["id"], "result": result})

        await self.page.route("**/mcp", answer)


@asynccontextmanager
async def visit(browser: Browser, base: str, *, width: int = 1200, **options: Any) -> AsyncIterator[Visit]:
    """A visit of the page in a browser of its own; at the end nothing may have failed in it, nor gone elsewhere."""
    addresses = Addresses(base)
    place = await browser.new_context(viewport={"width": width, "height": 900}, **options)
    try:
        await place.route("**/*", addresses.answer)
        page = await place.new_page()
        visit = Visit(page=page, addresses=addresses)

        def note(message: ConsoleMessage) -> None:
            if "Content Security Policy" in message.text:
                visit.errors.append(message.text)

        page.on("console", note)
        page.on("pageerror", lambda error: visit.errors.append(str(error)))
        page.on("dialog", lambda dialog: visit.errors.append(f"dialog: {dialog.message}"))
        await page.goto(f"{base}/")
        yield visit
        assert (visit.errors, addresses.refused) == ([], [])
    finally:
        await place.close()


@asynccontextmanager
async def agent_of(base: str, token: str = "") -> AsyncIterator[Client]:
    """An agent that speaks to the server over HTTP."""
    headers = {"authorization": f"Bearer {token}"} if token else {}
    async with (
        client_of(headers=headers) as http,
        Client(streamable_http_client(f"{base}/mcp", http_client=http)) as client,
    ):
        yield client


async def order(base: str, token: str, *prompts: str, ends: bool = True, **arguments: Any) -> list[str]:
    """Has an agent order these, one after the other, and wait for their ends; gives their ids."""
    ids = []
    async with agent_of(base, token) as client:
        for prompt in prompts:
            result = await client.call_tool("generate_video", {"prompt": prompt, **arguments})
            assert result.structured_content is not None, result
            ids.append(str(result.structured_content["task_id"]))
            if ends:
                await client.call_tool("wait_for_video", {"task_id": ids[-1]})
    return ids
