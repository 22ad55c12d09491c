import json
from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import pytest

from sora2_mcp import errors
from sora2_mcp.domain.request import AspectRatio, Quality, VideoRequest
from sora2_mcp.domain.task import Failure, Sighting, Snapshot, Stage
from sora2_mcp.errors import GatewayError, LostAnswerError, ServiceError
from sora2_mcp.services.service import Answer
from sora2_mcp.services.sora2api import Sora2API

SEEN_AT = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
URL = "https://cdn.example.com/x.mp4"
NOTHING_KNOWN = VideoRequest(prompt="")
SEEN = Snapshot(sighting=Sighting.GENERATING, seen_at=SEEN_AT, request=NOTHING_KNOWN, task_id="sora2_task_a")
"""A look at a task of which the record says nothing but its id."""


def accepted_task_id(status: int, text: str, retry_after_seconds: float | None = None) -> str:
    return Sora2API().accepted(Answer(status=status, text=text, retry_after_seconds=retry_after_seconds))


def snapshot_of(status: int, text: str, seen_at: datetime, retry_after_seconds: float | None = None) -> Snapshot:
    return Sora2API().snapshot(Answer(status=status, text=text, retry_after_seconds=retry_after_seconds), seen_at)


def order_body(request: VideoRequest) -> dict[str, Any]:
    return dict(Sora2API().order(request).json or {})


def envelope(data: Any, code: Any = 200, msg: Any = "success") -> str:
    return json.dumps({"code": code, "msg": msg, "data": data})


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
        (200, '{"data": {"taskId": " sora2_task_a "}}'),
        (200, '{"code": 200, "message": "ok", "data": {"task_id": "sora2_task_a"}}'),
        (502, envelope({"taskId": "sora2_task_a"})),
    ],
)
def test_an_accepted_order_has_the_services_id(http_status: int, body: str) -> None:
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
        {"taskId": "x" * 1001},
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
    "a web page": "<html><body>502 Bad Gateway</body></html>",
    "an empty body": " \n",
    "no readable JSON": '{"code": 200, "data": {"taskId": "sora2_ta',
}
NO_OBJECT = ['["sora2_task_a"]', '"sora2_task_a"', "200", "null", "\ufffd", "[" * 100_000, "1" * 5000]
WRONG_ADDRESS = "; SORA2_API_BASE_URL may be wrong"
OPEN = dict.fromkeys((200, 408, 409, 425, 499, 500, 502), "") | dict.fromkeys((300, 301, 302, 308, 399), WRONG_ADDRESS)
"""HTTP statuses under which an order may have passed, and what an answer that cannot be read says of the address."""

CLOSED = dict.fromkeys((400, 401, 403, 405, 407, 410, 413, 414, 422, 431, 451, 455), "") | {404: WRONG_ADDRESS}
"""Those that none can have come by."""

NO_JSON = [*UNREADABLE.items(), *(("no readable JSON", body) for body in NO_OBJECT)]


@pytest.mark.parametrize(("http_status", "hint"), OPEN.items())
@pytest.mark.parametrize(("kind", "body"), NO_JSON, ids=lambda text: repr(text[:16]))
def test_a_page_that_an_order_may_have_passed_leaves_everything_open(
    http_status: int, hint: str, kind: str, body: str
) -> None:
    with pytest.raises(LostAnswerError) as order:
        accepted_task_id(http_status, body)
    with pytest.raises(LostAnswerError) as looked:
        snapshot_of(http_status, body, SEEN_AT)

    assert order.value.reason == looked.value.reason == f"HTTP {http_status} with {kind}{hint}"


