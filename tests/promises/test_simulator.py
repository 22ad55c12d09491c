"""The simulator stops within a second, whatever it is about to answer."""

import pytest

from tests.simulator.test_serve import seconds_to_stop_with_an_answer_held_back

pytestmark = pytest.mark.anyio


async def test_it_stops_within_a_second_while_an_answer_is_held_back() -> None:
    assert await seconds_to_stop_with_an_answer_held_back() < 1
