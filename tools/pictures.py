"""Takes the moving pictures of the README anew: ``python -m tools.pictures``, where Chromium and the Inspector are.

Real runs on the simulator: the player in the Inspector's page, and the page at ``/`` of the HTTP server.
"""

import io
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from mcp.client import Client
from PIL import Image
from playwright.async_api import Browser, Page

from tests.apps.browser import chromium
from tests.apps.inspector import inspecting
from tests.conformance.inspector import over_http

PICTURES = Path(__file__).parents[1] / "docs" / "pictures"

# Each prompt's clip shows what it says: the simulator chooses by the prompt's hash.
ORDERED = "A small sailing boat on the evening sea"
SHOWN = [
    ("A hot-air balloon over green hills, calm", "landscape"),
    ("A steam train crosses a stone bridge in autumn", "landscape"),
    ("Rain over a city at night, moonlight", "portrait"),
    ("A goldfish in turquoise water, warm light", "landscape"),
    ("A copper planet with rings, slow orbit, calm", "landscape"),
    ("A snowman [sim:generation-failure]", "landscape"),
    ("Goldfish in clear water, calm", "portrait"),
    ("A small sailing boat on the evening sea", "landscape"),
]
_WIDTH = 900
_PAUSE_MILLISECONDS = 250
_COLOURS = 96


async def main() -> None:
    """Both pictures, one after the other."""
    with TemporaryDirectory() as name:
        home = Path(name)
        with over_http(home) as (server, _):
            async with chromium() as browser:
                await _player(browser, home, server)
                await _gallery(browser, server)


async def _player(browser: Browser, home: Path, server: str) -> None:
    page = await browser.new_page(viewport={"width": 1200, "height": 640})
    async with inspecting(home) as inspector:
        player = await inspector.opened(page, server, "generate_video", {"prompt": ORDERED})
        frames = await _frames(page, 10)
        await player.locator("video").wait_for()
        frames += await _frames(page, 14)
    _save(frames, PICTURES / "player.gif")


async def _gallery(browser: Browser, server: str) -> None:
    async with Client(server) as client:
        for prompt, aspect_ratio in SHOWN[1:]:
            await client.call_tool("generate_video", {"prompt": prompt, "aspect_ratio": aspect_ratio})
        await anyio.sleep(6)
        page = await browser.new_page(viewport={"width": 1200, "height": 760}, device_scale_factor=1)
        await page.goto(server.removesuffix("mcp"))
        await page.locator(".play").first.wait_for()
        await client.call_tool("generate_video", {"prompt": SHOWN[0][0]})
        frames = await _frames(page, 6)
        await page.locator("#cards .card").first.get_by_role("button", name="Play").click()
        frames += await _frames(page, 14)
    _save(frames, PICTURES / "gallery.gif")


async def _frames(page: Page, count: int) -> list[Image.Image]:
    frames = []
    for _ in range(count):
        frames.append(Image.open(io.BytesIO(await page.screenshot())).convert("RGB"))
        await page.wait_for_timeout(_PAUSE_MILLISECONDS)
    return frames


def _save(frames: Sequence[Image.Image], path: Path) -> None:
    height = round(frames[0].height * _WIDTH / frames[0].width)
    small = [frame.resize((_WIDTH, height), Image.Resampling.LANCZOS) for frame in frames]
    # One palette for all, or the colours would flicker; without dither, which does not pack.
    strip = Image.new("RGB", (_WIDTH, height * len(small)))
    for number, frame in enumerate(small):
        strip.paste(frame, (0, height * number))
    palette = strip.quantize(_COLOURS, dither=Image.Dither.NONE)
    first, *others = (frame.quantize(palette=palette, dither=Image.Dither.NONE) for frame in small)
    first.save(path, save_all=True, append_images=others, duration=2 * _PAUSE_MILLISECONDS, loop=0, optimize=True)


if __name__ == "__main__":
    anyio.run(main)
