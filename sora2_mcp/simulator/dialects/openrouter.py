"""OpenRouter: most models under one key, with costs in USD.

Source: OpenRouter's pages of video generation, its API reference and its SDKs, 2026-11.
"""

import hmac
import json
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from hashlib import sha256
from ipaddress import ip_address
from typing import Any, Final
from urllib.parse import urlsplit

from starlette.responses import JSONResponse, Response

from sora2_mcp.simulator.callbacks import Callback, Occasion, json_bytes
from sora2_mcp.simulator.order import (
    Check,
    Order,
    Refusal,
    check_fields,
    check_picture_url,
    check_switch,
    integer,
    is_http_url,
    must,
    one_of,
    prompt_faults,
    prompt_up_to,
)
from sora2_mcp.simulator.service import Call, Dialect, Service, Visit, message_of, random_word
from sora2_mcp.simulator.world import Task, failed_word, status_of, video_url

USD_PER_VIDEO: Final = 0.4
_STATUSES: Final = {422: 400, 433: 402, 451: 400, 455: 503, 501: 500, 505: 400}
_FRAME_TYPES: Final = ("first_frame", "last_frame")


@dataclass(frozen=True, slots=True, kw_only=True)
class Model:
    """One row of the catalogue; its orders are held to what it supports."""

    slug: str
    name: str
    resolutions: tuple[str, ...]
    durations: tuple[int, ...]
    usd_per_second: str
    aspect_ratios: tuple[str, ...] = ("16:9", "9:16")
    frames: tuple[str, ...] = _FRAME_TYPES

    def check(self, fields: dict[str, Any]) -> None:
        """Checks an order of this model, whose fields are known to be good in themselves.

        Raises:
            Refusal: 400, the model does not support this.
        """
        supported = {
            "resolution": self.resolutions,
            "aspect_ratio": self.aspect_ratios,
            "duration": self.durations,
        }
        for name, allowed in supported.items():
            if name in fields and fields[name] not in allowed:
                raise Refusal(400, f"{self.slug} supports {name} {', '.join(map(str, allowed))}", param=name)
        for frame in fields.get("frame_images", ()):
            if frame["frame_type"] not in self.frames:
                raise Refusal(400, f"{self.slug} takes no {frame['frame_type']}", param="frame_images")

    def listed(self) -> dict[str, Any]:
        """As the catalogue has it."""
        return {
            "id": self.slug,
            "canonical_slug": self.slug,
            "name": self.name,
            "created": 1_788_220_800,
            "generate_audio": True,
            "supported_resolutions": list(self.resolutions),
            "supported_aspect_ratios": list(self.aspect_ratios),
            "supported_durations": list(self.durations),
            "supported_frame_images": list(self.frames),
            "pricing_skus": {"per-video-second": self.usd_per_second},
            "allowed_passthrough_parameters": [],
        }


MODELS: Final = (
    Model(
        slug="simulated/cinema-2",
        name="Simulated: Cinema 2",
        resolutions=("720p", "1080p"),
        durations=(4, 6, 8),
        usd_per_second="0.10",
    ),
    Model(
        slug="simulated/sketch-1",
        name="Simulated: Sketch 1",
        resolutions=("480p", "720p"),
        durations=(5, 10),
        usd_per_second="0.04",
        frames=("first_frame",),
    ),
)


def _check_frames(name: str, value: object) -> None:
    if not isinstance(value, list) or not all(isinstance(frame, dict) for frame in value):
        raise Refusal(400, f"{name} must be an array of objects", param=name)
    for frame in value:
        image = frame.get("image_url")
        if frame.get("type") != "image_url" or not isinstance(image, dict):
            raise Refusal(400, f"{name} must hold objects of type image_url", param=name)
        check_picture_url(f"{name}.image_url.url", image.get("url"))
        one_of(*_FRAME_TYPES)(f"{name}.frame_type", frame.get("frame_type"))
    if len({frame["frame_type"] for frame in value}) != len(value):
        raise Refusal(400, f"{name} must not have two frames of one type", param=name)


def _is_loopback(url: str) -> bool:
    host = urlsplit(url).hostname or ""
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


_CHECKS: Final[dict[str, Check]] = {
    "prompt": prompt_up_to(32_000),
    "resolution": one_of("480p", "720p", "1080p"),
    "aspect_ratio": one_of("16:9", "9:16"),
    "duration": integer(1, 60),
    "seed": integer(0, 2**63 - 1),
    "generate_audio": check_switch,
    "frame_images": _check_frames,
    # OpenRouter wants https; a test on this machine has no certificate.
    "callback_url": must(
        "be an https URL",
        lambda value: is_http_url(value) and (value.startswith("https:") or _is_loopback(value)),
        code=400,
    ),
}


