"""The Videos API (``/v1/videos``) that OpenAI began and others speak: servers for one's own GPU, and gateways. Pure.

Source: OpenAI's API reference ("Videos") and its dialects in vLLM-Omni, SGLang Diffusion, FastVideo, LiteLLM and New
API, 2026-11. What one of them leaves out or spells another way is read leniently.
"""

import json
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any
from urllib.parse import quote, urlsplit

from pydantic import AliasChoices, Field, ValidationError

from sora2_mcp.domain.request import (
    PROMPT_LIMIT,
    AspectRatio,
    Capabilities,
    Quality,
    VideoRequest,
    sanitized_url,
)
from sora2_mcp.domain.task import Failure, Sighting, Snapshot, Stage
from sora2_mcp.errors import BadRequestError, LostAnswerError, service_error
from sora2_mcp.services.service import (
    LONGEST_PROMPT,
    NO_TASK,
    NOT_ACCEPTED,
    Answer,
    Call,
    Picture,
    PictureForm,
    Report,
    Service,
    foreign_answer,
)
from sora2_mcp.services.sora2api import is_task_id
from sora2_mcp.services.wire import (
    FAILED_WORDS,
    SUCCEEDED_WORDS,
    WORDS_LIMIT,
    Lenient,
    LenientAmount,
    LenientIdentifier,
    LenientText,
    first_url,
    integer,
    object_in,
)
from sora2_mcp.words import sanitized

DEFAULT_SECONDS = 4
"""What the original makes where none is chosen."""

_LONGEST_SECONDS = 600
_OK = range(200, 300)
_NOT_FOUND = 404
_RATE_LIMITED = 429
_FORBIDDEN = 403
_BAD_CONTENT = 400
_CONTENT_WORDS = ("policy", "moderation", "safety")
_UNAUTHORIZED = 401
_SIZES = {
    (AspectRatio.LANDSCAPE, Quality.STANDARD): "1280x720",
    (AspectRatio.PORTRAIT, Quality.STANDARD): "720x1280",
    (AspectRatio.LANDSCAPE, Quality.HD): "1792x1024",
    (AspectRatio.PORTRAIT, Quality.HD): "1024x1792",
}
# Gateways answer 400 to anything.
_BAD_REQUEST = (
    "If its words are about the content, change the prompt or the images; if they are about a model, a key or a "
    "parameter, ask the user to check SORA2_MODEL, SORA2_API_KEY and SORA2_MODEL_INPUT. Then order again."
)

_NO_SUCH_PATH = re.compile(r"\b(path|url|route|endpoint)\b|^(not found)?$", re.IGNORECASE)
"""The words of servers and frameworks for a path that they do not serve; of an unknown task they speak otherwise."""


class Video(Lenient):
    """A task's record; ``error`` may be a text, an object or a list, and addresses stand in several places."""

    id: LenientIdentifier = Field(default="", validation_alias=AliasChoices("id", "video_id", "task_id"))
    status: LenientText = ""
    error: Any = None
    detail: Any = None
    prompt: LenientText = ""
    size: LenientText = ""
    seconds: Any = None
    url: Any = None
    urls: Any = None
    metadata: Any = None
    output: Any = None
    usage: Any = None

    @property
    def word(self) -> str:
        """The status, as it is compared."""
        return self.status.strip().lower()

    @property
    def public_url(self) -> str:
        """The first address that the record itself holds; empty where there is none."""
        videos = self.output.get("videos") if isinstance(self.output, dict) else None
        return first_url([self.url, self.urls, self.metadata, videos])

    @property
    def cost(self) -> float | None:
        """What it has cost, where the record says so."""
        return _Usage.model_validate(self.usage).cost if isinstance(self.usage, dict) else None


