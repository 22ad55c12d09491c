"""What an order is in every dialect, and the checks that dialects share. Pure."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from sora2_mcp.simulator.faults import Fault, faults_in_prompt

ASPECT_RATIOS: Final = ("landscape", "portrait")
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


def check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise Refusal(422, f"{name} must be a string", param=name)


def check_switch(name: str, value: object) -> None:
    if not isinstance(value, bool):
        raise Refusal(422, f"{name} must be true or false", param=name)


def check_url(name: str, value: object) -> None:
    if not is_http_url(value):
        raise Refusal(422, f"{name} must be an http or https URL", param=name)


def urls(most: int | None = None) -> Check:
    """A list of addresses; with `most`, of 1 to so many."""

    def check(name: str, value: object) -> None:
        if not isinstance(value, list) or not all(is_http_url(url) for url in value):
            raise Refusal(422, f"{name} must be an array of http or https URLs", param=name)
        if most is not None and not 1 <= len(value) <= most:
            raise Refusal(422, f"{name} must have 1 to {most} URLs", param=name)

    return check


def one_of(*allowed: str) -> Check:
    """One of these texts."""

    def check(name: str, value: object) -> None:
        if value not in allowed:
            raise Refusal(422, f"{name} must be one of: {', '.join(allowed)}", param=name)

    return check


def prompt_up_to(characters: int, *, blank_code: int = 422) -> Check:
    """A prompt that says something, in at most so many characters."""

    def check(name: str, value: object) -> None:
        if not isinstance(value, str):
            raise Refusal(422, f"{name} must be a string", param=name)
        if not value.strip():
            raise Refusal(blank_code, f"{name} must not be blank", param=name)
        if len(value) > characters:
            raise Refusal(422, f"{name} must have at most {characters} characters", param=name)

    return check


def integer(least: int, most: int) -> Check:
    """A whole number, not as a text."""

    def check(name: str, value: object) -> None:
        if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
            raise Refusal(422, f"{name} must be an integer from {least} to {most}", param=name)

    return check
