"""OpenRouter's videos (``/api/v1/videos``): many models under one key, with callbacks and costs in USD. Pure.

Source: OpenRouter's documentation of video generation, 2026-10.
"""

import hmac
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from hashlib import sha256
from typing import Any

from sora2_mcp.domain.request import Capabilities, Quality, VideoRequest, sanitized_url
from sora2_mcp.services.openai import OpenAI, Video, is_content_of
from sora2_mcp.services.service import LONGEST_PROMPT, NOT_ACCEPTED, RATIOS, Call, Picture, PictureForm
from sora2_mcp.services.sora2api import is_task_id
from sora2_mcp.services.wire import first_url, object_in

_RESOLUTIONS = {Quality.STANDARD: "720p", Quality.HD: "1080p"}
_FRAMES = ("first_frame", "last_frame")
_LONGEST_SECONDS = 60
_FAULT = 500


@dataclass(frozen=True, slots=True, kw_only=True)
class OpenRouter(OpenAI):
    """One model of OpenRouter's, and another one for hd where that is set."""

    def capabilities(self, quality: Quality = Quality.STANDARD) -> Capabilities:
        return Capabilities(
            maker=f"{self._model_of(quality) or 'the configured model'} at OpenRouter",
            prompt_limit=LONGEST_PROMPT,
            image_limit=len(_FRAMES),
            callback_needs_https=True,
            seconds=range(1, _LONGEST_SECONDS + 1),
            default_seconds=self.seconds if self.seconds <= _LONGEST_SECONDS else 0,
            price_unit="USD",
            tells_costs=True,
        )

    @property
    def signs_callbacks(self) -> bool:
        return True

    @property
    def picture_form(self) -> PictureForm:
        return PictureForm.DATA

    def order(self, request: VideoRequest, pictures: Sequence[Picture] = ()) -> Call:  # noqa: ARG002 - takes none
        body: dict[str, Any] = {
            "model": self._model_of(request.quality),
            "prompt": request.prompt,
            "aspect_ratio": RATIOS[request.aspect_ratio],
            "resolution": _RESOLUTIONS[request.quality],
            "duration": request.seconds,
            "callback_url": request.callback_url,
            "frame_images": [
                {"type": "image_url", "image_url": {"url": url}, "frame_type": which}
                for url, which in zip(request.image_urls, _FRAMES, strict=False)
            ],
        }
        given = {name: value for name, value in body.items() if value}
        return Call(method="POST", path="/videos", json={**given, **self.extra})

    def callback_task_id(self, body: bytes) -> str:
        data = (object_in(body) or {}).get("data")
        task_id = data.get("id") if isinstance(data, dict) else ""
        return task_id if isinstance(task_id, str) and is_task_id(task_id) else ""

    def is_signed(self, headers: Mapping[str, str], body: bytes, secret: str) -> bool:
        given = headers.get("x-openrouter-signature", "")
        # The header is ``t=1788220800,v1=<hex>``; what is signed is the time and the body as it came.
        parts = dict(part.strip().partition("=")[::2] for part in given.split(","))
        mark = hmac.new(secret.encode(), f"{parts.get('t', '')},".encode() + body, sha256).hexdigest()
        return hmac.compare_digest(mark.encode(), parts.get("v1", "").encode())

    def _address_of(self, video: Video) -> str:
        # Its ``urls`` are signed; its ``unsigned_urls`` need the key and are the content address below.
        url = first_url(video.urls)
        return (
            sanitized_url(url)
            if url and not is_content_of(url, video.id)
            else f"{self.look(video.id).path}/content?index=0"
        )

    def _refuses(self, status: int) -> bool:
        # OpenRouter itself is the only gateway, and 500 is an error of its own.
        return status == _FAULT or status in NOT_ACCEPTED
