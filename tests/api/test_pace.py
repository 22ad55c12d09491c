import anyio
import pytest

from sora2_mcp.api.pace import Pace
from tests.clocks import settle

pytestmark = pytest.mark.anyio


@pytest.mark.parametrize("requests_per_second", [5, 10, 100])
async def test_an_order_gets_through_at_once_past_a_crowd_of_looks(requests_per_second: float) -> None:
    pace = Pace(requests_per_second)
    looks = orders = 0

    async def look() -> None:
        nonlocal looks
        await pace.look()
        looks += 1

    async def order() -> None:
        nonlocal orders
        await pace.order()
        orders += 1

    async with anyio.create_task_group() as crowd:
        for _ in range(500):
            crowd.start_soon(look)
        await settle()
        crowd.start_soon(order)
        await settle()

        assert orders == 1
        assert 0 < looks < 500
        crowd.cancel_scope.cancel()


@pytest.mark.parametrize("requests_per_second", [5, 10, 100])
async def test_a_look_that_is_asked_for_gets_through_at_once_past_the_pollers_rounds(
    requests_per_second: float,
) -> None:
    pace = Pace(requests_per_second)
    rounds = looks = 0

    async def go_round() -> None:
        nonlocal rounds
        await pace.round()
        rounds += 1

    async def look() -> None:
        nonlocal looks
        await pace.look()
        looks += 1

    async with anyio.create_task_group() as crowd:
        for _ in range(500):
            crowd.start_soon(go_round)
        await settle()
        crowd.start_soon(look)
        await settle()

        assert looks == 1
        assert 0 < rounds < 500
        crowd.cancel_scope.cancel()


async def test_orders_are_limited_too() -> None:
    pace = Pace(5)
    orders = 0

    async def order() -> None:
        nonlocal orders
        await pace.order()
        orders += 1

    async with anyio.create_task_group() as crowd:
        for _ in range(500):
            crowd.start_soon(order)
        await settle()

        assert 0 < orders < 500
        crowd.cancel_scope.cancel()


@pytest.mark.parametrize("requests_per_second", [0.1, 0.5, 1, 1000])
async def test_at_any_rate_the_first_look_and_the_first_order_wait_for_nobody(requests_per_second: float) -> None:
    with anyio.fail_after(0.05):
        await Pace(requests_per_second).look()
        await Pace(requests_per_second).order()
