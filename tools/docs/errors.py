"""Each error as the agent reads it, from the tree of errors and ``server/errors.py``."""

from collections.abc import Iterator
from itertools import groupby

from sora2_mcp.errors import DeclinedError, ServiceError, Sora2Error
from sora2_mcp.runtime import Runtime
from sora2_mcp.server import texts
from sora2_mcp.server.arguments import sorted_out
from sora2_mcp.server.errors import argument_problem, crashed, described
from sora2_mcp.server.tools import build_tools
from sora2_mcp.settings import Settings
from tools.docs.markdown import block, table
from tools.docs.occasions import ORDER, Occasion, occasions

BASES = (Sora2Error, ServiceError)
"""Classes that others are made from; the second one also stands for codes nobody knows."""

_RETRIES = {
    "Repeating the same call cannot help.": "no",
    "Repeating the same call later can help.": "later",
    "Repeating the same call helps only once that has changed.": "once that has changed",
}


def error_table() -> str:
    """One row for each class: when it comes, whether money was spent, whether the same call can help."""
    rows = [
        (f"[{name}](#{name.lower()})", met[0].when, _spent(met[0]), _retry(met[0])) for name, met in _by_class().items()
    ]
    return table(["error", "when it comes", "money spent", "does repeating help"], rows)


def error_sections() -> str:
    """The texts, class by class; then those of no class."""
    return "\n\n".join([*(_section(name, met) for name, met in _by_class().items()), *_of_no_class()])


def read(occasion: Occasion) -> str:
    """What the agent reads, or a person on stderr."""
    if isinstance(occasion.error, DeclinedError):
        return str(texts.declined(occasion.error))
    return described(occasion.error, occasion.tool) if occasion.tool else f"sora2-mcp: {occasion.error}"


def _by_class() -> dict[str, list[Occasion]]:
    grouped = groupby(occasions(), key=lambda occasion: type(occasion.error).__name__)
    return {name: list(met) for name, met in grouped}


def _section(name: str, met: list[Occasion]) -> str:
    return "\n\n".join([f"### {name}", *(_shown(occasion) for occasion in met)])


def _shown(occasion: Occasion) -> str:
    by = f"From `{occasion.tool}`:" if occasion.tool else "It reads:"
    return f"{occasion.when} {by}\n\n{block(read(occasion))}"


def _of_no_class() -> Iterator[str]:
    yield "### Arguments that do not fit"
    yield (
        "An argument is missing, its value is not allowed, or its name is only close to a known one. Any other name, "
        "as some hosts add, is not an error: it is ignored and named in the last line of the result's message. "
        f"From `{ORDER}`:"
    )
    order = build_tools(Runtime(Settings()))[0]
    given = {"prompt": "A kitten", "quality": "4k", "aspectRatio": "portrait", "seed": 7}
    yield block(argument_problem(order, sorted_out(given, order.parameters["properties"])))
    yield "### Anything else"
    yield (
        "This server has a fault. Its log has the details; the agent does not get them. Only this error leaves open "
        f"whether money was spent, and only from `{ORDER}`:"
    )
    yield block(crashed(ORDER))


def _spent(occasion: Occasion) -> str:
    return "nothing" if "Nothing was spent" in read(occasion) else "" if not occasion.tool else "unclear"


def _retry(occasion: Occasion) -> str:
    if not occasion.tool:
        return ""
    said = [
        _RETRIES.get(line, "after the time it names") for line in read(occasion).splitlines() if "Repeating" in line
    ]
    return said[0] if said else "no"
