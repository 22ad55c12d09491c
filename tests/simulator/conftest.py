from collections.abc import AsyncIterator
from datetime import UTC, datetime, timedelta

import anyio.lowlevel
import httpx2
import pytest

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


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
    """A client of the simulator over a real socket, with a key; relative addresses start at the API."""
    async with (
        running(simulator) as url,
        httpx2.AsyncClient(base_url=url, headers={"Authorization": "Bearer any-key"}, timeout=5) as http,
    ):
        yield http
