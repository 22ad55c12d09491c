"""The settings, from ``settings.py``: which group each belongs to and what it looks like is said here."""

from typing import Any

from pydantic import SecretStr

from sora2_mcp.settings import Settings, variable_of
from tools.docs.markdown import block, table

GROUPS: dict[str, list[str]] = {
    "Service": [
        "service",
        "api_key",
        "api_base_url",
        "model",
        "model_hd",
        "model_input",
        "request_format",
        "video_seconds",
        "simulate",
    ],
    "Store and files": ["database_url", "video_dir", "image_dir", "auto_download", "max_video_mb", "download_networks"],
    "Pace": ["max_wait_seconds", "poll_seconds", "idle_poll_seconds", "max_requests_per_second"],
    "Limits and asking": ["max_active_tasks", "daily_limit", "daily_cost", "duplicate_window_seconds", "confirm"],
    "HTTP": [
        "auth_tokens",
        "admin_token",
        "oauth_issuer",
        "oauth_audience",
        "oauth_jwks_url",
        "allowed_hosts",
        "allowed_origins",
        "public_url",
        "callback_secret",
        "state_keys",
        "link_hours",
        "media_hosts",
    ],
    "Logs": ["log_level", "log_format"],
}

EXAMPLES: dict[str, list[str]] = {
    "database_url": [
        "sqlite:////srv/videos/tasks.db",
        "sqlite:///C:/videos/tasks.db",
        "postgresql://ann:word@db/sora2",
    ],
    "service": ["kie"],
    "api_base_url": ["http://gpu.local:8000/v1"],
    "model": ["bytedance/seedance-2"],
    "model_input": ['{"resolution": "480p"}'],
    "image_dir": ["~/Pictures/for-videos"],
    "daily_cost": ["500"],
    "video_dir": ["~/Videos/agents"],
    "download_networks": ["198.18.0.0/15"],
    "daily_limit": ["20"],
    "confirm": ["hd"],
    "auth_tokens": ["ann:a-long-secret-of-anns,bob:a-long-secret-of-bobs"],
    "oauth_issuer": ["https://login.example.com/"],
    "oauth_audience": ["https://videos.example.com/mcp"],
    "oauth_jwks_url": ["https://login.example.com/.well-known/jwks.json"],
    "allowed_hosts": ["videos.example.com,10.0.0.5:8000"],
    "allowed_origins": ["https://app.example.com"],
    "media_hosts": ["https://cdn.example.com,https://*.example.net"],
    "public_url": ["https://videos.example.com"],
    "state_keys": ["a-new-secret-of-at-least-32-characters,the-one-it-replaces-until-it-is-gone"],
}

_HEADS = ["variable", "what it sets", "allowed", "default"]


def settings_sections() -> str:
    """A table for each group: what each variable means, what is allowed, its default, if it is secret; examples."""
    return "\n\n".join(_section(group, names) for group, names in GROUPS.items())


def env_example() -> str:
    """``.env.example``: every variable with its default, switched off but for the key."""
    groups = [[f"# {group}", *(_line(name) for name in names)] for group, names in GROUPS.items()]
    head = [
        "# For `docker run --env-file`, direnv and the like: this program itself reads no file, only its environment.",
        "# docs/configuration.md says what each means; `make docs` writes this from sora2_mcp/settings.py.",
    ]
    return "\n\n".join("\n".join(lines) for lines in [head, *groups]) + "\n"


def _line(name: str) -> str:
    line = f"{variable_of(name)}={_shown(Settings.model_fields[name].default)}"
    return line if name == "api_key" else f"#{line}"


def _section(group: str, names: list[str]) -> str:
    examples = [f"{variable_of(name)}={value}" for name in names for value in EXAMPLES.get(name, [])]
    shown = ["For example:", block("\n".join(examples))] if examples else []
    return "\n\n".join([f"### {group}", table(_HEADS, map(_marked, names)), *shown])


def _marked(name: str) -> tuple[str, str, str, str]:
    variable, meaning, allowed, default = _cells(name)
    return (f"{variable} (secret)" if is_secret(name) else variable, meaning, allowed, default)


def is_secret(name: str) -> bool:
    """Whether the value is kept out of logs, errors and results."""
    return Settings.model_fields[name].annotation is SecretStr


def _cells(name: str) -> tuple[str, str, str, str]:
    field = Settings.model_fields[name]
    shown = _shown(field.default)
    return (f"`{variable_of(name)}`", field.description or "", Settings.allowed[name], f"`{shown}`" if shown else "")


def _shown(default: Any) -> str:
    if isinstance(default, SecretStr):
        return default.get_secret_value()
    if isinstance(default, bool):
        return str(int(default))
    if isinstance(default, float):
        return f"{default:g}"
    return "" if default is None else str(default)
