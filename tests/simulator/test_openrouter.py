import base64
import hmac
import json
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

import anyio
import httpx2
import pytest

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.callbacks import Occasion
from sora2_mcp.simulator.dialects.openrouter import OpenRouter
from sora2_mcp.simulator.motifs import clip_of
from sora2_mcp.simulator.world import Task
from tests.simulator.conftest import speaking
from tests.web import client_on_network

pytestmark = pytest.mark.anyio

NOW = 1_774_002_300  # 2026-03-20 10:25 UTC
PICTURE = {"type": "image_url", "image_url": {"url": "https://example.com/cat.jpg"}}
DATA_URL = "data:image/png;base64," + base64.b64encode(b"\x89PNG\r\n\x1a\nx").decode()


@pytest.fixture
async def openrouter(simulator: Simulator) -> AsyncIterator[httpx2.AsyncClient]:
    async with speaking(simulator, "openrouter") as client:
        yield client


async def create(openrouter: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await openrouter.post("videos", json={"model": "some/model", "prompt": "A cat", **fields})
    body: dict[str, Any] = answer.json()
    assert answer.status_code == 202, body
    return body


async def look(openrouter: httpx2.AsyncClient, task_id: str) -> dict[str, Any]:
    body: dict[str, Any] = (await openrouter.get(f"videos/{task_id}")).json()
    return body


def later(moments: list[datetime], seconds: float) -> None:
    moments.append(moments[-1] + timedelta(seconds=seconds))


async def test_a_video_is_pending_then_in_progress_then_completed(
    openrouter: httpx2.AsyncClient, moments: list[datetime]
) -> None:
    created = await create(openrouter, aspect_ratio="9:16", resolution="720p", duration=8)
    seen = []
    for pause in (0, 1, 3):
        later(moments, pause)
        seen.append(await look(openrouter, created["id"]))
    video = await openrouter.get(seen[-1]["unsigned_urls"][0])

    address = f"{openrouter.base_url}videos/{created['id']}"
    assert created == {"id": created["id"], "polling_url": address, "status": "pending"}
    known = {"id": created["id"], "polling_url": address, "model": "some/model"}
    assert seen == [
        {**known, "status": "pending"},
        {**known, "status": "in_progress"},
        {
            **known,
            "status": "completed",
            "unsigned_urls": [f"{address}/content?index=0"],
            "usage": {"cost": 0.4, "is_byok": False},
        },
    ]
    assert video.content == clip_of("A cat", "portrait").read_bytes()


async def test_the_address_in_a_record_needs_the_key(openrouter: httpx2.AsyncClient) -> None:
    created = await create(openrouter, prompt="A cat [sim:seconds=0]")
    url = (await look(openrouter, created["id"]))["unsigned_urls"][0]
    async with client_on_network() as keyless:
        refused = await keyless.get(url)

    assert (refused.status_code, refused.json()["error"]["code"]) == (401, 401)
    assert (await openrouter.get(url)).status_code == 200
    assert (await openrouter.get(url.replace("index=0", "index=1"))).status_code == 404


async def test_a_record_may_have_an_address_that_needs_no_key(openrouter: httpx2.AsyncClient) -> None:
    prompt = "A cat [sim:seconds=0][sim:signed-url]"
    created = await create(openrouter, prompt=prompt)
    record = await look(openrouter, created["id"])
    async with client_on_network() as keyless:
        video = await keyless.get(record["urls"][0])

    assert len(record["unsigned_urls"]) == 1
    assert video.content == clip_of(prompt, "landscape").read_bytes()


@pytest.mark.parametrize(
    ("outcome", "status", "error"),
    [
        ("creation-failure", "failed", "The task could not be created"),
        ("generation-failure", "failed", "The video could not be generated"),
        ("moderation", "failed", "The video was refused by the content policy"),
        ("moderation-look", "failed", "The video was refused by the content policy"),
        ("expired", "expired", "The task took too long and expired"),
        ("cancelled", "cancelled", "The task was cancelled"),
    ],
)
async def test_a_failed_video_says_why_in_a_text_and_has_no_cost(
    openrouter: httpx2.AsyncClient, outcome: str, status: str, error: str
) -> None:
    created = await create(openrouter, prompt=f"A cat [sim:{outcome}][sim:seconds=0]")

    record = await look(openrouter, created["id"])
    assert (record["status"], record["error"]) == (status, error)
    assert not {"usage", "unsigned_urls", "prompt"} & record.keys()


async def test_a_success_without_a_video_has_no_address(openrouter: httpx2.AsyncClient) -> None:
    created = await create(openrouter, prompt="A cat [sim:no-url][sim:seconds=0]")

    record = await look(openrouter, created["id"])
    assert (record["status"], "unsigned_urls" in record, record["usage"]["cost"]) == ("completed", False, 0.4)


@pytest.mark.parametrize(
    "fields",
    [
        {"resolution": "480p", "seed": 7, "generate_audio": False, "anything": 1, "duration": None},
        {"duration": 60, "callback_url": "https://example.com/hook"},
        {"callback_url": "http://[::1]:9/hook"},
        {"callback_url": "http://localhost:9/hook"},
        {"frame_images": [{**PICTURE, "frame_type": "first_frame"}, {**PICTURE, "frame_type": "last_frame"}]},
        {"frame_images": [{"type": "image_url", "image_url": {"url": DATA_URL}, "frame_type": "first_frame"}]},
        {"model": "simulated/cinema-2", "resolution": "1080p", "duration": 8, "aspect_ratio": "9:16"},
    ],
)
async def test_an_order_that_fits_is_accepted(openrouter: httpx2.AsyncClient, fields: dict[str, Any]) -> None:
    assert (await create(openrouter, **fields))["status"] == "pending"


@pytest.mark.parametrize(
    ("fields", "message"),
    [
        ({"model": None}, "model is required"),
        ({"model": 7}, "model is required"),
        ({"prompt": None}, "prompt is required"),
        ({"prompt": ""}, "prompt must not be blank"),
        ({"resolution": "4K"}, "resolution must be one of: 480p, 720p, 1080p"),
        ({"aspect_ratio": "landscape"}, "aspect_ratio must be one of: 16:9, 9:16"),
        ({"duration": "8"}, "duration must be an integer from 1 to 60"),
        ({"duration": 61}, "duration must be an integer from 1 to 60"),
        ({"duration": True}, "duration must be an integer from 1 to 60"),
        ({"callback_url": "http://example.com/hook"}, "callback_url must be an https URL"),
        ({"callback_url": "ftp://127.0.0.1/hook"}, "callback_url must be an https URL"),
        ({"frame_images": [PICTURE]}, "frame_images.frame_type must be one of: first_frame, last_frame"),
        ({"frame_images": PICTURE}, "frame_images must be an array of objects"),
        ({"frame_images": [{"type": "image"}]}, "frame_images must hold objects of type image_url"),
        ({"frame_images": [{**PICTURE, "image_url": {}}]}, "frame_images.image_url.url must be an http or https URL"),
        (
            {"frame_images": [{**PICTURE, "frame_type": "first_frame"}] * 2},
            "frame_images must not have two frames of one type",
        ),
        ({"model": "simulated/cinema-2", "resolution": "480p"}, "simulated/cinema-2 supports resolution 720p, 1080p"),
        ({"model": "simulated/cinema-2", "duration": 5}, "simulated/cinema-2 supports duration 4, 6, 8"),
        (
            {"model": "simulated/sketch-1", "frame_images": [{**PICTURE, "frame_type": "last_frame"}]},
            "simulated/sketch-1 takes no last_frame",
        ),
    ],
)
async def test_an_order_that_does_not_fit_is_a_400(
    openrouter: httpx2.AsyncClient, simulator: Simulator, fields: dict[str, Any], message: str
) -> None:
    answer = await openrouter.post("videos", json={"model": "some/model", "prompt": "A cat", **fields})

    error = answer.json()["error"]
    assert (answer.status_code, set(error), error["code"]) == (400, {"code", "message"}, 400)
    assert error["message"].startswith(message)
    assert simulator.received[-1].task_id is None


async def test_the_catalogue_says_what_each_model_supports_and_needs_no_key(simulator: Simulator) -> None:
    async with speaking(simulator, "openrouter", key="") as client:
        answer = await client.get("videos/models")

    first, second = answer.json()["data"]
    assert first == {
        "id": "simulated/cinema-2",
        "canonical_slug": "simulated/cinema-2",
        "name": "Simulated: Cinema 2",
        "created": first["created"],
        "generate_audio": True,
        "supported_resolutions": ["720p", "1080p"],
        "supported_aspect_ratios": ["16:9", "9:16"],
        "supported_durations": [4, 6, 8],
        "supported_frame_images": ["first_frame", "last_frame"],
        "pricing_skus": {"per-video-second": "0.10"},
        "allowed_passthrough_parameters": [],
    }
    assert (second["id"], second["supported_frame_images"]) == ("simulated/sketch-1", ["first_frame"])


async def test_every_other_call_needs_a_key(simulator: Simulator) -> None:
    async with speaking(simulator, "openrouter", key="") as client:
        answers = [
            await client.post("videos", json={"model": "m", "prompt": "A cat"}),
            *[await client.get(path) for path in ("videos/x", "videos/x/content?index=0")],
        ]

    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in answers] == [(401, 401)] * 3


