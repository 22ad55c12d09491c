"""One rate limiter in front of the service, shared by everything in the process."""

from aiolimiter import AsyncLimiter

# So no order queues behind a crowd of looks.
_LOOKS_SHARE = 0.8
# So looks that a caller or a callback brings about find room at once, while they are no more than one request in ten.
_DUE_LOOKS_SHARE = 0.7


class RateLimiter:
    """Orders may use the whole rate, looks 80 % of it, and of these the polling loop's 70 %."""

    def __init__(self, requests_per_second: float) -> None:
        self._requests_per_second = requests_per_second
        self._waiting_orders = 0
        self._all = _limiter(requests_per_second)
        self._looks = _limiter(requests_per_second * _LOOKS_SHARE)
        self._due_looks = _limiter(requests_per_second * _DUE_LOOKS_SHARE)

    @property
    def order_wait_seconds(self) -> float:
        """About how long one more order waits at least."""
        return 0.0 if self._all.has_capacity() else self._waiting_orders / self._requests_per_second

    async def order(self) -> None:
        """Waits until an order may be sent."""
        self._waiting_orders += 1
        try:
            await self._all.acquire()
        finally:
            self._waiting_orders -= 1

    async def look(self) -> None:
        """Waits until a look may be made."""
        # The narrower limit first: a look that waits for it holds no place that an order could take.
        await self._looks.acquire()
        await self._all.acquire()

    async def due_look(self) -> None:
        """Waits until the polling loop may make a look."""
        await self._due_looks.acquire()
        await self.look()


def _limiter(per_second: float) -> AsyncLimiter:
    # AsyncLimiter wants room for at least one whole call.
    return AsyncLimiter(1, 1 / per_second) if per_second < 1 else AsyncLimiter(per_second, 1)
