"""Kie (kie.ai): many models behind one pair of calls, in the envelope of the reference service. Pure.

Source: Kie's documentation of ``createTask``, ``recordInfo`` and of each model, 2026-08 to 2026-10. Ids and inputs
change monthly: a model is a setting, this table says how a family spells what is ordered, and ``extra`` overrides it.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from sora2_mcp.domain.request import AspectRatio, Quality, VideoRequest
from sora2_mcp.domain.task import Snapshot
from sora2_mcp.errors import ArgumentError
from sora2_mcp.services.service import Answer, Call
from sora2_mcp.services.sora2api import Sora2API

_RATIOS = {AspectRatio.LANDSCAPE: "16:9", AspectRatio.PORTRAIT: "9:16"}


@dataclass(frozen=True, slots=True, kw_only=True)
class Family:
    """How the models whose id begins with one of ``prefixes`` spell what is ordered, and their limits.

    ``pictures``: the fields that take one picture each, or the one field that takes a list of ``most_pictures``.
    ``image_model``: what stands in the id of a model that starts from pictures, in the place of what in that of others.
    ``seconds``: the field of the length and its shortest and longest, written as text where ``seconds_as_text``.
    """

    prefixes: tuple[str, ...]
    prompt_limit: int
    pictures: tuple[str, ...] = ("image_urls",)
    most_pictures: int = 1
    image_model: tuple[str, str] = ("text-to-video", "image-to-video")
    ratio: str = "aspect_ratio"
    ratio_with_pictures: bool = True
    quality: tuple[str, str, str] = ("resolution", "720p", "1080p")
    seconds: str = ""
    allowed_seconds: tuple[int, ...] = ()
    seconds_as_text: bool = False

    def input_of(self, request: VideoRequest, seconds: int) -> dict[str, Any]:
        """The input of an order; ``seconds`` is 0 where the model chooses.

        Raises:
            ArgumentError: an argument is outside what these models take.
        """
        self._check(request, seconds)
        name, standard, hd = self.quality
        given: dict[str, Any] = {"prompt": request.prompt, name: hd if request.quality is Quality.HD else standard}
        if not request.image_urls or self.ratio_with_pictures:
            given[self.ratio] = _RATIOS[request.aspect_ratio]
        if self.seconds and (chosen := seconds or self.allowed_seconds[0]):
            given[self.seconds] = str(chosen) if self.seconds_as_text else chosen
        return given | self._pictures_of(request)

    def _pictures_of(self, request: VideoRequest) -> dict[str, Any]:
        if not request.image_urls:
            return {}
        if self.pictures == ("image_urls",):
            return {"image_urls": list(request.image_urls)}
        return dict(zip(self.pictures, request.image_urls, strict=False))

    def _check(self, request: VideoRequest, seconds: int) -> None:
        most = self.most_pictures if self.pictures == ("image_urls",) else len(self.pictures)
        if len(request.prompt) > self.prompt_limit:
            problem = f"has {len(request.prompt):,} characters; this model takes 1 to {self.prompt_limit:,}."
            raise ArgumentError("prompt", problem)
        if len(request.image_urls) > most:
            problem = f"has {len(request.image_urls)} addresses; this model takes at most {most}."
            raise ArgumentError("image_urls", problem)
        if seconds and seconds not in self.allowed_seconds:
            allowed = ", ".join(map(str, self.allowed_seconds))
            problem = f"cannot be {seconds}; this model takes {allowed}." if allowed else "cannot be chosen here."
            raise ArgumentError("seconds", problem)


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
"""The first of ``allowed_seconds`` is what is sent where nobody chooses: some models demand a length."""


def family_of(model: str) -> Family | None:
    """The family a model belongs to; None where this table knows none."""
    return next((family for family in FAMILIES if model.startswith(family.prefixes)), None)


def _check_plain(request: VideoRequest) -> None:
    """Nothing that was asked for is left out in silence.

    Raises:
        ArgumentError: it needs a field whose name is not known here.
    """
    for argument, is_asked in (
        ("image_urls", bool(request.image_urls)),
        ("aspect_ratio", request.aspect_ratio is not AspectRatio.LANDSCAPE),
    ):
        if is_asked:
            raise ArgumentError(argument, "cannot be sent: it is not known how the configured model takes it.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Kie:
    """One model of Kie's, and another one for hd where that is set; see ``service.Service``.

    ``extra`` is merged into the input of each order, over what the family says. A model of no known family gets the
    prompt and ``extra`` alone.
    """

    model: str
    hd_model: str = ""
    seconds: int = 0
    extra: Mapping[str, Any] = field(default_factory=dict)

    def order(self, request: VideoRequest) -> Call:
        """What orders a video.

        Raises:
            ArgumentError: the model does not take it.
        """
        model = self.hd_model if self.hd_model and request.quality is Quality.HD else self.model
        family = family_of(model)
        if family is None:
            _check_plain(request)
        given = {"prompt": request.prompt} if family is None else family.input_of(request, self.seconds)
        if family is not None and request.image_urls:
            model = model.replace(*family.image_model)
        body: dict[str, Any] = {"model": model, "input": {**given, **self.extra}}
        if request.callback_url:
            body["callBackUrl"] = request.callback_url
        return Call(method="POST", path="/jobs/createTask", json=body)

    def accepted(self, answer: Answer) -> str:
        return Sora2API().accepted(answer)

    def look(self, task_id: str) -> Call:
        return Call(method="GET", path="/jobs/recordInfo", query={"taskId": task_id})

    def snapshot(self, answer: Answer, seen_at: datetime) -> Snapshot:
        return Sora2API().snapshot(answer, seen_at)

    def callback_task_id(self, body: bytes) -> str:
        return Sora2API().callback_task_id(body)
