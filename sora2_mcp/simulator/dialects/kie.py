"""Kie: many models behind one pair of calls. HTTP says 200 also where the envelope says no.

Source: Kie's pages of ``createTask``, ``recordInfo``, callbacks and uploads, 2026-08 to 2026-10.
"""

import base64
import hmac
import json
import secrets
from collections.abc import Iterable, Sequence
from datetime import datetime
from hashlib import sha256
from typing import Any, Final
from urllib.parse import quote

from starlette.responses import JSONResponse, Response

from sora2_mcp.simulator.answers import envelope
from sora2_mcp.simulator.callbacks import Callback, Occasion, json_bytes
from sora2_mcp.simulator.dialects.kie_models import check_input
from sora2_mcp.simulator.order import Order, Refusal, check_url, prompt_faults, prompt_up_to
from sora2_mcp.simulator.received import Attachment, read_form
from sora2_mcp.simulator.service import Call, Dialect, Service, Visit, message_of
from sora2_mcp.simulator.world import Task, status_of, video_url

STARTING_CREDITS: Final = 10_000
CREDITS_PER_VIDEO: Final = 100
LONGEST_UPLOAD_BYTES: Final = 10 * 1024 * 1024
_TALL: Final = ("9:16", "3:4", "2:3", "portrait")
_check_prompt: Final = prompt_up_to(20_000)


