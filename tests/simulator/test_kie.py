import base64
import hmac
import json
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import anyio
import httpx2
import pytest

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.callbacks import Callback, Occasion
from sora2_mcp.simulator.dialects.kie import CREDITS_PER_VIDEO, LONGEST_UPLOAD_BYTES, STARTING_CREDITS, Kie
from sora2_mcp.simulator.motifs import clip_of
from sora2_mcp.simulator.world import Task
from tests.simulator.conftest import speaking
from tests.web import client_on_network

pytestmark = pytest.mark.anyio

NOW_MS = 1_774_002_300_000  # 2026-03-20 10:25 UTC
PICTURE = "https://example.com/cat.jpg"


@pytest.fixture
async def kie(simulator: Simulator) -> Any:
    async with speaking(simulator, "kie") as client:
        yield client


async def create(kie: httpx2.AsyncClient, model: str = "some/model", **given: Any) -> dict[str, Any]:
    answer = await kie.post("jobs/createTask", json={"model": model, "input": {"prompt": "A cat", **given}})
    body: dict[str, Any] = answer.json()
    assert answer.status_code == 200
    return body


async def look(kie: httpx2.AsyncClient, task_id: str) -> dict[str, Any]:
    body: dict[str, Any] = (await kie.get("jobs/recordInfo", params={"taskId": task_id})).json()
    return body


def later(moments: list[datetime], seconds: float) -> None:
    moments.append(moments[-1] + timedelta(seconds=seconds))


async def test_a_task_goes_through_its_states_to_a_video_anybody_can_load(
    kie: httpx2.AsyncClient, moments: list[datetime]
) -> None:
    task_id = (await create(kie, aspect_ratio="9:16"))["data"]["taskId"]
    states = []
    for pause in (0, 0.5, 1, 2.5):
        later(moments, pause)
        record = (await look(kie, task_id))["data"]
        states.append(record["state"])
    async with client_on_network() as keyless:
        video = await keyless.get(json.loads(record["resultJson"])["resultUrls"][0])

    assert states == ["waiting", "queuing", "generating", "success"]
    assert (video.headers["content-type"], video.content) == ("video/mp4", clip_of("A cat", "portrait").read_bytes())


async def test_a_record_has_every_field_before_and_after_its_end(
    kie: httpx2.AsyncClient, moments: list[datetime]
) -> None:
    answer = await kie.post(
        "jobs/createTask",
        json={"model": "some/model", "callBackUrl": "http://127.0.0.1:9/hook", "input": {"prompt": "A cat"}},
    )
    task_id = answer.json()["data"]["taskId"]
    before = await look(kie, task_id)
    later(moments, 4)
    after = await look(kie, task_id)

    assert len(task_id) == 32
    assert int(task_id, 16) >= 0
    assert answer.json() == {"code": 200, "msg": "success", "data": {"taskId": task_id, "recordId": task_id}}
    param = json.loads(before["data"]["param"])
    assert (param["model"], json.loads(param["input"])) == ("some/model", {"prompt": "A cat"})
    assert before == {
        "code": 200,
        "msg": "success",
        "data": {
            "taskId": task_id,
            "model": "some/model",
            "state": "waiting",
            "resultJson": None,
            "param": before["data"]["param"],
            "failCode": None,
            "failMsg": None,
            "costTime": None,
            "createTime": NOW_MS,
            "updateTime": NOW_MS,
            "completeTime": None,
            "progress": None,
            "creditsConsumed": None,
        },
    }
    assert after["data"] == {
        **before["data"],
        "state": "success",
        "resultJson": after["data"]["resultJson"],
        "failCode": "",
        "failMsg": "",
        "costTime": 4_000,
        "updateTime": NOW_MS + 4_000,
        "completeTime": NOW_MS + 4_000,
        "creditsConsumed": 100,
    }


