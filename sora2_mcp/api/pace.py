"""One rate limit in front of the service, shared by everything in the process."""

from aiolimiter import AsyncLimiter

_LOOKS_SHARE = 0.8


class Pace:
    """Turns for calls to the service; looks get at most 80 % of them, so no order queues behind a crowd of looks."""

    def __init__(self, requests_per_second: float) -> None:
        self._all = _limiter(requests_per_second)
        self._looks = _limiter(requests_per_second * _LOOKS_SHARE)

    async def order(self) -> None:
        """Waits for an order's turn."""
        await self._all.acquire()

    async def look(self) -> None:
        """Waits for a look's turn."""
        await self._looks.acquire()
        await self._all.acquire()


def _limiter(per_second: float) -> AsyncLimiter:
    # AsyncLimiter wants room for at least one whole call.
    return AsyncLimiter(1, 1 / per_second) if per_second < 1 else AsyncLimiter(per_second, 1)
