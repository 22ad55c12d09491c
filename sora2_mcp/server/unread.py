"""What waits in memory for clients that do not read it: few large answers, and not too many small ones."""

import asyncio
from collections.abc import Callable
from contextvars import ContextVar
from urllib.parse import parse_qs
from uuid import UUID
from weakref import WeakValueDictionary

import anyio
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sora2_mcp.clock import Clock

UNANSWERED_LIMIT = 200
"""Calls of one SSE session that may be under way or wait to be read."""

_LARGE_BYTES = 65_536

TURN_SECONDS = 25.0
"""How long a large answer waits for the one before it to be read."""


class Exchange:
    """One HTTP request up to the end of its answer, which is longer than the work on it."""

    def __init__(self) -> None:
        self._callbacks: list[Callable[[], None]] = []
        self._over = False

    def when_over(self, callback: Callable[[], None]) -> None:
        """Calls back at its end, at once where that has been."""
        if self._over:
            callback()
        else:
            self._callbacks.append(callback)

    def end(self) -> None:
        self._over = True
        while self._callbacks:
            self._callbacks.pop()()


class Calls:
    """How many calls of a session have not been answered; its answers go where they wait for each other."""

    def __init__(self) -> None:
        self.unanswered = 0


_exchange: ContextVar[Exchange | None] = ContextVar("exchange", default=None)
_calls: ContextVar[Calls | None] = ContextVar("calls", default=None)


def answered_in_exchange(app: ASGIApp) -> ASGIApp:
    """An application whose answers come with their requests: streamable HTTP."""

    async def exchanging(scope: Scope, receive: Receive, send: Send) -> None:
        exchange = Exchange()
        _exchange.set(exchange)

        async def handed_over(message: Message) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if last and len(message.get("body", b"")) > _LARGE_BYTES:
                await send({**message, "more_body": True})
                # Web servers hold back what follows until most of what went before has been read.
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        try:
            await app(scope, receive, handed_over)
        finally:
            exchange.end()

    return exchanging


def answered_in_session(app: ASGIApp) -> ASGIApp:
    """An application whose answers go over a stream of their session, as SSE's: 503 while too many are not read."""
    sessions: WeakValueDictionary[str, Calls] = WeakValueDictionary()

    async def posting(scope: Scope, receive: Receive, send: Send) -> None:
        calls = sessions.setdefault(_session_of(scope), Calls())
        if calls.unanswered >= UNANSWERED_LIMIT:
            told = f"{calls.unanswered} calls of this session are not answered yet, or not read; read its stream first."
            await JSONResponse({"error": told}, status_code=503)(scope, receive, send)
            return
        _calls.set(calls)
        await app(scope, receive, send)

    return posting


def _session_of(scope: Scope) -> str:
    """The session's id in one spelling; anything that is none is refused further in."""
    given = parse_qs(scope.get("query_string", b"").decode("latin-1")).get("session_id", [""])[0]
    try:
        return UUID(hex=given).hex
    except ValueError:
        return ""


def note_call() -> None:
    """Counts the call being worked on until its answer has been taken, which is when its task ends."""
    calls, task = _calls.get(), asyncio.current_task()
    if calls is None or task is None:
        return
    calls.unanswered += 1

    def answered(_: object) -> None:
        calls.unanswered -= 1

    task.add_done_callback(answered)


class Turns:
    """Large answers, one at a time for each caller: the next begins when the one before it has been handed over."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._turns: WeakValueDictionary[str, anyio.Semaphore] = WeakValueDictionary()

    async def take(self, principal: str) -> bool:
        """Waits for the caller's turn and keeps it until its answer is over; False where that takes too long.

        Where answers are written as they come (stdio, in process) the next turn begins at once.
        """
        turn = self._turns.setdefault(principal, anyio.Semaphore(1))
        with self._clock.timeout(TURN_SECONDS) as waiting:
            await turn.acquire()
        if waiting.cancelled_caught:
            return False
        exchange, task = _exchange.get(), asyncio.current_task()
        if exchange is not None:
            exchange.when_over(turn.release)
        elif _calls.get() is not None and task is not None:
            task.add_done_callback(lambda _: turn.release())
        else:
            turn.release()
        return True
