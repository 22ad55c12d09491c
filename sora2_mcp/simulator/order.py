"""What an order is in every dialect, and the checks that dialects share. Pure."""

import base64
import binascii
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from sora2_mcp.simulator.faults import Fault, faults_in_prompt

ASPECT_RATIOS: Final = ("landscape", "portrait")
_PICTURES: Final = {b"\xff\xd8\xff": "image/jpeg", b"\x89PNG\r\n\x1a\n": "image/png"}
Check = Callable[[str, object], None]
"""Takes the name and the value of a field; raises `Refusal` if they do not fit."""


class Refusal(Exception):  # noqa: N818  (it is the service's answer, not an error of ours)
    """A request that is refused; `code` is one of Sora2API's, which every dialect spells its own way.

    `param` is the field that does not fit, where there is one.
    """

    def __init__(self, code: int, message: str = "", *, param: str | None = None) -> None:
        super().__init__(message)
        self.code = code
        self.message = message
        self.param = param


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One valid order; `param_json` is what its dialect wants to know of it later, `""` means not given."""

    prompt: str
    aspect_ratio: str
    callback_url: str
    param_json: str
    faults: tuple[Fault, ...]


def check_fields(fields: Mapping[str, Any], checks: Mapping[str, Check]) -> None:
    """Applies to each field the check with its name.

    Raises:
        Refusal: 422 for a field that does not fit.
    """
    for name, value in fields.items():
        if name in checks:
            checks[name](name, value)


def prompt_faults(prompt: str) -> tuple[Fault, ...]:
    """The faults written in a prompt.

    Raises:
        Refusal: 400 for one that cannot be read.
    """
    try:
        return faults_in_prompt(prompt)
    except ValueError as error:
        raise Refusal(400, str(error), param="prompt") from error


def is_http_url(text: object) -> bool:
    """Whether this is an http or https address."""
    if not isinstance(text, str):
        return False
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def must(rule: str, fits: Callable[[Any], bool], *, code: int = 422) -> Check:
    """A check that refuses with "NAME must RULE" what does not fit."""

    def check(name: str, value: object) -> None:
        if not fits(value):
            raise Refusal(code, f"{name} must {rule}", param=name)

    return check


def every(*checks: Check) -> Check:
    """All of these checks, in this order: the later ones may rely on the earlier ones."""

    def check(name: str, value: object) -> None:
        for each in checks:
            each(name, value)

    return check


check_text: Final = must("be a string", lambda value: isinstance(value, str))
check_switch: Final = must("be true or false", lambda value: isinstance(value, bool))
check_url: Final = must("be an http or https URL", is_http_url)
check_urls: Final = must(
    "be an array of http or https URLs", lambda value: isinstance(value, list) and all(map(is_http_url, value))
)


def urls(most: int) -> Check:
    """A list of 1 to so many addresses."""
    return every(check_urls, must(f"have 1 to {most} URLs", lambda value: 1 <= len(value) <= most))


def one_of(*allowed: str) -> Check:
    """One of these texts."""
    return must(f"be one of: {', '.join(allowed)}", lambda value: value in allowed)


def prompt_up_to(characters: int, *, blank_code: int = 422) -> Check:
    """A prompt that is not blank and has at most so many characters."""
    return every(
        check_text,
        must("not be blank", lambda value: bool(value.strip()), code=blank_code),
        must(f"have at most {characters} characters", lambda value: len(value) <= characters),
    )


def integer(least: int, most: int) -> Check:
    """A whole number, not as a text."""
    # In Python True is an int, in JSON it is none.
    return must(
        f"be an integer from {least} to {most}",
        lambda value: isinstance(value, int) and not isinstance(value, bool) and least <= value <= most,
    )


def picture_type(content: bytes) -> str | None:
    """The type of a real JPEG, PNG or WebP by its first bytes."""
    # WebP has its length between its two marks.
    if content[:4] == b"RIFF" and content[8:12] == b"WEBP":
        return "image/webp"
    return next((kind for beginning, kind in _PICTURES.items() if content.startswith(beginning)), None)


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
