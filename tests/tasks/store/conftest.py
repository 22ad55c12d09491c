"""One database for each test, and the store on it; every engine that is supported runs through the same tests."""

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sora2_mcp.clock import SystemClock
from sora2_mcp.tasks.store.database import Database, open_store
from tests.clocks import FakeClock
from tests.migrated import migrated_file
from tests.postgres import PostgresServer
from tests.tasks.store.drafts import OTHER_SERVICE, SERVICE


@pytest.fixture
def sqlite_url(tmp_path: Path) -> str:
    file = tmp_path / "t.db"
    file.write_bytes(migrated_file())
    return f"sqlite:///{file}"


@pytest.fixture
def postgres_url(postgres: PostgresServer) -> str:
    return postgres.migrated_place()


@pytest.fixture(params=["sqlite", "postgresql"])
def store_url(request: pytest.FixtureRequest) -> str:
    """The address of a database without a task."""
    # Only the engine that is asked for is started.
    url: str = request.getfixturevalue("sqlite_url" if request.param == "sqlite" else "postgres_url")
    return url


@pytest.fixture(params=["sqlite", "postgresql"])
def empty_url(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """The address of a database with nothing in it."""
    if request.param == "sqlite":
        return f"sqlite:///{tmp_path / 'empty.db'}"
    # Only the engine that is asked for is started.
    server: PostgresServer = request.getfixturevalue("postgres")
    return server.empty_place()


@pytest.fixture
def present() -> FakeClock:
    """Stamps drafts with today's time; it is the stores that run on the machine's own."""
    return FakeClock(SystemClock().now())


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
