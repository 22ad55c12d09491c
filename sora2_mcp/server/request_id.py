"""Each request has an id, so that what is logged and traced of it can be found: HTTP's own, or one of ours."""

import re

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sora2_mcp.telemetry.whose import asked_by, new_request_id

HEADER = "x-request-id"

_HARMLESS = re.compile(r"[A-Za-z0-9][A-Za-z0-9_.:-]{0,63}")
"""What may come in from outside: it stands in logs, where nothing may look like more than one word."""


class RequestIds:
    """An application whose requests keep the id a client or proxy gave them, if it is harmless, and tell it back."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        request_id = _given(Headers(scope=scope)) or new_request_id()

        async def named(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message)[HEADER] = request_id
            await send(message)

        with asked_by(request_id):
            await self._app(scope, receive, named)


def _given(headers: Headers) -> str:
    given = headers.getlist(HEADER)
    return given[0] if len(given) == 1 and _HARMLESS.fullmatch(given[0]) else ""
