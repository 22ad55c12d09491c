"""Glue for work in the background: a run that others join, a wake-up signal, a loop that outlives failures."""

import logging
from collections.abc import Awaitable, Callable
from typing import Generic, TypeVar

import anyio
from anyio.abc import TaskGroup

from sora2_mcp.clock import Clock
from sora2_mcp.errors import Sora2Error, StoreError

logger = logging.getLogger(__name__)

Result = TypeVar("Result")

_STORE_PAUSE_SECONDS = 2.0


class Signal:
    """Wakes one loop. A signal that is set while the loop works is not lost: its next wait returns at once."""

    def __init__(self) -> None:
        self._event = anyio.Event()

    def set(self) -> None:
        self._event.set()

    async def wait(self) -> None:
        """Returns once the signal was set since the last return."""
        await self._event.wait()
        # Reset here and not before the wait: a signal that came while the loop worked ends the next wait.
        self._event = anyio.Event()


class Run(Generic[Result]):
    """One piece of work under way. Any number of callers may join it, and none of them can stop it."""

    def __init__(self) -> None:
        self.done = anyio.Event()
        self.error: Sora2Error | None = None
        # A list, because None may be a result.
        self._results: list[Result] = []

    async def result(self) -> Result:
        """What the work gave, once it is done.

        Raises:
            Sora2Error: the work failed.
        """
        await self.done.wait()
        if self.error is not None:
            raise self.error
        return self._results[0]

    async def carry_out(self, work: Callable[[], Awaitable[Result]], name: str) -> Result | None:
        """Does the work, keeps its result for all that join, and gives it; None where it failed.

        Only a cancellation leaves this.
        """
        try:
            self._results.append(await work())
            return self._results[0]
        except Sora2Error as error:
            self.error = error
        except Exception as error:
            # The border of one piece of work: its failure must not end the others of the group.
            logger.exception("%s failed unexpectedly", name)
            self.error = StoreError(f"could not be used for {name} ({type(error).__name__}); the log says more")
        finally:
            if not self._results and self.error is None:
                # Cancelled: joiners in other task groups must not wait for ever.
                self.error = StoreError("is closed because the server is ending")
            self.done.set()
        return None


class Runs(Generic[Result]):
    """Work in a task group, at most one run at a time for each key."""

    def __init__(self, group: TaskGroup, name: str) -> None:
        """``name``: what the work is called in the log."""
        self._group = group
        self._name = name
        self._under_way: dict[str, Run[Result]] = {}

    def __len__(self) -> int:
        return len(self._under_way)

    def get(self, key: str) -> Run[Result] | None:
        """The run under way for this key."""
        return self._under_way.get(key)

    def join(self, key: str, work: Callable[[], Awaitable[Result]]) -> Run[Result]:
        """The run under way for this key, or a new one that does ``work``."""
        run = self.get(key)
        if run is None:
            run = self._under_way[key] = Run()
            self._group.start_soon(self._carry_out, key, run, work)
        return run

    async def _carry_out(self, key: str, run: Run[Result], work: Callable[[], Awaitable[Result]]) -> None:
        try:
            await run.carry_out(work, self._name)
        finally:
            del self._under_way[key]


async def outlive_failures(
    turn: Callable[[], Awaitable[None]], clock: Clock, name: str, pause_seconds: float = _STORE_PAUSE_SECONDS
) -> None:
    """Takes turns until cancelled. Failures of the store are logged once, and the first turn that works after them."""
    has_failed = False
    while True:
        try:
            await turn()
        except StoreError as error:
            if not has_failed:
                logger.warning("%s wait until the task store works again: %s", name, error)
            has_failed = True
            await clock.sleep(pause_seconds)
        except Exception:
            # The border of one turn: an unforeseen failure must not stop the loop for good.
            logger.exception("a turn of %s failed", name)
            await clock.sleep(pause_seconds)
        else:
            if has_failed:
                logger.info("%s go on: the task store works again", name)
            has_failed = False
