"""How Kie's models are asked for a video, and what its answers mean."""

import json
from datetime import UTC, datetime
from typing import Any

import pytest

from sora2_mcp.domain.request import AspectRatio, Quality, VideoRequest
from sora2_mcp.domain.task import Failure, Sighting, Snapshot, Stage
from sora2_mcp.errors import ArgumentError, RateLimitedError
from sora2_mcp.services.kie import Kie
from sora2_mcp.services.service import Answer, Call

SEEN_AT = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
CAT = VideoRequest(prompt="A cat")
FIRST, SECOND = "https://x.example/1.png", "https://x.example/2.png"
URL = "https://cdn.example.com/x.mp4"

INPUTS: dict[str, tuple[VideoRequest, dict[str, Any]]] = {
    "kling-3.0/video": (CAT, {"aspect_ratio": "16:9", "mode": "std", "duration": "5"}),
    "gemini-omni": (CAT, {"aspect_ratio": "16:9", "resolution": "720p", "duration": "8"}),
    "google/gemini-omni-flash-video": (CAT, {"aspect_ratio": "16:9", "resolution": "720p", "duration": "8"}),
    "kling/v3-turbo-text-to-video": (CAT, {"aspect_ratio": "16:9", "resolution": "720p"}),
    "bytedance/seedance-2": (CAT, {"aspect_ratio": "16:9", "resolution": "720p", "duration": 5}),
    "wan/2-7-text-to-video": (CAT, {"ratio": "16:9", "resolution": "720p"}),
    "minimax-h3/text-to-video": (CAT, {"aspect_ratio": "16:9", "resolution": "768P", "duration": 6}),
    "grok-imagine-video": (CAT, {"aspect_ratio": "16:9", "resolution": "720p"}),
    "somebody/new-model": (CAT, {}),
}


def ordered(kie: Kie, request: VideoRequest) -> Call:
    return kie.order(request.validated(kie.capabilities(request.quality)))


def pictured(*addresses: str, **fields: Any) -> VideoRequest:
    return VideoRequest(prompt="A cat", image_urls=addresses, **fields)


@pytest.mark.parametrize("model", INPUTS)
def test_an_order_is_spelled_as_its_family_does(model: str) -> None:
    request, spelled = INPUTS[model]

    assert ordered(Kie(model=model), request) == Call(
        method="POST", path="/jobs/createTask", json={"model": model, "input": {"prompt": "A cat", **spelled}}
    )


def test_pictures_format_quality_length_and_callback_stand_where_the_family_wants_them() -> None:
    hd = pictured(FIRST, SECOND, aspect_ratio=AspectRatio.PORTRAIT, quality=Quality.HD, callback_url="https://me/x")

    kling = ordered(Kie(model="kling-3.0/video", seconds=10), hd).json
    wan = ordered(Kie(model="wan/2-7-text-to-video"), hd).json
    grok = ordered(Kie(model="grok-imagine-video"), hd).json

    assert kling == {
        "model": "kling-3.0/video",
        "callBackUrl": "https://me/x",
        "input": {"prompt": "A cat", "mode": "pro", "duration": "10", "image_urls": [FIRST, SECOND]},
    }
    assert wan is not None
    assert (wan["model"], wan["input"]) == (
        "wan/2-7-image-to-video",
        {
            "prompt": "A cat",
            "ratio": "9:16",
            "resolution": "1080p",
            "first_frame_url": FIRST,
            "last_frame_url": SECOND,
        },
    )
    assert grok is not None
    assert grok["input"]["image_urls"] == [FIRST, SECOND]