@pytest.mark.parametrize(
    ("outcome", "code", "message"),
    [
        ("creation-failure", "500", "The task could not be created"),
        ("generation-failure", "501", "The video could not be generated"),
        ("moderation", "400", "The video was refused by the content policy"),
    ],
)
async def test_a_failed_task_says_why_and_costs_nothing(
    kie: httpx2.AsyncClient, outcome: str, code: str, message: str
) -> None:
    task_id = (await create(kie, prompt=f"A cat [sim:{outcome}][sim:seconds=0]"))["data"]["taskId"]

    record = (await look(kie, task_id))["data"]
    assert (record["state"], record["failCode"], record["failMsg"]) == ("fail", code, message)
    assert (record["resultJson"], record["creditsConsumed"]) == ("", 0)


async def test_moderation_may_show_as_the_code_of_a_look_with_a_record(kie: httpx2.AsyncClient) -> None:
    task_id = (await create(kie, prompt="A cat [sim:moderation-look][sim:seconds=0]"))["data"]["taskId"]

    answer = await look(kie, task_id)
    assert (answer["code"], answer["data"]["taskId"], answer["data"]["state"]) == (400, task_id, "fail")


async def test_an_expired_task_is_a_408_without_a_record(kie: httpx2.AsyncClient, moments: list[datetime]) -> None:
    task_id = (await create(kie, prompt="A cat [sim:expired]"))["data"]["taskId"]
    before = await look(kie, task_id)
    later(moments, 4)
    after = await look(kie, task_id)

    assert (before["code"], before["data"]["state"]) == (200, "waiting")
    assert (after["code"], after["data"]) == (408, None)


async def test_the_form_of_october_has_a_flag_and_a_response(kie: httpx2.AsyncClient, moments: list[datetime]) -> None:
    task_id = (await create(kie, prompt="A cat [sim:success-flag]"))["data"]["taskId"]
    failed_id = (await create(kie, prompt="A cat [sim:success-flag][sim:moderation]"))["data"]["taskId"]
    before = (await look(kie, task_id))["data"]
    later(moments, 4)
    after, failed = (await look(kie, task_id))["data"], (await look(kie, failed_id))["data"]

    url = str(kie.base_url.copy_with(path=f"/videos/{task_id}.mp4"))
    assert (before["successFlag"], before["response"]) == (0, None)
    assert (after["successFlag"], after["response"]) == (1, {"resultUrls": [url]})
    assert (failed["successFlag"], failed["response"]) == (3, None)
    assert not {"state", "resultJson"} & {*before, *after, *failed}


@pytest.mark.parametrize(
    ("order", "message"),
    [
        ({}, "model is required"),
        ({"model": " "}, "model is required"),
        ({"model": "m", "input": "A cat"}, "input must be an object"),
        ({"model": "m", "input": {}}, "input.prompt must be a string"),
        ({"model": "m", "input": {"prompt": " "}}, "input.prompt must not be blank"),
        ({"model": "m", "callBackUrl": "x", "input": {"prompt": "A"}}, "callBackUrl must be an http or https URL"),
    ],
)
async def test_an_order_that_does_not_fit_is_a_422_in_an_answer_of_http_200(
    kie: httpx2.AsyncClient, simulator: Simulator, order: dict[str, Any], message: str
) -> None:
    answer = await kie.post("jobs/createTask", json=order)

    assert (answer.status_code, answer.json()) == (200, {"code": 422, "msg": message, "data": None})
    assert simulator.received[-1].task_id is None


