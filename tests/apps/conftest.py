"""One browser for all tests, a context of its own for each; the documents as the server gives them."""

from collections.abc import AsyncIterator

import pytest
from playwright.async_api import Browser, expect

from sora2_mcp.server.apps import GALLERY, PLAYER
from tests.apps.browser import CDN, PATIENCE_MS, chromium
from tests.apps.hosts import App
from tests.servers import agent

expect.set_options(timeout=PATIENCE_MS)


@pytest.fixture(scope="session")
async def browser() -> AsyncIterator[Browser]:
    async with chromium() as browser:
        yield browser


@pytest.fixture(scope="session")
async def apps(tmp_path_factory: pytest.TempPathFactory) -> dict[str, App]:
    """The apps of a server whose settings allow ``CDN``, by their addresses."""
    async with agent(tmp_path_factory.mktemp("apps"), media_hosts=CDN) as one:
        return {uri: await App.of(one, uri) for uri in (PLAYER, GALLERY)}


@pytest.fixture
def player(apps: dict[str, App]) -> App:
    return apps[PLAYER]


@pytest.fixture
def gallery(apps: dict[str, App]) -> App:
    return apps[GALLERY]
