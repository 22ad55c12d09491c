import json
from collections.abc import Callable
from dataclasses import asdict
from datetime import UTC, datetime
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sora2_mcp import errors
from sora2_mcp.api.codec import accepted_task_id, order_body, snapshot_of
from sora2_mcp.domain.request import AspectRatio, Quality, VideoRequest, is_http_url
from sora2_mcp.domain.task import Failure, Sighting, Snapshot, Stage
from sora2_mcp.errors import LostAnswerError, ServiceError, Sora2Error

SEEN_AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
URL = "https://cdn.example.com/x.mp4"
NOTHING_KNOWN = VideoRequest(prompt="")

quick = settings(deadline=None)
"""A busy machine is no reason to fail."""


def envelope(data: Any, code: Any = 200, msg: Any = "success") -> bytes:
    return json.dumps({"code": code, "msg": msg, "data": data}).encode()


def look(**record: Any) -> Snapshot:
    return snapshot_of(200, envelope({"taskId": "sora2_task_a", **record}), SEEN_AT)


def test_an_order_with_everything_is_spelled_as_the_service_does() -> None:
    request = VideoRequest(
        prompt="A cat",
        image_urls=("https://example.com/a.jpg", "https://example.com/b.jpg"),
        aspect_ratio=AspectRatio.PORTRAIT,
        quality=Quality.HD,
        watermark="Mine",
        callback_url="https://example.com/hook",
    )

    body = order_body(request)

    assert body == {
        "prompt": "A cat",
        "aspectRatio": "portrait",
        "quality": "hd",
        "imageUrls": ["https://example.com/a.jpg", "https://example.com/b.jpg"],
        "watermark": "Mine",
        "callBackUrl": "https://example.com/hook",
    }
    assert json.loads(json.dumps(body)) == body


def test_an_order_leaves_out_what_was_not_given() -> None:
    assert order_body(VideoRequest(prompt="A cat")) == {
        "prompt": "A cat",
        "aspectRatio": "landscape",
        "quality": "standard",
    }


@pytest.mark.parametrize(
    ("http_status", "body"),
    [
        (200, envelope({"taskId": "sora2_task_a"})),
        (200, envelope({"taskId": "sora2_task_a", "eta": 60}, code="200")),
        (200, b'{"data": {"taskId": " sora2_task_a "}}'),
        (200, b'\xef\xbb\xbf{"code": 200, "message": "ok", "data": {"task_id": "sora2_task_a"}}'),
        (502, envelope({"taskId": "sora2_task_a"})),
    ],
)
def test_an_accepted_order_has_the_services_id(http_status: int, body: bytes) -> None:
    assert accepted_task_id(http_status, body) == "sora2_task_a"


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"taskId": None},
        {"taskId": ""},
        {"taskId": "  "},
        {"taskId": {"id": 1}},
        {"taskId": True},
        "sora2_a",
        [],
        {"taskId": "x" * 201},
        {"taskId": "a\nb"},
        {"taskId": "a\u202eb"},
    ],
    ids=repr,
)
def test_an_order_said_to_be_accepted_without_a_usable_id_is_unclear(data: Any) -> None:
    with pytest.raises(LostAnswerError) as raised:
        accepted_task_id(200, envelope(data))

    assert raised.value.reason == "it says the order is accepted but names no task"


UNREADABLE = {
    "a web page": b"<html><body>502 Bad Gateway</body></html>",
    "an empty body": b" \n",
    "no readable JSON": b'{"code": 200, "data": {"taskId": "sora2_ta',
}
NO_OBJECT = [b'["sora2_task_a"]', b'"sora2_task_a"', b"200", b"null", b"\xff\xfe\xfa", b"[" * 100_000, b"1" * 5000]


@pytest.mark.parametrize("http_status", [200, 500, 502])
@pytest.mark.parametrize("kind", UNREADABLE)
def test_an_answer_that_is_no_json_leaves_everything_open(http_status: int, kind: str) -> None:
    with pytest.raises(LostAnswerError) as order:
        accepted_task_id(http_status, UNREADABLE[kind])
    with pytest.raises(LostAnswerError) as looked:
        snapshot_of(http_status, UNREADABLE[kind], SEEN_AT)

    assert order.value.reason == looked.value.reason == f"HTTP {http_status} with {kind}"


@pytest.mark.parametrize("http_status", [200, 500, 502])
@pytest.mark.parametrize("body", NO_OBJECT, ids=lambda body: repr(body[:12]))
def test_json_that_is_no_object_leaves_everything_open(http_status: int, body: bytes) -> None:
    with pytest.raises(LostAnswerError) as order:
        accepted_task_id(http_status, body)
    with pytest.raises(LostAnswerError) as looked:
        snapshot_of(http_status, body, SEEN_AT)

    assert order.value.reason == looked.value.reason == f"HTTP {http_status} with no readable JSON"


CODES: dict[int, type[ServiceError]] = {
    400: errors.BadRequestError,
    401: errors.UnauthorizedError,
    402: errors.NoCreditsError,
    404: errors.NotFoundError,
    422: errors.ValidationRefusedError,
    429: errors.RateLimitedError,
    455: errors.MaintenanceError,
    500: errors.ServerFaultError,
    501: errors.GenerationFailedError,
    505: errors.FeatureDisabledError,
    418: ServiceError,
    0: ServiceError,
}


