"""What the variables hold, as anybody may read it."""

import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from difflib import get_close_matches
from enum import StrEnum
from urllib.parse import unquote

from pydantic import SecretStr

from sora2_mcp.domain.configured import counts_as_set
from sora2_mcp.errors import ConfigurationError
from sora2_mcp.settings import PREFIX, Settings, variable_of

HIDDEN = "(hidden)"

_CREDENTIALS = re.compile(r"(?<=//).*(?=@)")
_PASSWORD = re.compile(r"//[^/@:]*:([^@]*)@|[?&]password=([^&]*)")
_LIKE_OURS = "SORA"
_SHORTEST_SECRET = 4
"""Shorter ones are in too many words to be blotted out of them."""


class Source(StrEnum):
    """Where a value comes from. ``EMPTY`` and ``PLACEHOLDER``: the variable is there, counts as not set, and so the
    default holds."""

    ENVIRONMENT = "environment"
    OPTION = "option"
    DEFAULT = "default"
    EMPTY = "empty"
    PLACEHOLDER = "placeholder"


_ABSENCE = {
    Source.PLACEHOLDER: "holds a placeholder that the host did not fill in, which counts as not set",
    Source.EMPTY: "is empty, which counts as not set",
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Reading:
    """One setting; no secret is in it. ``allowed`` says what is, where its value cannot be used and is not shown."""

    variable: str
    value: str
    source: Source
    allowed: str = ""

    @property
    def absence(self) -> str:
        """Why nothing is set, in the words that follow the variable's name."""
        return _ABSENCE.get(self.source, "is not set")


@dataclass(frozen=True, slots=True, kw_only=True)
class Unknown:
    """A variable that nobody reads, and the one that was probably meant, if any."""

    variable: str
    meant: str


def readings_of(
    settings: Settings, given: Mapping[str, str], *, unusable: frozenset[str], simulate: bool
) -> list[Reading]:
    """Every setting by the environment ``given``; ``simulate``: that was asked for on the command line."""
    texts = {name.upper(): text for name, text in given.items()}

    def source(name: str) -> Source:
        text = texts.get(variable_of(name))
        if name == "simulate" and simulate:
            return Source.OPTION
        if text is None:
            return Source.DEFAULT
        if counts_as_set(text):
            return Source.ENVIRONMENT
        return Source.PLACEHOLDER if text.strip() else Source.EMPTY

    return [
        Reading(
            variable=variable_of(name),
            value="" if name in unusable else _shown_or_homeless(settings, name),
            source=source(name),
            allowed=Settings.allowed[name] if name in unusable else "",
        )
        for name in Settings.model_fields
    ]


def _shown_or_homeless(settings: Settings, name: str) -> str:
    try:
        return shown(settings, name)
    except ConfigurationError as error:
        return f"({error})"


_DEFAULTS: dict[str, Callable[[Settings], str]] = {
    "database_url": lambda settings: settings.store_url,
    "video_dir": lambda settings: str(settings.videos),
    "image_dir": lambda settings: str(settings.image_dir or ""),
    "api_base_url": lambda settings: settings.base_url,
    "model": lambda settings: settings.model_name,
}
"""Settings whose default is filled in, or that have none."""


def shown(settings: Settings, name: str) -> str:
    """A setting's value without what nobody should read; the default of a place is the place itself."""
    if name in _DEFAULTS:
        return without_credentials(_DEFAULTS[name](settings))
    match name, getattr(settings, name):
        case "auth_tokens", SecretStr():
            return ", ".join(f"{holder}:{HIDDEN}" for holder, _ in settings.tokens)
        case _, SecretStr() as secret:
            return HIDDEN if secret.get_secret_value() else ""
        case _, bool() as switch:
            return str(int(switch))
        case _, float() as number:
            return f"{number:.10g}"
        case _, value:
            return without_credentials(str(value))


def without_credentials(url: str) -> str:
    """An address without its user, password and query; other text as it is."""
    place, mark, query = url.partition("?")
    if "://" not in place:
        return url
    if "@" in query:
        # Where one part ends and the next begins is not certain then.
        return HIDDEN
    return _CREDENTIALS.sub("…", place) + (f"{mark}…" if query else "")


def unknown_in(given: Mapping[str, str]) -> list[Unknown]:
    """Variables that nobody reads though they look as if they were meant for this program."""
    known = [variable_of(name) for name in Settings.model_fields]
    found = []
    for name in sorted(given):
        ours = name.upper().startswith(PREFIX)
        if name.upper() in known or not name.upper().startswith(_LIKE_OURS):
            continue
        # Another program's variables may begin alike: only a near miss is taken for a mistake.
        nearest = get_close_matches(name.upper(), known, n=1, cutoff=0.6 if ours else 0.85)
        if ours or nearest:
            found.append(Unknown(variable=name, meant=nearest[0] if nearest else ""))
    return found


class Blot:
    """Blots out secrets that may stand in other people's words: a service's answer, a driver's error."""

    def __init__(self, given: Mapping[str, str]) -> None:
        texts = [text for name, text in given.items() if name.upper().startswith(_LIKE_OURS)]
        hidden = {secret for name, text in given.items() for secret in _secrets_in(name.upper(), text)}
        passwords = {found for text in texts for pair in _PASSWORD.findall(text) for found in pair}
        found = {part.strip() for part in hidden | passwords | set(map(unquote, passwords))}
        self._secrets = sorted((part for part in found if len(part) >= _SHORTEST_SECRET), key=len, reverse=True)

    def __call__(self, text: str) -> str:
        """The text without them."""
        for secret in self._secrets:
            text = text.replace(secret, "***")
        return text


def _secrets_in(variable: str, text: str) -> list[str]:
    """A secret variable's text, whole and in its parts. One that nobody reads may hold a secret too."""
    plain = {name for name, field in Settings.model_fields.items() if not isinstance(field.default, SecretStr)}
    # Of a database's address only the password is secret.
    if not variable.startswith(_LIKE_OURS) or variable in map(variable_of, plain | {"database_url"}):
        return []
    pairs = text.split(",")
    return [text, *pairs, *(pair.partition(":")[2] for pair in pairs)]
