"""The set-up that the doctor checks: its settings, where each comes from, and its secrets kept out of sight."""

import re
from collections.abc import Mapping
from dataclasses import dataclass
from enum import StrEnum
from urllib.parse import unquote

from pydantic import SecretStr

from sora2_mcp.clock import Clock, SystemClock
from sora2_mcp.domain.configured import counts_as_set
from sora2_mcp.errors import ConfigurationError
from sora2_mcp.services.probe import Reply
from sora2_mcp.settings import Settings, environment, environment_proxies, variable_of
from sora2_mcp.tasks.ssrf import Resolve, resolved
from sora2_mcp.tasks.store.interface import Survey

LIKE_OURS = "SORA"
"""How variables begin that may be meant for this program, misspelt ones included."""

_HIDDEN = "(hidden)"
_CREDENTIALS = re.compile(r"(?<=//).*(?=@)")
_PASSWORD = re.compile(r"//[^/@:]*:([^@]*)@|[?&]password=([^&]*)")
_SHORTEST_SECRET = 4
"""Shorter ones occur in too many ordinary words to be cut out."""

_EFFECTIVE = {"database_url": "store_url", "video_dir": "videos", "api_base_url": "base_url", "model": "model_name"}
"""The property that fills in the default of a setting."""


class Source(StrEnum):
    """Where a value comes from. ``EMPTY`` and ``PLACEHOLDER``: the variable is there, but the default holds."""

    ENVIRONMENT = "environment"
    OPTION = "option"
    DEFAULT = "default"
    EMPTY = "empty"
    PLACEHOLDER = "placeholder"


@dataclass(frozen=True, slots=True, kw_only=True)
class Setting:
    """One setting, without secrets. If its value cannot be used, it is not shown and ``allowed`` says what can."""

    variable: str
    value: str
    source: Source
    allowed: str = ""

    @property
    def is_set(self) -> bool:
        return self.source in (Source.ENVIRONMENT, Source.OPTION)


@dataclass(slots=True, kw_only=True)
class Setup:
    """What the checks look at, and what they learn for each other.

    ``settings`` has defaults in the place of what cannot be used. ``offline``: ask nothing of the real service.
    """

    settings: Settings
    shown: tuple[Setting, ...]
    variables: Mapping[str, str]
    clock: Clock
    offline: bool
    round_trip: bool
    resolve: Resolve
    reply: Reply | None = None
    """What the service answered, for the checks of the key and the clock."""

    survey: Survey | None = None
    """What the store holds, for the check of the clock."""

    def setting(self, field: str) -> Setting:
        """The setting of a field of ``Settings``."""
        return next(setting for setting in self.shown if setting.variable == variable_of(field))

    def unusable(self, *fields: str) -> str:
        """The first variable of these whose value cannot be used; empty if all can."""
        return next((variable_of(field) for field in fields if self.setting(field).allowed), "")

    @property
    def proxies(self) -> str:
        """The variables that name a proxy, as a list in words; empty if there is none."""
        return " and ".join(sorted(environment_proxies()))

    def redact(self, text: str) -> str:
        """Foreign words, such as a driver's error, with the secrets of this environment replaced by ``***``."""
        for secret in sorted(_secrets(self.variables), key=len, reverse=True):
            text = text.replace(secret, "***")
        return text


def load_setup(
    *,
    simulate: bool = False,
    offline: bool = False,
    round_trip: bool = True,
    clock: Clock | None = None,
    resolve: Resolve = resolved,
) -> Setup:
    """The set-up in this process's environment; ``simulate`` is the option of the command line."""
    settings, unusable = Settings.load_usable(**({"simulate": True} if simulate else {}))
    variables = environment()
    texts = {name.upper(): text for name, text in variables.items()}
    shown = tuple(
        Setting(
            variable=variable_of(name),
            value="" if name in unusable else _value(settings, name),
            source=Source.OPTION if name == "simulate" and simulate else _source(texts.get(variable_of(name))),
            allowed=Settings.allowed[name] if name in unusable else "",
        )
        for name in Settings.model_fields
    )
    return Setup(
        settings=settings,
        shown=shown,
        variables=variables,
        clock=clock or SystemClock(),
        # The simulator is on this machine, so it is asked all the same.
        offline=offline and not settings.simulate,
        round_trip=round_trip,
        resolve=resolve,
    )


def without_credentials(url: str) -> str:
    """An address without its user, password and query; other text as it is."""
    place, mark, query = url.partition("?")
    if "://" not in place:
        return url
    if "@" in query:
        # It is not certain then where the password ends.
        return _HIDDEN
    return _CREDENTIALS.sub("…", place) + (f"{mark}…" if query else "")


def _source(text: str | None) -> Source:
    if text is None:
        return Source.DEFAULT
    if counts_as_set(text):
        return Source.ENVIRONMENT
    return Source.PLACEHOLDER if text.strip() else Source.EMPTY


def _value(settings: Settings, name: str) -> str:
    try:
        value = getattr(settings, _EFFECTIVE.get(name, name))
    except ConfigurationError as error:
        # The default of a place needs a home folder.
        return f"({error})"
    match value:
        case SecretStr() if name == "auth_tokens":
            return ", ".join(f"{holder}:{_HIDDEN}" for holder, _ in settings.tokens)
        case SecretStr():
            return _HIDDEN if value.get_secret_value() else ""
        case None:
            return ""
        case bool():
            return str(int(value))
        case float():
            return f"{value:.10g}"
        case _:
            return without_credentials(str(value))


def _secrets(variables: Mapping[str, str]) -> set[str]:
    """The texts of secret variables, whole and in parts. A misspelt variable may hold a secret too."""
    public = {
        variable_of(name) for name, field in Settings.model_fields.items() if not isinstance(field.default, SecretStr)
    }
    found = set[str]()
    for name, text in variables.items():
        if not name.upper().startswith(LIKE_OURS):
            continue
        passwords = {password for pair in _PASSWORD.findall(text) for password in pair}
        found |= passwords | set(map(unquote, passwords))
        # Only the password of a database's address is secret.
        if name.upper() not in public | {variable_of("database_url")}:
            pairs = text.split(",")
            found |= {text, *pairs, *(pair.partition(":")[2] for pair in pairs)}
    return {secret.strip() for secret in found if len(secret.strip()) >= _SHORTEST_SECRET}
