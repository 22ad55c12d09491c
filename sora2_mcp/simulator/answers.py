"""What goes back over the wire: envelopes, and the spoilt answers of scripted faults."""

from typing import Any, Final

from starlette.responses import HTMLResponse, JSONResponse, Response
from starlette.types import Receive, Scope, Send

from sora2_mcp.simulator.faults import Fault

# The server puts the connection's transport here, so that a scripted fault can close it.
TRANSPORT: Final = "simulator.transport"

MESSAGES: Final = {
    400: "The request was refused by the content policy",
    401: "You do not have access permissions: the API key is missing or wrong",
    402: "Insufficient credits",
    404: "Not found",
    422: "Validation failed",
    429: "Too many requests, please try again later",
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
            raise ConnectionAbortedError("a scripted fault closed the connection")
        if self.body:
            await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
            half = bytes(self.body)[: len(self.body) // 2]
            await send({"type": "http.response.body", "body": half, "more_body": True})
        transport.close()
        while (await receive())["type"] != "http.disconnect":
            pass


def success(content: dict[str, Any] | None) -> Response:
    """`{"code": 200, "msg": "success", "data": content}`."""
    return JSONResponse({"code": 200, "msg": "success", "data": content})


def error(code: int, message: str = "", headers: dict[str, str] | None = None) -> Response:
    """An error envelope; its code is the HTTP status too, also where no such status exists."""
    content = {"code": code, "msg": message or MESSAGES[code], "data": None}
    return JSONResponse(content, status_code=code, headers=headers)


def spoilt(fault: Fault | None, usual: Response) -> Response:
    """The answer under a fault; `usual` is the one without, and the one of a fault that spoils nothing."""
    if fault is None:
        return usual
    if fault.what.isdigit():
        return error(int(fault.what), headers=_headers(fault))
    match fault.what:
        case "html" | "html-accepted":
            return HTMLResponse(_BAD_GATEWAY, status_code=502)
        case "empty":
            return Response(b"")
        case "drop":
            return CutResponse(b"")
        case "half":
            return CutResponse(usual.body, media_type="application/json")
        case "no-id":
            return success(None)
        case _:
            return usual


def _headers(fault: Fault) -> dict[str, str] | None:
    if fault.what != "429":
        return None
    return {"Retry-After": f"{1.0 if fault.value is None else fault.value:g}"}