def test_another_model_may_make_hd_and_own_input_wins_over_the_familys() -> None:
    kie = Kie(model="wan/2-7-text-to-video", hd_model="somebody/new-hd", extra={"resolution": "480p", "seed": 7})

    standard = ordered(kie, CAT).json
    hd = ordered(kie, VideoRequest(prompt="A cat", quality=Quality.HD)).json

    assert standard is not None
    assert standard["input"] == {"prompt": "A cat", "ratio": "16:9", "resolution": "480p", "seed": 7}
    assert hd == {"model": "somebody/new-hd", "input": {"prompt": "A cat", "resolution": "480p", "seed": 7}}


@pytest.mark.parametrize(
    ("kie", "request_", "argument", "problem"),
    [
        (Kie(model="kling-3.0/video"), VideoRequest(prompt="x" * 2501), "prompt", "allowed are 1 to 2,500"),
        (Kie(model="kling-3.0/video"), pictured(*[FIRST] * 3), "image_urls", "allowed are at most 2"),
        (Kie(model="bytedance/seedance-2"), pictured(FIRST, SECOND), "image_urls", "allowed are at most 1"),
        (
            Kie(model="gemini-omni"),
            VideoRequest(prompt="x", seconds=5),
            "seconds",
            "cannot be 5: allowed is 4, 6, 8, 10",
        ),
        (Kie(model="kling-3.0/video"), VideoRequest(prompt="x", seconds=16), "seconds", "allowed is 3 to 15"),
        (Kie(model="wan/2-7-text-to-video"), VideoRequest(prompt="x", seconds=5), "seconds", "sets the length"),
        (Kie(model="kling-3.0/video"), VideoRequest(prompt="x", watermark="me"), "watermark", "takes none"),
        (Kie(model="somebody/new"), pictured(FIRST), "image_urls", "cannot be sent"),
        (Kie(model="somebody/new"), VideoRequest(prompt="x", quality=Quality.HD), "quality", "standard only"),
        (
            Kie(model="somebody/new"),
            VideoRequest(prompt="x", aspect_ratio=AspectRatio.PORTRAIT),
            "aspect_ratio",
            "it is not known how",
        ),
    ],
)
def test_what_a_model_does_not_take_is_refused_before_anything_is_sent(
    kie: Kie, request_: VideoRequest, argument: str, problem: str
) -> None:
    with pytest.raises(ArgumentError, match=problem) as raised:
        request_.validated(kie.capabilities(request_.quality))

    assert raised.value.argument == argument


def answer(data: object, code: int = 200) -> Answer:
    return Answer(status=200, text=json.dumps({"code": code, "msg": "why", "data": data}))


def test_an_accepted_order_is_known_by_its_task_or_record() -> None:
    kie = Kie(model="any")

    assert kie.accepted(answer({"taskId": "t1", "recordId": "r1"})) == "t1"
    assert kie.accepted(answer({"recordId": "r1"})) == "r1"
    with pytest.raises(RateLimitedError):
        kie.accepted(answer(None, 429))


def test_a_look_and_a_callback_tell_what_became_of_the_task() -> None:
    kie = Kie(model="any")
    param = json.dumps({"model": "any", "input": json.dumps({"prompt": "A cat"})})
    record = {"taskId": "t1", "state": "success", "resultJson": json.dumps({"resultUrls": [URL]}), "param": param}
    seen = kie.snapshot(answer(record), SEEN_AT)
    failed = kie.snapshot(answer({"taskId": "t1", "state": "fail", "failCode": "500", "failMsg": "no"}), SEEN_AT)

    assert kie.look("t1") == Call(method="GET", path="/jobs/recordInfo", query={"taskId": "t1"})
    assert (seen.sighting, seen.video_url, seen.fits(CAT)) == (Sighting.SUCCEEDED, URL, True)
    assert failed.failure == Failure(stage=Stage.GENERATION, code=500, message="no")
    assert kie.snapshot(answer(None, 422), SEEN_AT) == Snapshot(sighting=Sighting.MISSING, seen_at=SEEN_AT)
    assert kie.callback_task_id(json.dumps({"code": 501, "data": {"task_id": "t1"}}).encode()) == "t1"
