"""How servers of the Videos API are asked, and what their answers mean in every dialect seen."""

import json
from contextlib import suppress
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora2_mcp.domain.request import AspectRatio, Quality, VideoRequest
from sora2_mcp.domain.task import Sighting
from sora2_mcp.errors import (
    BadRequestError,
    GatewayError,
    LostAnswerError,
    NoCreditsError,
    RateLimitedError,
    ServiceError,
    Sora2Error,
    UnauthorizedError,
)
from sora2_mcp.services.kie import Kie
from sora2_mcp.services.openai import OpenAI
from sora2_mcp.services.openrouter import OpenRouter
from sora2_mcp.services.service import Answer, Call, Picture, PictureForm
from sora2_mcp.services.sora2api import Sora2API

SEEN_AT = datetime(2026, 11, 28, 12, 0, tzinfo=UTC)
BASE = "http://gpu.example:8000/v1"
CDN = "https://cdn.example.com/x.mp4"
CAT = VideoRequest(prompt="A cat")
PICTURE = Picture(name="cat.png", media_type="image/png", content=b"bytes")
HOME = OpenAI(base_url=BASE)


def ordered(service: OpenAI, *pictures: Picture, **fields: Any) -> Call:
    request = VideoRequest(prompt="A cat", **fields)
    return service.order(request.validated(service.capabilities(request.quality)), pictures)


def answer(content: object, status: int = 200) -> Answer:
    return Answer(status=status, text=content if isinstance(content, str) else json.dumps(content))


def seen(service: OpenAI = HOME, **record: Any) -> Any:
    return service.snapshot(answer({"id": "v1", "object": "video", **record}), SEEN_AT)


def test_an_order_is_a_form_whose_length_is_always_said() -> None:
    assert ordered(HOME) == Call(
        method="POST", path="/videos", form={"prompt": "A cat", "seconds": "4", "size": "1280x720"}
    )


def test_model_length_size_picture_and_own_input_stand_where_they_belong() -> None:
    mine = OpenAI(base_url=BASE, model="wan", hd_model="wan-hd", seconds=6, extra={"fps": 16, "seed": "7"})
    call = ordered(mine, PICTURE, quality=Quality.HD, aspect_ratio=AspectRatio.PORTRAIT)

    assert call.form == {
        "prompt": "A cat", "model": "wan-hd", "seconds": "6", "size": "1024x1792", "fps": "16", "seed": "7",
    }  # fmt: skip
    assert call.files == {"input_reference": PICTURE}
    assert mine.picture_form is PictureForm.FILE


def test_as_json_a_picture_goes_by_its_address() -> None:
    mine = OpenAI(base_url=BASE, as_json=True, extra={"size": "832x480"})

    assert ordered(mine, seconds=8, image_urls=("https://x.example/1.png",)) == Call(
        method="POST",
        path="/videos",
        json={
            "prompt": "A cat",
            "seconds": "8",
            "size": "832x480",
            "input_reference": {"image_url": "https://x.example/1.png"},
        },
    )
    assert mine.picture_form is PictureForm.DATA


@pytest.mark.parametrize("id", ["video_1", "x" * 400])
def test_an_accepted_order_is_known_by_its_id(id: str) -> None:
    assert HOME.accepted(answer({"id": id, "status": "queued"})) == id
    assert HOME.accepted(answer({"id": id, "status": "queued"}, 201)) == id