@pytest.mark.parametrize(
    ("outcome", "word"),
    [("", "completed"), ("moderation", "failed"), ("expired", "expired"), ("cancelled", "cancelled")],
)
def test_a_callback_names_the_ending_and_holds_the_record(outcome: str, word: str, moments: list[datetime]) -> None:
    task = Task(
        task_id="job-00000000000000000000",
        prompt="A cat",
        aspect_ratio="landscape",
        callback_url="https://example.com/hook",
        param_json='{"model": "some/model"}',
        accepted_at=moments[-1],
        seconds=4,
        dialect="openrouter",
        outcome=outcome,
        traits=("status-success",),
        origin="http://127.0.0.1:8901",
    )

    callback = OpenRouter().callback(task, Occasion(at=task.ends_at))

    body = json.loads(callback.body)
    assert body["type"] == f"video.generation.{word}"
    assert (body["data"]["id"], body["data"]["status"]) == (task.task_id, "success" if not outcome else word)
    assert callback.headers == {}


async def test_a_secret_signs_the_body_of_a_callback_as_it_was_sent(moments: list[datetime]) -> None:
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
    async with speaking(simulator, "openrouter") as client:
        created = await create(client, prompt="Ein Kätzchen", callback_url="http://127.0.0.1:9/hook")
        with anyio.fail_after(5):
            await arrived.wait()

    (request,) = requests
    mark = hmac.digest(b"the-secret", f"{NOW},".encode() + request.content, sha256).hex()
    assert request.headers["x-openrouter-signature"] == f"t={NOW},v1={mark}"
    body = json.loads(request.content)
    assert (body["type"], body["data"]["id"]) == ("video.generation.completed", created["id"])
    assert body["data"]["unsigned_urls"] == [f"{created['polling_url']}/content?index=0"]


async def test_a_wrong_path_is_a_404(openrouter: httpx2.AsyncClient) -> None:
    answer = await openrouter.get("credits")

    message = "No such path: GET /openrouter/api/v1/credits"
    assert (answer.status_code, answer.json()) == (404, {"error": {"code": 404, "message": message}})
