"""Errors -> what the agent reads: one table.

Every text says what happened, which argument or setting it is about, whether money was spent, whether a retry helps,
and the next step.
"""

from typing import Any

from mcp.server.mcpserver.tools import Tool
from pydantic import ValidationError

from sora2_mcp.errors import (
    ArgumentError,
    ServiceError,
    Sora2Error,
    UnknownTaskError,
)
from sora2_mcp.server.arguments import Arguments, told

_FIRST = {
    "generate_video": "Not ordered",
    "get_task_status": "Could not look",
    "wait_for_video": "Could not wait",
    "list_tasks": "Could not list",
    "download_video": "Not saved",
}
_LOOKING = ("get_task_status", "wait_for_video")
_NOTHING_SPENT = "Nothing was spent."
_CRASHED = {
    "generate_video": "It is not certain whether an order was sent: look with list_tasks before ordering again."
}
_LOOK_LATER = "Call get_task_status again in some minutes; if it stays so, tell the user the code."
_NO_RETRY = "Repeating the same call cannot help."


def described(error: Sora2Error, tool: str, note: str = "", *, price_unit: str = "credits") -> str:
    """The text of a tool's failure; ``note``: a line of its own before the next step.

    Without a ``price_unit`` orders cost nothing, and no word is said of money.
    """
    first = f"{_FIRST.get(tool, 'Failed')}: {_sentence(str(error))}"
    spent = _untouched(price_unit) if _goes_on(error, tool) else _spent(price_unit)
    lines = [f"{first} {spent}".rstrip(), _retry(error), note, f"Next: {_next(error, tool)}"]
    return "\n".join(filter(None, lines))


def _goes_on(error: Sora2Error, tool: str) -> bool:
    """Whether there is a task that lives on at the service."""
    return tool in _LOOKING and not isinstance(error, ArgumentError | UnknownTaskError)


def _spent(price_unit: str) -> str:
    return _NOTHING_SPENT if price_unit else ""


def _untouched(price_unit: str) -> str:
    goes_on = "the task goes on at the service whatever happens here."
    return f"Nothing was spent, and {goes_on}" if price_unit else f"T{goes_on[1:]}"


def crashed(tool: str, *, price_unit: str = "credits") -> str:
    """The text for a failure nobody foresaw; its details are in the server's log only."""
    certain = _CRASHED.get(tool, "Nothing was spent by this call." if price_unit else "Nothing was changed by it.")
    return f"{tool} failed inside this server; its log says why. {certain}\nNext: try once more, then tell the user."


def argument_problem(tool: Tool, arguments: Arguments, *, price_unit: str = "credits") -> str:
    """The text for arguments that do not fit the tool's schema: a sentence for each, by its name; empty if all do.

    What a host added is no problem by itself, but told beside one: it may be where the missing value stands.
    """
    properties: dict[str, Any] = tool.parameters.get("properties", {})
    sentences = [
        f"{told([given])} is not an argument of {tool.name}; did you mean {name}?"
        for given, name in arguments.meant.items()
    ]
    try:
        tool.fn_metadata.validate_arguments(arguments.known)
    except ValidationError as error:
        sentences += [_misfit(properties, dict(item)) for item in error.errors(include_input=False)]
    if not sentences:
        return ""
    sentences = list(dict.fromkeys(sentences))[:3]
    if arguments.extras:
        sentences.append(f"{told(arguments.extras)}: no argument of {tool.name}; allowed are {', '.join(properties)}.")
    first = _FIRST.get(tool.name, "Failed")
    said = f"{first}: {' '.join(sentences)} {_spent(price_unit)}".rstrip()
    return f"{said}\n{_NO_RETRY}\nNext: {ArgumentError.hint}"


def _misfit(properties: dict[str, Any], item: dict[str, Any]) -> str:
    name = str(item["loc"][0])
    allowed = allowed_values(properties.get(name, {}))
    return f"{name} is missing; allowed is {allowed}." if item["type"] == "missing" else f"{name} must be {allowed}."


def allowed_values(schema: dict[str, Any]) -> str:
    """What a parameter's schema allows, in words."""
    if "enum" in schema:
        return " or ".join(f'"{value}"' for value in schema["enum"])
    if schema.get("type") == "array":
        return f"a list of at most {schema['maxItems']} texts"
    if schema.get("type") == "integer":
        low, high = schema.get("minimum"), schema.get("maximum")
        return "a whole number" if low is None else f"a whole number from {low} to {high}"
    low, high = schema.get("minLength"), schema.get("maxLength")
    lengths = "" if high is None else f" of {low} to {high:,} characters" if low else f" of at most {high:,} characters"
    return f"a text{lengths}"


def _next(error: Sora2Error, tool: str) -> str:
    """The next step; a look that failed must never send an agent off to order again."""
    of_an_order = isinstance(error, ServiceError) and not (error.retryable or error.needs_change)
    return error.hint if tool == "generate_video" or not of_an_order else _LOOK_LATER


def _sentence(text: str) -> str:
    return text if text.endswith((".", "!", "?")) else f"{text}."


def _retry(error: Sora2Error) -> str:
    if isinstance(error, ServiceError) and error.retryable and error.retry_after_seconds:
        return f"Repeating the same call can help, after {error.retry_after_seconds:.0f} s."
    if error.needs_change:
        return "Repeating the same call helps only once that has changed."
    return "Repeating the same call later can help." if error.retryable else _NO_RETRY
