"""When the service itself is down, all looks wait, not each task for itself."""

import logging

from sora2_mcp.errors import LostAnswerError, NotReachedError, ServiceError, Sora2Error

logger = logging.getLogger(__name__)

_FAILURES = 3
_CAP_SECONDS = 60.0


class Outage:
    """Counts looks that failed in a row, over all tasks, in a way that is the service's and not the task's."""

    def __init__(self, poll_seconds: float) -> None:
        self._poll_seconds = poll_seconds
        self._failures = 0

    @property
    def is_on(self) -> bool:
        """So many looks failed in a row that the service counts as down."""
        return self._failures >= _FAILURES

    @property
    def pause_seconds(self) -> float:
        """How long the poller waits before it tries the service again; 0 while it is up."""
        if not self.is_on:
            return 0.0
        longest = max(_CAP_SECONDS, self._poll_seconds)
        return float(min(self._poll_seconds * 2 ** min(self._failures - _FAILURES, 16), longest))

    def failed(self, error: Sora2Error) -> None:
        """A look failed."""
        down = isinstance(error, NotReachedError | LostAnswerError) or (
            isinstance(error, ServiceError) and error.retryable
        )
        if not down:
            return
        self._failures += 1
        if self._failures == _FAILURES:
            logger.warning(
                "the service does not answer looks; all of them go slower until it does: %s", error.own_words
            )

    def answered(self) -> None:
        """A look was answered."""
        if self.is_on:
            logger.info("the service answers looks again")
        self._failures = 0
