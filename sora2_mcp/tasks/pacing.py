"""How often tasks are looked at."""

import random
from datetime import datetime, timedelta

from sora2_mcp.tasks.store.port import LookPlan

_JITTER = 0.12
_BACKOFF_CAP_SECONDS = 60.0
_RETRY_AFTER_CAP_SECONDS = 3600.0


class Pacing:
    """Intervals between looks, ±12 % so that many tasks spread out, doubled with every look that failed in a row."""

    def __init__(self, poll_seconds: float, idle_poll_seconds: float) -> None:
        self.poll_seconds = poll_seconds
        self.idle_poll_seconds = idle_poll_seconds

    @property
    def farthest(self) -> timedelta:
        """No plan of this pacing sets a look further ahead."""
        longest = max(self.poll_seconds, self.idle_poll_seconds, _BACKOFF_CAP_SECONDS)
        return timedelta(seconds=max(longest * (1 + _JITTER), _RETRY_AFTER_CAP_SECONDS))

    def plan(self, now: datetime, failures: int = 0, retry_after_seconds: float | None = None) -> LookPlan:
        """The next look after one at ``now``, the last ``failures`` of which failed; not before the service allows."""
        wanted_at = now + _after(self.poll_seconds, failures)
        idle_at = now + _after(self.idle_poll_seconds, failures)
        if retry_after_seconds is None:
            return LookPlan(wanted_at=wanted_at, idle_at=idle_at)
        not_before = now + timedelta(seconds=min(retry_after_seconds, _RETRY_AFTER_CAP_SECONDS))
        return LookPlan(wanted_at=max(wanted_at, not_before), idle_at=max(idle_at, not_before), not_before=not_before)


def _after(seconds: float, failures: int) -> timedelta:
    longest = max(seconds, _BACKOFF_CAP_SECONDS)
    backed_off = min(seconds * 2 ** min(failures, 16), longest)
    return timedelta(seconds=backed_off * random.uniform(1 - _JITTER, 1 + _JITTER))  # noqa: S311 - jitter, no secret
