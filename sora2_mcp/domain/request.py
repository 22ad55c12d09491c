"""What a video is ordered with, and what is allowed in it."""

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import timedelta
from enum import StrEnum
from urllib.parse import urlsplit

from sora2_mcp.errors import ArgumentError

PROMPT_LIMIT = 5000
WATERMARK_LIMIT = 200
URL_LIMIT = 2000
IMAGE_LIMIT = 10
KEY_LIMIT = 200
# Of addresses from a service, which may be signed; a longer one is not even read.
_LONGEST_URL = 8000
# A name has at most 253 characters; a port, a user name and a password may stand beside it.
_LONGEST_HOST = 500

# Marks that end or begin a link in Markdown or HTML.
_ESCAPED = str.maketrans({mark: f"%{ord(mark):02X}" for mark in '"<>[]\\^`{|}'})
_FILE = re.compile("^file://", re.IGNORECASE)
_HOST_END = re.compile(r"[/?#\\]")


class AspectRatio(StrEnum):
    LANDSCAPE = "landscape"
    PORTRAIT = "portrait"


class Quality(StrEnum):
    STANDARD = "standard"
    HD = "hd"


@dataclass(frozen=True, slots=True, kw_only=True)
class Capabilities:
    """What a service makes, with the model that is configured, and what is true of its videos."""

    maker: str
    """The service and the model, in texts."""
    prompt_limit: int = PROMPT_LIMIT
    image_limit: int = IMAGE_LIMIT
    aspect_ratio: bool = True
    hd: bool = True
    watermark: bool = False
    callback_url: bool = True
    callback_needs_https: bool = False
    seconds: Sequence[int] = ()
    """The lengths that can be chosen; empty where the length is the model's own."""
    default_seconds: int = 0
    """The length where the caller names none; 0 leaves it to the model."""
    retention: timedelta | None = None
    """How long a finished video is kept; None where the service does not say."""
    price_unit: str = "credits"
    """The unit of costs; empty where no order is known to cost anything."""
    tells_costs: bool = False
    """Whether the record of a task that has ended holds its cost."""

    def calls(self, url: str) -> bool:
        """Whether the service would call this address; an empty one is not called."""
        parts = urlsplit(url)
        # Within this machine http is as safe as https, and needs no certificate.
        is_safe = parts.scheme != "http" or (parts.hostname or "") in ("localhost", "127.0.0.1", "::1")
        return not url or (self.callback_url and (is_safe or not self.callback_needs_https))

    @property
    def lengths(self) -> str:
        """The lengths that can be chosen, in words: ``4 to 15`` or ``4, 6, 8, 10``; empty where there is no choice."""
        if self.has_any_length:
            return f"{min(self.seconds)} to {max(self.seconds)}"
        return ", ".join(map(str, sorted(self.seconds)))

    @property
    def has_any_length(self) -> bool:
        """Whether every length between the shortest and the longest can be chosen."""
        return len(self.seconds) > 1 and len(self.seconds) == max(self.seconds) - min(self.seconds) + 1


RETENTION = timedelta(days=15)
"""How long Sora2API keeps a file. Source: the vendor's quick start, "Video Storage and Retention"."""

