"""A host of MCP Apps: a page that shows an app in a sandboxed frame and speaks JSON-RPC with it."""

from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Self

from mcp_types import CallToolResult, TextResourceContents
from playwright.async_api import Browser, Frame, Locator, Page

from tests.apps.browser import Addresses
from tests.clocks import eventually
from tests.servers import Agent

_PAGE = Path(__file__).with_name("host.html").read_text(encoding="utf-8")
_HOST, _SANDBOX = "https://host.example/", "https://sandbox.example/app.html"

CAPABILITIES: Mapping[str, Any] = {
    "serverTools": {},
    "serverResources": {},
    "openLinks": {},
    "downloadFile": {},
    "updateModelContext": {"text": {}},
}
CONTEXT: Mapping[str, Any] = {
    "theme": "light",
    "displayMode": "inline",
    "availableDisplayModes": ["inline", "fullscreen"],
}

Answer = Callable[[dict[str, Any]], Awaitable[Any]]
"""Gives the result of a request by its parameters; a ``Refused`` is an error."""


class Refused(Exception):  # noqa: N818 - it is what a host does, no fault of ours
    """The host answers a request with an error of this text."""


@dataclass(frozen=True, kw_only=True)
class App:
    """An app's document, and where its resource says that videos come from."""

    document: str
    media: tuple[str, ...]

    @classmethod
    async def of(cls, agent: Agent, uri: str) -> Self:
        """What the server gives for ``resources/read``."""
        (content,) = (await agent.client.read_resource(uri)).contents
        assert isinstance(content, TextResourceContents)
        assert content.meta is not None
        return cls(document=content.text, media=tuple(content.meta["ui"]["csp"]["resourceDomains"]))

    def csp(self, *more_media: str) -> str:
        """The header that hosts make of it."""
        declared = " ".join(self.media)
        inline = f"'self' 'unsafe-inline' {declared}"
        return (
            f"default-src 'none'; script-src {inline}; style-src {inline}; font-src 'self' {declared}; "
            f"img-src 'self' data: {declared}; media-src 'self' {' '.join((*self.media, *more_media))}; "
            "connect-src 'none'; frame-src 'none'; base-uri 'none'; form-action 'none'"
        )


async def _nothing(_: dict[str, Any]) -> dict[str, Any]:
    return {}


@dataclass(kw_only=True, eq=False)
class Host:
    """A host that shows one app. ``answers`` may be changed at any time."""

    page: Page
    addresses: Addresses
    capabilities: Mapping[str, Any]
    context: Mapping[str, Any]
    answers: dict[str, Answer] = field(default_factory=dict)
    messages: list[dict[str, Any]] = field(default_factory=list)
    """All that the app has sent, in order."""
    errors: list[str] = field(default_factory=list)
    """Failures in a script of the page or the app, and what the browser kept it from."""

    @property
    def frame(self) -> Frame:
        """The app's."""
        (frame,) = (frame for frame in self.page.frames if frame.url == _SANDBOX)
        return frame

    @property
    def element(self) -> Locator:
        """The app's frame, as it stands in the host's page."""
        return self.page.locator("#app")

    async def heard(self, message: dict[str, Any]) -> dict[str, Any] | None:
        """Takes a message of the app; gives the answer to a request."""
        self.messages.append(message)
        if "id" not in message or "method" not in message:
            return None
        head = {"jsonrpc": "2.0", "id": message["id"]}
        answer = {"ui/initialize": self._initialize, **self.answers}.get(message["method"])
        if answer is None:
            return {**head, "error": {"code": -32601, "message": "Method not found"}}
        try:
            return {**head, "result": await answer(message.get("params", {}))}
        except Refused as refused:
            return {**head, "error": {"code": -32000, "message": str(refused)}}

    def sent(self, method: str) -> list[dict[str, Any]]:
        """The parameters of the app's messages of a method so far."""
        return [message.get("params", {}) for message in self.messages if message.get("method") == method]

    async def until_sent(self, method: str, times: int = 1) -> list[dict[str, Any]]:
        """The same, once there are so many."""
        await eventually(lambda: len(self.sent(method)) >= times)
        return self.sent(method)

    async def send(self, **message: Any) -> None:
        """Sends the app a message."""
        await self.page.evaluate("send", {"jsonrpc": "2.0", **message})

    async def notify(self, name: str, /, **params: Any) -> None:
        await self.send(method=f"ui/notifications/{name}", params=params)

    async def request(self, method: str, **params: Any) -> dict[str, Any]:
        """The app's answer to a request, error or result."""
        id = f"host-{len(self.messages)}"
        await self.send(id=id, method=method, params=params)
        found: list[dict[str, Any]] = []

        def is_answered() -> bool:
            found[:] = [message for message in self.messages if message.get("id") == id]
            return bool(found)

        await eventually(is_answered)
        return found[0]

    async def show(self, result: CallToolResult | dict[str, Any], **arguments: Any) -> None:
        """Tells the app what its tool was called with and gave; a dictionary is structured content."""
        await self.notify("tool-input", arguments=arguments)
        await self.notify("tool-result", **(as_sent(result) if isinstance(result, CallToolResult) else given(result)))

    async def initialized(self) -> None:
        await self.until_sent("ui/notifications/initialized")

    async def height_fits(self) -> None:
        """Returns once the frame is exactly as high as what it shows."""

        async def fits() -> bool:
            shown = await self.frame.evaluate("Math.ceil(document.documentElement.getBoundingClientRect().height)")
            box = await self.element.bounding_box()
            return box is not None and box["height"] == shown

        await eventually(fits)

    async def _initialize(self, _: dict[str, Any]) -> dict[str, Any]:
        return {
            "protocolVersion": "2026-01-26",
            "hostInfo": {"name": "tests", "version": "1"},
            "hostCapabilities": {**self.capabilities},
            "hostContext": {**self.context},
        }