class OpenRouter(Dialect):
    """`videos`, its content, and the catalogue, which needs no key."""

    name = "openrouter"
    base_path = "/openrouter/api/v1"
    root = "/openrouter"

    def calls(self) -> Sequence[Call]:
        videos = f"{self.base_path}/videos"
        return (
            Call(method="POST", path=videos, act=Service.order),
            Call(method="GET", path=f"{videos}/models", act=_list_models),
            Call(method="GET", path=f"{videos}/{{task_id}}", act=Service.look),
            Call(method="GET", path=f"{videos}/{{task_id}}/content", act=_content),
        )

    def new_task_id(self) -> str:
        return "job-" + random_word(20)

    def read_order(self, fields: dict[str, Any]) -> Order:
        """Unknown fields are ignored, null counts as not given."""
        given = {name: value for name, value in fields.items() if value is not None}
        slug = given.get("model")
        if not isinstance(slug, str) or not slug.strip():
            raise Refusal(400, "model is required", param="model")
        if "prompt" not in given:
            raise Refusal(400, "prompt is required", param="prompt")
        check_fields(given, _CHECKS)
        # A model that the catalogue does not have takes everything: tests and users name models of the real one.
        for model in MODELS:
            if model.slug == slug:
                model.check(given)
        return Order(
            prompt=given["prompt"],
            aspect_ratio="portrait" if given.get("aspect_ratio") == "9:16" else "landscape",
            callback_url=given.get("callback_url", ""),
            param_json=json.dumps({"model": slug}),
            faults=prompt_faults(given["prompt"]),
        )

    def accepted(self, task: Task, origin: str) -> Response:
        content = {"id": task.task_id, "polling_url": _address(task, origin), "status": "pending"}
        return JSONResponse(content, status_code=202)

    def accepted_without_id(self) -> Response:
        return JSONResponse({"status": "pending"}, status_code=202)

    def found(self, task: Task, now: datetime, origin: str) -> Response:
        return JSONResponse(record(task, now, origin))

    def error(self, refusal: Refusal, headers: dict[str, str] | None = None) -> Response:
        status = _STATUSES.get(refusal.code, refusal.code)
        content = {"code": status, "message": message_of(refusal)}
        return JSONResponse({"error": content}, status_code=status, headers=headers)

    def callback(self, task: Task, occasion: Occasion) -> Callback:
        ended = record(task, task.ends_at, task.origin)
        word = "completed" if task.succeeded(task.ends_at) else failed_word(task)
        body = json_bytes({"type": f"video.generation.{word}", "data": ended})
        if not occasion.secret:
            return Callback(body=body)
        at = int(occasion.at.timestamp())
        mark = hmac.digest(occasion.secret.encode(), f"{at},".encode() + body, sha256).hex()
        return Callback(body=body, headers={"X-OpenRouter-Signature": f"t={at},v1={mark}"})


def record(task: Task, now: datetime, origin: str) -> dict[str, Any]:
    """A task; what it does not have yet is left out, and so is the prompt."""
    failure = task.failure(now)
    spelled: dict[str, Any] = {
        "id": task.task_id,
        "polling_url": _address(task, origin),
        "status": status_of(
            task, now, waiting="pending", working="in_progress", succeeded="completed", failed=failed_word(task)
        ),
        "model": json.loads(task.param_json)["model"],
    }
    if failure is not None:
        spelled["error"] = failure.message
    if task.succeeded(now):
        spelled["usage"] = {"cost": USD_PER_VIDEO, "is_byok": False}
    # The first kind of address needs the key, the second none.
    if task.has_video(now):
        spelled["unsigned_urls"] = [f"{_address(task, origin)}/content?index=0"]
        if "signed-url" in task.traits:
            spelled["urls"] = [video_url(task, origin)]
    return spelled


def _address(task: Task, origin: str) -> str:
    return f"{origin.rstrip('/')}{OpenRouter.base_path}/videos/{task.task_id}"


async def _content(service: Service, visit: Visit) -> Response:
    if visit.request.query_params.get("index", "0") != "0":
        raise Refusal(404, "There is one video only")
    return await service.content(visit)


async def _list_models(_: Service, __: Visit) -> Response:
    return JSONResponse({"data": [model.listed() for model in MODELS]})