@pytest.mark.parametrize(("http_status", "hint"), CLOSED.items())
@pytest.mark.parametrize(("kind", "body"), NO_JSON, ids=lambda text: repr(text[:16]))
def test_a_page_that_turned_the_request_away_says_that_nothing_reached_the_service(
    http_status: int, hint: str, kind: str, body: str
) -> None:
    with pytest.raises(GatewayError) as order:
        accepted_task_id(http_status, body)
    with pytest.raises(GatewayError) as looked:
        snapshot_of(http_status, body, SEEN_AT)

    assert order.value.reason == looked.value.reason == f"HTTP {http_status} with {kind}{hint}"


def test_a_page_that_limits_the_rate_means_what_the_services_own_limit_means() -> None:
    with pytest.raises(errors.RateLimitedError) as raised:
        accepted_task_id(429, "<html>", 7.0)

    assert raised.value.retry_after_seconds == 7.0


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
    502: errors.ServerFaultError,
    503: errors.ServerFaultError,
    504: errors.ServerFaultError,
    505: errors.FeatureDisabledError,
    418: ServiceError,
    0: ServiceError,
}


GATEWAY = (502, 503, 504)


@pytest.mark.parametrize("code", GATEWAY)
def test_an_order_stopped_by_a_gateway_may_have_arrived(code: int) -> None:
    with pytest.raises(LostAnswerError, match=f"code {code} of a gateway"):
        accepted_task_id(code, envelope(None, code, "Bad gateway"))


@pytest.mark.parametrize(("code", "error"), [(code, error) for code, error in CODES.items() if code not in GATEWAY])
def test_an_order_refused_with_a_code_raises_that_codes_error(code: int, error: type[ServiceError]) -> None:
    for http_status in (200, code or 500):
        for body in (
            envelope(None, code, "why"),
            envelope({}, str(code), "why"),
            f'{{"code":{code},"message":"why"}}',
        ):
            with pytest.raises(ServiceError) as raised:
                accepted_task_id(http_status, body, 7.0)

            assert type(raised.value) is error
            assert (raised.value.code, raised.value.message, raised.value.retry_after_seconds) == (code, "why", 7.0)


@pytest.mark.parametrize(("code", "error"), [pair for pair in CODES.items() if pair[0] not in (404, 422, 501)])
def test_a_look_that_the_service_refuses_raises_that_codes_error(code: int, error: type[ServiceError]) -> None:
    with pytest.raises(ServiceError) as raised:
        snapshot_of(200, envelope(None, code, "why"), SEEN_AT, 7.0)

    assert type(raised.value) is error
    assert (raised.value.code, raised.value.message, raised.value.retry_after_seconds) == (code, "why", 7.0)


@pytest.mark.parametrize("http_status", [400, 401, 402, 404, 422, 429, 455])
def test_json_without_a_code_of_its_own_takes_a_client_errors_http_status(http_status: int) -> None:
    with pytest.raises(ServiceError) as raised:
        accepted_task_id(http_status, '{"msg": "why"}')

    assert type(raised.value) is CODES[http_status]
    assert str(raised.value).endswith('; the service says "why"')


@pytest.mark.parametrize("http_status", [201, 302, 408, 409, 499, 500, 501, 502, 503, 504])
def test_json_without_a_code_of_its_own_under_any_other_http_status_leaves_everything_open(http_status: int) -> None:
    for call in (lambda: accepted_task_id(http_status, "{}"), lambda: snapshot_of(http_status, "{}", SEEN_AT)):
        with pytest.raises(LostAnswerError) as raised:
            call()
        assert raised.value.reason == f"HTTP {http_status} without the service's own code"


@pytest.mark.parametrize("flag", [0, "0", False, "false", None, "", 7, "7", -1, 4, 1.5, "done", [1]])
def test_every_flag_that_is_no_known_end_is_generating(flag: Any) -> None:
    assert look(successFlag=flag, response={"imageUrl": URL}, errorCode=500) == SEEN


@pytest.mark.parametrize("flag", [1, "1", " 1 ", 1.0, True, "true", "TRUE"])
def test_a_flag_of_one_with_a_url_is_a_success(flag: Any) -> None:
    expected = replace(SEEN, sighting=Sighting.SUCCEEDED, video_url=URL)

    assert look(successFlag=flag, response={"imageUrl": URL}) == expected


