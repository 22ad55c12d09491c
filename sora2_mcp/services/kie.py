"""Kie (kie.ai): many models behind one pair of calls, in the envelope of the reference service. Pure.

Source: Kie's documentation of ``createTask``, ``recordInfo`` and of each model, 2026-08 to 2026-10. Ids and inputs
change monthly: a model is a setting, this table says how a family spells what is ordered, and ``extra`` overrides it.
"""

import base64
import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import timedelta
from hashlib import sha256
from typing import Any

from sora2_mcp.domain.configured import SERVICES
from sora2_mcp.domain.request import Capabilities, Quality, VideoRequest, is_http_url
from sora2_mcp.errors import LostAnswerError, service_error
from sora2_mcp.services.service import LONGEST_PROMPT, RATIOS, Answer, Call, Picture, PictureForm
from sora2_mcp.services.sora2api import OK, Sora2API, envelope_of
from sora2_mcp.services.wire import amount

BASE_URL = SERVICES["kie"].base_url
UPLOADS = "https://kieai.redpandaai.co"
RETENTION = timedelta(days=14)


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How a family of models, by the beginning of their ids, spells an order, and its limits."""

    prefixes: tuple[str, ...]
    prompt_limit: int
    pictures: tuple[str, ...] = ("image_urls",)
    """The fields that take one picture each, or the one field that takes a list of ``most_pictures``."""
    most_pictures: int = 1
    image_model: tuple[str, str] = ("text-to-video", "image-to-video")
    """The part of a model's id that an order with pictures replaces, and its replacement."""
    ratio: str = "aspect_ratio"
    ratio_with_pictures: bool = True
    quality: tuple[str, str, str] = ("resolution", "720p", "1080p")
    """The field, and its values for standard and hd."""
    seconds: str = ""
    """The field of the length; empty where the length is the model's own."""
    allowed_seconds: tuple[int, ...] = ()
    """The first is the default."""
    seconds_as_text: bool = False

    @property
    def image_limit(self) -> int:
        """The most pictures an order can have."""
        return self.most_pictures if self.pictures == ("image_urls",) else len(self.pictures)

    def input_of(self, request: VideoRequest) -> dict[str, Any]:
        """The input of an order."""
        name, standard, hd = self.quality
        given: dict[str, Any] = {"prompt": request.prompt, name: hd if request.quality is Quality.HD else standard}
        # Some families take the picture's own ratio and no other.
        if not request.image_urls or self.ratio_with_pictures:
            given[self.ratio] = RATIOS[request.aspect_ratio]
        if self.seconds and request.seconds:
            given[self.seconds] = str(request.seconds) if self.seconds_as_text else request.seconds
        if not request.image_urls:
            return given
        if self.pictures == ("image_urls",):
            return {**given, "image_urls": list(request.image_urls)}
        return given | dict(zip(self.pictures, request.image_urls, strict=False))


FAMILIES = (
    Family(
        prefixes=("google/gemini-omni-flash", "gemini-omni"),
        prompt_limit=20_000,
        most_pictures=3,
        seconds="duration",
        allowed_seconds=(8, 4, 6, 10),
        seconds_as_text=True,
    ),
    Family(
        prefixes=("kling-3.0/",),
        prompt_limit=2_500,
        most_pictures=2,
        ratio_with_pictures=False,
        quality=("mode", "std", "pro"),
        seconds="duration",
        allowed_seconds=(5, *(each for each in range(3, 16) if each != 5)),
        seconds_as_text=True,
    ),
    Family(prefixes=("kling/v3-turbo",), prompt_limit=2_500, most_pictures=2),
    Family(
        prefixes=("bytedance/seedance-2",),
        prompt_limit=20_000,
        pictures=("first_frame_url",),
        seconds="duration",
        allowed_seconds=(5, 4, *range(6, 16)),
    ),
    Family(prefixes=("wan/2-7",), prompt_limit=5_000, pictures=("first_frame_url", "last_frame_url"), ratio="ratio"),
    Family(
        prefixes=("minimax-h3/",),
        prompt_limit=7_000,
        pictures=("first_frame_url", "last_frame_url"),
        ratio_with_pictures=False,
        quality=("resolution", "768P", "2K"),
        seconds="duration",
        allowed_seconds=(6, 4, 5, *range(7, 16)),
    ),
    Family(prefixes=("grok-imagine-video",), prompt_limit=4_096, most_pictures=7),
)


