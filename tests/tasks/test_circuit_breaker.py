"""The service down: all looks wait together, one finds out, and people read it once."""

import logging
from pathlib import Path

import pytest
import stamina

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.errors import (
    LostAnswerError,
    NotReachedError,
    RateLimitedError,
    ServerFaultError,
    Sora2Error,
    UnauthorizedError,
)
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.schedule import CircuitBreaker
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import FakeClock
from tests.tasks.core import looks, opened, settings_for, until, work_done

pytestmark = pytest.mark.anyio

TASKS, TASKS_AT_LEAST = 20, 4
OUTAGE_SECONDS = 240
FAULTS = [NotReachedError("x"), LostAnswerError("x"), ServerFaultError(), RateLimitedError()]


@pytest.mark.parametrize("error", FAULTS, ids=lambda error: type(error).__name__)
def test_three_failures_in_a_row_are_an_outage_and_pauses_grow_to_a_minute(error: Sora2Error) -> None:
    breaker, pauses = CircuitBreaker(5), []
    for _ in range(8):
        breaker.failed(error)
        pauses.append(breaker.pause_seconds)

    assert pauses == [0, 0, 5, 10, 20, 40, 60, 60]
    breaker.answered()
    assert (breaker.is_open, breaker.pause_seconds) == (False, 0)


def test_a_key_that_is_not_accepted_is_no_outage() -> None:
    breaker = CircuitBreaker(5)
    for _ in range(5):
        breaker.failed(UnauthorizedError())

    assert not breaker.is_open


def logged(caplog: pytest.LogCaptureFixture, words: str) -> list[str]:
    """The levels of the lines that hold these words."""
    return [record.levelname for record in caplog.records if words in record.getMessage()]


async def test_many_tasks_make_one_warning_and_few_looks_while_the_service_is_down(
    tmp_path: Path, base_url: str, simulator: Simulator, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sora2_mcp")
    stamina.set_testing(True, attempts=1)
    simulator.add_fault("look-500")
    async with opened(settings_for(tmp_path, base_url, idle_poll_seconds=5), clock) as service:
        ids = {(await service.submit(long(number), "local")).task.task_id for number in range(TASKS)}
        await passed(clock, OUTAGE_SECONDS)
        failed = len(looks(simulator))
        # All of them may be under way when it goes down; each for itself would fail five times. Then one at a time, a
        # minute apart.
        assert TASKS_AT_LEAST <= failed <= TASKS + OUTAGE_SECONDS / 60 + 3
        assert logged(caplog, "the service does not answer looks") == ["WARNING"]
        assert len(logged(caplog, "failed, more will follow")) <= 3
        assert logged(caplog, "the service answers looks again") == []

        simulator.clear_faults()
        await until(clock, lambda: set(looks(simulator)[failed:]) == ids)

    assert logged(caplog, "the service answers looks again") == ["INFO"]
    assert logged(caplog, "the service does not answer looks") == ["WARNING"]


async def test_an_outage_is_told_anew_each_time(
    service: Tasks, simulator: Simulator, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sora2_mcp")
    stamina.set_testing(True, attempts=1)
    task = (await service.submit(long(0), "local")).task
    for _ in range(2):
        simulator.add_fault("look-500*5")
        for _ in range(5):
            with pytest.raises(ServerFaultError):
                await service.get(task.task_id, "local")
        await service.get(task.task_id, "local")
        await clock.advance(3)

    assert logged(caplog, "the service does not answer looks") == ["WARNING"] * 2
    assert logged(caplog, "the service answers looks again") == ["INFO"] * 2


async def test_a_tasks_first_failed_look_and_its_recovery_are_told_once_each(
    service: Tasks, simulator: Simulator, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO, "sora2_mcp")
    failing = (await service.submit(long(0), "local")).task
    for _ in range(2):
        # A key that is not accepted is no outage, however often.
        simulator.add_fault("look-401*6")
        for _ in range(6):
            with pytest.raises(UnauthorizedError):
                await service.get(failing.task_id, "local")
        for _ in range(3):
            await service.get(failing.task_id, "local")
            await clock.advance(3)

    assert logged(caplog, f"a look at task {failing.task_id} failed, more will follow") == ["WARNING"] * 2
    assert logged(caplog, f"looks at task {failing.task_id} work again; it is generating") == ["INFO"] * 2
    assert logged(caplog, f"task {failing.task_id}") == ["INFO", *["WARNING", "INFO"] * 2], "the first is the order"


def long(number: int) -> VideoRequest:
    return VideoRequest(prompt=f"Kitten {number} [sim:seconds=80000]")


async def passed(clock: FakeClock, seconds: int) -> None:
    """Lets time pass, slowly enough for looks to be made in it."""
    for _ in range(seconds):
        await clock.advance(1)
        await work_done(0.003)
