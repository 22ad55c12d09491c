"""How much a request may bring."""

from starlette.datastructures import Headers
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sora2_mcp.domain.request import IMAGE_LIMIT, KEY_LIMIT, PROMPT_LIMIT, URL_LIMIT, WATERMARK_LIMIT

_BYTES_EACH = 12
"""A character beyond U+FFFF, as JSON may write it: ``\\ud83d\\ude00``."""

_ENVELOPE_BYTES = 20_000
"""The message around the arguments, with an answer's sealed state and what hosts add."""

LONGEST_CALL_BYTES = _ENVELOPE_BYTES + _BYTES_EACH * (
    PROMPT_LIMIT + IMAGE_LIMIT * URL_LIMIT + WATERMARK_LIMIT + URL_LIMIT + KEY_LIMIT
)
"""What an order may need with every argument at its limit; no other call needs more."""


class _TooLargeError(Exception):
    pass


class BodyLimit:
    """An application whose requests may bring ``most_bytes``; more gets 413 before anything is read into it."""

    def __init__(self, app: ASGIApp, most_bytes: int = LONGEST_CALL_BYTES) -> None:
        self._app = app
        self._most_bytes = most_bytes

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        declared = Headers(scope=scope).get("content-length", "")
        if declared.isdecimal() and int(declared[:20]) > self._most_bytes:
            await self._refuse(scope, receive, send)
            return
        left, has_begun = self._most_bytes, False

        async def counted() -> Message:
            nonlocal left
            message = await receive()
            left -= len(message.get("body", b""))
            if left < 0 and not has_begun:
                raise _TooLargeError
            return message

        async def noted(message: Message) -> None:
            nonlocal has_begun
            has_begun = True
            await send(message)

        try:
            await self._app(scope, counted, noted)
        except _TooLargeError:
            await self._refuse(scope, receive, send)

    async def _refuse(self, scope: Scope, receive: Receive, send: Send) -> None:
        told = f"The request is larger than {self._most_bytes:,} bytes, more than any needs; nothing was done."
        await JSONResponse({"error": told}, status_code=413)(scope, receive, send)
