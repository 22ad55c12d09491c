"""Sora2API, the reference. Pure.

Source: the vendor's pages of ``generate``, ``record-info`` and callbacks, 2026-03.
"""

import json
from collections.abc import Sequence
from datetime import datetime
from typing import Any, Final

from starlette.responses import Response

from sora2_mcp.simulator.answers import envelope
from sora2_mcp.simulator.callbacks import Callback, Occasion, json_bytes
from sora2_mcp.simulator.order import (
    ASPECT_RATIOS,
    Check,
    Order,
    Refusal,
    check_fields,
    check_text,
    check_url,
    check_urls,
    one_of,
    prompt_faults,
    prompt_up_to,
)
from sora2_mcp.simulator.service import Call, Dialect, Service, message_of, random_word
from sora2_mcp.simulator.world import Task, video_url

GENERATING: Final = 0
SUCCEEDED: Final = 1
CREATION_FAILED: Final = 2
GENERATION_FAILED: Final = 3
UNKNOWN: Final = 9

MAX_PROMPT_CHARACTERS: Final = 5_000
QUALITIES: Final = ("standard", "hd")
_CHECKS: Final[dict[str, Check]] = {
    "prompt": prompt_up_to(MAX_PROMPT_CHARACTERS, blank_code=400),
    "aspectRatio": one_of(*ASPECT_RATIOS),
    "quality": one_of(*QUALITIES),
    "imageUrls": check_urls,
    "watermark": check_text,
    "callBackUrl": check_url,
}


class Sora2API(Dialect):
    """`POST generate` and `GET record-info`; the code of an envelope is its HTTP status."""

    name = "sora2api"
    base_path = "/api/v1/sora2"
    root = ""
    id_parameter = "taskId"

    def calls(self) -> Sequence[Call]:
        return (
            Call(method="POST", path=f"{self.base_path}/generate", act=Service.order),
            Call(method="GET", path=f"{self.base_path}/record-info", act=Service.look),
        )

    def new_task_id(self) -> str:
        return "sora2_task_" + random_word(12)

    def read_order(self, fields: dict[str, Any]) -> Order:
        """Unknown fields are ignored, null counts as not given."""
        known = {name: value for name, value in fields.items() if name in _CHECKS and value is not None}
        if "prompt" not in known:
            raise Refusal(400, "prompt is required")
        check_fields(known, _CHECKS)
        return Order(
            prompt=known["prompt"],
            aspect_ratio=known.get("aspectRatio", "landscape"),
            callback_url=known.get("callBackUrl", ""),
            param_json=json.dumps(known, ensure_ascii=False),
            faults=prompt_faults(known["prompt"]),
        )

    def accepted(self, task: Task, origin: str) -> Response:  # noqa: ARG002
        return envelope(200, "success", {"taskId": task.task_id}, status=200)

    def accepted_without_id(self) -> Response:
        return envelope(200, "success", None, status=200)

    def found(self, task: Task, now: datetime, origin: str) -> Response:
        failure, spelled = task.failure(now), record(task, now, origin)
        if failure is not None and task.outcome == "moderation-look":
            return envelope(400, failure.message, spelled, status=400)
        return envelope(200, "success", spelled, status=200)

    def error(self, refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
        return envelope(refusal.code, message_of(refusal), None, status=refusal.code, headers=headers)

    def callback(self, task: Task, occasion: Occasion) -> Callback:
        """The record, or in the short shape parameters and addresses; on failure `code` and `msg` say why."""
        ended = record(task, task.ends_at, task.origin)
        content = {
            "code": ended["errorCode"] or 200,
            "msg": ended["errorMessage"] or "success",
            "data": ended if occasion.shape == "full" else _short(ended),
        }
        return Callback(body=json_bytes(content))


def record(task: Task, now: datetime, origin: str) -> dict[str, Any]:
    """`data` of record-info, every field always present; times are UTC, as the service states no zone."""
    finished, failure = task.finished(now), task.failure(now)
    url = video_url(task, origin) if task.has_video(now) else None
    return {
        "taskId": task.task_id,
        "paramJson": task.param_json,
        "completeTime": _spell(task.ends_at) if finished else None,
        "response": {"imageUrl": url} if task.succeeded(now) else None,
        "successFlag": _flag(task, now),
        "errorCode": 0 if failure is None else failure.code,
        "errorMessage": None if failure is None else failure.message,
        "createTime": _spell(task.accepted_at),
    }


def _flag(task: Task, now: datetime) -> int:
    # The flag is a number, so no word can stand there: both faults give one that the page does not have.
    if not task.finished(now):
        return UNKNOWN if {"status-unknown", "status-strange"} & set(task.traits) else GENERATING
    if task.succeeded(now):
        return SUCCEEDED
    return CREATION_FAILED if task.outcome == "creation-failure" else GENERATION_FAILED


def _short(ended: dict[str, Any]) -> dict[str, Any]:
    url = (ended["response"] or {}).get("imageUrl")
    return {"taskId": ended["taskId"], "promptJson": ended["paramJson"], "resultUrls": [url] if url else []}


def _spell(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")