@pytest.mark.parametrize(
    ("model", "given"),
    [
        ("some/model", {"anything": 1}),
        ("google/gemini-omni-flash-preview", {"duration": "8", "aspect_ratio": "9:16", "resolution": "720p"}),
        ("gemini-omni-video", {"duration": "10", "image_urls": [PICTURE]}),
        ("kling-3.0/video", {"duration": "15", "mode": "pro", "image_urls": [PICTURE, PICTURE], "sound": True}),
        ("kling/v3-turbo-text-to-video", {"aspect_ratio": "16:9", "resolution": "1080p"}),
        ("kling/v3-turbo-image-to-video", {"image_urls": [PICTURE]}),
        ("bytedance/seedance-2", {"duration": 15, "first_frame_url": PICTURE, "aspect_ratio": "16:9"}),
        ("bytedance/seedance-2-fast", {"reference_image_urls": [PICTURE], "seed": 7}),
        ("wan/2-7-text-to-video", {"ratio": "16:9", "resolution": "1080p"}),
        ("wan/2-7-image-to-video", {"first_frame_url": PICTURE, "last_frame_url": PICTURE}),
        ("minimax-h3/text-to-video", {"aspect_ratio": "9:16", "resolution": "768P", "duration": 4}),
        ("minimax-h3/image-to-video", {"first_frame_url": PICTURE, "resolution": "2K"}),
        ("grok-imagine-video", {"image_urls": [PICTURE] * 7, "resolution": "480p"}),
    ],
)
async def test_what_a_family_of_models_takes_is_accepted(
    kie: httpx2.AsyncClient, model: str, given: dict[str, Any]
) -> None:
    assert (await create(kie, model, **given))["code"] == 200


@pytest.mark.parametrize(
    ("model", "given", "message"),
    [
        ("gemini-omni-video", {}, "input.duration is required for gemini-omni-video"),
        ("gemini-omni-video", {"duration": 8}, "duration must be one of: 4, 6, 8, 10"),
        ("gemini-omni-video", {"duration": "8", "aspectRatio": "16:9"}, "input.aspectRatio is not a field of"),
        ("kling-3.0/video", {"duration": "2"}, "duration must be one of: 3, 4"),
        ("kling-3.0/video", {"mode": "720p"}, "mode must be one of: std, pro"),
        ("kling-3.0/video", {"image_urls": []}, "image_urls must have 1 to 2 URLs"),
        ("kling-3.0/video", {"image_urls": [PICTURE] * 3}, "image_urls must have 1 to 2 URLs"),
        ("kling-3.0/video", {"prompt": "x" * 2_501}, "prompt must have at most 2500 characters"),
        ("kling/v3-turbo-text-to-video", {"image_urls": [PICTURE]}, "input.image_urls is not a field of"),
        ("kling/v3-turbo-image-to-video", {}, "input.image_urls is required for"),
        ("bytedance/seedance-2", {"duration": "5"}, "duration must be an integer from 4 to 15"),
        ("bytedance/seedance-2", {"duration": 16}, "duration must be an integer from 4 to 15"),
        (
            "bytedance/seedance-2",
            {"first_frame_url": PICTURE, "reference_image_urls": [PICTURE]},
            "input.first_frame_url and input.reference_image_urls exclude each other",
        ),
        ("wan/2-7-text-to-video", {"aspect_ratio": "16:9"}, "input.aspect_ratio is not a field of"),
        ("wan/2-7-image-to-video", {}, "input.first_frame_url is required for"),
        ("minimax-h3/text-to-video", {}, "input.aspect_ratio is required for"),
        (
            "minimax-h3/image-to-video",
            {"first_frame_url": PICTURE, "aspect_ratio": "16:9"},
            "input.aspect_ratio is not a field of",
        ),
        ("grok-imagine-video", {"image_urls": ["cat.jpg"]}, "image_urls must be an array of http or https URLs"),
    ],
)
async def test_what_a_family_of_models_does_not_take_is_a_422(
    kie: httpx2.AsyncClient, model: str, given: dict[str, Any], message: str
) -> None:
    answer = await create(kie, model, **given)

    assert answer["code"] == 422
    assert answer["msg"].startswith(message)


