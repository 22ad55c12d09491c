"""What Sora2API means: requests to bodies, bodies to snapshots or errors. Pure.

Source: the vendor's quick start, "Step 1", "Step 2", "Status Codes" and "Generation Task Status".
"""

from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from typing import Any, TypeVar

from pydantic import ValidationError

from sora2_mcp.domain.request import (
    IMAGE_LIMIT,
    PROMPT_LIMIT,
    SORA2API,
    WATERMARK_LIMIT,
    AspectRatio,
    Capabilities,
    Quality,
    VideoRequest,
    is_http_url,
    sanitized_url,
)
from sora2_mcp.domain.task import TASK_ID_LIMIT, Failure, Sighting, Snapshot, Stage
from sora2_mcp.errors import GatewayError, LostAnswerError, sanitized, service_error
from sora2_mcp.services.service import NOT_ACCEPTED, Answer, Call, Picture, Said, Service
from sora2_mcp.services.wire import WORDS_LIMIT, Callback, Envelope, Record, SubmitData, parsed

OK = 200
NOT_FOUND = 404
_ENDED = (408, 501)
"""In a look: the task failed. 408 says that nothing came for ten minutes from what makes the videos."""

_REFUSED = 400
_INVALID = 422
_RATE_LIMITED = 429
_REDIRECTS = range(300, 400)
_GATEWAY_CODES = (502, 503, 504)
_UNSURE = {*_GATEWAY_CODES, *(set(range(400, 500)) - NOT_ACCEPTED)}
_SPELLED = {
    "prompt": "prompt",
    "image_urls": "imageUrls",
    "aspect_ratio": "aspectRatio",
    "quality": "quality",
    "watermark": "watermark",
}

Model = TypeVar("Model", Envelope, SubmitData, Record)


class Sora2API(Service):
    """The reference service, and siblings that take the very same orders."""

    def capabilities(self, quality: Quality = Quality.STANDARD) -> Capabilities:  # noqa: ARG002 - one model makes both
        return SORA2API

    def order(self, request: VideoRequest, pictures: Sequence[Picture] = ()) -> Call:  # noqa: ARG002 - takes none
        """What was not given is left out."""
        body = {
            "prompt": request.prompt,
            "aspectRatio": request.aspect_ratio.value,
            "quality": request.quality.value,
            "imageUrls": list(request.image_urls),
            "watermark": request.watermark,
            "callBackUrl": request.callback_url,
        }
        return Call(method="POST", path="/generate", json={name: value for name, value in body.items() if value})

    def accepted(self, answer: Answer) -> str:
        envelope = envelope_of(answer)
        if envelope.code in _UNSURE:
            of = "of a gateway in between" if envelope.code in _GATEWAY_CODES else "leaves open whether it was accepted"
            raise LostAnswerError(f"code {envelope.code} {of}")
        if envelope.code != OK:
            raise service_error(envelope.code or 0, envelope.words, retry_after_seconds=answer.retry_after_seconds)
        task_id = _read(SubmitData, envelope.data).task_id
        if not is_task_id(task_id):
            raise LostAnswerError("it says the order is accepted but names no task")
        return task_id

    def look(self, task_id: str) -> Call:
        return Call(method="GET", path="/record-info", query={"taskId": task_id})

    def snapshot(self, answer: Answer, seen_at: datetime) -> Snapshot:
        envelope = envelope_of(answer)
        if envelope.code == NOT_FOUND:
            return Snapshot(sighting=Sighting.MISSING, seen_at=seen_at)
        if envelope.code == _INVALID:
            # All that a look says is the id: siblings say so of one they know nothing of, or not yet.
            return Snapshot(sighting=Sighting.MISSING, seen_at=seen_at)
        if envelope.code in _ENDED or (envelope.code == _REFUSED and _read(Record, envelope.data).task_id):
            failure = Failure(stage=Stage.GENERATION, code=envelope.code, message=envelope.words)
            cost = _read(Record, envelope.data).cost
            return Snapshot(sighting=Sighting.FAILED, seen_at=seen_at, failure=failure, cost=cost)
        if envelope.code != OK:
            raise service_error(envelope.code or 0, envelope.words, retry_after_seconds=answer.retry_after_seconds)
        if not isinstance(envelope.data, dict | None):
            raise LostAnswerError("its answer holds no task record")
        record = _read(Record, envelope.data)
        if not record.task_id and record.flag is None:
            # It says all is well and then nothing of any task: as good as not knowing it.
            return Snapshot(sighting=Sighting.MISSING, seen_at=seen_at)
        return _snapshot(record, seen_at)

    def said(self, answer: Answer) -> Said:
        envelope = envelope_of(answer)
        return Said(code=envelope.code or 0, words=envelope.words)

    def callback_task_id(self, body: bytes) -> str:
        # Both shapes of the vendor's callbacks hold ``data.taskId``.
        try:
            content = parsed(body)
            callback = Callback.model_validate(content if isinstance(content, dict) else {})
        except ValueError:
            return ""
        return callback.said_id if is_task_id(callback.said_id) else ""