class _Usage(Lenient):
    cost: LenientAmount = None


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenAI(Service):
    """A server that speaks the Videos API, at ``base_url``."""

    base_url: str = ""
    model: str = ""
    hd_model: str = ""
    seconds: int = 0
    """The length where the caller names none."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Merged into each order."""
    as_json: bool = False
    """Orders go out as JSON; by default as a form, which every dialect takes."""

    def capabilities(self, quality: Quality = Quality.STANDARD) -> Capabilities:
        return Capabilities(
            maker=self._model_of(quality) or "the configured server",
            prompt_limit=LONGEST_PROMPT,
            image_limit=1,
            callback_url=False,
            # Which lengths a model makes is not known here; the server refuses the others in its own words.
            seconds=range(1, _LONGEST_SECONDS + 1),
            default_seconds=self.seconds or DEFAULT_SECONDS,
            price_unit="",
        )

    @property
    def hides_videos(self) -> bool:
        return True

    @property
    def picture_form(self) -> PictureForm:
        return PictureForm.DATA if self.as_json else PictureForm.FILE

    def order(self, request: VideoRequest, pictures: Sequence[Picture] = ()) -> Call:
        body: dict[str, Any] = {
            "prompt": request.prompt,
            "model": self._model_of(request.quality),
            # A text, as in the original. Always sent: vLLM-Omni makes a single frame unless a length is named.
            "seconds": str(request.seconds or DEFAULT_SECONDS),
            "size": _SIZES[request.aspect_ratio, request.quality],
        }
        # The setting wins: it names what this server wants otherwise, such as another size.
        given = {name: value for name, value in body.items() if value} | dict(self.extra)
        if self.as_json:
            pictured = {"input_reference": {"image_url": request.image_urls[0]}} if request.image_urls else {}
            return Call(method="POST", path="/videos", json={**given, **pictured})
        form = {name: value if isinstance(value, str) else json.dumps(value) for name, value in given.items()}
        files = {"input_reference": pictures[0]} if pictures else {}
        return Call(method="POST", path="/videos", form=form, files=files)

    def accepted(self, answer: Answer) -> str:
        content = _content(answer)
        if answer.status not in _OK:
            if self._refuses(answer.status):
                raise _fault(answer, content)
            raise LostAnswerError(f"HTTP {answer.status}")
        task_id = _read(content).id
        if not is_task_id(task_id):
            raise LostAnswerError("it says the order is accepted but names no task")
        return task_id

    def _refuses(self, status: int) -> bool:
        """Whether an order that was answered so was certainly not accepted."""
        # 5xx leaves it open: a gateway may have passed the order on before it failed.
        return status in NOT_ACCEPTED

    def look(self, task_id: str) -> Call:
        return Call(method="GET", path=_path_of(task_id))

    def snapshot(self, answer: Answer, seen_at: datetime) -> Snapshot:
        if answer.status == _NOT_FOUND:
            return Snapshot(sighting=Sighting.MISSING, seen_at=seen_at)
        content = _content(answer)
        if answer.status not in _OK:
            raise _fault(answer, content)
        video = _read(content)
        if not video.id:
            raise LostAnswerError("its answer holds no task record")
        return self._seen(video, seen_at)

    def _seen(self, video: Video, seen_at: datetime) -> Snapshot:
        seen = Snapshot(
            sighting=Sighting.GENERATING,
            seen_at=seen_at,
            request=_ordered(video),
            stated=frozenset(name for name, value in (("prompt", video.prompt), ("aspect_ratio", video.size)) if value),
            task_id=video.id,
            cost=video.cost,
        )
        if video.word in SUCCEEDED_WORDS:
            return replace(seen, sighting=Sighting.SUCCEEDED, video_url=self._address_of(video))
        if video.word in FAILED_WORDS:
            code, words = _words(video)
            failure = Failure(stage=Stage.GENERATION, code=code, message=words or video.word)
            return replace(seen, sighting=Sighting.FAILED, failure=failure)
        # Anything else, unknown words too: some servers call a fresh task "unknown".
        return seen

    def _address_of(self, video: Video) -> str:
        """Where the video is: at an address of its own, or below the service's, where only the key opens it."""
        url = video.public_url
        # A server may name its content address under another host of its own: it needs the key all the same.
        is_own = _place(url) == _place(self.base_url) or is_content_of(url, video.id)
        return sanitized_url(url) if url and not is_own else f"{_path_of(video.id)}/content"

    def probes(self) -> tuple[Call, ...]:
        # The list of models first: a gateway may pass a look at an unknown task on to another service.
        return (Call(method="GET", path="/models"), self.look(NO_TASK))

    def report(self, answer: Answer) -> Report:
        content = _content(answer)
        code, words = _words(_read(content))
        if answer.status == _NOT_FOUND and not _NO_SUCH_PATH.search(words):
            # The server says in its own words that it knows no such task, which is right: none has the probe's id.
            return Report(code=200, words=words)
        # 403 means a wrong key, as 401 does: both have the same advice.
        return Report(
            code=_UNAUTHORIZED if answer.status == _FORBIDDEN else answer.status, words=words or str(code or "")
        )

    def _model_of(self, quality: Quality) -> str:
        return self.hd_model if self.hd_model and quality is Quality.HD else self.model


