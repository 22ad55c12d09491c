"""Where the service fetches a picture of one's own: an address nobody can guess, good for a day."""

from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Route

from sora2_mcp.errors import Sora2Error
from sora2_mcp.runtime import Runtime
from sora2_mcp.tasks.pictures import PICTURE_FOLDER

_HEADERS = {"cache-control": "private, max-age=3600", "x-content-type-options": "nosniff"}


def picture_routes(runtime: Runtime) -> list[Route]:
    """``GET /pictures/<token>``: the picture, or 404 for any token that is not ours, too old, or of a changed file."""

    async def serve(request: Request) -> Response:
        token = request.path_params["token"]
        if not runtime.picture_addresses.opened(token):
            # Before the store is opened for whoever comes along.
            return Response(status_code=404)
        try:
            picture = await (await runtime.service()).picture(token)
        except Sora2Error:
            return Response(status_code=503, headers={"retry-after": "5"})
        if picture is None:
            return Response(status_code=404)
        return Response(picture.content, media_type=picture.media_type, headers=_HEADERS)

    return [Route(f"/{PICTURE_FOLDER}/{{token}}", serve, methods=["GET"])]
