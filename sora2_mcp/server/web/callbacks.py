"""The routes that the service calls: callbacks, to which anybody may post anything, and pictures that it fetches."""

import logging
import re
from contextlib import suppress

from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from sora2_mcp.errors import Sora2Error
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.links import VIDEO_FOLDER
from sora2_mcp.server.web.gate import declared_bytes
from sora2_mcp.tasks.callbacks import CALLBACK_FOLDER
from sora2_mcp.tasks.pictures import PICTURE_FOLDER
from sora2_mcp.telemetry.spans import CALLBACK, count_outcome

logger = logging.getLogger(__name__)

BODY_LIMIT_BYTES = 64 * 1024
BODY_SECONDS = 0.5
"""How long a body is waited for; then what has come is taken for the whole."""

_STORE_SECONDS = 0.4
"""How long the store is waited for. With the body's time that makes an answer within a second, whatever comes of it."""

_SECRET_PATH = re.compile(rf"(/(?:{CALLBACK_FOLDER}|{PICTURE_FOLDER}|{VIDEO_FOLDER})/)[^\s?]+")
_PICTURE_HEADERS = {"cache-control": "private, max-age=3600", "x-content-type-options": "nosniff"}


def callback_routes(runtime: Runtime) -> list[Route]:
    """``POST /callbacks/<secret>``: 200 on a known path, 404 on any other, 413 for a body over 64 kB; never a 5xx.

    401 where ``SORA2_CALLBACK_SECRET`` is set, and the signature is missing or wrong. The answer never waits for what a
    callback leads to.
    """

    async def receive(request: Request) -> Response:
        secret = request.path_params.get("secret", "")
        if not runtime.callback_paths.is_authentic(secret):
            count_outcome(CALLBACK, "forged")
            return Response(status_code=404)
        body = bytearray()
        with runtime.clock.timeout(BODY_SECONDS) as limit:
            await _read(request, body)
        if max(len(body), declared_bytes(request.headers)) > BODY_LIMIT_BYTES:
            count_outcome(CALLBACK, "too_large")
            return Response(status_code=413)
        key = runtime.settings.callback_secret.get_secret_value()
        if key and not runtime.upstream.is_signed(dict(request.headers), bytes(body), key):
            count_outcome(CALLBACK, "unsigned")
            return Response(status_code=401)
        status = 200 if await _taken_in(runtime, secret, bytes(body)) else 404
        # What a slow caller still sends is not read.
        return Response(status_code=status, headers={"connection": "close"} if limit.cancelled_caught else None)

    paths = (f"/{CALLBACK_FOLDER}", f"/{CALLBACK_FOLDER}/{{secret:path}}")
    return [Route(path, receive, methods=["POST"]) for path in paths]


async def _read(request: Request, body: bytearray) -> None:
    """Adds what comes to ``body``, until that is whole or too large, or the caller hangs up."""
    with suppress(ClientDisconnect):
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_LIMIT_BYTES:
                return


async def _taken_in(runtime: Runtime, secret: str, body: bytes) -> bool:
    """Whether the path is one of ours; True where that cannot be told in time, for it goes on in the background."""
    try:
        with runtime.clock.timeout(_STORE_SECONDS):
            tasks = await runtime.tasks()
            return await tasks.callbacks.received(secret, runtime.upstream.callback_task_id(body))
    except Sora2Error as error:
        logger.debug("a callback was not taken in: %s", error)
    except Exception:
        # The route's border: nothing that anybody posts may look like a fault of this server.
        logger.exception("a callback was not taken in")
    return True


def picture_routes(runtime: Runtime) -> list[Route]:
    """``GET /pictures/<token>``: the picture, or 404 for any token that is not ours, too old, or of a changed file."""

    async def serve(request: Request) -> Response:
        token = request.path_params["token"]
        if not runtime.picture_addresses.opened(token):
            # Before a stranger has the store opened.
            return Response(status_code=404)
        try:
            picture = await (await runtime.tasks()).pictures.served(token)
        except Sora2Error:
            return Response(status_code=503, headers={"retry-after": "5"})
        if picture is None:
            return Response(status_code=404)
        return Response(picture.content, media_type=picture.media_type, headers=_PICTURE_HEADERS)

    return [Route(f"/{PICTURE_FOLDER}/{{token}}", serve, methods=["GET"])]


def hide_paths(access_logger: logging.Logger) -> None:
    """Keeps the secrets in paths out of the access log of whatever web server this application runs in."""
    if not any(isinstance(known, _SecretPaths) for known in access_logger.filters):
        access_logger.addFilter(_SecretPaths())


class _SecretPaths(logging.Filter):
    """Shortens secret paths in a line's arguments, and drops no line."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_SECRET_PATH.sub(r"\1…", arg) if isinstance(arg, str) else arg for arg in record.args)
        return True