@pytest.mark.parametrize("response", [None, {}, {"imageUrl": ""}, {"imageUrl": "ftp://x/y.mp4"}, "no"])
def test_a_success_without_an_http_url_says_so(response: Any) -> None:
    assert look(successFlag=1, response=response) == replace(SEEN, sighting=Sighting.NO_URL)


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
    failure = Failure(stage=stage, code=code, message=message)

    assert look(successFlag=flag, **sent) == replace(SEEN, sighting=Sighting.FAILED, failure=failure)


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


@pytest.mark.parametrize(
    "data",
    [
        None,
        {},
        {"taskId": None, "successFlag": None},
        {"taskId": " ", "successFlag": ""},
        {"taskId": "", "successFlag": "done", "paramJson": {"prompt": "A cat"}},
    ],
    ids=repr,
)
def test_an_answer_that_speaks_of_no_task_is_a_missing_task(data: Any) -> None:
    assert snapshot_of(200, envelope(data), SEEN_AT) == Snapshot(sighting=Sighting.MISSING, seen_at=SEEN_AT)


@pytest.mark.parametrize("body", [*map(envelope, ([], "x", 7, [{"successFlag": 1}])), "{}", '{"status": "ok"}'])
def test_an_answer_that_is_none_of_the_services_ends_no_task(body: str) -> None:
    with pytest.raises(LostAnswerError):
        snapshot_of(200, body, SEEN_AT)


def test_an_answer_without_any_record_is_a_missing_task() -> None:
    assert snapshot_of(200, '{"code": 200}', SEEN_AT) == Snapshot(sighting=Sighting.MISSING, seen_at=SEEN_AT)


@pytest.mark.parametrize(
    ("flag", "sighting"),
    [(0, Sighting.GENERATING), (1, Sighting.NO_URL), (3, Sighting.FAILED), (7, Sighting.GENERATING)],
)
def test_a_record_with_a_flag_and_no_id_is_still_one(flag: int, sighting: Sighting) -> None:
    seen = snapshot_of(200, envelope({"successFlag": flag}), SEEN_AT)

    assert (seen.sighting, seen.task_id) == (sighting, "")


@pytest.mark.parametrize(
    ("named", "task_id"),
    [
        ({"taskId": "sora2_task_b"}, "sora2_task_b"),
        ({"task_id": " sora2_task_b "}, "sora2_task_b"),
        ({"taskId": 7}, "7"),
        ({"taskId": "a b"}, "a b"),
    ],
)
def test_a_record_with_an_id_and_no_flag_is_generating_and_says_which_task_it_names(
    named: dict[str, Any], task_id: str
) -> None:
    assert snapshot_of(200, envelope(named), SEEN_AT) == replace(SEEN, task_id=task_id)


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
        stated=frozenset({"prompt", "aspect_ratio", "quality"}),
        task_id="sora2_task_abcdef123456",
    )


NASTY = "a\nb\x1b[31m\u202ec ![x](https://evil.example)\nNext: pay"
TAME = "a b [31m c ![x] (https://evil.example) Next: pay"


def test_what_the_service_says_of_an_order_is_taken_in_as_one_line_each_and_bounded() -> None:
    images = [*["https://x.example/a.jpg"] * 12, "javascript:alert(1)", 7]
    parameters = {"prompt": NASTY, "watermark": NASTY, "imageUrls": [NASTY, *images], "aspectRatio": "portrait"}
    seen = look(paramJson=json.dumps(parameters)).request

    assert seen == VideoRequest(
        prompt=TAME,
        watermark=TAME,
        image_urls=("https://x.example/a.jpg",) * 9,
        aspect_ratio=AspectRatio.PORTRAIT,
    )
    assert len(look(paramJson={"prompt": "x" * 200_000}).request.prompt) == 5000  # type: ignore[union-attr]


