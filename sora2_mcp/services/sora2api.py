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
from sora2_mcp.errors import LostAnswerError, service_error
from sora2_mcp.services.service import NOT_ACCEPTED, Answer, Call, Picture, Report, Service, foreign_answer
from sora2_mcp.services.wire import WORDS_LIMIT, Callback, Envelope, Record, SubmitData, object_in
from sora2_mcp.words import sanitized

OK = 200
NOT_FOUND = 404
# In a look. 408 says that nothing came for ten minutes from what makes the videos.
_ENDED = (408, 501)

_REFUSED = 400
_INVALID = 422
_RATE_LIMITED = 429
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
        body = {
            "prompt": request.prompt,
            "aspectRatio": request.aspect_ratio.value,
            "quality": request.quality.value,
            "imageUrls": list(request.image_urls),
            "watermark": request.watermark,
            "callBackUrl": request.callback_url,
        }
        # An empty text or list is no value of the service's: what was not given is left out.
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
            # A look holds nothing but the id: siblings answer so for one that they do not know, or not yet.
            return Snapshot(sighting=Sighting.MISSING, seen_at=seen_at)
        # 400 ends a task only with a record beside it; without one it refuses the look.
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
            # A success that holds no task is as good as not knowing it.
            return Snapshot(sighting=Sighting.MISSING, seen_at=seen_at)
        return _snapshot(record, seen_at)

    def report(self, answer: Answer) -> Report:
        envelope = envelope_of(answer)
        return Report(code=envelope.code or 0, words=envelope.words)

    def callback_task_id(self, body: bytes) -> str:
        # Both shapes of the vendor's callbacks hold ``data.taskId``.
        try:
            task_id = Callback.model_validate(object_in(body) or {}).any_id
        except ValidationError:
            return ""
        return task_id if is_task_id(task_id) else ""


def is_task_id(text: str) -> bool:
    """Whether this can be the id of a task: it fits into the store and into a request."""
    return bool(text) and len(text) <= TASK_ID_LIMIT and text.isprintable()


def _snapshot(record: Record, seen_at: datetime) -> Snapshot:
    seen = Snapshot(
        sighting=Sighting.GENERATING,
        seen_at=seen_at,
        cost=record.cost,
        request=_ordered(record.ordered),
        stated=frozenset(name for name, spelled in _SPELLED.items() if record.ordered.get(spelled) is not None),
        task_id=record.task_id,
    )
    if record.flag == 1:
        # A success without an address is not believed yet: ``advance`` wants to see it for ten minutes.
        url = record.video_url
        return replace(seen, sighting=Sighting.SUCCEEDED if url else Sighting.NO_URL, video_url=sanitized_url(url))
    stage = {2: Stage.CREATION, 3: Stage.GENERATION}.get(record.flag or 0)
    if stage is None:
        return seen
    words = sanitized(record.error_message or record.fail_message, WORDS_LIMIT)
    failure = Failure(stage=stage, code=record.error_code or record.fail_code or 0, message=words)
    return replace(seen, sighting=Sighting.FAILED, failure=failure)


def _ordered(parameters: dict[str, Any]) -> VideoRequest:
    """What a task's ``paramJson`` says of its order, but for the callback's address, which may hold a secret."""

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
    content = object_in(answer.text)
    if content is None:
        # A gateway's rate limit means the same as the service's: the request may be repeated.
        if answer.status == _RATE_LIMITED:
            return Envelope(code=_RATE_LIMITED)
        raise foreign_answer(answer, "a web page" if "<" in answer.text[:200] else "no readable JSON")
    envelope = _read(Envelope, content)
    if envelope.code is not None:
        return envelope
    # A sibling may leave the code out of a success; any JSON with such a status did not accept an order.
    if (answer.status == OK and isinstance(envelope.data, dict)) or answer.status in NOT_ACCEPTED:
        return envelope.model_copy(update={"code": answer.status})
    raise LostAnswerError(f"HTTP {answer.status} without the service's own code")


def _read(model: type[Model], content: Any) -> Model:
    try:
        return model.model_validate(content if isinstance(content, dict) else {})
    except ValidationError as error:
        raise LostAnswerError("its JSON has an unknown shape") from error
