"""Chromium, driven by Playwright, with a network of the tests' own: what they do not serve cannot be reached."""

import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from functools import cache
from importlib.resources import files
from shutil import which
from typing import Any

import anyio
from playwright.async_api import Browser, ElementHandle, Frame, Page, Request, Route, async_playwright

from sora2_mcp.simulator.motifs import CLIPS
from tests.clocks import PATIENCE_SECONDS
from tests.web import client_on_network

_QUIETLY = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]
_NAMES = ("chromium", "chromium-browser", "google-chrome")
_SIMULATED = re.compile(r"http://127\.0\.0\.1:\d+/videos/")
"""A simulator's, which listens on the tests' network only."""

CDN = "https://cdn.example"
"""Serves the simulator's clips: ``https://cdn.example/sea-landscape.mp4``; anything else there is 404."""


@asynccontextmanager
async def chromium() -> AsyncIterator[Browser]:
    """The system's Chromium, or Chrome."""
    path = next(filter(None, map(which, _NAMES)), None)
    assert path, "Chromium is missing: make apps"
    async with async_playwright() as playwright:
        browser = await playwright.chromium.launch(executable_path=path, args=_QUIETLY)
        try:
            yield browser
        finally:
            await browser.close()


class Addresses:
    """What a page can reach. Everything else is refused, and noted in ``refused``."""

    def __init__(self, base: str = "") -> None:
        """``base`` is a server that really listens."""
        self._base = base
        self._documents: dict[str, tuple[str, dict[str, str]]] = {}
        self.videos: list[str] = []
        """The addresses of videos that were asked for, each time."""
        self.refused: list[str] = []

    def serve(self, address: str, document: str, **headers: str) -> None:
        """Answers with an HTML document; ``_`` in a header's name is ``-``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        self._documents[address] = (document, {"content-type": "text/html; charset=utf-8", **named})

    async def answer(self, route: Route, request: Request) -> None:
        """A route for whatever a context asks for."""
        address = request.url
        if address in self._documents:
            document, headers = self._documents[address]
            await route.fulfill(body=document, headers=headers)
        elif self._base and address.startswith(f"{self._base}/"):
            await route.continue_()
        elif address.startswith(f"{CDN}/"):
            self.videos.append(address)
            await _answer_clip(route, request)
        elif _SIMULATED.match(address):
            self.videos.append(address)
            await _answer_from_network(route, request)
        else:
            self.refused.append(address)
            await route.abort("connectionrefused")


async def _answer_clip(route: Route, request: Request) -> None:
    path = CLIPS / request.url.partition("?")[0].rpartition("/")[2]
    if not path.is_file():
        await route.fulfill(status=404)
        return
    data = path.read_bytes()
    headers = {"content-type": "video/mp4", "accept-ranges": "bytes"}
    found = re.fullmatch(r"bytes=(\d+)-(\d*)", request.headers.get("range", ""))
    if found is None:
        await route.fulfill(body=data, headers=headers)
        return
    first, last = int(found[1]), int(found[2] or len(data) - 1)
    headers["content-range"] = f"bytes {first}-{last}/{len(data)}"
    await route.fulfill(status=206, body=data[first : last + 1], headers=headers)


async def _answer_from_network(route: Route, request: Request) -> None:
    given = {name: value for name, value in request.headers.items() if name == "range"}
    async with client_on_network() as http:
        answer = await http.get(request.url, headers=given)
    await route.fulfill(status=answer.status_code, body=answer.content, headers=dict(answer.headers))


@cache
def _axe() -> str:
    # Of the package only this file is used: its own code is for Playwright's other interface.
    return files("axe_playwright_python").joinpath("axe.min.js").read_text(encoding="utf-8")


async def complaints(place: Page | Frame) -> list[str]:
    """What axe has to say of accessibility, each with the element."""
    await place.evaluate(_axe())
    found: dict[str, Any] = await place.evaluate("axe.run(document)")
    return [
        f"{rule['id']}: {rule['help']}: {json.dumps(node['html'])}"
        for rule in found["violations"]
        for node in rule["nodes"]
    ]


_MOVES = """(video) => new Promise((done) => {
  // On a busy machine a clip of a few seconds would be over before the test has looked.
  video.loop = true;
  if (video.ended) video.play();
  const check = () => (video.currentTime > 0 && !video.paused ? done(true) : video.requestVideoFrameCallback(check));
  check();
})"""

PATIENCE_MS = PATIENCE_SECONDS * 1000


async def playing(place: Page | Frame) -> ElementHandle:
    """The video that is played there, once its frames move; from then on it does not end."""
    video = await place.wait_for_selector("video[controls]", state="attached", timeout=PATIENCE_MS)
    assert video is not None
    with anyio.fail_after(PATIENCE_SECONDS):
        await video.evaluate(_MOVES)
    return video