@pytest.mark.parametrize(("code", "error"), CODES.items())
def test_an_order_refused_with_a_code_raises_that_codes_error(code: int, error: type[ServiceError]) -> None:
    for http_status in (200, code or 500):
        for body in (
            envelope(None, code, "why"),
            envelope({}, str(code), "why"),
            b'{"code":%d,"message":"why"}' % code,
        ):
            with pytest.raises(ServiceError) as raised:
                accepted_task_id(http_status, body, 7.0)

            assert type(raised.value) is error
            assert (raised.value.code, raised.value.message, raised.value.retry_after_seconds) == (code, "why", 7.0)


@pytest.mark.parametrize(("code", "error"), [pair for pair in CODES.items() if pair[0] not in (404, 501)])
def test_a_look_that_the_service_refuses_raises_that_codes_error(code: int, error: type[ServiceError]) -> None:
    with pytest.raises(ServiceError) as raised:
        snapshot_of(200, envelope(None, code, "why"), SEEN_AT, 7.0)

    assert type(raised.value) is error
    assert (raised.value.code, raised.value.message, raised.value.retry_after_seconds) == (code, "why", 7.0)


@pytest.mark.parametrize("http_status", [400, 401, 402, 404, 422, 429, 455])
def test_json_without_a_code_of_its_own_takes_a_client_errors_http_status(http_status: int) -> None:
    with pytest.raises(ServiceError) as raised:
        accepted_task_id(http_status, b'{"msg": "why"}')

    assert type(raised.value) is CODES[http_status]
    assert str(raised.value).endswith('; the service says "why"')


@pytest.mark.parametrize("http_status", [201, 302, 500, 501, 502, 503, 504])
def test_json_without_a_code_of_its_own_under_any_other_http_status_leaves_everything_open(http_status: int) -> None:
    for call in (lambda: accepted_task_id(http_status, b"{}"), lambda: snapshot_of(http_status, b"{}", SEEN_AT)):
        with pytest.raises(LostAnswerError) as raised:
            call()
        assert raised.value.reason == f"HTTP {http_status} without the service's own code"


@pytest.mark.parametrize("flag", [0, "0", False, "false", None, "", 7, "7", -1, 4, 1.5, "done", [1]])
def test_every_flag_that_is_no_known_end_is_generating(flag: Any) -> None:
    expected = Snapshot(sighting=Sighting.GENERATING, seen_at=SEEN_AT, request=NOTHING_KNOWN)

    assert look(successFlag=flag, response={"imageUrl": URL}, errorCode=500) == expected


@pytest.mark.parametrize("flag", [1, "1", " 1 ", 1.0, True, "true", "TRUE"])
def test_a_flag_of_one_with_a_url_is_a_success(flag: Any) -> None:
    assert look(successFlag=flag, response={"imageUrl": URL}) == Snapshot(
        sighting=Sighting.SUCCEEDED, seen_at=SEEN_AT, video_url=URL, request=NOTHING_KNOWN
    )


@pytest.mark.parametrize("response", [None, {}, {"imageUrl": ""}, {"imageUrl": "ftp://x/y.mp4"}, "no"])
def test_a_success_without_an_http_url_says_so(response: Any) -> None:
    expected = Snapshot(sighting=Sighting.NO_URL, seen_at=SEEN_AT, request=NOTHING_KNOWN)

    assert look(successFlag=1, response=response) == expected


@pytest.mark.parametrize(("flag", "stage"), [(2, Stage.CREATION), ("2", Stage.CREATION), (3, Stage.GENERATION)])
@pytest.mark.parametrize(
    ("sent", "code", "message"),
    [
        ({"errorCode": 501, "errorMessage": "blocked"}, 501, "blocked"),
        ({"errorCode": "501", "errorMessage": None}, 501, ""),
        ({"errorCode": None}, 0, ""),
        ({"errorMessage": "cut \ud83d"}, 0, "cut ?"),
    ],
)
def test_a_failed_task_says_where_and_why(
    flag: Any, stage: Stage, sent: dict[str, Any], code: int, message: str
) -> None:
    assert look(successFlag=flag, **sent) == Snapshot(
        sighting=Sighting.FAILED,
        seen_at=SEEN_AT,
        failure=Failure(stage=stage, code=code, message=message),
        request=NOTHING_KNOWN,
    )


@pytest.mark.parametrize("http_status", [200, 404])
def test_a_404_is_a_missing_task(http_status: int) -> None:
    expected = Snapshot(sighting=Sighting.MISSING, seen_at=SEEN_AT)

    assert snapshot_of(http_status, envelope(None, 404, "no such task"), SEEN_AT) == expected


def test_a_501_is_a_failed_task() -> None:
    assert snapshot_of(200, envelope(None, 501, "blocked"), SEEN_AT) == Snapshot(
        sighting=Sighting.FAILED,
        seen_at=SEEN_AT,
        failure=Failure(stage=Stage.GENERATION, code=501, message="blocked"),
    )