async def test_the_balance_falls_with_each_success_until_orders_are_refused(
    kie: httpx2.AsyncClient, moments: list[datetime]
) -> None:
    async def credit() -> float:
        return float((await kie.get("chat/credit")).json()["data"])

    before = await credit()
    await create(kie, prompt="A cat [sim:generation-failure][sim:seconds=0]")
    await create(kie)
    during = await credit()
    later(moments, 4)
    after = await credit()
    for _ in range(STARTING_CREDITS // CREDITS_PER_VIDEO - 1):
        assert (await create(kie, prompt="A cat [sim:seconds=0]"))["code"] == 200
    refused = await create(kie)

    assert (before, during, after) == (10_000, 10_000, 9_900)
    assert (refused["code"], refused["data"], await credit()) == (402, None, 0)


async def test_an_uploaded_file_can_be_loaded_without_a_key(kie: httpx2.AsyncClient, simulator: Simulator) -> None:
    upload = kie.base_url.copy_with(path="/kie/api/file-stream-upload")
    answer = await kie.post(
        upload,
        files={"file": ("cat.png", b"\x89PNG\r\n\x1a\n", "image/png")},
        data={"uploadPath": "images/", "fileName": "a cat.png"},
    )
    uploaded = answer.json()["data"]
    async with client_on_network() as keyless:
        loaded = await keyless.get(uploaded["downloadUrl"])
        guessed = await keyless.get(kie.base_url.copy_with(path=f"/uploads/{'0' * 32}/cat.png"))

    assert (answer.json()["success"], answer.json()["code"]) == (True, 200)
    assert uploaded["downloadUrl"].endswith("/a%20cat.png")
    assert (uploaded["fileName"], uploaded["filePath"]) == ("a cat.png", "images/a cat.png")
    assert (uploaded["fileSize"], uploaded["mimeType"]) == (8, "image/png")
    assert (loaded.headers["content-type"], loaded.content) == ("image/png", b"\x89PNG\r\n\x1a\n")
    assert guessed.status_code == 404
    assert simulator.received[-1].body == {
        "file": {"filename": "cat.png", "content_type": "image/png", "bytes": 8},
        "uploadPath": "images/",
        "fileName": "a cat.png",
    }


@pytest.mark.parametrize(
    ("fields", "size", "message"),
    [
        ({"uploadPath": "images"}, None, "file is required"),
        ({"fileName": "cat.png"}, 8, "uploadPath is required"),
        ({"uploadPath": "images"}, LONGEST_UPLOAD_BYTES + 1, "The file has more than 10 MB"),
    ],
)
async def test_an_upload_that_does_not_fit_is_refused(
    kie: httpx2.AsyncClient, fields: dict[str, str], size: int | None, message: str
) -> None:
    files: Any = {"other": (None, "x")} if size is None else {"file": ("cat.png", b"x" * size, "image/png")}
    answer = await kie.post(kie.base_url.copy_with(path="/kie/api/file-stream-upload"), files=files, data=fields)

    assert answer.json() == {"code": 400, "msg": message, "data": None}


def posted(task: Task, secret: str = "", others: tuple[Task, ...] = ()) -> Callback:
    return Kie().callback(task, Occasion(at=task.ends_at, secret=secret, tasks=(task, *others)))


def ended(moments: list[datetime], outcome: str = "") -> Task:
    return Task(
        task_id="0" * 32,
        prompt="A cat",
        aspect_ratio="landscape",
        callback_url="http://127.0.0.1:9/hook",
        param_json='{"model": "some/model", "input": "{}"}',
        accepted_at=moments[-1],
        seconds=4,
        dialect="kie",
        outcome=outcome,
        origin="http://127.0.0.1:8901",
    )


def test_a_callback_of_a_success_has_the_record_and_what_it_cost(moments: list[datetime]) -> None:
    body = json.loads(posted(ended(moments)).body)

    assert (body["code"], body["data"]["taskId"], body["data"]["state"]) == (200, "0" * 32, "success")
    url = f"http://127.0.0.1:8901/videos/{'0' * 32}.mp4"
    assert json.loads(body["data"]["resultJson"]) == {"resultUrls": [url]}
    assert (body["data"]["consumeCredits"], body["data"]["remainedCredits"]) == (100, 9_900)
    assert (body["data"]["model"], body["data"]["param"]) == ("some/model", '{"model": "some/model", "input": "{}"}')


@pytest.mark.parametrize(("outcome", "code"), [("creation-failure", "500"), ("moderation", "400"), ("expired", "408")])
def test_a_callback_of_a_failure_is_a_501_that_says_why(moments: list[datetime], outcome: str, code: str) -> None:
    body = json.loads(posted(ended(moments, outcome)).body)

    assert (body["code"], body["data"]["state"], body["data"]["failCode"]) == (501, "fail", code)
    assert body["data"]["failMsg"] == body["msg"]
    assert (body["data"]["consumeCredits"], body["data"]["remainedCredits"]) == (0, 10_000)


def test_a_secret_signs_the_id_and_the_time_of_a_callback(moments: list[datetime]) -> None:
    headers = posted(ended(moments), "the-secret").headers

    at = str(NOW_MS // 1_000 + 4)
    mark = hmac.digest(b"the-secret", f"{'0' * 32}.{at}".encode(), sha256)
    assert headers == {"X-Webhook-Timestamp": at, "X-Webhook-Signature": base64.b64encode(mark).decode()}
    assert posted(ended(moments)).headers == {}


async def test_a_callback_reaches_its_address_signed(moments: list[datetime]) -> None:
    requests: list[httpx2.Request] = []
    arrived = anyio.Event()

    def receive(request: httpx2.Request) -> httpx2.Response:
        requests.append(request)
        arrived.set()
        return httpx2.Response(200)

    simulator = Simulator(
        seconds_per_task=0,
        callback_secret="the-secret",
        now=lambda: moments[-1],
        transport=httpx2.MockTransport(receive),
    )
    async with speaking(simulator, "kie") as kie:
        order = {"model": "m", "callBackUrl": "http://127.0.0.1:9/hook", "input": {"prompt": "A cat"}}
        await kie.post("jobs/createTask", json=order)
        with anyio.fail_after(5):
            await arrived.wait()

    (request,) = requests
    assert json.loads(request.content)["data"]["state"] == "success"
    assert request.headers["content-type"] == "application/json"
    assert "x-webhook-signature" in request.headers


async def test_a_call_without_a_key_is_a_401(simulator: Simulator) -> None:
    async with speaking(simulator, "kie", key="") as kie:
        answers = [
            await kie.post("jobs/createTask", json={}),
            await kie.get("jobs/recordInfo", params={"taskId": "x"}),
            await kie.get("chat/credit"),
            await kie.post(kie.base_url.copy_with(path="/kie/api/file-stream-upload")),
        ]

    assert [(answer.status_code, answer.json()["code"]) for answer in answers] == [(200, 401)] * 4
    assert [request.has_key for request in simulator.received] == [False] * 4


async def test_a_wrong_path_is_a_404_for_http_too(kie: httpx2.AsyncClient, simulator: Simulator) -> None:
    answer = await kie.get("jobs/createTask")

    message = "No such path: GET /kie/api/v1/jobs/createTask"
    assert (answer.status_code, answer.json()) == (404, {"code": 404, "msg": message, "data": None})
    assert simulator.received[-1].code == 404


async def test_the_log_shows_the_prompt_and_the_body_as_sent(kie: httpx2.AsyncClient, simulator: Simulator) -> None:
    task_id = (await create(kie, "kling-3.0/video", duration="5"))["data"]["taskId"]

    (received,) = simulator.received
    assert received.body == {"model": "kling-3.0/video", "input": {"prompt": "A cat", "duration": "5"}}
    assert (received.prompt, received.task_id, received.has_key) == ("A cat", task_id, True)


async def test_a_task_is_known_in_the_dialect_that_ordered_it_only(
    kie: httpx2.AsyncClient, simulator: Simulator
) -> None:
    task_id = (await create(kie))["data"]["taskId"]
    async with speaking(simulator, "sora2api") as client:
        answer = await client.get("record-info", params={"taskId": task_id})

    assert (answer.status_code, answer.json()["data"]) == (404, None)
    assert (await look(kie, task_id))["code"] == 200
