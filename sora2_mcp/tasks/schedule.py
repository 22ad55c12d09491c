"""When tasks are looked at next, and when the service counts as down."""

import logging
import random
from dataclasses import replace
from datetime import datetime, timedelta

from sora2_mcp.domain.task import Task
from sora2_mcp.errors import LostAnswerError, NotReachedError, ServiceError, Sora2Error
from sora2_mcp.tasks.store.interface import LookPlan

logger = logging.getLogger(__name__)

_JITTER = 0.12
_BACKOFF_CAP_SECONDS = 60.0
_RETRY_AFTER_CAP_SECONDS = 3600.0
_FAILING_PACE = 4
"""While looks fail, waiting pulls the next one forward to this many intervals only."""

_HINT_SECONDS = 2.0
_DOWN_AFTER_FAILURES = 3

SAFETY_SECONDS = 30.0
"""The first look at a task that the service is to call back about, as long as no callback has come."""


class Schedule:
    """Intervals between looks, ±12 % so that many tasks spread out, doubled with every look that failed in a row.

    ``called_back``: a callback has come in this run. From then on tasks that the service is to call back about keep the
    idle pace even while a caller waits, as long as looks at them work.
    """

    def __init__(self, poll_seconds: float, idle_poll_seconds: float) -> None:
        self.poll_seconds = poll_seconds
        self.idle_poll_seconds = idle_poll_seconds
        self.called_back = False

    @property
    def farthest(self) -> timedelta:
        """No plan sets a look further ahead."""
        longest = max(self.poll_seconds, self.idle_poll_seconds, _BACKOFF_CAP_SECONDS)
        return timedelta(seconds=max(longest * (1 + _JITTER), _RETRY_AFTER_CAP_SECONDS))

    def first(self, order: Task, now: datetime) -> LookPlan:
        """The first look at an order that was accepted at ``now``."""
        if order.callback_hash and not self.called_back:
            # A callback is expected before this; whether one can arrive at all is not known yet.
            safety_at = now + timedelta(seconds=SAFETY_SECONDS)
            return LookPlan(wanted_at=safety_at, idle_at=safety_at)
        return self.next(order, now)

    def next(self, task: Task, now: datetime) -> LookPlan:
        """The next look at a task after one at ``now`` that worked."""
        plan = self.plan(now)
        return replace(plan, wanted_at=plan.idle_at) if task.callback_hash and self.called_back else plan

    def next_hint(self, now: datetime, failures: int) -> LookPlan:
        """When to ask again about the id that a callback named, after ``failures`` in a row."""
        again_at = now + timedelta(seconds=min(_HINT_SECONDS * 5 ** min(failures - 1, 4), _BACKOFF_CAP_SECONDS))
        return LookPlan(wanted_at=again_at, idle_at=again_at)

    def wanted_seconds(self, task: Task, *, failing: bool) -> float:
        """How long after the last look, or else the order, the next one is made for a caller that waits."""
        if failing:
            # Waiting must not undo the back-off.
            return self.poll_seconds * _FAILING_PACE
        if not task.callback_hash:
            return self.poll_seconds
        if self.called_back:
            return self.idle_poll_seconds
        return self.poll_seconds if task.last_look_at or task.look_failed_at else SAFETY_SECONDS

    def plan(self, now: datetime, failures: int = 0, retry_after_seconds: float | None = None) -> LookPlan:
        """The next look after one at ``now``, the last ``failures`` of which failed; not before the service allows."""
        wanted_at = now + _after(self.poll_seconds, failures)
        idle_at = now + _after(self.idle_poll_seconds, failures)
        if retry_after_seconds is None:
            return LookPlan(wanted_at=wanted_at, idle_at=idle_at)
        not_before = now + timedelta(seconds=min(retry_after_seconds, _RETRY_AFTER_CAP_SECONDS))
        return LookPlan(wanted_at=max(wanted_at, not_before), idle_at=max(idle_at, not_before), not_before=not_before)


def _after(seconds: float, failures: int) -> timedelta:
    # A pace that is slower than the cap from the start must not be quickened by failures.
    longest = max(seconds, _BACKOFF_CAP_SECONDS)
    backed_off = min(seconds * 2 ** min(failures, 16), longest)
    return timedelta(seconds=backed_off * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - jitter, no secret


class CircuitBreaker:
    """Open after three looks in a row, at whatever tasks, failed through the service's fault and not the task's."""

    def __init__(self, poll_seconds: float) -> None:
        self._poll_seconds = poll_seconds
        self._failures = 0

    @property
    def is_open(self) -> bool:
        return self._failures >= _DOWN_AFTER_FAILURES

    @property
    def pause_seconds(self) -> float:
        """How long the poller waits before it tries the service again; 0 while it is up."""
        if not self.is_open:
            return 0.0
        longest = max(_BACKOFF_CAP_SECONDS, self._poll_seconds)
        return float(min(self._poll_seconds * 2 ** min(self._failures - _DOWN_AFTER_FAILURES, 16), longest))

    def failed(self, error: Sora2Error) -> None:
        """A look failed."""
        # A refused key or an unknown task says nothing about the service's health.
        if not isinstance(error, NotReachedError | LostAnswerError | ServiceError) or not error.retryable:
            return
        self._failures += 1
        if self._failures == _DOWN_AFTER_FAILURES:
            logger.warning(
                "the service does not answer looks; all of them go slower until it does: %s", error.own_words
            )

    def answered(self) -> None:
        """A look was answered."""
        if self.is_open:
            logger.info("the service answers looks again")
        self._failures = 0
