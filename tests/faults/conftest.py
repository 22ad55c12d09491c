from pathlib import Path

import pytest

from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock
from tests.e2e.people import WAYS, Way
from tests.postgres import PostgresServer
from tests.stores import PostgresStore, Store, file_in


@pytest.fixture
def simulator(clock: FakeClock) -> Simulator:
    """Lives in the same time as the core; a task takes 4 s, a slow answer 10 s."""
    return Simulator(now=clock.now, sleep=clock.sleep)


@pytest.fixture(params=["sqlite", "postgresql"])
def store(request: pytest.FixtureRequest, tmp_path: Path) -> Store:
    """An empty store on every engine that is supported."""
    if request.param == "sqlite":
        return file_in(tmp_path)
    # Only the engine that is asked for is started.
    server: PostgresServer = request.getfixturevalue("postgres")
    return PostgresStore(server.empty_place())


@pytest.fixture(params=WAYS, ids="-".join)
def way(request: pytest.FixtureRequest) -> Way:
    """Every transport in both eras."""
    found: Way = request.param
    return found
