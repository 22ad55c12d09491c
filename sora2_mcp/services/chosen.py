"""The service that the settings choose."""

from collections.abc import Callable, Mapping
from typing import Any

from sora2_mcp.services.kie import Kie
from sora2_mcp.services.openai import OpenAI
from sora2_mcp.services.openrouter import OpenRouter
from sora2_mcp.services.service import Service
from sora2_mcp.services.sora2api import Sora2API
from sora2_mcp.settings import Settings


def service_of(settings: Settings) -> Service:
    """How the chosen service is spoken to."""
    return _MADE[settings.service](settings)


def _kie(settings: Settings) -> Service:
    return Kie(model=settings.model_name, **_common(settings))


def _openai(settings: Settings) -> Service:
    as_json = settings.request_format == "json"
    return OpenAI(base_url=settings.base_url, model=settings.model, as_json=as_json, **_common(settings))


def _openrouter(settings: Settings) -> Service:
    return OpenRouter(base_url=settings.base_url, model=settings.model_name, **_common(settings))


def _common(settings: Settings) -> dict[str, Any]:
    return {"hd_model": settings.model_hd, "seconds": settings.video_seconds, "extra": settings.extra_input}


_MADE: Mapping[str, Callable[[Settings], Service]] = {
    "sora2api": lambda _: Sora2API(),
    "kie": _kie,
    "openai": _openai,
    "openrouter": _openrouter,
}
