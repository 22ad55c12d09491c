"""Reads and checks the body of an order as the service does. Pure."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from sora2_mcp.simulator.faults import Fault, faults_in_prompt

MAX_PROMPT_CHARACTERS: Final = 5_000
ASPECT_RATIOS: Final = ("landscape", "portrait")
QUALITIES: Final = ("standard", "hd")


class Refusal(Exception):  # noqa: N818  (it is the service's answer, not an error of ours)
    """A request answered with an error envelope; `code` is the envelope's code and the HTTP status."""

    def __init__(self, code: int, message: str) -> None:
        super().__init__(message)
        self.code = code
        self.message = message


@dataclass(frozen=True, slots=True, kw_only=True)
class Order:
    """One valid order; `param_json` holds the submitted fields the service knows, `""` means not given."""

    prompt: str
    aspect_ratio: str
    callback_url: str
    param_json: str
    faults: tuple[Fault, ...]


def read_order(body: bytes) -> Order:
    """The order a request body holds; unknown fields are ignored, null counts as not given.

    Raises:
        Refusal: 400 for what is no JSON object or lacks a prompt, 422 for a field that does not fit.
    """
    fields = {name: value for name, value in _read_object(body).items() if name in _CHECKS and value is not None}
    if "prompt" not in fields:
        raise Refusal(400, "prompt is required")
    for name, value in fields.items():
        _CHECKS[name](name, value)
    return Order(
        prompt=fields["prompt"],
        aspect_ratio=fields.get("aspectRatio", "landscape"),
        callback_url=fields.get("callBackUrl", ""),
        param_json=json.dumps(fields, ensure_ascii=False),
        faults=_faults(fields["prompt"]),
    )


def _read_object(body: bytes) -> dict[str, Any]:
    try:
        parsed = json.loads(body)
    except ValueError as error:
        raise Refusal(400, "Malformed JSON in the request body") from error
    if not isinstance(parsed, dict):
        raise Refusal(400, "The request body must be a JSON object")
    return parsed


def _faults(prompt: str) -> tuple[Fault, ...]:
    try:
        return faults_in_prompt(prompt)
    except ValueError as error:
        raise Refusal(400, str(error)) from error


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise Refusal(422, f"{name} must be a string")


def _check_prompt(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise Refusal(422, f"{name} must be a string")
    if not value.strip():
        raise Refusal(400, f"{name} must not be blank")
    if len(value) > MAX_PROMPT_CHARACTERS:
        raise Refusal(422, f"{name} must have at most {MAX_PROMPT_CHARACTERS} characters")


def _check_url(name: str, value: object) -> None:
    if not isinstance(value, str) or not _is_http_url(value):
        raise Refusal(422, f"{name} must be an http or https URL")


def _check_urls(name: str, value: object) -> None:
    if not isinstance(value, list) or not all(isinstance(url, str) and _is_http_url(url) for url in value):
        raise Refusal(422, f"{name} must be an array of http or https URLs")


def _is_http_url(text: str) -> bool:
    try:
        parts = urlsplit(text)
        return parts.scheme in ("http", "https") and bool(parts.hostname)
    except ValueError:
        return False


def _one_of(*allowed: str) -> Callable[[str, object], None]:
    def check(name: str, value: object) -> None:
        if value not in allowed:
            raise Refusal(422, f"{name} must be one of: {', '.join(allowed)}")

    return check


_CHECKS: Final[dict[str, Callable[[str, object], None]]] = {
    "prompt": _check_prompt,
    "aspectRatio": _one_of(*ASPECT_RATIOS),
    "quality": _one_of(*QUALITIES),
    "imageUrls": _check_urls,
    "watermark": _check_text,
    "callBackUrl": _check_url,
}
