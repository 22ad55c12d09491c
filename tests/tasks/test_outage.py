"""The service down: all looks wait together, one finds out, and people read it once."""

import logging
from pathlib import Path

import pytest

from sora2_mcp.errors import (
    LostAnswerError,
    NotReachedError,
    RateLimitedError,
    ServerFaultError,
    Sora2Error,
    UnauthorizedError,
)
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.outage import Outage
from tests.clocks import eventually
from tests.servers import agent

pytestmark = pytest.mark.anyio

FAULTS = [NotReachedError("x"), LostAnswerError("x"), ServerFaultError(), RateLimitedError()]


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_three_failures_in_a_row_are_an_outage_and_pauses_grow_to_a_minute(error: Sora2Error) -> None:
    outage, pauses = Outage(5), []
    for _ in range(8):
        outage.failed(error)
        pauses.append(outage.pause_seconds)

    assert pauses == [0, 0, 5, 10, 20, 40, 60, 60]
    outage.answered()
    assert (outage.is_on, outage.pause_seconds) == (False, 0)


def test_a_key_that_is_not_accepted_is_no_outage() -> None:
    outage = Outage(5)
    for _ in range(5):
        outage.failed(UnauthorizedError())

    assert not outage.is_on


async def test_many_tasks_make_one_warning_and_few_looks_while_the_service_is_down(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sora2_mcp")
    simulator = Simulator(seconds_per_task=1000, faults=["look-500*18"])
    async with agent(tmp_path, simulator=simulator, poll_seconds=0.05, idle_poll_seconds=0.05) as me:
        for number in range(20):
            await me.content("generate_video", prompt=f"Kitten {number}")

        def logged(words: str) -> int:
            return sum(words in record.getMessage() for record in caplog.records)

        await eventually(lambda: logged("the service answers looks again") == 1)

        assert logged("the service does not answer looks") == 1
        assert logged("failed, more will follow") <= 3
