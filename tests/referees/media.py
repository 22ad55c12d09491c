"""A picture to send along, and how a video is known."""

import base64

PNG = base64.b64decode(
    "iVBORw0KGgoAAAANSUhEUgAAAAEAAAABCAYAAAAfFcSJAAAADUlEQVR42mNk+M9QDwADhgGAWjR9awAAAABJRU5ErkJggg=="
)
"""One pixel."""


def is_mp4(content: bytes) -> bool:
    """Whether these are the bytes of an MP4 file."""
    return content[4:8] == b"ftyp"