@pytest.mark.parametrize(
    ("status", "content", "error"),
    [
        (
            400,
            {"error": {"message": "no", "type": "invalid_request_error", "code": "moderation_blocked"}},
            BadRequestError,
        ),
        (400, {"error": "no"}, BadRequestError),
        (400, {"detail": "no"}, BadRequestError),
        (401, {"error": {"message": "no"}}, UnauthorizedError),
        (403, {"error": {"message": "no"}}, UnauthorizedError),
        (403, {"error": {"message": "no: content policy"}}, BadRequestError),
        (402, {"error": {"message": "no", "code": 402}}, NoCreditsError),
        (422, {"detail": [{"loc": ["body", "size"], "msg": "no"}]}, ServiceError),
        (429, {"error": {"message": "no"}}, RateLimitedError),
        (429, "slow down", RateLimitedError),
        (403, "error code: 1010", GatewayError),
        (404, "<html>", GatewayError),
        (500, {"error": {"message": "no"}}, LostAnswerError),
        (503, {"error": {"message": "no"}}, LostAnswerError),
        (502, "<html>", LostAnswerError),
        (200, {"object": "video"}, LostAnswerError),
        (200, {"id": "x" * 1001}, LostAnswerError),
        (200, "", LostAnswerError),
        (200, "[]", LostAnswerError),
        (408, {"error": {"message": "no"}}, LostAnswerError),
    ],
)
def test_what_became_of_an_order_that_has_no_id(status: int, content: object, error: type[Sora2Error]) -> None:
    with pytest.raises(error) as raised:
        HOME.accepted(answer(content, status))

    assert type(raised.value) is error or error is ServiceError
    if isinstance(raised.value, ServiceError) and isinstance(content, dict):
        assert "no" in raised.value.message


@pytest.mark.parametrize("status", [301, 308, 404])
def test_an_address_that_leads_elsewhere_is_named(status: int) -> None:
    with pytest.raises(Sora2Error, match="SORA2_API_BASE_URL may be wrong"):
        HOME.accepted(answer("", status))


@pytest.mark.parametrize(
    "word", ["queued", "in_progress", "pending", "processing", "unknown", "warming_up", "", "QUEUED"]
)
def test_any_word_that_is_no_end_means_generating(word: str) -> None:
    assert seen(status=word).sighting is Sighting.GENERATING


@pytest.mark.parametrize("word", ["completed", "succeeded", "succeed", "success", "Completed"])
def test_every_word_of_success_is_one_and_the_video_is_behind_the_key(word: str) -> None:
    found = seen(status=word)

    assert (found.sighting, found.video_url) == (Sighting.SUCCEEDED, "/videos/v1/content")


@pytest.mark.parametrize("word", ["failed", "fail", "error", "cancelled", "expired"])
def test_every_word_of_failure_is_one(word: str) -> None:
    found = seen(status=word)

    assert found.sighting is Sighting.FAILED
    assert found.failure.message == word


@pytest.mark.parametrize(
    ("error", "code", "message"),
    [
        ({"code": "moderation_blocked", "message": "no"}, 0, "moderation_blocked: no"),
        ({"code": 501, "message": "no"}, 501, "no"),
        ({"code": "501", "message": "no"}, 501, "no"),
        ({"message": "no"}, 0, "no"),
        ({"code": "bad"}, 0, "bad"),
        ("no", 0, "no"),
        ([{"msg": "no"}], 0, "no"),
        (None, 0, "failed"),
        ({}, 0, "failed"),
        (7, 0, "failed"),
    ],
)
def test_the_error_of_a_failure_is_read_in_every_shape(error: object, code: int, message: str) -> None:
    failure = seen(status="failed", error=error).failure

    assert (failure.code, failure.message) == (code, message)


@pytest.mark.parametrize(
    "record",
    [
        {"url": CDN},
        {"urls": [CDN]},
        {"metadata": {"url": CDN}},
        {"output": {"videos": [{"url": CDN}]}},
    ],
)
def test_an_address_of_the_records_own_is_taken_unless_it_is_the_services(record: dict[str, Any]) -> None:
    own = json.loads(json.dumps(record).replace("https://cdn.example.com", "http://gpu.example:8000"))

    assert seen(status="completed", **record).video_url == CDN
    assert seen(status="completed", **own).video_url == "/videos/v1/content"


