"""The Videos API that OpenAI began and others speak: a server at home, or a gateway.

Source: the types of the official `openai` Python SDK (`types/video.py`, `resources/videos.py`), 2026-08.
"""

import json
import math
import re
import secrets
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, Final

from starlette.responses import JSONResponse, Response

from sora2_mcp.simulator.order import (
    Check,
    Order,
    Refusal,
    check_fields,
    check_picture_url,
    check_text,
    must,
    picture_type,
    prompt_faults,
    prompt_up_to,
)
from sora2_mcp.simulator.received import Attachment
from sora2_mcp.simulator.service import Call, Dialect, Service, Visit, message_of
from sora2_mcp.simulator.world import Task, failed_word, status_of, video_url

MODELS: Final = ("sora-2", "sora-2-pro")
LONGEST_SECONDS: Final = 600
LONGEST_PAGE: Final = 100
_SIZE: Final = re.compile(r"([1-9][0-9]{1,4})x([1-9][0-9]{1,4})")
_USUAL: Final = {"model": "sora-2", "seconds": "4", "size": "720x1280"}

_ERRORS: Final = {
    400: (400, "invalid_request_error", "invalid_value"),
    401: (401, "invalid_request_error", "invalid_api_key"),
    402: (402, "insufficient_quota", "insufficient_quota"),
    404: (404, "invalid_request_error", "not_found"),
    422: (400, "invalid_request_error", "invalid_value"),
    429: (429, "rate_limit_error", "rate_limit_exceeded"),
    433: (429, "insufficient_quota", "insufficient_quota"),
    451: (400, "invalid_request_error", "invalid_image"),
    455: (503, "server_error", "service_unavailable"),
    500: (500, "server_error", "server_error"),
    501: (500, "server_error", "generation_failed"),
    505: (403, "invalid_request_error", "unsupported"),
}
_FAILURE_CODES: Final = {
    "creation-failure": "server_error",
    "generation-failure": "generation_failed",
    "moderation": "moderation_blocked",
    "moderation-look": "moderation_blocked",
}


def _number_up_to(most: int) -> Check:
    """A whole number from 1, as a text."""

    def fits(value: object) -> bool:
        # Other alphabets' digits are decimal, too.
        return isinstance(value, str) and value.isascii() and value.isdecimal() and 1 <= int(value) <= most

    return must(f"be a whole number from 1 to {most}", fits)


def _check_reference(name: str, value: object) -> None:
    """A file, or an object with an address; a text would be the path of a file on the server, which is not there."""
    if isinstance(value, Attachment):
        if picture_type(value.content) is None:
            raise Refusal(422, f"{name} is not a JPEG, PNG or WebP picture", param=name)
    elif isinstance(value, dict) and "image_url" in value:
        check_picture_url(f"{name}.image_url", value["image_url"])
    else:
        raise Refusal(422, f"{name} must be a file, or an object with image_url", param=name)


_CHECKS: Final[dict[str, Check]] = {
    "prompt": prompt_up_to(32_000),
    "model": check_text,
    "seconds": _number_up_to(LONGEST_SECONDS),
    "size": must(
        "be spelled WIDTHxHEIGHT, for example 1280x720",
        lambda value: isinstance(value, str) and _SIZE.fullmatch(value) is not None,
    ),
    "input_reference": _check_reference,
    "input_reference[image_url]": check_picture_url,
    "reference_url": check_picture_url,
}


