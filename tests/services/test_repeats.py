"""How long a look waits before it is repeated, as the service sees it: by the time between two requests."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from datetime import timedelta
from email.utils import format_datetime
from itertools import pairwise
from typing import Any

import anyio
import httpx2
import pytest
import stamina

from sora2_mcp.clock import SystemClock
from sora2_mcp.errors import LostAnswerError, RateLimitedError, Sora2Error
from sora2_mcp.services.client import LOOK_LIMIT_SECONDS
from tests.clocks import FakeClock
from tests.services.leaping import LeapingLoop
from tests.services.test_client import client_of, generating, refusal

pytestmark = pytest.mark.anyio

HARDLY_SECONDS = 1e-6
"""What rounding may make of a pause."""


@pytest.fixture
def anyio_backend() -> tuple[str, dict[str, Any]]:
    return "asyncio", {"loop_factory": LeapingLoop}


@pytest.fixture(autouse=True)
def _pauses_are_real(_retries_do_not_pause: None) -> None:
    stamina.set_testing(False)


def now() -> float:
    return asyncio.get_running_loop().time()


class Timed:
    """A service that gives one kind of answer and notes when each request came."""

    def __init__(self, answer: Callable[[], httpx2.Response | Exception], *, takes_seconds: float = 0) -> None:
        self.came_at: list[float] = []
        self._answer = answer
        self._takes_seconds = takes_seconds

    @property
    def pauses(self) -> list[float]:
        return [later - earlier for earlier, later in pairwise(self.came_at)]

    async def __call__(self, _: httpx2.Request) -> httpx2.Response:
        self.came_at.append(now())
        await anyio.sleep(self._takes_seconds)
        answer = self._answer()
        if isinstance(answer, Exception):
            raise answer
        return answer


async def pauses_of(service: Timed, clock: FakeClock) -> list[float]:
    """The seconds between the requests of one look."""
    async with client_of(service, clock) as client:
        with suppress(Sora2Error):
            await client.look("sora2_task_a")
    return service.pauses


FAULTS: list[Callable[[], httpx2.Response | Exception]] = [
    lambda: refusal(500),
    lambda: refusal(429),
    lambda: httpx2.ReadError("reset"),
    lambda: httpx2.ConnectError("refused"),
    lambda: httpx2.Response(502, html="<html>Bad Gateway</html>"),
]


@pytest.mark.parametrize("fault", FAULTS, ids=["500", "429", "broken", "no connection", "web page"])
async def test_pauses_grow_and_differ_from_look_to_look_within_bounds(
    fault: Callable[[], httpx2.Response | Exception], clock: FakeClock
) -> None:
    measured = [await pauses_of(Timed(fault), clock) for _ in range(100)]

    assert {len(pauses) for pauses in measured} == {2}
    firsts, seconds = zip(*measured, strict=True)
    assert 0.25 <= min(firsts) < 0.3 < 0.45 < max(firsts) <= 0.5 + HARDLY_SECONDS
    assert 0.5 <= min(seconds) < 0.55 < 0.7 < max(seconds) <= 0.75 + HARDLY_SECONDS
    assert all(later >= earlier - HARDLY_SECONDS for earlier, later in measured)


@pytest.mark.parametrize("seconds", [0, 1, 4, 5])
@pytest.mark.parametrize("code", [429, 455, 500])
async def test_the_service_sets_the_pause_with_retry_after(code: int, seconds: int, clock: FakeClock) -> None:
    pauses = await pauses_of(Timed(lambda: refusal(code, {"retry-after": str(seconds)})), clock)

    assert pauses == pytest.approx([seconds, seconds], abs=HARDLY_SECONDS)


async def test_the_service_sets_the_pause_with_a_date(clock: FakeClock) -> None:
    date = format_datetime(clock.now() + timedelta(seconds=4), usegmt=True)

    pauses = await pauses_of(Timed(lambda: refusal(429, {"retry-after": date})), clock)

    assert pauses == pytest.approx([4, 4], abs=HARDLY_SECONDS)


async def test_a_pause_longer_than_a_look_has_room_for_is_told_at_once_and_not_waited_for(clock: FakeClock) -> None:
    service = Timed(lambda: refusal(429, {"retry-after": "600"}))
    began = now()

    async with client_of(service, clock) as client:
        with pytest.raises(RateLimitedError) as raised:
            await client.look("sora2_task_a")

    assert raised.value.retry_after_seconds == 600
    assert service.came_at == [began] == [now()]


async def test_a_look_with_its_repeats_ends_within_its_limit() -> None:
    service, began = Timed(lambda: httpx2.ReadTimeout("slow"), takes_seconds=8), now()

    async with client_of(service, SystemClock()) as client:
        with pytest.raises(LostAnswerError):
            await client.look("sora2_task_a")

    assert now() - began <= LOOK_LIMIT_SECONDS + HARDLY_SECONDS
    assert len(service.came_at) <= 3


async def test_a_repeat_that_works_ends_the_pauses(clock: FakeClock) -> None:
    answers = [refusal(500), generating()]
    service = Timed(lambda: answers.pop(0))

    assert len(await pauses_of(service, clock)) == 1
    assert answers == []