SORA2API = Capabilities(maker="Sora 2 through Sora2API", watermark=True, retention=RETENTION)
"""What the reference service makes. Source: the vendor's quick start, "Step 1"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class VideoRequest:
    """What a caller orders; ``image_urls`` makes it image-to-video, empty strings and 0 mean "not given"."""

    prompt: str
    image_urls: tuple[str, ...] = ()
    aspect_ratio: AspectRatio = AspectRatio.LANDSCAPE
    quality: Quality = Quality.STANDARD
    watermark: str = ""
    callback_url: str = ""
    seconds: int = 0

    def __repr__(self) -> str:
        # A prompt is the user's business: it never gets into a log by way of a repr.
        return f"VideoRequest(<{len(self.prompt)} characters>, {self.aspect_ratio}, {self.quality})"

    def validated(self, capabilities: Capabilities = SORA2API) -> "VideoRequest":
        """The request without outer white space and with the default length filled in.

        Raises:
            ArgumentError: the first argument that is not allowed, or that the service cannot honour.
        """
        prompt = _storable(self.prompt).strip()
        limit = capabilities.prompt_limit
        if not prompt:
            raise ArgumentError("prompt", f"is empty; describe the video in 1 to {limit:,} characters.")
        if len(prompt) > limit:
            raise ArgumentError("prompt", f"has {len(prompt):,} characters; allowed are 1 to {limit:,}.")
        watermark = _storable(self.watermark).strip()
        if len(watermark) > WATERMARK_LIMIT:
            problem = f"has {len(watermark):,} characters; allowed are at most {WATERMARK_LIMIT}."
            raise ArgumentError("watermark", problem)
        self._check_images(capabilities)
        # Of a file's path only the form is checked here; ``tasks/pictures.py`` reads the file.
        images = tuple(_checked_image(image) for image in self.image_urls)
        callback = checked_url("callback_url", self.callback_url) if self.callback_url.strip() else ""
        given = replace(
            self,
            prompt=prompt,
            image_urls=images,
            watermark=watermark,
            callback_url=callback,
            seconds=self.seconds or capabilities.default_seconds,
        )
        _check_choices(given, capabilities)
        return given

    def _check_images(self, capabilities: Capabilities) -> None:
        given, limit = len(self.image_urls), capabilities.image_limit
        if given and not limit:
            raise ArgumentError(
                "image_urls", f"cannot be sent: {capabilities.maker} takes no images, or not by a name known here."
            )
        if given > limit:
            raise ArgumentError("image_urls", f"has {given} addresses; allowed are at most {limit}.")


def _check_choices(request: VideoRequest, capabilities: Capabilities) -> None:
    # A choice that the service cannot honour is refused: left out in silence it would cost a video of another kind.
    maker = capabilities.maker
    is_chosen = bool(capabilities.seconds)
    lengths = f"allowed is {capabilities.lengths}." if is_chosen else f"{maker} sets the length, so leave it out."
    refusals = (
        ("watermark", request.watermark and not capabilities.watermark, f"cannot be set: {maker} takes none."),
        ("callback_url", request.callback_url and not capabilities.callback_url, f"cannot be set: {maker} takes none."),
        ("callback_url", not capabilities.calls(request.callback_url), f"must begin with https:// for {maker}."),
        (
            "aspect_ratio",
            request.aspect_ratio is not AspectRatio.LANDSCAPE and not capabilities.aspect_ratio,
            f"cannot be chosen: it is not known how {maker} takes it.",
        ),
        (
            "quality",
            request.quality is Quality.HD and not capabilities.hd,
            f"cannot be hd: {maker} makes standard only.",
        ),
        (
            "seconds",
            request.seconds and request.seconds not in capabilities.seconds,
            f"cannot be {request.seconds}: {lengths}",
        ),
    )
    for argument, is_refused, problem in refusals:
        if is_refused:
            raise ArgumentError(argument, problem)


def _storable(text: str) -> str:
    # No database takes NUL, and no JSON half a character.
    return text.replace("\x00", "").encode(errors="replace").decode()


def is_http_url(url: str) -> bool:
    """Whether this is a whole http(s) address with a host, and no blank or control character in it."""
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
    """An address from a service, with the characters escaped that could end or begin a link in a text."""
    # The host stays as it is: brackets around an IPv6 address belong there.
    scheme, slashes, rest = url.partition("://")
    end = _HOST_END.search(rest)
    host_end = end.start() if end else len(rest)
    return scheme + slashes + rest[:host_end] + rest[host_end:].translate(_ESCAPED)


def _checked_image(image: str) -> str:
    """An image's address, or the path of its file, without outer white space.

    Raises:
        ArgumentError: neither, or too long.
    """
    image = image.strip()
    # A scheme decides, but for file://, so that a mistyped address is not looked for as a file.
    if image.lower().startswith(("http:", "https:")) or "://" in _FILE.sub("", image) or not image:
        return checked_url("image_urls", image)
    if len(image) > URL_LIMIT or not image.isprintable():
        raise ArgumentError("image_urls", f"holds a path that no file has; allowed are up to {URL_LIMIT:,} characters.")
    return image


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
