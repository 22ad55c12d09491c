"""Configuration: the only reader of the environment."""

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from functools import cached_property, partial
from hashlib import blake2b
from pathlib import Path
from typing import Annotated, Any, ClassVar, Literal
from urllib.parse import urlsplit

import platformdirs
from pydantic import BeforeValidator, Field, SecretStr, ValidationError, ValidationInfo, field_validator
from pydantic.fields import FieldInfo
from pydantic_settings import BaseSettings, EnvSettingsSource, PydanticBaseSettingsSource, SettingsConfigDict

from sora2_mcp.domain import configured
from sora2_mcp.errors import ConfigurationError

PREFIX = "SORA2_"
SIMULATED = "simulator"
"""The beginning of the simulator's accounts."""

_APP = "sora2-mcp"


# A user's INFO or Never is as good as info or never.
_Lower = BeforeValidator(lambda value: value.lower() if isinstance(value, str) else value)
_Upper = BeforeValidator(lambda value: value.upper() if isinstance(value, str) else value)
Seconds = Annotated[float, Field(ge=0.05, le=86_400, allow_inf_nan=False)]
Count = Annotated[int, Field(ge=0, le=1_000_000)]


class _Environment(EnvSettingsSource):
    """The environment, where blank values and unreplaced placeholders count as not set."""

    def get_field_value(self, field: FieldInfo, field_name: str) -> tuple[Any, str, bool]:
        value, key, is_complex = super().get_field_value(field, field_name)
        # Desktop hosts pass on a form's empty fields as placeholders that they did not fill in.
        if isinstance(value, str):
            value = value.strip() if configured.counts_as_set(value) else None
        return value, key, is_complex