def given(content: dict[str, Any], text: str = "") -> dict[str, Any]:
    """A tool's result."""
    words = text or str(content.get("message", ""))
    return {"content": [{"type": "text", "text": words}], "structuredContent": content}


def wrong(text: str) -> dict[str, Any]:
    """A tool's error."""
    return {"content": [{"type": "text", "text": text}], "isError": True}


def as_sent(result: CallToolResult) -> dict[str, Any]:
    """A tool's result as it stands in a message."""
    return result.model_dump(by_alias=True, mode="json", exclude_none=True)


def calls(host: Host) -> list[tuple[str, dict[str, Any]]]:
    """The tools that the app has called."""
    return [(params["name"], params["arguments"]) for params in host.sent("tools/call")]


@asynccontextmanager
async def host_of(
    browser: Browser,
    app: App,
    *,
    capabilities: Mapping[str, Any] = CAPABILITIES,
    context: Mapping[str, Any] = CONTEXT,
    answers: Mapping[str, Answer] | None = None,
    media: tuple[str, ...] = (),
    width: int = 800,
    **options: Any,
) -> AsyncIterator[Host]:
    """A host that shows the app, which has reported that it is ready. ``media`` is allowed beyond what the app asks.

    ``options`` are the browser's. At the end nothing may have failed in the app, nor have been asked for elsewhere.
    """
    addresses = Addresses()
    addresses.serve(_HOST, _PAGE)
    addresses.serve(_SANDBOX, app.document, content_security_policy=app.csp(*media))
    place = await browser.new_context(viewport={"width": width, "height": 900}, **options)
    try:
        await place.route("**/*", addresses.answer)
        page = await place.new_page()
        usual: dict[str, Answer] = dict.fromkeys(
            ("ui/open-link", "ui/download-file", "ui/update-model-context"), _nothing
        )
        host = Host(
            page=page,
            addresses=addresses,
            capabilities=capabilities,
            context=context,
            answers={**usual, **(answers or {})},
        )
        page.on("pageerror", lambda error: host.errors.append(str(error)))
        page.on("dialog", lambda dialog: host.errors.append(f"dialog: {dialog.message}"))
        await page.expose_function("heard", host.heard)
        await page.goto(_HOST)
        await host.initialized()
        yield host
        assert (host.errors, addresses.refused) == ([], [])
    finally:
        await place.close()
