"""The texts that settings take: their forms, and rules for all of them. Pure; settings.py applies them."""

import json
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from ipaddress import IPv4Network, IPv6Network, ip_network
from typing import Any
from urllib.parse import urlsplit

from sora2_mcp.domain.request import is_http_url

Network = IPv4Network | IPv6Network
SQLITE = "sqlite:///"
SQLITE_FILE = re.compile(r"sqlite:///(/|[A-Za-z]:[\\/])[^?#]+")
_POSTGRES_HOST = r"(\[[0-9A-Fa-f:.]+\]|[^\s@:/?#,\[\]]*)(:\d{1,5})?"
POSTGRES = re.compile(
    rf"postgres(ql)?://(?!$)([^\s@/?#]*@)?{_POSTGRES_HOST}(,{_POSTGRES_HOST})*(/[^\s/?#]*)?(\?[^\s#]*)?"
)
TOKEN_LENGTH = 16
"""The fewest characters of a token; shorter ones can be guessed."""

STATE_KEY_LENGTH = 32
"""The fewest characters of a key that seals; what the SDK asks for."""

_TOKEN_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}")
# Printable ASCII but for the comma, which separates the entries of a list.
_TOKEN = re.compile(rf"[!-+\--~]{{{TOKEN_LENGTH},512}}")
_STATE_KEY = re.compile(rf"[!-+\--~]{{{STATE_KEY_LENGTH},512}}")
HOST = re.compile(r"(\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9]([A-Za-z0-9._-]*[A-Za-z0-9])?)(:\d{1,5})?")
ORIGIN = re.compile(rf"[A-Za-z][A-Za-z0-9+.-]*://{HOST.pattern}/?")
MEDIA_ORIGIN = re.compile(rf"https?://(\*\.)?{HOST.pattern}/?")
# Two letters at least, as a drive (``C:/``) has one.
SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]+:/")
"""The beginning of an address, which no path has."""

_PLACEHOLDER = re.compile(r"\$\{[^}]*\}")
_LEFT_OPEN = re.compile(
    # Nothing else is written so, wherever it stands.
    r"\$\{.*?\}|\{\{.*?\}\}|\$\(.*?\)|\{env:.*?\}|\$env:\w"
    # These might stand in a password: only between the marks that part addresses, paths and lists.
    r"|(?<![^/\\:@,;=\s])(\$([A-Z][A-Z0-9_]*|home)|%[A-Za-z_]\w*%)(?![^/\\:@,;=.\s])",
)
"""What hosts, shells and templates should have filled in: ``${HOME}``, ``$HOME``, ``%USERPROFILE%``, ``{{home}}``."""

QUOTES = "\"'`\u201c\u201d\u2018\u2019"
_SEPARATORS = " \t,;:"


@dataclass(frozen=True, slots=True, kw_only=True)
class KnownService:
    """A video service that can be chosen."""

    title: str
    base_url: str = ""
    """The vendor's; empty where users run their own."""
    needs: tuple[str, ...] = ("api_key",)
    """The settings without which no request can be sent to it."""
    model: str = ""
    account_page: str = ""
    """Where API keys are created."""
    costs: bool = True
    """Whether videos cost money or credits; on a server of one's own they usually do not."""
    failures_are_free: bool = False
    """Whether it is known that failed tasks are not charged."""
    media: tuple[str, ...] = ()
    """Where its videos are; hosts that show them ask for that beforehand."""
    today: str = ""
    """For people: how the service stands, with the date of that."""


_MEDIA = ("https://*.aiquickdraw.com",)
"""Where the maker of Sora2API and Kie keeps videos. Source: Kie's documentation, "Get Luma Modify Details"."""