class Settings(BaseSettings):
    """Everything that can be set, each from the variable ``SORA2_<NAME>``; frozen.

    An empty variable, or one that still holds a placeholder such as ``${user_config.key}``, counts as not set.
    """

    model_config = SettingsConfigDict(env_prefix=PREFIX, frozen=True, extra="ignore", hide_input_in_errors=True)

    allowed: ClassVar[Mapping[str, str]] = configured.ALLOWED

    # docs/configuration.md and server.json repeat the descriptions; `make docs` writes both.
    service: Annotated[Literal["sora2api", "kie", "openai", "openrouter"], _Lower] = Field(
        default="sora2api", description="Which service makes the videos."
    )
    api_key: SecretStr = Field(
        default=SecretStr(""), description="Your key of the service. Needed for everything but --simulate and openai."
    )
    api_base_url: str = Field(
        default="", description="The service's address, path included; each but openai has one of its own."
    )
    model: str = Field(
        default="", description="The model that makes the videos; needed for openrouter, not used by sora2api."
    )
    model_hd: str = Field(default="", description="Another model for the quality hd.")
    model_input: str = Field(default="", description="JSON that is merged into what the service is sent.")
    request_format: Annotated[Literal["multipart", "json"], _Lower] = Field(
        default="multipart", description="How openai is sent an order."
    )
    video_seconds: Annotated[int, Field(ge=0, le=600)] = Field(default=0, description="The default length of a video.")
    simulate: bool = Field(default=False, description="1 runs on the built-in simulator: no account, no cost.")
    database_url: SecretStr = Field(
        default=SecretStr(""), description="Where tasks are kept; by default a SQLite file in the data folder."
    )
    video_dir: Path | None = Field(
        default=None, description="The folder videos are saved to; by default `sora2` in your videos folder."
    )
    image_dir: Path | None = Field(
        default=None, description="The folder whose pictures may be sent along by name; without it addresses only."
    )
    auto_download: bool = Field(default=False, description="1 saves every finished video by itself.")
    max_wait_seconds: Seconds = Field(default=200, description="The longest one wait_for_video call may last.")
    poll_seconds: Seconds = Field(default=5, description="How often a task is looked at while a call waits for it.")
    idle_poll_seconds: Seconds = Field(
        default=60, description="How often a task is looked at while no call waits for it."
    )
    max_requests_per_second: Annotated[float, Field(ge=0.1, le=1000, allow_inf_nan=False)] = Field(
        default=10, description="The most calls made to the service each second."
    )
    max_active_tasks: Count = Field(default=0, description="The most unfinished tasks at a time; 0 = no limit.")
    daily_limit: Count = Field(default=0, description="The most orders in one UTC day; 0 = no limit.")
    daily_cost: Annotated[float, Field(ge=0, le=1_000_000, allow_inf_nan=False)] = Field(
        default=0,
        description="No more orders once those of a UTC day have cost so much, if the service tells; 0 = no limit.",
    )
    duplicate_window_seconds: Annotated[float, Field(ge=0, le=86_400, allow_inf_nan=False)] = Field(
        default=60, description="An exact repeat of an unfinished order joins it for so long; 0 = off."
    )
    confirm: Annotated[Literal["never", "hd", "always"], _Lower] = Field(
        default="never", description="Whether a person is asked, through the host, before an order is sent."
    )
    auth_tokens: SecretStr = Field(
        default=SecretStr(""), description="Who may call over HTTP; each name has tasks of its own."
    )
    oauth_issuer: str = Field(default="", description="Whose bearer JWTs are taken over HTTP (`iss`).")
    oauth_audience: str = Field(default="", description="The audience that such a JWT must name (`aud`).")
    oauth_jwks_url: str = Field(default="", description="Where the issuer's public keys are.")
    allowed_hosts: str = Field(
        default="", description="`Host` names served over HTTP beside this machine's own; needs tokens."
    )
    allowed_origins: str = Field(
        default="", description="Web pages (`Origin`) that may call over HTTP beside this machine's own."
    )
    state_keys: SecretStr = Field(
        default=SecretStr(""),
        description="Seals the questions of `SORA2_CONFIRM` and signs links to videos: the same for all replicas; the "
        "first seals, all open. Without it both end with a restart.",
    )
    link_hours: Annotated[float, Field(ge=0.1, le=8760, allow_inf_nan=False)] = Field(
        default=24, description="How long a link to a saved video, given out over HTTP, can be used."
    )
    media_hosts: str = Field(
        default="",
        description="Where videos are that players in hosts may show, beside the service's own and this server.",
    )
    admin_token: SecretStr = Field(
        default=SecretStr(""), description="Who signs in to the gallery page with it sees all callers' tasks."
    )
    public_url: str = Field(
        default="", description="Where the service reaches this server, so that it can call back; empty = no callbacks."
    )
    callback_secret: SecretStr = Field(
        default=SecretStr(""), description="Checks the signatures of kie's and openrouter's callbacks."
    )
    max_video_mb: Annotated[float, Field(ge=0.1, le=100_000, allow_inf_nan=False)] = Field(
        default=2000, description="The largest file that is saved, in MB."
    )
    download_networks: str = Field(
        default="",
        description="Networks that are not public and from which videos may be saved nevertheless: for a DNS that maps "
        "every name to an address of its own, or a company's own hosts.",
    )
    log_level: Annotated[Literal["DEBUG", "INFO", "WARNING", "ERROR"], _Upper] = Field(
        default="INFO", description="How much is logged, to stderr."
    )
    log_format: Annotated[Literal["text", "json"], _Lower] = Field(
        default="text", description="text for people, json for machines."
    )

    @field_validator("*", mode="before")
    @classmethod
    def _value_is_whole(cls, value: Any) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if isinstance(text, str) and text and not configured.is_whole(text):
            raise ValueError("not filled in")
        return value

    @field_validator(*configured.FORMS)
    @classmethod
    def _form_is_allowed(cls, value: Any, info: ValidationInfo) -> Any:
        text = value.get_secret_value() if isinstance(value, SecretStr) else value
        if text and not configured.FORMS[info.field_name or ""](text):
            # The value stays out of the error: it may be a secret pasted into the wrong variable.
            raise ValueError("not of the form that is allowed")
        return value

    @field_validator("database_url")
    @classmethod
    def _store_is_known(cls, url: SecretStr) -> SecretStr:
        text = url.get_secret_value()
        # No shell has expanded it: hosts start programs without one.
        if text.startswith(f"{configured.SQLITE}~"):
            text = f"{configured.SQLITE}{_at_home(Path(text.removeprefix(configured.SQLITE)))}"
        if text and not configured.SQLITE_FILE.fullmatch(text) and not configured.POSTGRES.fullmatch(text):
            raise ValueError("not a database URL")
        return SecretStr(text)

    @field_validator("video_dir", "image_dir")
    @classmethod
    def _folder_is_a_path(cls, folder: Path | None) -> Path | None:
        if folder is not None and (configured.SCHEME.match(str(folder)) or str(folder)[0] in configured.QUOTES):
            raise ValueError("not a path")
        return folder and _at_home(folder)

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,
        file_secret_settings: PydanticBaseSettingsSource,
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """Arguments win over the environment."""
        # A host starts the server in any folder, so a .env file there is no configuration.
        del env_settings, dotenv_settings, file_secret_settings
        return init_settings, _Environment(settings_cls)

    @classmethod
    def load(cls, **overrides: Any) -> "Settings":
        """The settings of the environment; ``overrides`` win.

        Raises:
            ConfigurationError: a variable holds something that is not allowed; the text names it and what is.
        """
        try:
            settings = cls(**overrides)
        except ValidationError as error:
            field = str(error.errors()[0]["loc"][0])
            # The value itself stays out of the text, as in ``_form_is_allowed``.
            raise ConfigurationError(variable_of(field), f"cannot be used; allowed is {cls.allowed[field]}.") from error
        # Where no place is set both need a home folder: without one the start fails, and not the first call.
        _ = settings.store_file, settings.videos
        return settings

    @classmethod
    def load_usable(cls, **overrides: Any) -> tuple["Settings", frozenset[str]]:
        """The settings with defaults for all that cannot be used, and the names of those; for the doctor."""
        try:
            return cls(**overrides), frozenset()
        except ValidationError as error:
            unusable = frozenset(str(found["loc"][0]) for found in error.errors())
            defaults = {name: cls.model_fields[name].default for name in unusable}
            return cls(**{**defaults, **overrides}), unusable

    @property
    def base_url(self) -> str:
        """The service's address without a trailing slash; empty where it must be set and is not."""
        return (self.api_base_url or configured.SERVICES[self.service].base_url).rstrip("/")

    @property
    def lacking(self) -> tuple[str, ...]:
        """The variables that must be set before the service can be called, and are not."""
        values = {"api_key": self.key, "api_base_url": self.api_base_url, "model": self.model}
        needed = () if self.simulate else configured.SERVICES[self.service].needs
        return tuple(variable_of(name) for name in needed if not values[name])

    @property
    def missing(self) -> str:
        """The first of ``lacking``; empty where none is missing."""
        return next(iter(self.lacking), "")

    @property
    def model_name(self) -> str:
        """The model that makes the videos; empty where the service chooses it, or where it must be set and is not."""
        return self.model or configured.SERVICES[self.service].model or (SIMULATED if self.simulate else "")

    @property
    def extra_input(self) -> dict[str, Any]:
        """What is merged into each order."""
        return configured.json_object(self.model_input)

    @property
    def key(self) -> str:
        """The API key itself; never log it."""
        return "simulated" if self.simulate else self.api_key.get_secret_value()

    @property
    def tokens(self) -> tuple[tuple[str, str], ...]:
        """Names and their tokens; never log them."""
        return tuple(configured.pairs(self.auth_tokens.get_secret_value()))

    @property
    def sealing_keys(self) -> tuple[str, ...]:
        """The first seals and signs, all open; empty = each process makes its own. Never log them."""
        return tuple(configured.listed(self.state_keys.get_secret_value()))

    @property
    def media_origins(self) -> tuple[str, ...]:
        """Origins of videos beside the service's own."""
        return tuple(map(configured.as_sent, configured.listed(self.media_hosts)))

    @property
    def has_access_control(self) -> bool:
        """Whether callers over HTTP must show a token."""
        return bool(self.tokens or self.oauth_issuer)

    @property
    def hosts(self) -> tuple[str, ...]:
        """``Host`` names that are served beside this machine's own, in lower case."""
        return tuple(name.lower() for name in configured.listed(self.allowed_hosts))

    @property
    def public_host(self) -> tuple[str, ...]:
        """The ``Host`` name under which the world reaches this server, if it does and callers show a token."""
        return (urlsplit(self.public_url).netloc.lower(),) if self.public_url and self.has_access_control else ()

    @property
    def origins(self) -> tuple[str, ...]:
        """Web origins that may call beside this machine's own, exactly as browsers send them."""
        return tuple(map(configured.as_sent, configured.listed(self.allowed_origins)))

    @property
    def networks(self) -> tuple[configured.Network, ...]:
        """Networks that are not public and where downloads may go all the same."""
        return configured.networks_in(self.download_networks)

    @cached_property
    def account(self) -> str:
        """Whose tasks these are: the service's kind, its address and a truncated keyed hash of the API key.

        Rows of another account are never touched.
        """
        # The default kind is not named, so that rows of the first release, which knew no other, stay in place.
        kind = "" if self.service == configured.DEFAULT_SERVICE else self.service
        # Without the address: the simulator is the same account at whichever port it listens.
        if self.simulate:
            return f"{SIMULATED} {kind}".strip()
        mark = blake2b(self.key.encode(), key=b"sora2-mcp account", digest_size=8).hexdigest()
        return f"{kind} {self.base_url}#{mark}".strip()

    @cached_property
    def callback_key(self) -> bytes:
        """The key of the marks in callback paths."""
        # Made from the API key, so every process that uses that key knows the paths of all, without the store.
        return blake2b(self.key.encode(), key=b"sora2-mcp callbacks", digest_size=32).digest()

    @property
    def data_dir(self) -> Path:
        """Where this program keeps its own files; the simulator's are apart."""
        folder = _in_home(partial(platformdirs.user_data_path, _APP, appauthor=False), "database_url")
        return folder / "simulator" if self.simulate else folder

    @property
    def store_url(self) -> str:
        """The task store's address, with the default filled in; after ``sqlite:///`` the path stands as it is."""
        return self.database_url.get_secret_value() or f"{configured.SQLITE}{self.data_dir / 'tasks.db'}"

    @property
    def store_file(self) -> Path | None:
        """The file that tasks are kept in, unless it is a server's database."""
        place = self.store_url.removeprefix(configured.SQLITE)
        return Path(place) if place != self.store_url else None

    @property
    def videos(self) -> Path:
        """The folder for saved videos, absolute, with the default filled in."""
        folder = "sora2-simulated" if self.simulate else "sora2"
        chosen = self.video_dir or _in_home(platformdirs.user_videos_path, "video_dir") / folder
        try:
            return chosen.absolute()
        except FileNotFoundError as error:
            raise ConfigurationError(
                variable_of("video_dir"), "is relative to a working folder that is gone."
            ) from error