@pytest.mark.parametrize(
    ("base_url", "url"),
    [
        ("https://GPU.example/v1", "https://gpu.example/v1/videos/v1/content"),
        ("https://gpu.example:443/v1", "https://gpu.example./x.mp4"),
        ("http://127.0.0.1:8000/v1", "http://localhost:8000/v1/videos/v1/content"),
        ("http://litellm:4000/v1", "https://videos.example.com/v1/videos/v1/content"),
    ],
)
def test_the_services_own_address_is_known_under_every_name(base_url: str, url: str) -> None:
    service = OpenAI(base_url=base_url)

    assert seen(service, status="completed", url=url).video_url == "/videos/v1/content"
    assert seen(service, status="completed", url=CDN).video_url == CDN


def test_what_openrouter_calls_signed_and_is_not_is_behind_the_key() -> None:
    router = OpenRouter(base_url="https://openrouter.ai/api/v1", model="a/b")
    unsigned = "https://openrouter.ai/api/v1/videos/v1/content?index=0"

    assert seen(router, status="completed", urls=[unsigned]).video_url == "/videos/v1/content?index=0"
    assert seen(router, status="completed", urls=[f"{unsigned}&sig=x"]).video_url == f"{unsigned}&sig=x"


@pytest.mark.parametrize("named", [{"id": None, "task_id": "v1"}, {"id": "", "video_id": "v1"}, {"task_id": "v1"}])
def test_a_name_with_nothing_in_it_hides_no_other(named: dict[str, Any]) -> None:
    assert HOME.accepted(answer(named)) == "v1"
    assert Kie(model="a/b").accepted(answer({"code": 200, "data": {"taskId": None, "recordId": "r1"}})) == "r1"


@pytest.mark.parametrize("code", [408, 409, 425, 499, 502])
def test_a_code_of_time_that_ran_out_leaves_an_order_open(code: int) -> None:
    for service in (Sora2API(), Kie(model="a/b")):
        with pytest.raises(LostAnswerError):
            service.accepted(answer({"code": code, "msg": "no", "data": None}))


def test_a_length_that_openrouter_does_not_take_is_passed_over() -> None:
    assert OpenRouter(model="a/b", seconds=120).capabilities().default_seconds == 0
    assert OpenRouter(model="a/b", seconds=8).capabilities().default_seconds == 8


def test_times_in_milliseconds_and_fields_nobody_knows_do_no_harm() -> None:
    found = seen(status="queued", created_at=1_764_000_000_000, expires_at="soon", progress="12%", extra={"a": [1]})

    assert found.sighting is Sighting.GENERATING


def test_what_was_ordered_is_read_where_it_is_said() -> None:
    found = seen(status="queued", prompt="A cat", size="720x1280", seconds="8")

    assert found.request == VideoRequest(prompt="A cat", aspect_ratio=AspectRatio.PORTRAIT, seconds=8)
    assert found.fits(VideoRequest(prompt="A cat", aspect_ratio=AspectRatio.PORTRAIT, seconds=8))
    assert not seen(status="queued", size="720x1280").fits(CAT)


@pytest.mark.parametrize("content", [{"error": {"message": "no"}}, {"detail": "Not Found"}, "<html>", ""])
def test_a_look_that_finds_nothing_is_missing(content: object) -> None:
    assert HOME.snapshot(answer(content, 404), SEEN_AT).sighting is Sighting.MISSING


@pytest.mark.parametrize(
    ("status", "content"), [(500, {"error": {"message": "no"}}), (200, {"object": "list"}), (200, "<html>"), (401, {})]
)
def test_a_look_that_cannot_be_read_leaves_the_task_alone(status: int, content: object) -> None:
    with pytest.raises(Sora2Error):
        HOME.snapshot(answer(content, status), SEEN_AT)


def test_an_id_is_part_of_a_path_and_nothing_more() -> None:
    assert HOME.look("a/../b?c#d").path == "/videos/a%2F..%2Fb%3Fc%23d"


def test_the_doctor_hears_whether_there_is_such_a_service() -> None:
    assert HOME.report(answer({"error": {"message": "no such video"}}, 404)).code == 200
    assert HOME.report(answer({"detail": "Not Found"}, 404)).code == 404
    assert HOME.report(answer({"error": {"message": "no"}}, 403)).code == 401


