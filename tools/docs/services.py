"""The services there are, from ``domain/configured.py`` and from what each says of itself."""

from sora2_mcp.domain.configured import SERVICES
from sora2_mcp.domain.request import Capabilities
from sora2_mcp.services.chosen import service_of
from sora2_mcp.services.kie import FAMILIES, Family
from sora2_mcp.settings import Settings, variable_of
from tools.docs.markdown import table


def service_table() -> str:
    """One row for each service: what it is today, what must be set, where a key comes from."""
    heads = ["`SORA2_SERVICE`", "service", "today", "must be set", "where to get a key"]
    return table(
        heads,
        (
            (
                f"`{name}`",
                known.title,
                known.today,
                ", ".join(f"`{variable_of(field)}`" for field in known.needs),
                known.account_page or ("your own server, if it wants one" if name == "openai" else ""),
            )
            for name, known in SERVICES.items()
        ),
    )


def capability_table() -> str:
    """One row for each service: what can be asked of it, with the model that it has unless another is set."""
    heads = ["service", "prompt", "images", "seconds", "callback", "watermark", "paid in", "how long videos are kept"]
    return table(heads, (_capabilities(name) for name in SERVICES))


def _capabilities(name: str) -> tuple[str, ...]:
    can = service_of(Settings(service=name)).capabilities()
    return (
        f"`{name}`",
        f"{can.prompt_limit:,} characters",
        str(can.image_limit),
        _lengths(can),
        ("https only" if can.callback_needs_https else "yes") if can.callback_url else "no",
        "yes" if can.watermark else "no",
        can.price_unit or "not known; nothing on your own GPU",
        f"{can.retention.days} days" if can.retention else "not documented: save at once",
    )


def _lengths(can: Capabilities) -> str:
    default = f" ({can.default_seconds} by default)" if can.default_seconds else ""
    return f"{can.lengths}{default}" if can.seconds else "its own"


def family_table() -> str:
    """One row for each family of Kie's models."""
    heads = ["models that begin with", "prompt", "images", "ratio", "standard, hd", "seconds"]
    return table(heads, map(_family, FAMILIES))


def _family(family: Family) -> tuple[str, ...]:
    name, standard, hd = family.quality
    lengths = Capabilities(maker="", seconds=family.allowed_seconds).lengths
    return (
        ", ".join(f"`{prefix}`" for prefix in family.prefixes),
        f"{family.prompt_limit:,}",
        f"{family.image_limit} in {', '.join(f'`{field}`' for field in family.pictures)}",
        f"`{family.ratio}`{'' if family.ratio_with_pictures else ' (with an image: the image’s own)'}",
        f"`{name}` {standard}, {hd}",
        f"{lengths}, {family.allowed_seconds[0]} by default" if lengths else "its own",
    )