class OpenAI(Dialect):
    """`videos`, as the official SDK calls it; there are no callbacks, and no key is needed unless one is set."""

    name = "openai"
    base_path = "/openai/v1"
    root = "/openai"
    # A server at home has none, unless its owner sets one.
    needs_key = False
    takes_forms = True

    def calls(self) -> Sequence[Call]:
        videos = f"{self.base_path}/videos"
        return (
            Call(method="POST", path=videos, act=Service.order),
            Call(method="GET", path=videos, act=_list),
            Call(method="GET", path=f"{videos}/{{task_id}}", act=Service.look),
            Call(method="DELETE", path=f"{videos}/{{task_id}}", act=_delete),
            Call(method="GET", path=f"{videos}/{{task_id}}/content", act=_content),
            Call(method="GET", path=f"{self.base_path}/models", act=_list_models),
        )

    def new_task_id(self) -> str:
        return f"video_{secrets.token_hex(16)}"

    def read_order(self, fields: dict[str, Any]) -> Order:
        """Unknown fields are ignored, null counts as not given."""
        given = {**_USUAL, **{name: value for name, value in fields.items() if name in _CHECKS and value is not None}}
        if "prompt" not in given:
            raise Refusal(422, "prompt is required", param="prompt")
        # The original takes a text, servers at home a number too.
        if isinstance(given["seconds"], int):
            given["seconds"] = str(given["seconds"])
        check_fields(given, _CHECKS)
        width, height = map(int, given["size"].split("x"))
        return Order(
            prompt=given["prompt"],
            aspect_ratio="portrait" if height > width else "landscape",
            callback_url="",
            param_json=json.dumps({name: given[name] for name in _USUAL}),
            faults=prompt_faults(given["prompt"]),
        )

    def accepted(self, task: Task, origin: str) -> Response:
        # A service never answers an order with a finished video, so neither does a task that takes no time.
        begun = replace(task, seconds=max(task.seconds, 1.0))
        return JSONResponse(record(begun, task.accepted_at, origin))

    def accepted_without_id(self) -> Response:
        return JSONResponse({"object": "video", "status": "queued"})

    def found(self, task: Task, now: datetime, origin: str) -> Response:
        return JSONResponse(record(task, now, origin))

    def error(self, refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
        status, kind, code = _ERRORS[refusal.code]
        # What refuses without a word of its own is the content policy (`refused-prompt`).
        if refusal.code == 400 and not refusal.message:
            code = "moderation_blocked"
        content = {"message": message_of(refusal), "type": kind, "param": refusal.param, "code": code}
        return JSONResponse({"error": content}, status_code=status, headers=headers)


def record(task: Task, now: datetime, origin: str) -> dict[str, Any]:
    """A task as the SDK's `Video`; instants are Unix seconds, `seconds` is a text."""
    failure = task.failure(now)
    failed = failed_word(task)
    spelled: dict[str, Any] = {
        "id": task.task_id,
        "object": "video",
        "status": status_of(task, now, waiting="queued", working="in_progress", succeeded="completed", failed=failed),
        "progress": math.floor(task.progress(now) * 100),
        "created_at": int(task.accepted_at.timestamp()),
        "completed_at": int(task.ends_at.timestamp()) if task.succeeded(now) else None,
        # Videos never expire here.
        "expires_at": None,
        "error": None,
        **json.loads(task.param_json),
        "prompt": task.prompt,
        "remixed_from_video_id": None,
    }
    if failure is not None:
        spelled["error"] = {"code": _FAILURE_CODES.get(task.outcome, task.outcome), "message": failure.message}
    if "signed-url" in task.traits and task.has_video(now):
        spelled["url"] = video_url(task, origin)
    return spelled


async def _list(service: Service, visit: Visit) -> Response:
    """A page, newest first unless `order` says otherwise, beginning behind the id that `after` names."""
    service.check_key(visit)
    query = visit.request.query_params
    limit = query.get("limit", "20")
    _number_up_to(LONGEST_PAGE)("limit", limit)
    # By id within one instant, so that pages neither repeat nor skip a task.
    tasks = sorted(
        service.tasks_of(visit.dialect),
        key=lambda task: (task.accepted_at, task.task_id),
        reverse=query.get("order") != "asc",
    )
    ids = [task.task_id for task in tasks]
    begin = ids.index(query["after"]) + 1 if query.get("after") in ids else 0
    page = tasks[begin : begin + int(limit)]
    return JSONResponse(
        {
            "object": "list",
            "data": [record(task, service.now(), visit.origin) for task in page],
            "first_id": page[0].task_id if page else None,
            "last_id": page[-1].task_id if page else None,
            "has_more": begin + len(page) < len(tasks),
        }
    )


async def _delete(service: Service, visit: Visit) -> Response:
    task = service.task_for(visit)
    if task is None:
        return visit.dialect.missing()
    if not task.finished(service.now()):
        raise Refusal(400, "A video can be deleted once it is completed or failed")
    service.tasks.remove(task.task_id)
    return JSONResponse({"id": task.task_id, "object": "video.deleted", "deleted": True})


async def _content(service: Service, visit: Visit) -> Response:
    if visit.request.query_params.get("variant", "video") != "video":
        raise Refusal(422, "There is nothing but the video itself", param="variant")
    return await service.content(visit)


async def _list_models(service: Service, visit: Visit) -> Response:
    service.check_key(visit)
    models = [{"id": name, "object": "model", "created": 1_759_276_800, "owned_by": "simulator"} for name in MODELS]
    return JSONResponse({"object": "list", "data": models})
