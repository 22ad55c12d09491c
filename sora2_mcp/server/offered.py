"""What ``generate_video`` offers: its parameters and words, cut to what the configured service can honour."""

from datetime import timedelta
from typing import Any

from sora2_mcp.domain.request import Capabilities


def offered(parameters: dict[str, Any], capabilities: Capabilities, *, takes_files: bool) -> dict[str, Any]:
    """The schema of the parameters without those that would have no effect, and with the service's limits."""
    chosen = {
        "image_urls": bool(capabilities.image_limit),
        "aspect_ratio": capabilities.aspect_ratio,
        "quality": capabilities.hd,
        "watermark": capabilities.watermark,
        "callback_url": capabilities.callback_url,
        "seconds": bool(capabilities.seconds),
    }
    properties = {name: dict(item) for name, item in parameters["properties"].items() if chosen.get(name, True)}
    properties["prompt"]["maxLength"] = capabilities.prompt_limit
    if "image_urls" in properties:
        properties["image_urls"]["maxItems"] = capabilities.image_limit
        files = ", or names of files in the user's image folder." if takes_files else "; no local files."
        properties["image_urls"]["description"] += files
    if "seconds" in properties:
        properties["seconds"] |= _length(capabilities)
    for item in properties.values():
        item["description"] = item["description"].format_map(wording(capabilities))
    return {**parameters, "properties": properties}


def _length(capabilities: Capabilities) -> dict[str, Any]:
    default = capabilities.default_seconds
    own = "" if default else "; 0: the model's own"
    # The bounds say the rest, unless there are gaps between them.
    choice = "" if capabilities.has_any_length else f": {capabilities.lengths}"
    return {
        "minimum": min(capabilities.seconds) if default else 0,
        "maximum": max(capabilities.seconds),
        "default": default,
        "description": f"Video length in seconds{choice}{own}.",
    }


def tellable(schema: dict[str, Any], capabilities: Capabilities) -> dict[str, Any]:
    """The schema of a result without what this service never tells."""
    never = [
        *(["watermark"] if not capabilities.watermark else []),
        *(["seconds"] if not capabilities.seconds else []),
        *(["cost"] if not capabilities.tells_costs else []),
    ]
    fitted = without(schema, *never)
    if "tasks" in fitted["properties"]:
        listed = fitted["properties"]["tasks"]
        fitted["properties"]["tasks"] = {**listed, "items": tellable(listed["items"], capabilities)}
    return fitted


def without(schema: dict[str, Any], *names: str) -> dict[str, Any]:
    """The schema of an object without these properties."""
    return {**schema, "properties": {name: item for name, item in schema["properties"].items() if name not in names}}


def wording(capabilities: Capabilities) -> dict[str, str]:
    """What the texts for agents say of the service, by the names that stand in them."""
    price = capabilities.price_unit
    days = days_of(capabilities.retention)
    return {
        "maker": capabilities.maker,
        "costs": f"Costs the user {price} each time; cannot be cancelled or refunded."
        if price
        else "Cannot be cancelled.",
        "fixed": f"{'Sound' if capabilities.seconds else 'Length and sound'} cannot be chosen.",
        "refusals": f"A limit or a person may refuse it; then nothing is {'spent' if price else 'ordered'}.",
        "it_costs": f" (it costs the user {price})" if price else "",
        "kept": f" Finished videos are kept {days}." if days else "",
        "deletes": f"the service deletes it after {days}" if days else "the service keeps it for a time only",
        "deleted": f"Videos are deleted after {days}: offer" if days else "Videos are kept for a time only: offer",
        "charged": "may have been charged" if price else "may be under way anyway",
        "paid": "paid" if price else "made",
        "hd": "costs more" if price else "takes longer",
    }


def days_of(retention: timedelta | None) -> str:
    """``15 days``; empty where it is not known."""
    return "" if retention is None else f"{retention.days} days"
