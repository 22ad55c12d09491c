from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from sora2_mcp.runtime import Runtime
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import FakeClock
from tests.network import NETWORK
from tests.tasks.core import settings_for


@pytest.fixture
def simulator(clock: FakeClock) -> Simulator:
    """Lives in the same time as the core; a task takes 4 s, a slow answer 10 s."""
    return Simulator(now=clock.now, sleep=clock.sleep)


@pytest.fixture
async def base_url(simulator: Simulator) -> AsyncIterator[str]:
    async with NETWORK.simulating(simulator) as url:
        yield url


@pytest.fixture
def settings(tmp_path: Path, base_url: str) -> Settings:
    return settings_for(tmp_path, base_url)


@pytest.fixture
async def runtime(settings: Settings, clock: FakeClock) -> AsyncIterator[Runtime]:
    async with Runtime(settings, clock=clock, transport=NETWORK) as runtime:
        yield runtime


@pytest.fixture
async def service(runtime: Runtime) -> Tasks:
    return await runtime.tasks()