def is_task_id(text: str) -> bool:
    """Whether it is one that can be kept and asked by."""
    return bool(text) and len(text) <= TASK_ID_LIMIT and text.isprintable()


def _snapshot(record: Record, seen_at: datetime) -> Snapshot:
    ordered = _ordered(record.ordered)
    said = frozenset(name for name, spelled in _SPELLED.items() if record.ordered.get(spelled) is not None)
    seen = Snapshot(
        sighting=Sighting.GENERATING,
        seen_at=seen_at,
        cost=record.cost,
        request=ordered,
        said=said,
        task_id=record.task_id,
    )
    if record.flag == 1:
        url = record.video_url
        return replace(seen, sighting=Sighting.SUCCEEDED if url else Sighting.NO_URL, video_url=sanitized_url(url))
    stage = {2: Stage.CREATION, 3: Stage.GENERATION}.get(record.flag or 0)
    if stage is None:
        return seen
    words = sanitized(record.error_message or record.fail_message, WORDS_LIMIT)
    failure = Failure(stage=stage, code=record.error_code or record.fail_code or 0, message=words)
    return replace(seen, sighting=Sighting.FAILED, failure=failure)


def _ordered(parameters: dict[str, Any]) -> VideoRequest:
    """What a task's ``paramJson`` says of its order; a callback's address may hold a secret and is left out."""

    def text(name: str, limit: int = WATERMARK_LIMIT) -> str:
        value = parameters.get(name)
        return sanitized(value, limit) if isinstance(value, str) else ""

    images = parameters.get("imageUrls")
    urls = [url for url in images[:IMAGE_LIMIT] if isinstance(url, str)] if isinstance(images, list) else []
    return VideoRequest(
        prompt=text("prompt", PROMPT_LIMIT),
        image_urls=tuple(map(sanitized_url, filter(is_http_url, urls))),
        aspect_ratio=AspectRatio.PORTRAIT if text("aspectRatio") == "portrait" else AspectRatio.LANDSCAPE,
        quality=Quality.HD if text("quality") == "hd" else Quality.STANDARD,
        watermark=text("watermark"),
    )


def envelope_of(answer: Answer) -> Envelope:
    """The envelope of an answer; where it names no code, the HTTP status of a JSON answer stands in.

    Raises:
        GatewayError: something in front of the service refused in its place.
        LostAnswerError: it holds none.
    """
    try:
        content = parsed(answer.text)
    except ValueError:
        content = None
    if not isinstance(content, dict):
        return _of_gateway(answer.status, answer.text)
    envelope = _read(Envelope, content)
    if envelope.code is not None:
        return envelope
    if (answer.status == OK and isinstance(envelope.data, dict)) or answer.status in NOT_ACCEPTED:
        return envelope.model_copy(update={"code": answer.status})
    raise LostAnswerError(f"HTTP {answer.status} without the service's own code")


def _of_gateway(http_status: int, body: str) -> Envelope:
    """What an answer means that is not the service's JSON; a gateway's rate limit means the same as the service's."""
    if http_status == _RATE_LIMITED:
        return Envelope(code=_RATE_LIMITED)
    kind = "an empty body" if not body.strip() else "a web page" if "<" in body[:200] else "no readable JSON"
    hint = "; SORA2_API_BASE_URL may be wrong" if http_status == NOT_FOUND or http_status in _REDIRECTS else ""
    reason = f"HTTP {http_status} with {kind}{hint}"
    raise GatewayError(reason) if http_status in NOT_ACCEPTED else LostAnswerError(reason)


def _read(model: type[Model], content: Any) -> Model:
    try:
        return model.model_validate(content if isinstance(content, dict) else {})
    except ValidationError as error:
        raise LostAnswerError("its JSON has an unknown shape") from error
