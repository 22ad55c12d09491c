import pytest

from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock


@pytest.fixture
def simulator(clock: FakeClock) -> Simulator:
    """Lives in the same time as the core; a task takes 4 s, a slow answer 10 s."""
    return Simulator(now=clock.now, sleep=clock.sleep)
