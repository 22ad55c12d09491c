"""A clock that stands still until a test moves it."""

import heapq
import itertools
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta

import anyio
import anyio.lowlevel

PATIENCE_SECONDS = 30
"""How long a test waits for what should happen at once: long enough for a busy machine, and only a failure takes it."""

START = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)


class FakeClock:
    """Time for tests: ``advance`` fires what falls due, in order, and lets tasks run between."""

    def __init__(self, start: datetime = START) -> None:
        self._start = start
        self._elapsed = 0.0
        self._shift = timedelta(0)
        self._due: list[tuple[float, int, Callable[[], None], bool]] = []
        self._number = itertools.count()

    def now(self) -> datetime:
        return self._start + self._shift + timedelta(seconds=self._elapsed)

    def monotonic(self) -> float:
        return self._elapsed

    def set_back(self, by: timedelta) -> None:
        """Moves the wall clock, as an operator or a time server may; monotonic time goes on."""
        self._shift -= by

    async def sleep(self, seconds: float) -> None:
        if seconds <= 0:
            await anyio.lowlevel.checkpoint()
            return
        fired = anyio.Event()
        with self._at(seconds, fired.set, sleeps=True):
            await fired.wait()

    @contextmanager
    def timeout(self, seconds: float) -> Iterator[anyio.CancelScope]:
        with anyio.CancelScope() as scope, self._at(seconds, scope.cancel, sleeps=False):
            if seconds <= 0:
                scope.cancel()
            yield scope

    async def advance(self, seconds: float) -> None:
        """Moves time on; whatever sleeps or is limited in time until then is woken in its turn."""
        target = self._elapsed + seconds
        while self._due and self._due[0][0] <= target:
            at, _, fire, _ = heapq.heappop(self._due)
            self._elapsed = max(self._elapsed, at)
            fire()
            await settle()
        self._elapsed = target
        await settle()

    def awaits(self, at: float) -> bool:
        """Whether anything is due at this monotonic time: somebody who is to be woken then waits already."""
        return any(abs(due - at) < 1e-6 for due, *_ in self._due)

    def sleepers(self, at: float) -> int:
        """How many sleep until this monotonic time; limits, which somebody may stay below, are not counted."""
        return sum(sleeps and abs(due - at) < 1e-6 for due, _, _, sleeps in self._due)

    @contextmanager
    def _at(self, seconds: float, fire: Callable[[], None], *, sleeps: bool) -> Iterator[None]:
        """Due until then, or until its owner waits no longer: who has gone is no sleeper."""
        entry = (self._elapsed + seconds, next(self._number), fire, sleeps)
        heapq.heappush(self._due, entry)
        try:
            yield
        finally:
            if entry in self._due:
                self._due.remove(entry)
                heapq.heapify(self._due)


async def settle() -> None:
    """Lets every task that can run do so."""
    for _ in range(20):
        await anyio.lowlevel.checkpoint()


async def eventually(holds: Callable[[], bool] | Callable[[], Awaitable[bool]]) -> None:
    """Returns once ``holds()`` is true; fails after ``PATIENCE_SECONDS``. For what runs in threads and on sockets."""
    with anyio.fail_after(PATIENCE_SECONDS):
        while True:
            outcome = holds()
            if outcome if isinstance(outcome, bool) else await outcome:
                return
            await anyio.sleep(0.005)
