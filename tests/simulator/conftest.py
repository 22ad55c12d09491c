from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta

import anyio.lowlevel
import httpx2
import pytest

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.dialects import DIALECTS
from sora2_mcp.simulator.serve import running
from tests.network import NETWORK
from tests.simulator.spoken import TALKS, Talk
from tests.web import client_of, client_on_network

KEY = {"Authorization": "Bearer any-key"}


@pytest.fixture
def moments() -> list[datetime]:
    """The clock: the last of these is now."""
    return [datetime(2026, 3, 20, 10, 25, tzinfo=UTC)]


@pytest.fixture
def slept() -> list[float]:
    """Every wait of the simulator, in seconds; a wait moves the clock and is over at once."""
    return []


@pytest.fixture
def simulator(moments: list[datetime], slept: list[float]) -> Simulator:
    async def sleep(seconds: float) -> None:
        await anyio.lowlevel.checkpoint()
        slept.append(seconds)
        moments.append(moments[-1] + timedelta(seconds=seconds))

    return Simulator(now=lambda: moments[-1], sleep=sleep)


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[httpx2.AsyncClient]:
    """A client of the simulator, with a key; relative addresses start at the API."""
    async with NETWORK.simulating(simulator) as url, client_on_network(url, headers=KEY) as http:
        yield http


@pytest.fixture
async def wired(simulator: Simulator) -> AsyncIterator[httpx2.AsyncClient]:
    """The same over a real socket, for answers that break off and for files."""
    async with running(simulator) as url, client_of(url, headers=KEY) as http:
        yield http


@asynccontextmanager
async def speaking(simulator: Simulator, dialect: str, key: str = "any-key") -> AsyncIterator[httpx2.AsyncClient]:
    """A client of one dialect within the process, with a key; relative addresses start at its base path."""
    headers = {"Authorization": f"Bearer {key}"} if key else {}
    async with (
        NETWORK.serving(simulator.app) as url,
        simulator.app.router.lifespan_context(simulator.app),
        client_on_network(f"{url}{DIALECTS[dialect]}", headers=headers) as http,
    ):
        yield http


@pytest.fixture(params=DIALECTS)
async def talk(request: pytest.FixtureRequest, simulator: Simulator) -> AsyncIterator[Talk]:
    """A client of each dialect in turn."""
    async with speaking(simulator, request.param) as http:
        yield TALKS[request.param](http)


@pytest.fixture(params=DIALECTS)
async def wired_talk(request: pytest.FixtureRequest, simulator: Simulator) -> AsyncIterator[Talk]:
    """The same over a real socket, for answers that break off."""
    async with running(simulator, dialect=request.param) as url, client_of(url, headers=KEY) as http:
        yield TALKS[request.param](http)