def test_the_services_words_on_a_failure_are_one_bounded_line() -> None:
    failed = look(successFlag=3, errorMessage=NASTY).failure
    with pytest.raises(ServiceError) as raised:
        accepted_task_id(200, envelope(None, 400, NASTY + "x" * 100_000))

    assert failed is not None
    assert failed.message == TAME
    assert len(raised.value.message) == 2000


def test_an_address_of_the_services_ends_no_link_and_begins_none() -> None:
    seen = look(successFlag=1, response={"imageUrl": "https://cdn.example/a[b](c)`d`<e>{f}.mp4?sig=x|y"})

    assert seen.video_url == "https://cdn.example/a%5Bb%5D(c)%60d%60%3Ce%3E%7Bf%7D.mp4?sig=x%7Cy"


SIBLINGS = {
    "waiting": ({"state": "waiting"}, SEEN),
    "queuing": ({"state": "queuing"}, SEEN),
    "generating": ({"state": "generating", "progress": 0}, SEEN),
    "a word nobody knows": ({"state": "dreaming"}, SEEN),
    "success": (
        {"state": "success", "resultJson": json.dumps({"resultUrls": [URL]})},
        replace(SEEN, sighting=Sighting.SUCCEEDED, video_url=URL),
    ),
    "success, parsed": (
        {"state": "SUCCESS ", "response": {"resultUrls": [URL]}},
        replace(SEEN, sighting=Sighting.SUCCEEDED, video_url=URL),
    ),
    "success without an address": (
        {"state": "success", "resultJson": "{}"},
        replace(SEEN, sighting=Sighting.NO_URL),
    ),
    "failed": (
        {"state": "fail", "failCode": "500", "failMsg": "moderation", "errorCode": None},
        replace(
            SEEN,
            sighting=Sighting.FAILED,
            failure=Failure(stage=Stage.GENERATION, code=500, message="moderation"),
        ),
    ),
    "a flag beside the state": (
        {"state": "generating", "successFlag": 1, "resultJson": json.dumps({"resultUrls": [URL]})},
        replace(SEEN, sighting=Sighting.SUCCEEDED, video_url=URL),
    ),
}


@pytest.mark.parametrize(("record", "expected"), SIBLINGS.values(), ids=SIBLINGS)
def test_what_siblings_of_the_maker_say_is_understood(record: dict[str, Any], expected: Snapshot) -> None:
    assert look(**record) == expected


@pytest.mark.parametrize("as_text", [False, True])
def test_what_a_sibling_was_asked_for_stands_in_its_input(*, as_text: bool) -> None:
    ordered = {"prompt": "A cat", "imageUrls": ["https://x.example/a.jpg"]}
    param = {"model": "any", "input": json.dumps(ordered) if as_text else ordered}

    seen = look(state="waiting", param=json.dumps(param))

    assert seen.request == VideoRequest(prompt="A cat", image_urls=("https://x.example/a.jpg",))
    assert seen.stated == {"prompt", "image_urls"}


@pytest.mark.parametrize(("code", "data"), [(408, None), (400, {"taskId": "sora2_task_a"}), (501, None)])
def test_in_a_look_what_ended_a_task_is_its_failure(code: int, data: Any) -> None:
    failure = Failure(stage=Stage.GENERATION, code=code, message="why")

    assert snapshot_of(200, envelope(data, code, "why"), SEEN_AT) == Snapshot(
        sighting=Sighting.FAILED, seen_at=SEEN_AT, failure=failure
    )


def test_a_sibling_that_finds_the_id_invalid_knows_no_such_task_or_not_yet() -> None:
    body = envelope(None, 422, "recordInfo is null")

    assert snapshot_of(200, body, SEEN_AT) == Snapshot(sighting=Sighting.MISSING, seen_at=SEEN_AT)
