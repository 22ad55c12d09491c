"""Thousands of calls of strangers to the route for callbacks, over real sockets."""

from pathlib import Path

import pytest

from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock
from tests.server.reached import junk_leaves_nothing_behind, listening_host

pytestmark = pytest.mark.anyio


async def test_a_flood_of_junk_meets_no_server_error_and_leaves_nothing_behind(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with listening_host(tmp_path, Simulator(now=clock.now, sleep=clock.sleep), clock) as reached:
        await junk_leaves_nothing_behind(reached, callers=25, calls=80)
