"""Progress while a tool works: first at once, then every five seconds, strictly rising."""

from collections.abc import Awaitable, Callable
from typing import TypeVar

import anyio
from mcp.server.mcpserver import Context

from sora2_mcp.clock import Clock
from sora2_mcp.errors import Sora2Error

INTERVAL_SECONDS = 5.0

Result = TypeVar("Result")


async def with_progress(
    ctx: Context,
    clock: Clock,
    work: Callable[[], Awaitable[Result]],
    *,
    message: Callable[[float], str],
    total_seconds: float | None = None,
) -> Result:
    """What ``work`` gives, with progress reported to the client meanwhile; ``message`` is made from the seconds so far.

    Raises:
        Sora2Error: whatever ``work`` raises of it, as it is and in no group.
    """
    began = clock.monotonic()

    async def report() -> None:
        while True:
            await clock.sleep(INTERVAL_SECONDS)
            seconds = clock.monotonic() - began
            total = None if total_seconds is None else max(total_seconds, seconds)
            await ctx.report_progress(seconds, total, message(seconds))

    await ctx.report_progress(0.0, total_seconds, message(0.0))
    # Kept out of the task group, which would raise an error in a group of errors.
    results: list[Result] = []
    error: Sora2Error | None = None
    async with anyio.create_task_group() as reporting:
        reporting.start_soon(report)
        try:
            results.append(await work())
        except Sora2Error as raised:
            error = raised
        reporting.cancel_scope.cancel()
    if error is not None:
        raise error
    return results[0]
