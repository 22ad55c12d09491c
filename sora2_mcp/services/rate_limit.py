"""One rate limit in front of the service, shared by everything in the process."""

from aiolimiter import AsyncLimiter

_LOOKS_SHARE = 0.8
_ROUNDS_SHARE = 0.7


class Pace:
    """Turns for calls to the service; looks get at most 80 % of them, so no order queues behind a crowd of looks.

    The poller's rounds get at most 70 %, so that looks asked for by a caller or a callback find turns left: at once
    while they are no more than one call in ten.
    """

    def __init__(self, requests_per_second: float) -> None:
        self._all = _limiter(requests_per_second)
        self._looks = _limiter(requests_per_second * _LOOKS_SHARE)
        self._rounds = _limiter(requests_per_second * _ROUNDS_SHARE)

    async def order(self) -> None:
        """Waits for an order's turn."""
        await self._all.acquire()

    async def look(self) -> None:
        """Waits for a look's turn."""
        await self._looks.acquire()
        await self._all.acquire()

    async def round(self) -> None:
        """Waits for a turn of a look that nobody but the poller asked for."""
        await self._rounds.acquire()
        await self.look()


def _limiter(per_second: float) -> AsyncLimiter:
    # AsyncLimiter wants room for at least one whole call.
    return AsyncLimiter(1, 1 / per_second) if per_second < 1 else AsyncLimiter(per_second, 1)
