"""Errors -> what the agent reads: one table.

Every text says what happened, which argument or setting it is about, whether money was spent, whether a retry helps,
and the next step.
"""

from typing import Any

from mcp.server.mcpserver.tools import Tool
from pydantic import ValidationError

from sora2_mcp.errors import ArgumentError, KeyReusedError, ServiceError, Sora2Error, UnknownTaskError
from sora2_mcp.server.arguments import Arguments, in_words

_FIRST = {
    "generate_video": "Not ordered",
    "get_task_status": "Could not look",
    "wait_for_video": "Could not wait",
    "list_tasks": "Could not list",
    "download_video": "Not saved",
    "preview_video": "Not seen",
}
_LOOKING = ("get_task_status", "wait_for_video")
_NOTHING_SPENT = "Nothing was spent."
_NOTHING_SPENT_ON_IT = "Nothing was spent, and the task goes on at the service whatever happens here."
_GOES_ON = "The task goes on at the service whatever happens here."
_CRASHED = {
    "generate_video": "It is not certain whether an order was sent: look with list_tasks before ordering again."
}
_KEY_STAYS = " The idempotency_key can be used again."
_LOOK_LATER = "Call get_task_status again in some minutes; if it stays so, tell the user the code."
_NO_RETRY = "Repeating the same call cannot help."


def described(
    error: Sora2Error, tool: str, note: str = "", *, price_unit: str = "credits", has_key: bool = False
) -> str:
    """The text of a tool's failure; ``note``: a line of its own before the next step.

    ``has_key``: the call gave an idempotency_key.

    Without a ``price_unit`` orders cost nothing, and no word is said of money.
    """
    happened = str(error)
    stop = "" if happened.endswith((".", "!", "?")) else "."
    first = f"{_FIRST.get(tool, 'Failed')}: {happened}{stop} {_spent(error, tool, price_unit)}"
    retry = _retry(error) + (_KEY_STAYS if has_key and not isinstance(error, KeyReusedError) else "")
    return "\n".join(filter(None, [first.rstrip(), retry, note, f"Next: {_next(error, tool)}"]))


def _spent(error: Sora2Error, tool: str, price_unit: str) -> str:
    if tool in _LOOKING and not isinstance(error, ArgumentError | UnknownTaskError):
        # There is a task, and it lives on at the service.
        return _NOTHING_SPENT_ON_IT if price_unit else _GOES_ON
    return _NOTHING_SPENT if price_unit else ""


def crashed(tool: str, *, price_unit: str = "credits") -> str:
    """The text for an unforeseen failure; its details are in the server's log only."""
    certain = _CRASHED.get(tool, "Nothing was spent by this call." if price_unit else "Nothing was changed by it.")
    return f"{tool} failed inside this server; its log says why. {certain}\nNext: try once more, then tell the user."


def argument_problem(tool: Tool, arguments: Arguments, *, price_unit: str = "credits") -> str:
    """The text for arguments that do not fit the tool's schema: a sentence for each, by its name; empty if all do.

    What a host added is no problem by itself, but is named beside one: the missing value may stand there.
    """
    properties: dict[str, Any] = tool.parameters.get("properties", {})
    sentences = [
        f"{in_words([given])} is not an argument of {tool.name}; did you mean {name}?"
        for given, name in arguments.meant.items()
    ]
    try:
        tool.fn_metadata.validate_arguments(arguments.known)
    except ValidationError as error:
        # Without what was given: that may be megabytes, and the client knows it.
        sentences += [_misfit(properties, dict(item)) for item in error.errors(include_input=False)]
    if not sentences:
        return ""
    # A list has a misfit for each of its entries, and three sentences are enough to act on.
    sentences = list(dict.fromkeys(sentences))[:3]
    if arguments.extras:
        sentences.append(
            f"{in_words(arguments.extras)}: no argument of {tool.name}; allowed are {', '.join(properties)}."
        )
    spent = _NOTHING_SPENT if price_unit else ""
    first = f"{_FIRST.get(tool.name, 'Failed')}: {' '.join(sentences)} {spent}".rstrip()
    return f"{first}\n{_NO_RETRY}\nNext: {ArgumentError.hint}"


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


def _retry(error: Sora2Error) -> str:
    if isinstance(error, ServiceError) and error.retryable and error.retry_after_seconds:
        return f"Repeating the same call can help, after {error.retry_after_seconds:.0f} s."
    if error.needs_change:
        return "Repeating the same call helps only once that has changed."
    return "Repeating the same call later can help." if error.retryable else _NO_RETRY
