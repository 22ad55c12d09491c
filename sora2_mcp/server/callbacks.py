"""Where the service calls back: one route that anybody on the network may post anything to."""

import logging
import re
from contextlib import suppress

import anyio
from starlette.requests import ClientDisconnect, Request
from starlette.responses import Response
from starlette.routing import Route

from sora2_mcp.errors import Sora2Error
from sora2_mcp.runtime import Runtime
from sora2_mcp.tasks.callback_path import CALLBACK_FOLDER
from sora2_mcp.tasks.pictures import PICTURE_FOLDER
from sora2_mcp.telemetry.work import CALLBACK, counted

logger = logging.getLogger(__name__)

BODY_LIMIT_BYTES = 64 * 1024
_SECRET_PATH = re.compile(rf"(/(?:{CALLBACK_FOLDER}|{PICTURE_FOLDER})/)[^\s?]+")
BODY_SECONDS = 0.5
"""How long a body is waited for; what has come by then is all there is."""

_STORE_SECONDS = 0.4
"""How long the store is waited for. With the body's time that makes an answer within a second, whatever comes of it."""


def callback_routes(runtime: Runtime) -> list[Route]:
    """``POST /callbacks/<secret>``: 200 on a known path, 404 on any other, 413 for a body over 64 kB; never a 5xx.

    401 where ``SORA2_CALLBACK_SECRET`` is set, and the signature is missing or wrong.

    The answer never waits for what a callback leads to.
    """

    async def receive(request: Request) -> Response:
        secret = request.path_params.get("secret", "")
        if not runtime.callback_paths.is_authentic(secret):
            counted(CALLBACK, "forged")
            return Response(status_code=404)
        body, was_slow = await _body(request, runtime)
        if body is None:
            counted(CALLBACK, "too_large")
            return Response(status_code=413)
        if not _is_signed(runtime, request, body):
            counted(CALLBACK, "unsigned")
            return Response(status_code=401)
        status = 200 if await _taken_in(runtime, secret, body) else 404
        # Whoever still sends is not listened to any longer.
        return Response(status_code=status, headers={"connection": "close"} if was_slow else None)

    paths = (f"/{CALLBACK_FOLDER}", f"/{CALLBACK_FOLDER}/{{secret:path}}")
    return [Route(path, receive, methods=["POST"]) for path in paths]


def _is_signed(runtime: Runtime, request: Request, body: bytes) -> bool:
    """Whether the service signed it, where the secret that it signs with is set."""
    secret = runtime.settings.callback_secret.get_secret_value()
    return not secret or runtime.upstream.is_signed(dict(request.headers), body, secret)


async def _taken_in(runtime: Runtime, secret: str, body: bytes) -> bool:
    """Whether the path is one of ours; True where that cannot be told in time, for it goes on in the background."""
    try:
        with runtime.clock.timeout(_STORE_SECONDS):
            service = await runtime.service()
            return await service.called_back(secret, runtime.upstream.callback_task_id(body))
    except Sora2Error as error:
        logger.debug("a callback was not taken in: %s", error)
    except Exception:
        # The route's border: nothing that anybody posts may look like a fault of this server.
        logger.exception("a callback was not taken in")
    return True


async def _body(request: Request, runtime: Runtime) -> tuple[bytes | None, bool]:
    """What was posted, None if it is too large; and whether there was no waiting for the rest."""
    declared = request.headers.get("content-length", "")
    if declared.isdecimal() and int(declared[:20]) > BODY_LIMIT_BYTES:
        return None, False
    body = bytearray()
    with runtime.clock.timeout(BODY_SECONDS) as patience:
        async with anyio.create_task_group() as group:
            group.start_soon(_lose_patience, runtime.stopping, patience)
            await _read(request, body)
            group.cancel_scope.cancel()
    return (bytes(body) if len(body) <= BODY_LIMIT_BYTES else None), patience.cancelled_caught


async def _read(request: Request, body: bytearray) -> None:
    with suppress(ClientDisconnect):
        async for chunk in request.stream():
            body += chunk
            if len(body) > BODY_LIMIT_BYTES:
                return


async def _lose_patience(stopping: anyio.Event, patience: anyio.CancelScope) -> None:
    await stopping.wait()
    patience.cancel()


def hide_paths(access_logger: logging.Logger) -> None:
    """Keeps the secrets of callbacks out of the access log of whatever web server this application runs in."""
    if not any(isinstance(known, _WithoutSecrets) for known in access_logger.filters):
        access_logger.addFilter(_WithoutSecrets())


class _WithoutSecrets(logging.Filter):
    """Shortens the paths of callbacks in a line's arguments, and drops no line."""

    def filter(self, record: logging.LogRecord) -> bool:
        if isinstance(record.args, tuple):
            record.args = tuple(_SECRET_PATH.sub(r"\1…", arg) if isinstance(arg, str) else arg for arg in record.args)
        return True
