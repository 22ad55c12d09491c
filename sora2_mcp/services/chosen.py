"""The service that the settings choose."""

from typing import Any

from sora2_mcp.services.kie import Kie
from sora2_mcp.services.openai import OpenAI
from sora2_mcp.services.openrouter import OpenRouter
from sora2_mcp.services.service import Service
from sora2_mcp.services.sora2api import Sora2API
from sora2_mcp.settings import Settings


def service_of(settings: Settings) -> Service:
    """How the chosen service is spoken to."""
    common: dict[str, Any] = {
        "hd_model": settings.model_hd,
        "seconds": settings.video_seconds,
        "extra": settings.extra_input,
    }
    match settings.service:
        case "sora2api":
            return Sora2API()
        case "kie":
            return Kie(model=settings.model_name, **common)
        case "openai":
            # Without a model of the settings the server takes its own, so there is no default to fill in.
            as_json = settings.request_format == "json"
            return OpenAI(base_url=settings.base_url, model=settings.model, as_json=as_json, **common)
        case "openrouter":
            return OpenRouter(base_url=settings.base_url, model=settings.model_name, **common)
