from datetime import timedelta

import pytest

from sora2_mcp.tasks.pacing import Pacing
from tests.clocks import START


def intervals(pacing: Pacing, failures: int = 0) -> tuple[list[float], list[float]]:
    """Seconds to the next look of 200 plans: while somebody waits, and while nobody does."""
    plans = [pacing.plan(START, failures) for _ in range(200)]
    second = timedelta(seconds=1)
    return [(plan.wanted_at - START) / second for plan in plans], [(plan.idle_at - START) / second for plan in plans]


def test_looks_keep_their_interval_within_twelve_percent_and_spread_out() -> None:
    wanted, idle = intervals(Pacing(5, 60))

    assert 4.4 <= min(wanted) < 4.8 < 5.2 < max(wanted) <= 5.6
    assert 52.8 <= min(idle) < 57 < 63 < max(idle) <= 67.2


@pytest.mark.parametrize(("failures", "seconds"), [(1, 10), (2, 20), (3, 40), (4, 60), (5, 60), (10_000, 60)])
def test_every_failure_in_a_row_doubles_the_interval_up_to_a_minute(failures: int, seconds: float) -> None:
    wanted, idle = intervals(Pacing(5, 60), failures)

    assert min(wanted) >= seconds * 0.88
    assert max(wanted) <= seconds * 1.12
    assert max(idle) <= 60 * 1.12


def test_failures_never_shorten_a_pace_slower_than_a_minute() -> None:
    wanted, idle = intervals(Pacing(300, 3600), failures=3)

    assert min(wanted) >= 300 * 0.88
    assert min(idle) >= 3600 * 0.88