class Kie(Dialect):
    """`createTask` and `recordInfo`, the balance, and uploads."""

    name = "kie"
    base_path = "/kie/api/v1"
    root = "/kie"
    id_parameter = "taskId"

    def calls(self) -> Sequence[Call]:
        return (
            Call(method="POST", path=f"{self.base_path}/jobs/createTask", act=Service.order),
            Call(method="GET", path=f"{self.base_path}/jobs/recordInfo", act=Service.look),
            Call(method="GET", path=f"{self.base_path}/chat/credit", act=_tell_balance),
            Call(method="POST", path=f"{self.root}/api/file-stream-upload", act=_upload),
        )

    def new_task_id(self) -> str:
        return secrets.token_hex(16)

    def read_order(self, fields: dict[str, Any]) -> Order:
        model, given, callback_url = (fields.get(name) for name in ("model", "input", "callBackUrl"))
        if not isinstance(model, str) or not model.strip():
            raise Refusal(422, "model is required", param="model")
        if not isinstance(given, dict):
            raise Refusal(422, "input must be an object", param="input")
        if callback_url is not None:
            check_url("callBackUrl", callback_url)
        _check_prompt("input.prompt", given.get("prompt"))
        check_input(model, given)
        # The input is JSON text once more, as in the records of the real service.
        submitted = {**fields, "input": json.dumps(given, ensure_ascii=False)}
        return Order(
            prompt=given["prompt"],
            aspect_ratio="portrait" if given.get("aspect_ratio", given.get("ratio")) in _TALL else "landscape",
            callback_url=callback_url or "",
            param_json=json.dumps(submitted, ensure_ascii=False),
            faults=prompt_faults(given["prompt"]),
        )

    def can_pay(self, tasks: Iterable[Task], now: datetime) -> bool:
        return balance(tasks, now) >= CREDITS_PER_VIDEO

    def accepted(self, task: Task, origin: str) -> Response:  # noqa: ARG002
        return _success({"taskId": task.task_id, "recordId": task.task_id})

    def accepted_without_id(self) -> Response:
        return _success(None)

    def found(self, task: Task, now: datetime, origin: str) -> Response:
        failure = task.failure(now)
        # An expired task has no record any more.
        if failure is not None and task.outcome == "expired":
            return self.error(Refusal(failure.code))
        spelled = record(task, now, origin)
        if failure is not None and task.outcome == "moderation-look":
            return envelope(failure.code, failure.message, spelled, status=200)
        return _success(spelled)

    def missing(self) -> Response:
        # Kie's own words, with which it answers an id that it does not know, or not yet.
        return self.error(Refusal(422, "recordInfo is null"))

    def error(self, refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
        return envelope(refusal.code, message_of(refusal), None, status=200, headers=headers)

    def callback(self, task: Task, occasion: Occasion) -> Callback:
        failure = task.failure(task.ends_at)
        spelled = record(task, task.ends_at, task.origin)
        content = {
            "code": 200 if failure is None else 501,
            "msg": "Task completed successfully" if failure is None else failure.message,
            "data": {
                **spelled,
                # A callback spells the cost another way than a record does.
                "consumeCredits": spelled["creditsConsumed"],
                "remainedCredits": balance(occasion.tasks, task.ends_at),
            },
        }
        return Callback(body=json_bytes(content), headers=_signature(task.task_id, occasion))


def balance(tasks: Iterable[Task], now: datetime) -> int:
    """What is left once the tasks that have succeeded are paid; one that fails costs nothing."""
    return max(0, STARTING_CREDITS - CREDITS_PER_VIDEO * sum(task.succeeded(now) for task in tasks))


def record(task: Task, now: datetime, origin: str) -> dict[str, Any]:
    """`data` of `recordInfo`; instants are Unix milliseconds."""
    finished, failure = task.finished(now), task.failure(now)
    ended_ms = _milliseconds(task.ends_at) if finished else None
    return {
        "taskId": task.task_id,
        "model": json.loads(task.param_json)["model"],
        **_standing(task, now, origin),
        "param": task.param_json,
        "failCode": str(failure.code) if failure else "" if finished else None,
        "failMsg": failure.message if failure else "" if finished else None,
        "costTime": int(task.seconds * 1000) if finished else None,
        "createTime": _milliseconds(task.accepted_at),
        "updateTime": ended_ms or _milliseconds(now),
        "completeTime": ended_ms,
        "progress": None,
        "creditsConsumed": (CREDITS_PER_VIDEO if task.succeeded(now) else 0) if finished else None,
    }


def _standing(task: Task, now: datetime, origin: str) -> dict[str, Any]:
    """How the task stands and what came of it."""
    results = {"resultUrls": [video_url(task, origin)] if task.has_video(now) else []}
    succeeded = task.succeeded(now)
    # Kie documents `state`; its records of October 2026 had the fields of the reference service.
    if "success-flag" in task.traits:
        failed = 2 if task.outcome == "creation-failure" else 3
        flag = 1 if succeeded else failed if task.finished(now) else 0
        return {"successFlag": flag, "response": results if succeeded else None}
    waiting = "waiting" if task.progress(now) < 0.1 else "queuing"
    state = status_of(task, now, waiting=waiting, working="generating", succeeded="success", failed="fail")
    # Once a task has ended, a field with nothing in it is an empty text; before, it is null.
    empty = "" if task.finished(now) else None
    return {"state": state, "resultJson": json.dumps(results) if succeeded else empty}


def _signature(task_id: str, occasion: Occasion) -> dict[str, str]:
    if not occasion.secret:
        return {}
    # Kie signs the id and the time alone, not what the callback says.
    at = str(int(occasion.at.timestamp()))
    mark = hmac.digest(occasion.secret.encode(), f"{task_id}.{at}".encode(), sha256)
    return {"X-Webhook-Timestamp": at, "X-Webhook-Signature": base64.b64encode(mark).decode()}


async def _tell_balance(service: Service, visit: Visit) -> Response:
    service.check_key(visit)
    return _success(balance(service.tasks_of(visit.dialect), service.now()))


async def _upload(service: Service, visit: Visit) -> Response:
    service.check_key(visit)
    fields = await read_form(visit.request, visit.received)
    file, name = fields.get("file"), fields.get("fileName")
    if not isinstance(file, Attachment):
        raise Refusal(400, "file is required")
    if not fields.get("uploadPath"):
        raise Refusal(400, "uploadPath is required")
    if len(file.content) > LONGEST_UPLOAD_BYTES:
        raise Refusal(400, "The file has more than 10 MB")
    shown = str(name or file.filename or "file")
    content = {
        "fileName": shown,
        "filePath": f"{str(fields['uploadPath']).strip('/')}/{shown}",
        "downloadUrl": f"{visit.origin}/uploads/{service.uploads.add(file)}/{quote(shown, safe='')}",
        "fileSize": len(file.content),
        "mimeType": file.content_type,
        "uploadedAt": service.now().isoformat(),
    }
    return JSONResponse({"success": True, "code": 200, "msg": "File uploaded successfully", "data": content})


def _success(content: Any) -> Response:
    return envelope(200, "success", content, status=200)


def _milliseconds(moment: datetime) -> int:
    return int(moment.timestamp() * 1000)