@pytest.mark.parametrize("data", [None, [], "x", 7, [{"successFlag": 1}]])
def test_an_answer_without_a_record_cannot_be_read(data: Any) -> None:
    with pytest.raises(LostAnswerError) as raised:
        snapshot_of(200, envelope(data), SEEN_AT)

    assert raised.value.reason == "its answer holds no task record"


ORDERED = {
    "prompt": "A cat",
    "aspectRatio": "portrait",
    "quality": "hd",
    "imageUrls": ["https://example.com/a.jpg", 7],
    "watermark": "Mine",
    "callBackUrl": "https://example.com/secret",
}


@pytest.mark.parametrize("written", [ORDERED, json.dumps(ORDERED)], ids=["object", "text"])
def test_what_was_ordered_is_read_back_without_its_callback_address(written: Any) -> None:
    assert look(paramJson=written).request == VideoRequest(
        prompt="A cat",
        image_urls=("https://example.com/a.jpg",),
        aspect_ratio=AspectRatio.PORTRAIT,
        quality=Quality.HD,
        watermark="Mine",
    )


@pytest.mark.parametrize(
    "written", ["", "{", None, 7, {"prompt": 7, "aspectRatio": "square", "quality": None, "imageUrls": "a"}]
)
def test_an_order_that_cannot_be_read_back_is_an_empty_one(written: Any) -> None:
    assert look(paramJson=written).request == NOTHING_KNOWN


def test_the_vendors_own_example_is_a_success() -> None:
    prompt = "A cute kitten playing in a garden on a bright spring day"
    body = envelope(
        {
            "taskId": "sora2_task_abcdef123456",
            "paramJson": json.dumps({"prompt": prompt, "aspectRatio": "landscape", "quality": "hd"}),
            "completeTime": "2024-03-20 10:30:00",
            "response": {"imageUrl": "https://cdn.sora2api.ai/videos/example_video.mp4"},
            "successFlag": 1,
            "errorCode": 0,
            "errorMessage": None,
            "createTime": "2024-03-20 10:25:00",
        }
    )

    assert snapshot_of(200, body, SEEN_AT) == Snapshot(
        sighting=Sighting.SUCCEEDED,
        seen_at=SEEN_AT,
        video_url="https://cdn.sora2api.ai/videos/example_video.mp4",
        request=VideoRequest(prompt=prompt, quality=Quality.HD),
    )


http_statuses = st.sampled_from([200, 201, 302, 400, 401, 404, 429, 500, 502])
texts = st.text(st.characters(), max_size=20) | st.sampled_from(
    [URL, f"[{URL}]", json.dumps([URL]), "true", "1", "200"]
)
scalars = st.none() | st.booleans() | st.integers() | st.floats() | texts
things = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(texts, inner, max_size=3) | inner.map(json.dumps),
    max_leaves=8,
)
URL_PLACES = things | st.fixed_dictionaries({}, optional={"imageUrl": things, "resultUrls": things})
records = st.fixed_dictionaries(
    {},
    optional={
        "taskId": things,
        "successFlag": st.sampled_from([0, 1, "1", True, 2, 3]) | things,
        "response": URL_PLACES,
        "resultUrls": things,
        "info": URL_PLACES,
        "paramJson": things | st.fixed_dictionaries({"prompt": things, "imageUrls": things}),
        "errorCode": things,
        "errorMessage": things,
    },
)
envelopes = st.fixed_dictionaries(
    {}, optional={"code": st.sampled_from([200, "200", 501]) | things, "msg": things, "data": records | things}
)


def outcome_of(call: Callable[[], Any]) -> Any:
    """What it gives, or the error of ours that it raises; any other error is the test's end."""
    try:
        return call()
    except Sora2Error as error:
        return error


def check_any_answer(http_status: int, body: bytes) -> None:
    task_id = outcome_of(lambda: accepted_task_id(http_status, body))
    assert isinstance(task_id, Sora2Error) or (task_id and task_id.isprintable())

    snapshot = outcome_of(lambda: snapshot_of(http_status, body, SEEN_AT))
    if isinstance(snapshot, Snapshot):
        assert (snapshot.sighting is Sighting.SUCCEEDED) == bool(snapshot.video_url)
        assert not snapshot.video_url or is_http_url(snapshot.video_url)
        assert (snapshot.sighting is Sighting.FAILED) == (snapshot.failure is not None)
        # Half a character anywhere in it would raise here, as it would when the task is saved.
        json.dumps(asdict(snapshot), default=str, ensure_ascii=False).encode()


@quick
@given(http_statuses, st.binary())
def test_no_bytes_whatsoever_raise_anything_but_our_errors(http_status: int, body: bytes) -> None:
    check_any_answer(http_status, body)


@settings(quick, max_examples=300)
@given(http_statuses, envelopes | things)
def test_no_json_whatsoever_raises_anything_but_our_errors_or_claims_a_success_without_url(
    http_status: int, content: Any
) -> None:
    check_any_answer(http_status, json.dumps(content).encode())