DEFAULT_SERVICE = "sora2api"
SERVICES: Mapping[str, KnownService] = {
    "sora2api": KnownService(
        title="Sora2API",
        base_url="https://api.sora2api.ai/api/v1/sora2",
        media=_MEDIA,
        today="OpenAI ended Sora 2 on 2026-09-24, and this service's address did not resolve on 2026-06-23. A service "
        "that speaks its protocol works by SORA2_API_BASE_URL; SORA2_SERVICE chooses others: kie, openrouter, openai.",
    ),
    "kie": KnownService(
        title="Kie",
        base_url="https://api.kie.ai/api/v1",
        model="kling-3.0/video",
        media=_MEDIA,
        account_page="https://kie.ai/api-key",
        failures_are_free=True,
        today="Makes videos of 3 to 15 s; size and sound are the model's. Paid in credits of about $0.005 (2026-10).",
    ),
    "openai": KnownService(
        title="OpenAI-compatible server",
        needs=("api_base_url",),
        costs=False,
        today="A server on a GPU of one's own, where videos cost nothing, or a gateway (2026-11).",
    ),
    "openrouter": KnownService(
        title="OpenRouter",
        base_url="https://openrouter.ai/api/v1",
        needs=("api_key", "model"),
        account_page="https://openrouter.ai/settings/keys",
        today="Makes videos with the model of SORA2_MODEL, for USD by that model's price (2026-10).",
    ),
}
"""What ``SORA2_SERVICE`` can be; each has a file of that name in ``services/``.

Source: the vendor's quick start, "API Base URL"; the documentation of Kie and of OpenRouter, 2026-10.
"""

_SECONDS = "a number of seconds from 0.05 to 86,400"
_COUNT = "a whole number from 0 to 1,000,000 (0 = no limit)"
ALLOWED = {
    "service": "sora2api, kie, openai or openrouter",
    "api_key": "printable ASCII characters without spaces, as the vendor's page shows it",
    "api_base_url": "an http:// or https:// address, path included",
    "model": "a model's id as the service spells it, without spaces",
    "model_hd": "a model's id as the service spells it, without spaces",
    "model_input": 'a JSON object, such as {"resolution": "480p"}',
    "request_format": "multipart or json",
    "video_seconds": "a whole number of seconds from 0 to 600 (0 = the service's or the model's own)",
    "simulate": "1 or 0",
    "database_url": "sqlite:////absolute/path.db, sqlite:///~/path.db or postgresql://…",
    "video_dir": "a path of a folder, written out (~ is your home folder)",
    "image_dir": "a path of a folder, written out (~ is your home folder)",
    "auto_download": "1 or 0",
    "max_wait_seconds": _SECONDS,
    "poll_seconds": _SECONDS,
    "idle_poll_seconds": _SECONDS,
    "max_requests_per_second": "a number from 0.1 to 1,000",
    "max_active_tasks": _COUNT,
    "daily_limit": _COUNT,
    "daily_cost": "a number from 0 to 1,000,000 (0 = no limit)",
    "duplicate_window_seconds": "a number of seconds from 0 to 86,400 (0 = off)",
    "confirm": "never, hd or always",
    "auth_tokens": f"name:token,name:token with tokens of at least {TOKEN_LENGTH} characters, none of them twice",
    "oauth_issuer": "an http:// or https:// address",
    "oauth_audience": "a text without spaces",
    "oauth_jwks_url": "an http:// or https:// address",
    "allowed_hosts": "host names, with or without a port, separated by commas",
    "allowed_origins": "origins, such as https://app.example.com or tauri://localhost, separated by commas",
    "state_keys": f"keys of at least {STATE_KEY_LENGTH} characters, separated by commas, none of them twice",
    "link_hours": "a number of hours from 0.1 to 8,760",
    "media_hosts": "origins, such as https://cdn.example.com or https://*.example.com, separated by commas",
    "admin_token": f"a token of at least {TOKEN_LENGTH} printable ASCII characters, without spaces and commas",
    "public_url": "an http:// or https:// address without ?, # and user name",
    "callback_secret": "printable ASCII characters without spaces",
    "max_video_mb": "a number from 0.1 to 100,000",
    "download_networks": "networks such as 198.18.0.0/15 or fd00::/8, separated by commas",
    "log_level": "DEBUG, INFO, WARNING or ERROR",
    "log_format": "text or json",
}
"""What each setting takes, in words that follow \"allowed is\"."""


def counts_as_set(text: str) -> bool:
    """Whether a variable's text is a value, neither blank nor a placeholder that a host left as it was."""
    return bool(text.strip()) and not _PLACEHOLDER.fullmatch(text.strip())