def _in_home(find: Callable[[], Path], field: str) -> Path:
    """A folder below the user's home.

    Raises:
        ConfigurationError: there is no home.
    """
    # Without a home platformdirs gives a relative path, which would be below the folder that a host starts us in. The
    # file that names the desktop's folders may be unreadable, too.
    with suppress(RuntimeError, OSError, UnicodeDecodeError):
        if (folder := find()).is_absolute():
            return folder
    raise ConfigurationError("HOME", f"names no home folder; set it, or {variable_of(field)}.")


def _at_home(path: Path) -> Path:
    try:
        return path.expanduser()
    except RuntimeError as error:
        raise ValueError("no such home") from error


def environment() -> dict[str, str]:
    """The whole environment, for a program of our own."""
    return dict(os.environ)


def variable_of(field: str) -> str:
    """The environment variable of a settings field."""
    return PREFIX + field.upper()


def environment_proxies() -> dict[str, str]:
    """The proxies the environment names, by variable: ``{"HTTPS_PROXY": "http://proxy:3128"}``; never log them.

    On Windows and macOS also those of the system, under the names of the variables that would win over them.
    """
    from urllib.request import getproxies  # noqa: PLC0415 - 30 ms, and no handshake needs it

    named = {f"{scheme}_proxy": value for scheme, value in getproxies().items() if scheme in ("http", "https", "all")}
    return {name if name in os.environ else name.upper(): value for name, value in named.items()}


def certificate_source() -> tuple[str, Path]:
    """The variable that names the certificate authorities to trust, and its path; empty where none does."""
    for variable in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        if path := os.environ.get(variable):
            return variable, Path(path)
    return "", Path()
