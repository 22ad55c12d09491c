"""Whether something is a picture: by its first bytes, or by its address. Pure."""

import base64
import binascii
from typing import Final

from sora2_mcp.simulator.order import Refusal, is_http_url

_BEGINNINGS: Final = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}


def picture_type(content: bytes) -> str | None:
    """The type of a real JPEG, PNG or WebP by its first bytes."""
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for beginning, kind in _BEGINNINGS.items() if content.startswith(beginning)), None)


def check_picture_url(name: str, value: object) -> None:
    """An http or https address, or a data URL whose bytes are those of a picture of the type it names.

    Raises:
        Refusal: 422.
    """
    if is_http_url(value):
        return
    head, comma, encoded = value.partition(",") if isinstance(value, str) else ("", "", "")
    if not comma or not head.startswith("data:image/") or not head.endswith(";base64"):
        raise Refusal(422, f"{name} must be an http or https URL, or a data URL with a picture", param=name)
    try:
        content = base64.b64decode(encoded, validate=True)
    except binascii.Error as error:
        raise Refusal(422, f"{name} is not base64", param=name) from error
    if picture_type(content) != head.removeprefix("data:").removesuffix(";base64"):
        raise Refusal(422, f"{name} does not hold a picture of the type it names", param=name)
