"""The player and the gallery, pages that hosts show beside a result (MCP Apps), and the page of the HTTP server.

Source: the MCP Apps extension ``io.modelcontextprotocol/ui``, revision 2026-01-26. A page of an app is one document, so
the style sheet and the scripts, which the three pages share, are put into it here.
"""

import re
from collections.abc import Iterator
from contextlib import suppress
from functools import cache
from importlib.resources import files
from typing import Any
from urllib.parse import urlsplit

from mcp.server.apps import APP_MIME_TYPE, EXTENSION_ID, ResourceCsp
from mcp_types import ReadResourceResult, Resource, TextResourceContents

from sora2_mcp.domain.configured import SERVICES
from sora2_mcp.errors import Sora2Error
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.links import own_address

PLAYER = "ui://sora2/player.html"
GALLERY = "ui://sora2/gallery.html"

EXTENSION = {EXTENSION_ID: {"mimeTypes": [APP_MIME_TYPE]}}
"""What the server declares. Hardly any client declares it, so the pages are offered to all."""

_APPS = {
    PLAYER: Resource(
        uri=PLAYER,
        name="player",
        title="Video player",
        description="Shows a video task: how it stands, then the video.",
        mime_type=APP_MIME_TYPE,
    ),
    GALLERY: Resource(
        uri=GALLERY,
        name="gallery",
        title="Video gallery",
        description="Shows the newest video tasks as cards.",
        mime_type=APP_MIME_TYPE,
    ),
}
_STYLE = re.compile(r'<link rel="stylesheet" href="assets/([a-z]+\.css)">')
_SCRIPT = re.compile(r'<script src="assets/([a-z]+\.js)" defer></script>')


def app_resources() -> list[Resource]:
    """The pages as resources are listed."""
    return list(_APPS.values())


def shown_by(uri: str) -> dict[str, Any]:
    """The metadata that names a tool's page; older hosts read the flat key."""
    return {"ui": {"resourceUri": uri}, "ui/resourceUri": uri}


async def read_app(uri: str, runtime: Runtime) -> ReadResourceResult | None:
    """A page, and where its videos may come from; None where there is no page of that address."""
    if uri not in _APPS:
        return None
    if runtime.settings.simulate:
        # Its address is known once it runs.
        with suppress(Sora2Error):
            await runtime.tasks()
    csp = ResourceCsp(resource_domains=list(media_origins(runtime)))
    meta = {"ui": {"csp": csp.model_dump(by_alias=True, exclude_none=True), "prefersBorder": True}}
    document = in_one_file(uri.rpartition("/")[2])
    page = TextResourceContents(uri=uri, mime_type=APP_MIME_TYPE, text=document, _meta=meta)
    return ReadResourceResult(contents=[page])


def media_origins(runtime: Runtime) -> Iterator[str]:
    """Origins of videos: the service's, our own, and those of the settings; each once."""
    settings = runtime.settings
    simulated = [runtime.service_address] if settings.simulate else []
    own = [address for address in (settings.public_url, own_address.get(), *simulated) if address]
    origins = (f"{parts.scheme}://{parts.netloc}" for parts in map(urlsplit, own))
    yield from dict.fromkeys([*SERVICES[settings.service].media, *origins, *settings.media_origins])


@cache
def in_one_file(name: str) -> str:
    """A page with its style sheet and scripts inside."""
    document = _STYLE.sub(lambda found: f"<style>\n{asset(found[1])}</style>", asset(name))
    # At the end, for a script inside a page does not wait for the rest of it.
    scripts = "".join(f"<script>\n{asset(found)}</script>\n" for found in _SCRIPT.findall(document))
    return _SCRIPT.sub("", document).replace("</body>", f"{scripts}</body>")


@cache
def asset(name: str) -> str:
    """The text of a page, a style sheet or a script."""
    return files(__name__).joinpath(name).read_text(encoding="utf-8")
