"""One database for each test, and the store on it; every engine that is supported runs through the same tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sora2_mcp.tasks.store.database import Database, open_store
from tests.clocks import FakeClock
from tests.tasks.store.drafts import OTHER_SERVICE, SERVICE


@pytest.fixture(params=["sqlite"])
def store_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of an empty database."""
    assert request.param == "sqlite"
    return f"sqlite:///{tmp_path / 't.db'}"


@pytest.fixture
async def store(store_url: str, clock: FakeClock) -> AsyncIterator[Database]:
    async with open_store(store_url, SERVICE, clock) as store:
        yield store


@pytest.fixture
async def second(store_url: str, store: Database, clock: FakeClock) -> AsyncIterator[Database]:
    """The same database and service, as another process has it open."""
    del store
    async with open_store(store_url, SERVICE, clock) as second:
        yield second


@pytest.fixture
async def stranger(store_url: str, store: Database, clock: FakeClock) -> AsyncIterator[Database]:
    """The same database, opened for another service."""
    del store
    async with open_store(store_url, OTHER_SERVICE, clock) as stranger:
        yield stranger