def family_of(model: str) -> Family | None:
    """The family that a model belongs to; None where the table has none."""
    return next((family for family in FAMILIES if model.startswith(family.prefixes)), None)


@dataclass(frozen=True, slots=True, kw_only=True)
class Kie(Sora2API):
    """One model of Kie's, and another one for hd where that is set."""

    model: str
    hd_model: str = ""
    seconds: int = 0
    """The length where the caller names none; 0 = the family's own."""
    extra: Mapping[str, Any] = field(default_factory=dict)
    """Merged into the input of each order, over what the family says."""

    def capabilities(self, quality: Quality = Quality.STANDARD) -> Capabilities:
        model = self._model_of(quality)
        maker, family = f"{model} at Kie", family_of(model)
        # How an unknown model takes a ratio, a length or a picture cannot be guessed: orders have the prompt alone.
        if family is None:
            return Capabilities(
                maker=maker,
                prompt_limit=LONGEST_PROMPT,
                image_limit=0,
                aspect_ratio=False,
                hd=bool(self.hd_model),
                retention=RETENTION,
                tells_costs=True,
            )
        own = family.allowed_seconds[0] if family.seconds else 0
        return Capabilities(
            maker=maker,
            prompt_limit=family.prompt_limit,
            image_limit=family.image_limit,
            seconds=family.allowed_seconds,
            # A default that this model does not make must not refuse every order; the doctor warns of it.
            default_seconds=self.seconds if self.seconds in family.allowed_seconds else own,
            retention=RETENTION,
            tells_costs=True,
        )

    def order(self, request: VideoRequest, pictures: Sequence[Picture] = ()) -> Call:  # noqa: ARG002 - takes none
        model = self._model_of(request.quality)
        family = family_of(model)
        given = {"prompt": request.prompt} if family is None else family.input_of(request)
        if family is not None and request.image_urls:
            model = model.replace(*family.image_model)
        body: dict[str, Any] = {"model": model, "input": {**given, **self.extra}}
        if request.callback_url:
            body["callBackUrl"] = request.callback_url
        return Call(method="POST", path="/jobs/createTask", json=body)

    @property
    def signs_callbacks(self) -> bool:
        return True

    @property
    def picture_form(self) -> PictureForm:
        return PictureForm.UPLOAD

    def upload(self, picture: Picture, base_url: str) -> Call:
        # Kie must not see a gateway's key: behind any other address the upload goes there, too.
        return Call(
            method="POST",
            path="/api/file-stream-upload",
            base_url=UPLOADS if base_url == BASE_URL else base_url.removesuffix("/api/v1"),
            form={"uploadPath": "sora2-mcp", "fileName": picture.name},
            files={"file": picture},
        )

    def uploaded(self, answer: Answer) -> str:
        envelope = envelope_of(answer)
        if envelope.code != OK:
            raise service_error(envelope.code or 0, envelope.words)
        url = envelope.data.get("downloadUrl") if isinstance(envelope.data, dict) else ""
        if not isinstance(url, str) or not is_http_url(url):
            raise LostAnswerError("it took a picture but gives no address of it")
        return url

    def look(self, task_id: str) -> Call:
        return Call(method="GET", path="/jobs/recordInfo", query={"taskId": task_id})

    def balance(self) -> Call:
        return Call(method="GET", path="/chat/credit")

    def balance_in(self, answer: Answer) -> float | None:
        return amount(envelope_of(answer).data)

    def is_signed(self, headers: Mapping[str, str], body: bytes, secret: str) -> bool:
        # Only the task's id and the time are signed, so what the body says remains a hint.
        signed = f"{self.callback_task_id(body)}.{headers.get('x-webhook-timestamp', '')}"
        mark = base64.b64encode(hmac.digest(secret.encode(), signed.encode(), sha256)).decode()
        return hmac.compare_digest(mark.encode(), headers.get("x-webhook-signature", "").encode())

    def _model_of(self, quality: Quality) -> str:
        return self.hd_model if self.hd_model and quality is Quality.HD else self.model
