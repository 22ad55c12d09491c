from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import anyio.lowlevel
import httpx2
import pytest

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running
from tests.network import NETWORK
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
