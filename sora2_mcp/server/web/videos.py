"""``/videos/<token>/<name>.mp4``: saved videos at signed addresses that expire."""

import re
from pathlib import Path

import anyio
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import Request
from starlette.responses import FileResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import ASGIApp, Receive, Scope, Send

from sora2_mcp.domain.task import SavedFile
from sora2_mcp.errors import DownloadError, NoVideoError, Sora2Error
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.links import VIDEO_FOLDER, own_address
from sora2_mcp.tasks.files import is_kept

_FETCHING_SECONDS = 25.0
"""How long a request waits for a video that is not on this machine's disk any more, or was saved by another replica."""

_HEADERS = {
    "cache-control": "private, max-age=3600",
    "x-content-type-options": "nosniff",
    "content-security-policy": "default-src 'none'; media-src 'self'; style-src 'unsafe-inline'",
    "cross-origin-resource-policy": "cross-origin",
    "referrer-policy": "no-referrer",
}
_REFUSED = {**_HEADERS, "cache-control": "no-store"}
_GONE = "This link is not good, or not any more. Ask for a new one with download_video.\n"
_LATER = "The video is being fetched; ask again in a few seconds.\n"
_RANGES = re.compile(r"bytes\s*=\s*(.+)", re.IGNORECASE)
_RANGE = re.compile(r"(\d{0,18})-(\d{0,18})", re.ASCII)


def video_routes(runtime: Runtime) -> list[Route]:
    """``GET`` and ``HEAD``: the file, whole or in ranges; 404 for any token that is not ours, too old, or of no video.

    503 while the file is fetched anew, 304 for who has it. The token itself lets a caller in.
    """

    async def serve(request: Request) -> Response:
        id = runtime.video_tokens.opened(request.path_params["token"])
        if not id:
            # Before a stranger has the store opened.
            return PlainTextResponse(_GONE, status_code=404, headers=_REFUSED)
        try:
            file = await _file(runtime, id)
            stat = await anyio.Path(file.path).stat() if file is not None else None
        except NoVideoError:
            file = stat = None
        except (Sora2Error, OSError):
            # Also where it goes between two looks at it.
            return PlainTextResponse(_LATER, status_code=503, headers={**_REFUSED, "retry-after": "5"})
        if file is None or stat is None:
            return PlainTextResponse(_GONE, status_code=404, headers=_REFUSED)
        # The same on every replica, whenever its file was saved.
        headers = {**_HEADERS, "etag": f'"{file.sha256}"'}
        if _is_known(request.headers.get("if-none-match", ""), file.sha256):
            return Response(status_code=304, headers=headers)
        _keep_satisfiable_ranges(request, stat.st_size)
        return FileResponse(
            file.path,
            headers=headers,
            media_type="video/mp4",
            filename=Path(file.path).name,
            content_disposition_type="attachment" if "save" in request.query_params else "inline",
            stat_result=stat,
        )

    return [Route(f"/{VIDEO_FOLDER}/{{token}}/{{name}}", serve, methods=["GET"])]


async def _file(runtime: Runtime, id: str) -> SavedFile | None:
    """The video of a task, fetched anew where it is not there any more; None where there is no such task.

    Raises:
        NoVideoError: it cannot be had again. Sora2Error: not now.
    """
    tasks = await runtime.tasks()
    task = await tasks.by_id(id)
    if task is None:
        return None
    if task.file is not None and await is_kept(task.file):
        return task.file
    with runtime.clock.timeout(_FETCHING_SECONDS):
        return (await tasks.download(task.reference, task.principal)).file
    raise DownloadError(task.reference, "it takes too long to fetch.")


def _is_known(etags: str, sha256: str) -> bool:
    """Whether who asks has the file already. Source: RFC 9110, 13.1.2."""
    given = {etag.strip().removeprefix("W/") for etag in etags.split(",")}
    return not given.isdisjoint((f'"{sha256}"', "*"))


def _keep_satisfiable_ranges(request: Request, size_bytes: int) -> None:
    """Takes out of the request's ranges what no answer could hold. Source: RFC 9110, 14.1.2 and 14.2.

    A header that is no list of byte ranges counts as none; one range that can be had is enough for a 206.
    """
    headers = MutableHeaders(scope=request.scope)
    given = headers.get("range")
    if given is None:
        return
    ranges = _RANGES.fullmatch(given.strip())
    parts = [_RANGE.fullmatch(part.strip()) for part in ranges[1].split(",")] if ranges else []
    if not parts or not all(map(_is_range, parts)):
        del headers["range"]
        return
    kept = [part[0] for part in parts if part and _is_satisfiable(part, size_bytes)]
    headers["range"] = f"bytes={', '.join(kept)}" if kept else given


def _is_range(part: "re.Match[str] | None") -> bool:
    if part is None or part[0] == "-":
        return False
    return not (part[1] and part[2]) or int(part[1]) <= int(part[2])


def _is_satisfiable(part: "re.Match[str]", size_bytes: int) -> bool:
    return int(part[1]) < size_bytes if part[1] else int(part[2]) > 0


class OwnAddress:
    """Notes for the handlers under which address a request came to this server; ``public_url`` wins.

    It is the outermost: further in, a mounted part of the application is said to be at a path of its own. What the
    ``Host`` says is checked by the host guard, before anybody asks for this.
    """

    def __init__(self, app: ASGIApp, public_url: str) -> None:
        self._app = app
        self._public_url = public_url.rstrip("/")

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        token = own_address.set(self._public_url or _address_asked(scope))
        try:
            await self._app(scope, receive, send)
        finally:
            # Whoever calls the application within its own task must not keep the address.
            own_address.reset(token)


def _address_asked(scope: Scope) -> str:
    headers = Headers(scope=scope)
    # The proxy that ends TLS says so. A client that sends the header itself changes only the links it is given.
    scheme = "https" if headers.get("x-forwarded-proto") == "https" else scope["scheme"]
    return f"{scheme}://{headers.get('host', '')}{scope.get('root_path', '')}"
