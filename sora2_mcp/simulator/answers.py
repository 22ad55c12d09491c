"""Answers that several dialects share: envelopes, a gateway's pages, and answers that break off."""

from typing import Any, Final

from starlette.responses import HTMLResponse, JSONResponse, PlainTextResponse, Response
from starlette.types import Receive, Scope, Send

# The server puts the connection's transport here, so that a scripted fault can close it.
TRANSPORT: Final = "simulator.transport"

MESSAGES: Final = {
    400: "The request was refused by the content policy",
    401: "You do not have access permissions: the API key is missing or wrong",
    402: "Insufficient credits",
    404: "Not found",
    408: "The upstream gave no answer in time",
    422: "Validation failed",
    429: "Too many requests, please try again later",
    433: "The limit of this key is reached",
    451: "An image could not be fetched",
    455: "The service is under maintenance",
    500: "Server error, please try again later",
    501: "Generation failed",
    505: "This feature is disabled",
}

_BAD_GATEWAY: Final = (
    "<html><head><title>502 Bad Gateway</title></head>"
    "<body><center><h1>502 Bad Gateway</h1></center><hr><center>simulator</center></body></html>\n"
)


class CutResponse(Response):
    """Closes the connection before the whole body is sent; with an empty body, before anything is sent."""

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        transport = scope.get("state", {}).get(TRANSPORT)
        if transport is None:
            # Without a socket, as in most tests, the transport below turns this into a broken connection.
            raise ConnectionAbortedError("a scripted fault closed the connection")
        if self.body:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            half = bytes(self.body)[: len(self.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
        transport.close()
        # uvicorn calls an application that returns without a whole answer broken, and logs that.
        while (await receive())["type"] != "http.disconnect":
            pass


def envelope(code: int, message: str, content: Any, *, status: int, headers: dict[str, str] | None = None) -> Response:
    """`{"code": code, "msg": message, "data": content}` with this HTTP status, also where no such status exists."""
    return JSONResponse({"code": code, "msg": message, "data": content}, status_code=status, headers=headers)


def bad_gateway() -> Response:
    """The HTML page of a gateway that cannot reach the service."""
    return HTMLResponse(_BAD_GATEWAY, status_code=502)


def blocked() -> Response:
    """What Cloudflare answers to user agents it does not like."""
    return PlainTextResponse("error code: 1010", status_code=403)