def test_openrouter_spells_an_order_in_json() -> None:
    router = OpenRouter(base_url="https://openrouter.ai/api/v1", model="a/b", extra={"seed": 1})
    call = ordered(
        router, seconds=8, quality=Quality.HD, callback_url="https://me.example/x",
        image_urls=("https://x.example/1.png", "https://x.example/2.png"),
    )  # fmt: skip

    assert call.json == {
        "model": "a/b",
        "prompt": "A cat",
        "aspect_ratio": "16:9",
        "resolution": "1080p",
        "duration": 8,
        "callback_url": "https://me.example/x",
        "frame_images": [
            {"type": "image_url", "image_url": {"url": "https://x.example/1.png"}, "frame_type": "first_frame"},
            {"type": "image_url", "image_url": {"url": "https://x.example/2.png"}, "frame_type": "last_frame"},
        ],
        "seed": 1,
    }
    assert "duration" not in (ordered(router).json or {})


def test_openrouter_tells_costs_and_where_the_video_is() -> None:
    router = OpenRouter(base_url="https://openrouter.ai/api/v1", model="a/b")
    unsigned = ["https://openrouter.ai/api/v1/videos/v1/content?index=0"]
    hidden = seen(router, status="completed", unsigned_urls=unsigned, usage={"cost": 0.4})
    signed = seen(router, status="completed", unsigned_urls=unsigned, urls=[CDN], usage={"cost": "0.25"})

    assert (hidden.video_url, hidden.cost) == ("/videos/v1/content?index=0", 0.4)
    assert (signed.video_url, signed.cost) == (CDN, 0.25)
    with pytest.raises(ServiceError):
        router.accepted(answer({"error": {"code": 500, "message": "no"}}, 500))
    with pytest.raises(LostAnswerError):
        router.accepted(answer({"error": {"code": 502, "message": "no"}}, 502))


@pytest.mark.parametrize(
    ("body", "id"),
    [
        (b'{"type": "video.generation.completed", "data": {"id": "v1", "status": "completed"}}', "v1"),
        (b'{"data": {"id": 7}}', ""),
        (b'{"data": []}', ""),
        (b"[]", ""),
        (b"\xff", ""),
        (b"", ""),
    ],
)
def test_openrouters_callbacks_name_a_task(body: bytes, id: str) -> None:
    assert OpenRouter(model="a/b").callback_task_id(body) == id


def test_openrouters_signature_is_over_time_and_body() -> None:
    router = OpenRouter(model="a/b")
    mark = "6d2fa1eb0dbb8ac2ad1c8a2ea8c0ec1b"
    headers = {"x-openrouter-signature": f"t=1,v1={mark}"}

    assert not router.is_signed(headers, b"{}", "secret")
    assert not router.is_signed({}, b"{}", "secret")
    assert not router.is_signed({"x-openrouter-signature": "ä,,=,v1"}, b"{}", "secret")


NAMES = st.sampled_from(
    [
        *("id", "status", "error", "detail", "url", "urls", "metadata", "output", "videos", "usage", "cost", "prompt"),
        *("size", "seconds", "code", "message", "data", "taskId", "state", "resultJson", "param", "input", "failCode"),
        "creditsConsumed",
    ]
)
VALUES = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=20)
    | st.sampled_from(["success", "fail"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(NAMES, inner, max_size=4),
    max_leaves=12,
)
EVERY = (Sora2API(), Kie(model="kling-3.0/video"), HOME, OpenRouter(model="a/b"))


@given(st.dictionaries(NAMES, VALUES, max_size=6), st.sampled_from([200, 202, 400, 402, 404, 409, 429, 500, 502]))
def test_whatever_comes_back_is_read_or_is_one_of_our_errors(content: dict[str, Any], status: int) -> None:
    received = answer(content, status)
    for service in EVERY:
        for read in (service.accepted, service.report, service.balance_in, lambda a, s=service: s.snapshot(a, SEEN_AT)):
            with suppress(Sora2Error):
                read(received)
        assert isinstance(service.callback_task_id(received.text.encode()), str)
        assert service.is_signed({}, received.text.encode(), "secret") is not service.signs_callbacks
