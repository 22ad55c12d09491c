"""Whether this process lives, and whether it can work."""

import anyio
from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sora2_mcp.errors import ConfigurationError, Sora2Error
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.web.gate import BodyLimit

_PATIENCE_SECONDS = 2.0
_KEPT_SECONDS = 1.0
_BODY_LIMIT_BYTES = 1000


def health_routes(runtime: Runtime) -> list[Route]:
    """``/healthz``: 200 as long as the process answers. ``/readyz``: 200 if the store works, else 503.

    Their answers hold no names, paths or ids, and the store is asked at most once a second: anybody may ask.
    """
    readiness = _Readiness(runtime)

    async def alive(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> JSONResponse:
        report = await readiness.report()
        return JSONResponse(report, status_code=200 if report["status"] == "ready" else 503)

    limit = [Middleware(BodyLimit, _BODY_LIMIT_BYTES)]
    return [Route("/healthz", alive, middleware=limit), Route("/readyz", ready, middleware=limit)]


class _Readiness:
    """What ``/readyz`` says, kept for a second."""

    def __init__(self, runtime: Runtime) -> None:
        self._runtime = runtime
        self._turn = anyio.Lock()
        self._report: dict[str, str | None] = {}
        self._made_at = float("-inf")

    async def report(self) -> dict[str, str | None]:
        async with self._turn:
            if self._runtime.clock.monotonic() - self._made_at >= _KEPT_SECONDS:
                self._report = await self._made()
                self._made_at = self._runtime.clock.monotonic()
            return self._report

    async def _made(self) -> dict[str, str | None]:
        try:
            tasks = await self._runtime.tasks(_PATIENCE_SECONDS)
            await tasks.check()
        except Sora2Error as error:
            problem = error.variable if isinstance(error, ConfigurationError) else "the task store"
            return {"status": "not ready", "problem": problem}
        contact = tasks.last_contact_at
        seen = contact.isoformat(timespec="seconds") if contact else None
        return {"status": "ready", "store": "ok", "migrations": "done", "service_last_contact_at": seen}
