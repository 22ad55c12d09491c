from dataclasses import replace
from datetime import timedelta

import pytest

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Task
from sora2_mcp.tasks.schedule import Schedule
from sora2_mcp.tasks.store.interface import LookPlan
from tests.clocks import START


def intervals(schedule: Schedule, failures: int = 0) -> tuple[list[float], list[float]]:
    """Seconds to the next look of 200 plans: while somebody waits, and while nobody does."""
    plans = [schedule.plan(START, failures) for _ in range(200)]
    second = timedelta(seconds=1)
    return [(plan.wanted_at - START) / second for plan in plans], [(plan.idle_at - START) / second for plan in plans]


def test_looks_keep_their_interval_within_twelve_percent_and_spread_out() -> None:
    wanted, idle = intervals(Schedule(5, 60))

    assert 4.4 <= min(wanted) < 4.8 < 5.2 < max(wanted) <= 5.6
    assert 52.8 <= min(idle) < 57 < 63 < max(idle) <= 67.2


@pytest.mark.parametrize(("failures", "seconds"), [(1, 10), (2, 20), (3, 40), (4, 60), (5, 60), (10_000, 60)])
def test_every_failure_in_a_row_doubles_the_interval_up_to_a_minute(failures: int, seconds: float) -> None:
    wanted, idle = intervals(Schedule(5, 60), failures)

    assert min(wanted) >= seconds * 0.88
    assert max(wanted) <= seconds * 1.12
    assert max(idle) <= 60 * 1.12


def test_failures_never_shorten_a_pace_slower_than_a_minute() -> None:
    wanted, idle = intervals(Schedule(300, 3600), failures=3)

    assert min(wanted) >= 300 * 0.88
    assert min(idle) >= 3600 * 0.88


@pytest.mark.parametrize(("told", "seconds"), [(600, 600), (3600, 3600), (86_400, 3600)])
def test_a_long_retry_after_holds_every_look_back_for_an_hour_at_most(told: float, seconds: float) -> None:
    plan = Schedule(5, 60).plan(START, failures=1, retry_after_seconds=told)

    at = START + timedelta(seconds=seconds)
    assert (plan.wanted_at, plan.idle_at, plan.not_before) == (at, at, at)


def test_a_short_retry_after_never_makes_a_look_come_sooner() -> None:
    plan = Schedule(5, 60).plan(START, failures=1, retry_after_seconds=2)

    assert plan.not_before == START + timedelta(seconds=2)
    assert plan.wanted_at >= START + timedelta(seconds=10 * 0.88)
    assert plan.idle_at >= START + timedelta(seconds=60 * 0.88)


def test_a_plan_without_retry_after_forbids_nothing() -> None:
    assert Schedule(5, 60).plan(START, failures=1).not_before is None


def order(callback_hash: str) -> Task:
    request = VideoRequest(prompt="A cat")
    return Task(
        id="1", principal="local", service="here", request=request, created_at=START, callback_hash=callback_hash
    )


@pytest.mark.parametrize(
    ("callback_hash", "called_back", "first_seconds", "next_seconds", "wanted_seconds"),
    [("", False, 5, 5, 5), ("", True, 5, 5, 5), ("h", False, 30, 5, 30), ("h", True, 60, 60, 60)],
    ids=["no callback", "no callback, others heard", "callback", "callback, heard"],
)
def test_what_somebody_who_waits_sees_depends_on_whether_callbacks_can_be_relied_on(
    callback_hash: str,
    called_back: bool,  # noqa: FBT001 - a case of its own
    first_seconds: float,
    next_seconds: float,
    wanted_seconds: float,
) -> None:
    schedule, task = Schedule(5, 60), order(callback_hash)
    schedule.called_back = called_back

    def seconds(plan: LookPlan) -> float:
        return (plan.wanted_at - START).total_seconds()

    assert seconds(schedule.first(task, START)) == pytest.approx(first_seconds, rel=0.13)
    assert seconds(schedule.next(task, START)) == pytest.approx(next_seconds, rel=0.13)
    assert schedule.wanted_seconds(task, failing=False) == wanted_seconds
    assert schedule.wanted_seconds(task, failing=True) == 20
    assert schedule.wanted_seconds(replace(task, last_look_at=START), failing=False) == next_seconds
