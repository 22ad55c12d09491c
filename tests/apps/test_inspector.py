"""The player and the gallery in a real host's page: the Inspector's."""

from pathlib import Path

import pytest
from playwright.async_api import expect

from tests.apps.browser import chromium
from tests.apps.inspector import inspecting
from tests.conformance.inspector import over_http

pytestmark = pytest.mark.anyio


async def test_the_inspector_calls_both_apps_ready_and_the_player_plays_what_was_ordered(tmp_path: Path) -> None:
    with over_http(tmp_path) as (server, _):
        async with inspecting(tmp_path) as inspector, chromium() as browser:
            page = await browser.new_page()
            player = await inspector.opened(page, server, "generate_video", {"prompt": "A balloon over green hills"})
            await expect(player.locator("#prompt")).to_have_text("A balloon over green hills")
            await expect(player.locator("#status")).to_have_text("Done", timeout=30_000)
            await expect(player.locator("video")).to_have_js_property("paused", value=False)

            gallery = await inspector.opened(page, server, "list_tasks", {})
            await expect(gallery.locator(".card")).to_have_count(1)
