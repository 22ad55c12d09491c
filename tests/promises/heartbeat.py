"""How long the event loop stands still while something is done: nothing that others send may stop everybody."""

import asyncio
import gc
import json
import statistics
import time
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager

import anyio

LONGEST_PAUSE_UNITS = 6.5
"""50 ms, where a unit takes 7.7 ms. Counted in units, a machine that is slow for an hour has its pauses and its limit
grow alike."""

_UNIT = json.dumps([{"a": "x", "b": [number]} for number in range(10_000)])
_TRIES = 5
_BEAT_SECONDS = 0.002
_QUIET_SECONDS = 0.1


async def check_never_stopped(do: Callable[[], Awaitable[object]]) -> None:
    """Fails unless one of a few tries leaves the loop its turns, but for the pauses of a loop that does nothing.

    A machine's hiccup comes at random, the code's own pause comes each time.
    """
    pauses = list[float]()
    while len(pauses) < _TRIES:
        with _no_garbage():
            unit_seconds = measured_unit()
            quiet_seconds = await _longest_pause(lambda: anyio.sleep(_QUIET_SECONDS))
            pauses.append((await _longest_pause(do) - quiet_seconds) / unit_seconds)
        if pauses[-1] < LONGEST_PAUSE_UNITS:
            return
    raise AssertionError(
        f"others waited {min(pauses):.1f} units in the best of {_TRIES} tries; allowed are {LONGEST_PAUSE_UNITS:g}"
    )


def measured_unit() -> float:
    """Seconds that this machine takes, at the moment, to read and write JSON of 10,000 small objects."""
    seconds = list[float]()
    for _ in range(5):
        began = time.perf_counter()
        json.dumps(json.loads(_UNIT))
        seconds.append(time.perf_counter() - began)
    return statistics.median(seconds)


async def _longest_pause(do: Callable[[], Awaitable[object]]) -> float:
    loop = asyncio.get_running_loop()
    longest, last, is_over = 0.0, time.monotonic(), False

    def beat() -> None:
        nonlocal longest, last
        now = time.monotonic()
        longest, last = max(longest, now - last - _BEAT_SECONDS), now
        if not is_over:
            loop.call_later(_BEAT_SECONDS, beat)

    loop.call_later(_BEAT_SECONDS, beat)
    try:
        await do()
        # A pause right before the end counts too.
        await anyio.sleep(2 * _BEAT_SECONDS)
    finally:
        is_over = True
    return longest


@contextmanager
def _no_garbage() -> Iterator[None]:
    """What the tests before have left in memory is not gone through within a try."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
