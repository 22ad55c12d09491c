"""The page at ``/`` for people without an MCP host, and what the operator sees of all callers.

The page itself holds nothing of anybody: it calls the tools over ``/mcp`` with the token that a person types into it.
"""

import hmac
from collections.abc import Sequence
from hashlib import sha256
from typing import Any, get_args

from starlette.middleware import Middleware
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from sora2_mcp.domain.task import Status
from sora2_mcp.errors import ArgumentError, Sora2Error
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.apps import asset
from sora2_mcp.server.links import shown
from sora2_mcp.server.resources import limits_used
from sora2_mcp.server.views import ShownStatus, task_view

_ASSETS = {
    "look.css": "text/css",
    "common.js": "text/javascript",
    "cards.js": "text/javascript",
    "web.js": "text/javascript",
    "page.js": "text/javascript",
}
_LIMIT = 24
_STATUSES = get_args(ShownStatus)
_HEADERS = {
    # Videos come from wherever the service keeps them; a script never does.
    "content-security-policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "media-src 'self' https: http://127.0.0.1:* http://localhost:*; base-uri 'none'; form-action 'none'; "
        "frame-ancestors 'none'"
    ),
    "x-content-type-options": "nosniff",
    "referrer-policy": "no-referrer",
    "cross-origin-opener-policy": "same-origin",
    "cache-control": "no-cache",
}


def gallery_routes(runtime: Runtime, guard: Sequence[Middleware]) -> list[Route]:
    """``GET /``, what it loads, and ``GET /overview``: all callers' tasks, their counts and the limits.

    The overview is for ``SORA2_ADMIN_TOKEN`` only, else 401.
    """

    async def page(_: Request) -> Response:
        return Response(asset("page.html"), media_type="text/html", headers=_HEADERS)

    async def file(request: Request) -> Response:
        name = request.path_params["name"]
        if name not in _ASSETS:
            return Response(status_code=404)
        return Response(asset(name), media_type=_ASSETS[name], headers=_HEADERS)

    async def overview(request: Request) -> Response:
        if not _is_operator(request, runtime.settings.admin_token.get_secret_value()):
            words = "This server needs a token it knows: Authorization: Bearer <token>."
            return JSONResponse({"error": words}, status_code=401, headers={"www-authenticate": "Bearer"})
        try:
            return JSONResponse(await _overview(runtime, request), headers={"cache-control": "no-store"})
        except ArgumentError as error:
            return JSONResponse({"error": f"{error}. {error.hint}"}, status_code=400)
        except Sora2Error as error:
            return JSONResponse({"error": str(error)}, status_code=503)

    served = {"/": page, "/assets/{name}": file, "/overview": overview}
    return [Route(path, serve, methods=["GET"], middleware=guard) for path, serve in served.items()]


def _is_operator(request: Request, token: str) -> bool:
    given = request.headers.getlist("authorization")
    kind, _, shown_token = given[0].partition(" ") if len(given) == 1 else ("", "", "")
    is_same = hmac.compare_digest(*(sha256(text.encode()).digest() for text in (shown_token.strip(), token)))
    return bool(token) and kind.lower() == "bearer" and is_same


async def _overview(runtime: Runtime, request: Request) -> dict[str, Any]:
    asked, tasks, now = request.query_params, await runtime.tasks(), runtime.clock.now()
    wanted = asked.get("status") or "any"
    if wanted not in ("any", *_STATUSES):
        raise ArgumentError("status", f"must be any, {', '.join(_STATUSES)}.")
    status = None if wanted == "any" else Status(wanted)
    found = await tasks.overview(status=status, limit=_LIMIT, cursor=asked.get("cursor", ""))
    poll_seconds = runtime.settings.poll_seconds
    return {
        "tasks": [
            {**task_view(shown(runtime, task), now, poll_seconds).content(), "caller": task.principal}
            for task in found.page.tasks
        ],
        "next_cursor": found.page.next_cursor,
        "callers": [
            {
                "caller": one.principal,
                "unfinished": one.unfinished,
                "today": one.today,
                "this_month": one.this_month,
                "failed_this_month": one.failed_this_month,
            }
            for one in found.callers
        ],
        "limits": limits_used(runtime.settings, found.usage),
    }
