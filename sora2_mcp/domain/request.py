"""What a video is ordered with, and what is allowed in it."""

import re
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import urlsplit

from sora2_mcp.errors import ArgumentError

PROMPT_LIMIT = 5000
WATERMARK_LIMIT = 200
URL_LIMIT = 2000
IMAGE_LIMIT = 10
KEY_LIMIT = 200
_LONGEST_URL = 8000
"""Of others' addresses, which may be signed; what is longer is not even looked at."""

_LONGEST_HOST = 500
"""A name has at most 253 characters; a port, and a name and password of somebody's, may stand beside it."""

_ESCAPED = str.maketrans({mark: f"%{ord(mark):02X}" for mark in '"<>[]\\^`{|}'})
_HOST_END = re.compile(r"[/?#\\]")


class AspectRatio(StrEnum):
    LANDSCAPE = "landscape"
    PORTRAIT = "portrait"


class Quality(StrEnum):
    STANDARD = "standard"
    HD = "hd"


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRequest:
    """What the caller asks for; ``image_urls`` makes it image-to-video, empty strings mean "not given"."""

    prompt: str
    image_urls: tuple[str, ...] = ()
    aspect_ratio: AspectRatio = AspectRatio.LANDSCAPE
    quality: Quality = Quality.STANDARD
    watermark: str = ""
    callback_url: str = ""

    def __repr__(self) -> str:
        # A prompt is the user's business: it never gets into a log by way of a repr.
        return f"VideoRequest(<{len(self.prompt)} characters>, {self.aspect_ratio}, {self.quality})"

    def validated(self) -> "VideoRequest":
        """Itself, with outer white space off.

        Raises:
            ArgumentError: the first argument that is not allowed.
        """
        prompt = _storable(self.prompt).strip()
        if not prompt:
            raise ArgumentError("prompt", f"is empty; describe the video in 1 to {PROMPT_LIMIT:,} characters.")
        if len(prompt) > PROMPT_LIMIT:
            raise ArgumentError("prompt", f"has {len(prompt):,} characters; allowed are 1 to {PROMPT_LIMIT:,}.")
        if len(self.image_urls) > IMAGE_LIMIT:
            raise ArgumentError(
                "image_urls", f"has {len(self.image_urls)} addresses; allowed are at most {IMAGE_LIMIT}."
            )
        watermark = _storable(self.watermark).strip()
        if len(watermark) > WATERMARK_LIMIT:
            problem = f"has {len(watermark):,} characters; allowed are at most {WATERMARK_LIMIT}."
            raise ArgumentError("watermark", problem)
        images = tuple(checked_url("image_urls", url) for url in self.image_urls)
        callback = checked_url("callback_url", self.callback_url) if self.callback_url.strip() else ""
        return VideoRequest(
            prompt=prompt,
            image_urls=images,
            aspect_ratio=self.aspect_ratio,
            quality=self.quality,
            watermark=watermark,
            callback_url=callback,
        )


def _storable(text: str) -> str:
    """The text without what no database and no JSON can hold: NUL and half characters."""
    return text.replace("\x00", "").encode(errors="replace").decode()


def is_http_url(url: str) -> bool:
    """Whether it is a whole http(s) address with a host and nothing that could hide in it."""
    # Lengths first: normalizing a host takes the square of its length.
    if len(url) > _LONGEST_URL or " " in url or not url.isprintable():
        return False
    if len(_HOST_END.split(url.partition("://")[2], maxsplit=1)[0]) > _LONGEST_HOST:
        return False
    try:
        parts = urlsplit(url)
        return parts.scheme in ("http", "https") and bool(parts.hostname) and parts.port != 0
    except ValueError:
        return False


def sanitized_url(url: str) -> str:
    """An address of somebody else's with what is no part of any address, and could end or begin a link, escaped."""
    scheme, slashes, rest = url.partition("://")
    end = _HOST_END.search(rest)
    host_end = end.start() if end else len(rest)
    return scheme + slashes + rest[:host_end] + rest[host_end:].translate(_ESCAPED)


def checked_url(argument: str, url: str) -> str:
    """The address without outer white space.

    Raises:
        ArgumentError: not an http(s) address, or longer than ``URL_LIMIT``.
    """
    url = url.strip()
    if len(url) > URL_LIMIT:
        raise ArgumentError(argument, f"holds an address longer than {URL_LIMIT:,} characters.")
    if not is_http_url(url):
        raise ArgumentError(argument, "holds something that is not an address; allowed are http:// and https:// URLs.")
    return url


def checked_key(key: str) -> str:
    """The idempotency key without outer white space; empty means none.

    Raises:
        ArgumentError: longer than ``KEY_LIMIT``.
    """
    key = _storable(key).strip()
    if len(key) > KEY_LIMIT:
        raise ArgumentError("idempotency_key", f"has {len(key):,} characters; allowed are at most {KEY_LIMIT}.")
    return key