def _place(url: str) -> tuple[str, int | None]:
    """Host and port, the usual one where none is written."""
    parts = urlsplit(url)
    usual = {"http": 80, "https": 443}.get(parts.scheme)
    return (parts.hostname or "").rstrip("."), parts.port or usual


def is_content_of(url: str, task_id: str) -> bool:
    """Whether this is the address that needs the key, under whichever host; a signed one needs none."""
    # A signature stands in the query, so one with more in it than the video's number is signed.
    parts = urlsplit(url)
    is_plain = parts.query in ("", "index=0")
    return is_plain and parts.path.endswith((f"/videos/{task_id}/content", f"{_path_of(task_id)}/content"))


def _path_of(task_id: str) -> str:
    # An id comes from the service, and may hold a slash or a question mark.
    return f"/videos/{quote(task_id, safe='')}"


def _content(answer: Answer) -> dict[str, Any]:
    """The JSON object of an answer.

    Raises:
        ServiceError: a rate limit, the service's or a gateway's.
        GatewayError: something in front of the service refused in its place.
        LostAnswerError: it holds none.
    """
    content = object_in(answer.text)
    if content is not None:
        return content
    if answer.status == _RATE_LIMITED:
        raise service_error(_RATE_LIMITED, retry_after_seconds=answer.retry_after_seconds)
    raise foreign_answer(answer, "no readable JSON")


def _fault(answer: Answer, content: dict[str, Any]) -> Exception:
    _, words = _words(_read(content))
    # 403 is the answer to a wrong key and to a refused prompt; only the words tell them apart.
    is_of_content = any(word in words.lower() for word in _CONTENT_WORDS)
    code = answer.status if answer.status != _FORBIDDEN else _BAD_CONTENT if is_of_content else _UNAUTHORIZED
    error = service_error(code, words, retry_after_seconds=answer.retry_after_seconds)
    if isinstance(error, BadRequestError):
        error.hint, error.cli_hint = _BAD_REQUEST, _BAD_REQUEST.replace("ask the user to check", "check")
    return error


def _read(content: dict[str, Any]) -> Video:
    try:
        return Video.model_validate(content)
    except ValidationError as error:
        raise LostAnswerError("its JSON has an unknown shape") from error


def _words(video: Video) -> tuple[int, str]:
    """The code, where it is a number, and the words of an error in all its shapes."""
    error = video.error if video.error is not None else video.detail
    if isinstance(error, list) and error:
        error = error[0]
    if not isinstance(error, dict):
        return 0, sanitized(error, WORDS_LIMIT) if isinstance(error, str) else ""
    message = next((error[name] for name in ("message", "msg", "detail", "error") if error.get(name)), "")
    code, words = error.get("code"), sanitized(message if isinstance(message, str) else str(message), WORDS_LIMIT)
    # A code may be a word (``moderation_blocked``): that says more to a reader than the message alone.
    number = integer(code)
    if number is not None or not isinstance(code, str) or not code.strip():
        return number or 0, words
    word = sanitized(code, 100)
    return 0, f"{word}: {words}" if words else word


def _ordered(video: Video) -> VideoRequest:
    """What the record says was ordered."""
    width, _, height = video.size.lower().partition("x")
    portrait = (integer(height) or 0) > (integer(width) or 0)
    return VideoRequest(
        prompt=sanitized(video.prompt, PROMPT_LIMIT),
        aspect_ratio=AspectRatio.PORTRAIT if portrait else AspectRatio.LANDSCAPE,
        seconds=min(max(0, integer(video.seconds) or 0), _LONGEST_SECONDS),
    )
