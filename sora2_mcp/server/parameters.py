"""What callers can give the tools: each parameter with its kind, bounds and description."""

from typing import Annotated, Any, Literal

from pydantic import BeforeValidator, FailFast, Field, JsonValue

from sora2_mcp.domain.request import IMAGE_LIMIT, KEY_LIMIT, PROMPT_LIMIT, URL_LIMIT, WATERMARK_LIMIT
from sora2_mcp.tasks.previews import MOST_FRAMES

_ID_LIMIT = 200
"""Of characters in an id, for hosts; no task's is longer."""

_NAME_LIMIT = 200
"""Of characters in a file's name, for hosts; a longer one is shortened."""


def _listed(value: Any) -> Any:
    """Models at times send a lone address, or an empty text, where a list is asked for."""
    return [value] if isinstance(value, str) and value.strip() else [] if value == "" else value


def _whole(value: Any) -> Any:
    return int(max(-1e6, min(value, 1e6))) if isinstance(value, int | float) else value


def _lengths(low: int, high: int) -> dict[str, JsonValue]:
    """Lengths for the schema; the domain checks them, in words that say how long the text is."""
    return {"minLength": low, "maxLength": high} if low else {"maxLength": high}


Prompt = Annotated[
    str,
    Field(
        json_schema_extra=_lengths(1, PROMPT_LIMIT),
        description="Scene, subject, action, mood, camera (e.g. slow push in).",
    ),
]
ImageUrls = Annotated[
    list[str],
    # The first misfit is enough: a list of a hundred thousand would make as many.
    FailFast(),
    BeforeValidator(_listed),
    Field(
        max_length=IMAGE_LIMIT,
        description="Public http(s) addresses of images to animate",
    ),
]
Ratio = Annotated[Literal["landscape", "portrait"], Field(description="portrait suits phones.")]
QualityName = Annotated[Literal["standard", "hd"], Field(description="hd {hd}: for the final version.")]
Seconds = Annotated[int, BeforeValidator(_whole), Field(description="Length of the video.")]
Watermark = Annotated[
    str,
    Field(json_schema_extra=_lengths(0, WATERMARK_LIMIT), description="Text shown in the video."),
]
CallbackUrl = Annotated[
    str,
    Field(
        json_schema_extra=_lengths(0, URL_LIMIT),
        description="The user's http(s) address to notify, if they gave one.",
    ),
]
Key = Annotated[
    str,
    Field(
        json_schema_extra=_lengths(0, KEY_LIMIT),
        description=(
            "A name for this order. Repeat it when repeating the same order: then it is never {paid} twice. Another "
            "name orders again."
        ),
    ),
]
TaskId = Annotated[
    str,
    Field(json_schema_extra=_lengths(0, _ID_LIMIT), description="The task_id that generate_video or list_tasks gave."),
]
Limit = Annotated[int, Field(ge=1, le=50, description="How many tasks, 1 to 50.")]
Cursor = Annotated[str, Field(description="next_cursor of the page before. Empty: the newest.")]
StatusFilter = Annotated[
    Literal["any", "generating", "succeeded", "failed", "unconfirmed"], Field(description="Only tasks that stand so.")
]
Timeout = Annotated[
    int,
    BeforeValidator(_whole),
    Field(description="Seconds to wait at most. Stay at 25 unless you know your host: many stop calls at 30 or 60 s."),
]
Frames = Annotated[int, Field(ge=1, le=MOST_FRAMES, description=f"How many frames, 1 to {MOST_FRAMES}.")]
Filename = Annotated[
    str,
    Field(
        json_schema_extra=_lengths(0, _NAME_LIMIT),
        description="The file's name; .mp4 is added, and the task_id if it is taken. Empty: made from the prompt.",
    ),
]
