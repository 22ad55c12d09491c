"""Whether this process lives, and whether it can work."""

from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sora2_mcp.errors import ConfigurationError, Sora2Error
from sora2_mcp.runtime import Runtime

_PATIENCE_SECONDS = 2.0


def health_routes(runtime: Runtime) -> list[Route]:
    """``/healthz``: 200 as long as the process answers. ``/readyz``: 200 if the store works, else 503.

    What they say holds no names, paths or ids: anybody may ask.
    """

    async def alive(_: Request) -> JSONResponse:
        return JSONResponse({"status": "ok"})

    async def ready(_: Request) -> JSONResponse:
        try:
            service = await runtime.service(_PATIENCE_SECONDS)
            await service.check()
        except Sora2Error as error:
            problem = error.variable if isinstance(error, ConfigurationError) else "the task store"
            return JSONResponse({"status": "not ready", "problem": problem}, status_code=503)
        contact = service.last_contact_at
        seen = contact.isoformat(timespec="seconds") if contact else None
        return JSONResponse({"status": "ready", "store": "ok", "migrations": "done", "service_last_contact_at": seen})

    return [Route("/healthz", alive), Route("/readyz", ready)]
