import asyncio
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable

import anyio
import pytest

from sora2_mcp.services.rate_limit import RateLimiter
from tests.clocks import settle

pytestmark = pytest.mark.anyio

Turn = Callable[[RateLimiter], Awaitable[None]]


@pytest.fixture
async def standstill(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[None]:
    """The limits' own time stands still: on a busy machine a second passes between two lines."""
    loop = asyncio.get_running_loop()
    with monkeypatch.context() as patched:
        now = loop.time()
        patched.setattr(loop, "time", lambda: now)
        yield


@pytest.mark.usefixtures("standstill")
@pytest.mark.parametrize("requests_per_second", [5, 10, 100])
@pytest.mark.parametrize(
    ("turn", "crowds"),
    [(RateLimiter.order, RateLimiter.look), (RateLimiter.look, RateLimiter.due_look)],
    ids=["order", "look"],
)
async def test_an_order_gets_through_at_once_past_a_crowd_of_looks_and_a_look_past_the_pollers_rounds(
    turn: Turn, crowds: Turn, requests_per_second: float
) -> None:
    limiter, taken = RateLimiter(requests_per_second), Counter[Turn]()

    async def take(turn: Turn) -> None:
        await turn(limiter)
        taken[turn] += 1

    async with anyio.create_task_group() as crowd:
        for _ in range(500):
            crowd.start_soon(take, crowds)
        await settle()
        crowd.start_soon(take, turn)
        await settle()

        assert taken[turn] == 1
        assert 0 < taken[crowds] < 500
        crowd.cancel_scope.cancel()


@pytest.mark.usefixtures("standstill")
async def test_orders_are_limited_too() -> None:
    limiter = RateLimiter(5)
    orders = 0

    async def order() -> None:
        nonlocal orders
        await limiter.order()
        orders += 1

    async with anyio.create_task_group() as crowd:
        for _ in range(500):
            crowd.start_soon(order)
        await settle()

        assert 0 < orders < 500
        crowd.cancel_scope.cancel()


@pytest.mark.usefixtures("standstill")
@pytest.mark.parametrize("requests_per_second", [0.1, 0.5, 1, 1000])
async def test_at_any_rate_the_first_look_and_the_first_order_wait_for_nobody(requests_per_second: float) -> None:
    ended = anyio.Event()

    async def both() -> None:
        await RateLimiter(requests_per_second).look()
        await RateLimiter(requests_per_second).order()
        ended.set()

    async with anyio.create_task_group() as group:
        group.start_soon(both)
        await settle()

        assert ended.is_set()
        group.cancel_scope.cancel()
