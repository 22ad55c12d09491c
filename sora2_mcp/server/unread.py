"""What waits in memory for clients that do not read it: few large answers, and not too many small ones.

``web/limits.py`` sets what is known of the request at hand; over stdio, where answers are written at once, nothing is.
"""

import asyncio
from contextvars import ContextVar
from weakref import WeakValueDictionary

import anyio

from sora2_mcp.clock import Clock

TURN_SECONDS = 25.0
"""How long a large answer waits for the one before it to be read."""

Calls = set[asyncio.Task[object]]

response_over: ContextVar[asyncio.Future[None] | None] = ContextVar("response_over", default=None)
"""Done when the HTTP answer to the request at hand has been handed over, which is later than the work on it."""

calls_of_session: ContextVar[Calls | None] = ContextVar("calls_of_session", default=None)
"""The unanswered calls of a session whose answers share a stream, as SSE's do."""


def note_call() -> None:
    """Counts the call being worked on until its answer has been taken, which is when its task ends."""
    calls, task = calls_of_session.get(), asyncio.current_task()
    if calls is not None and task is not None:
        calls.add(task)
        task.add_done_callback(calls.discard)


class Turns:
    """Large answers, one at a time for each principal: the next begins when the one before it has been read."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        # Weak: a principal without an answer under way leaves nothing behind.
        self._turns: WeakValueDictionary[str, anyio.Semaphore] = WeakValueDictionary()

    async def take(self, principal: str) -> bool:
        """Waits for the principal's turn and keeps it until its answer is over; False where that takes too long.

        Where answers are written as they come (stdio, in process) the next turn begins at once.
        """
        turn = self._turns.setdefault(principal, anyio.Semaphore(1))
        with self._clock.timeout(TURN_SECONDS) as waiting:
            await turn.acquire()
        if waiting.cancelled_caught:
            return False
        over: asyncio.Future[None] | asyncio.Task[object] | None = response_over.get()
        if over is None and calls_of_session.get() is not None:
            over = asyncio.current_task()
        if over is None:
            turn.release()
        else:
            over.add_done_callback(lambda _: turn.release())
        return True