def is_whole(text: str) -> bool:
    """Whether a value is filled in, without quotes around it, and more than the separators of a list."""
    # Quotes are a shell's or a file's, and belong to no value: they would become part of a key or a path.
    in_quotes = len(text) > 1 and text[0] in QUOTES and text[-1] in QUOTES
    return not in_quotes and bool(text.strip(_SEPARATORS)) and not _LEFT_OPEN.search(text)


def listed(text: str) -> list[str]:
    """The parts between commas."""
    return [part.strip() for part in text.split(",") if part.strip()]


def pairs(text: str) -> list[tuple[str, str]]:
    """Names and their tokens."""
    return [(name.strip(), token.strip()) for name, _, token in (pair.partition(":") for pair in listed(text))]


def are_tokens(text: str) -> bool:
    """Whether it is ``name:token,name:token``, no name and no token twice."""
    given = pairs(text)
    names, tokens = {name for name, _ in given}, {token for _, token in given}
    fine = all(_TOKEN_NAME.fullmatch(name) and _TOKEN.fullmatch(token) for name, token in given)
    # A token twice would let one caller be two principals.
    return fine and len(names) == len(tokens) == len(given)


def are_keys(text: str) -> bool:
    """Whether it is keys that seal, none of them twice."""
    keys = listed(text)
    return all(map(_STATE_KEY.fullmatch, keys)) and len(set(keys)) == len(keys)


def networks_in(text: str) -> tuple[Network, ...]:
    """The networks of a list.

    Raises:
        ValueError: one of them is none.
    """
    # Not strict: an address with a prefix (192.168.1.7/24) means its network.
    return tuple(ip_network(part, strict=False) for part in listed(text))


def json_object(text: str) -> dict[str, Any]:
    """The JSON object that a text holds; empty where there is no text.

    Raises:
        ValueError: it holds something else.
    """
    try:
        content = json.loads(text) if text else {}
        # Python reads infinite numbers and half characters, but no request could hold them.
        json.dumps(content, ensure_ascii=False, allow_nan=False).encode()
    except RecursionError as error:
        raise ValueError("nested too deep") from error
    if not isinstance(content, dict):
        raise ValueError("no JSON object")
    return content


def _is_word(text: str) -> bool:
    return text.isascii() and text.isprintable() and " " not in text


def _is_base_url(url: str) -> bool:
    """Whether a path can follow it."""
    return is_http_url(url) and url.isascii() and not any(mark in url for mark in "?#@")


def _holds(read: Callable[[str], object]) -> Callable[[str], bool]:
    """Whether ``read`` takes a text."""

    def is_read(text: str) -> bool:
        try:
            read(text)
        except ValueError:
            return False
        return True

    return is_read


def _all(form: "re.Pattern[str]") -> Callable[[str], bool]:
    return lambda text: all(map(form.fullmatch, listed(text)))


FORMS: Mapping[str, Callable[[str], bool]] = {
    "api_key": _is_word,
    "callback_secret": _is_word,
    "model": _is_word,
    "model_hd": _is_word,
    "model_input": _holds(json_object),
    "api_base_url": _is_base_url,
    "public_url": _is_base_url,
    "auth_tokens": are_tokens,
    "state_keys": are_keys,
    "oauth_issuer": is_http_url,
    "oauth_jwks_url": is_http_url,
    # No ``_is_word``: an audience may have letters of any alphabet.
    "oauth_audience": lambda text: text.isprintable() and " " not in text,
    "allowed_hosts": _all(HOST),
    "allowed_origins": _all(ORIGIN),
    "media_hosts": _all(MEDIA_ORIGIN),
    "admin_token": lambda text: _TOKEN.fullmatch(text) is not None,
    "download_networks": _holds(networks_in),
}
"""What a text must be where it is set."""


def as_sent(origin: str) -> str:
    """An origin as a browser sends it: of the web in lower case and without its usual port, others as they are."""
    plain = origin.rstrip("/")
    parts = urlsplit(plain.lower())
    usual = {"http": ":80", "https": ":443"}.get(parts.scheme)
    return plain if usual is None else f"{parts.scheme}://{parts.netloc.removesuffix(usual)}"
