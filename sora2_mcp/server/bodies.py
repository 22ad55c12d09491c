"""How much a request may bring, and what it must look like."""

from starlette.datastructures import Headers
from starlette.responses import JSONResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from sora2_mcp.server.messages import LONGEST_CALL_BYTES, checked_message


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


class CheckedMessages:
    """An application that gets bodies which are MCP messages; others get 400 with the answer that JSON-RPC asks for."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["method"] != "POST" or "json" not in Headers(scope=scope).get("content-type", ""):
            await self._app(scope, receive, send)
            return
        body, is_whole = bytearray(), False
        while not is_whole:
            message = await receive()
            if message["type"] == "http.disconnect":
                return
            body += message.get("body", b"")
            is_whole = not message.get("more_body", False)
        text, refusal = checked_message(body)
        if refusal:
            await Response(refusal, status_code=400, media_type="application/json")(scope, receive, send)
            return
        given: list[Message] = [{"type": "http.request", "body": text.encode(), "more_body": False}]

        async def once_more() -> Message:
            return given.pop() if given else await receive()

        await self._app(scope, once_more, send)
