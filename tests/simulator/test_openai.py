import base64
from collections.abc import AsyncIterator
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.folder import TaskFolder
from sora2_mcp.simulator.motifs import clip_of
from tests.simulator.conftest import speaking
from tests.web import client_on_network

pytestmark = pytest.mark.anyio

NOW = 1_774_002_300  # 2026-03-20 10:25 UTC
JPEG = b"\xff\xd8\xff\xe0picture"
PNG = b"\x89PNG\r\n\x1a\npicture"
WEBP = b"RIFF\x07\x00\x00\x00WEBPpicture"


def data_url(content: bytes, kind: str = "image/png") -> str:
    return f"data:{kind};base64,{base64.b64encode(content).decode()}"


@pytest.fixture
async def openai(simulator: Simulator) -> AsyncIterator[httpx2.AsyncClient]:
    async with speaking(simulator, "openai") as client:
        yield client


async def create(openai: httpx2.AsyncClient, **fields: Any) -> dict[str, Any]:
    answer = await openai.post("videos", json={"prompt": "A cat", **fields})
    body: dict[str, Any] = answer.json()
    assert answer.status_code == 200, body
    return body


async def look(openai: httpx2.AsyncClient, task_id: str) -> dict[str, Any]:
    answer = await openai.get(f"videos/{task_id}")
    body: dict[str, Any] = answer.json()
    return body


def later(moments: list[datetime], seconds: float) -> None:
    moments.append(moments[-1] + timedelta(seconds=seconds))


async def test_a_video_is_queued_then_in_progress_then_completed(
    openai: httpx2.AsyncClient, moments: list[datetime]
) -> None:
    created = await create(openai, seconds="8", size="1280x720", model="sora-2-pro")
    seen = []
    for pause in (0, 1, 1, 2):
        later(moments, pause)
        record = await look(openai, created["id"])
        seen.append((record["status"], record["progress"]))

    assert created == {
        "id": created["id"],
        "object": "video",
        "status": "queued",
        "progress": 0,
        "created_at": NOW,
        "completed_at": None,
        "expires_at": None,
        "error": None,
        "model": "sora-2-pro",
        "seconds": "8",
        "size": "1280x720",
        "prompt": "A cat",
        "remixed_from_video_id": None,
    }
    assert seen == [("queued", 0), ("in_progress", 25), ("in_progress", 50), ("completed", 100)]
    assert record == {**created, "status": "completed", "progress": 100, "completed_at": NOW + 4}


async def test_only_a_prompt_is_required_and_unknown_fields_are_ignored(openai: httpx2.AsyncClient) -> None:
    record = await create(openai, callback_url="not an address", model=None)

    assert (record["model"], record["seconds"], record["size"]) == ("sora-2", "4", "720x1280")
    assert "callback_url" not in record


async def test_an_order_is_answered_as_queued_also_where_it_takes_no_time(openai: httpx2.AsyncClient) -> None:
    created = await create(openai, prompt="A cat [sim:seconds=0]")

    assert (created["status"], created["completed_at"]) == ("queued", None)
    assert (await look(openai, created["id"]))["status"] == "completed"


async def test_a_number_of_seconds_is_recorded_as_a_text(openai: httpx2.AsyncClient) -> None:
    assert (await create(openai, seconds=12))["seconds"] == "12"


@pytest.mark.parametrize(
    ("size", "aspect_ratio"), [("1280x720", "landscape"), ("720x1280", "portrait"), ("99x99", "landscape")]
)
async def test_a_size_higher_than_wide_is_portrait(
    openai: httpx2.AsyncClient, simulator: Simulator, size: str, aspect_ratio: str
) -> None:
    prompt = "A cat [sim:seconds=0]"
    answer = await openai.post("videos", json={"prompt": prompt, "size": size})

    video = await openai.get(f"videos/{answer.json()['id']}/content")
    assert video.content == clip_of(prompt, aspect_ratio).read_bytes()
    assert simulator.received[-1].task_id == answer.json()["id"]


@pytest.mark.parametrize(("content", "kind"), [(JPEG, "image/jpeg"), (PNG, "image/png"), (WEBP, "image/webp")])
async def test_a_form_may_bring_a_picture_which_the_log_counts(
    openai: httpx2.AsyncClient, simulator: Simulator, content: bytes, kind: str
) -> None:
    answer = await openai.post(
        "videos",
        data={"prompt": "A cat", "model": "sora-2", "seconds": "4", "size": "1280x720"},
        files={"input_reference": ("cat", content, kind)},
    )

    assert (answer.status_code, answer.json()["seconds"]) == (200, "4")
    (received,) = simulator.received
    assert received.body == {
        "prompt": "A cat",
        "model": "sora-2",
        "seconds": "4",
        "size": "1280x720",
        "input_reference": {"filename": "cat", "content_type": kind, "bytes": len(content)},
    }


async def test_a_form_without_a_file_may_name_a_picture(openai: httpx2.AsyncClient) -> None:
    fields = {"prompt": (None, "A cat"), "input_reference[image_url]": (None, "https://example.com/cat.jpg")}

    assert (await openai.post("videos", files=fields)).status_code == 200


@pytest.mark.parametrize("url", ["https://example.com/cat.jpg", data_url(PNG), data_url(JPEG, "image/jpeg")])
@pytest.mark.parametrize("spelled", ["input_reference", "reference_url"])
async def test_json_may_name_a_picture(openai: httpx2.AsyncClient, url: str, spelled: str) -> None:
    given: Any = url if spelled == "reference_url" else {"image_url": url}

    assert (await create(openai, **{spelled: given}))["status"] == "queued"


@pytest.mark.parametrize(
    ("fields", "param", "message"),
    [
        ({"prompt": None}, "prompt", "prompt is required"),
        ({"prompt": " "}, "prompt", "prompt must not be blank"),
        ({"model": 7}, "model", "model must be a string"),
        ({"seconds": "0"}, "seconds", "seconds must be a whole number from 1 to 600"),
        ({"seconds": True}, "seconds", "seconds must be a whole number from 1 to 600"),
        ({"seconds": "4.5"}, "seconds", "seconds must be a whole number from 1 to 600"),
        ({"size": "720p"}, "size", "size must be spelled WIDTHxHEIGHT, for example 1280x720"),
        ({"input_reference": "/etc/passwd"}, "input_reference", "input_reference must be a file, or an object with"),
        ({"input_reference": {"file_id": "x"}}, "input_reference", "input_reference must be a file, or an object with"),
        ({"reference_url": "cat.jpg"}, "reference_url", "reference_url must be an http or https URL, or a data URL"),
        ({"reference_url": "data:image/png;base64,?"}, "reference_url", "reference_url is not base64"),
        ({"reference_url": data_url(JPEG)}, "reference_url", "reference_url does not hold a picture of the type"),
        ({"reference_url": data_url(b"MZ")}, "reference_url", "reference_url does not hold a picture of the type"),
        ({"prompt": "A cat [sim:order-418]"}, "prompt", "Unknown fault 'order-418'"),
    ],
)
async def test_an_order_that_does_not_fit_is_a_400_that_names_the_field(
    openai: httpx2.AsyncClient, fields: dict[str, Any], param: str, message: str
) -> None:
    answer = await openai.post("videos", json={"prompt": "A cat", **fields})

    error = answer.json()["error"]
    assert (answer.status_code, error["type"], error["code"]) == (400, "invalid_request_error", "invalid_value")
    assert (error["param"], error["message"][: len(message)]) == (param, message)


async def test_a_file_that_is_no_picture_is_refused(openai: httpx2.AsyncClient) -> None:
    files: Any = {"prompt": (None, "A cat"), "input_reference": ("cat.png", b"<svg/>", "image/png")}
    answer = await openai.post("videos", files=files)

    assert answer.json()["error"]["message"] == "input_reference is not a JPEG, PNG or WebP picture"
    assert answer.status_code == 400


@pytest.mark.parametrize(
    ("body", "kind"),
    [(b"{", "application/json"), (b"x", "multipart/form-data; boundary=b"), (b"x", "multipart/form-data")],
)
async def test_a_body_that_cannot_be_read_is_a_400(openai: httpx2.AsyncClient, body: bytes, kind: str) -> None:
    answer = await openai.post("videos", content=body, headers={"content-type": kind})

    assert (answer.status_code, set(answer.json()["error"])) == (400, {"message", "type", "param", "code"})


@pytest.mark.parametrize(
    ("fault", "status", "kind", "code"),
    [
        ("refused-prompt", 400, "invalid_request_error", "moderation_blocked"),
        ("order-401", 401, "invalid_request_error", "invalid_api_key"),
        ("order-429", 429, "rate_limit_error", "rate_limit_exceeded"),
        ("order-433", 429, "insufficient_quota", "insufficient_quota"),
        ("order-455", 503, "server_error", "service_unavailable"),
    ],
)
async def test_a_refusal_has_a_type_and_a_code(
    openai: httpx2.AsyncClient, fault: str, status: int, kind: str, code: str
) -> None:
    answer = await openai.post("videos", json={"prompt": f"A cat [sim:{fault}]"})

    assert answer.status_code == status
    assert answer.json()["error"] == {
        "message": answer.json()["error"]["message"],
        "type": kind,
        "param": None,
        "code": code,
    }


@pytest.mark.parametrize(
    ("outcome", "status", "code", "message"),
    [
        ("creation-failure", "failed", "server_error", "The task could not be created"),
        ("generation-failure", "failed", "generation_failed", "The video could not be generated"),
        ("moderation", "failed", "moderation_blocked", "The video was refused by the content policy"),
        ("moderation-look", "failed", "moderation_blocked", "The video was refused by the content policy"),
        ("expired", "expired", "expired", "The task took too long and expired"),
        ("cancelled", "cancelled", "cancelled", "The task was cancelled"),
    ],
)
async def test_a_failed_video_says_why(
    openai: httpx2.AsyncClient, outcome: str, status: str, code: str, message: str
) -> None:
    created = await create(openai, prompt=f"A cat [sim:{outcome}][sim:seconds=0]")

    record = await look(openai, created["id"])
    assert (record["status"], record["error"]) == (status, {"code": code, "message": message})
    assert record["completed_at"] is None


async def test_a_record_may_have_an_address_that_needs_no_key(
    openai: httpx2.AsyncClient, moments: list[datetime]
) -> None:
    prompt = "A cat [sim:signed-url]"
    created = await create(openai, prompt=prompt)
    before = await look(openai, created["id"])
    later(moments, 4)
    after = await look(openai, created["id"])
    async with client_on_network() as keyless:
        video = await keyless.get(after["url"])

    assert "url" not in before
    assert video.content == clip_of(prompt, "portrait").read_bytes()


async def test_videos_are_listed_in_pages(openai: httpx2.AsyncClient, moments: list[datetime]) -> None:
    ids = []
    for _ in range(3):
        ids.append((await create(openai))["id"])
        later(moments, 1)

    first = (await openai.get("videos", params={"limit": 2})).json()
    second = (await openai.get("videos", params={"limit": 2, "after": first["last_id"]})).json()
    rising = (await openai.get("videos", params={"order": "asc"})).json()
    refused = await openai.get("videos", params={"limit": "all"})

    def listed(page: dict[str, Any]) -> list[str]:
        return [video["id"] for video in page["data"]]

    assert (listed(first), first["has_more"]) == ([ids[2], ids[1]], True)
    assert (first["object"], first["first_id"], first["last_id"]) == ("list", ids[2], ids[1])
    assert (listed(second), second["has_more"]) == ([ids[0]], False)
    assert listed(rising) == ids
    assert (refused.status_code, refused.json()["error"]["param"]) == (400, "limit")


async def test_an_empty_list_has_no_ids(openai: httpx2.AsyncClient) -> None:
    assert (await openai.get("videos")).json() == {
        "object": "list",
        "data": [],
        "first_id": None,
        "last_id": None,
        "has_more": False,
    }


async def test_a_deleted_video_is_gone(openai: httpx2.AsyncClient, moments: list[datetime]) -> None:
    video_id = (await create(openai))["id"]
    too_early = await openai.delete(f"videos/{video_id}")
    later(moments, 4)
    deleted = await openai.delete(f"videos/{video_id}")
    again = await openai.delete(f"videos/{video_id}")

    assert (too_early.status_code, deleted.status_code, again.status_code) == (400, 200, 404)
    assert deleted.json() == {"id": video_id, "object": "video.deleted", "deleted": True}
    assert (await openai.get(f"videos/{video_id}/content")).status_code == 404


async def test_a_deleted_video_is_gone_from_the_folder_too(tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=0, state_folder=tmp_path / "state")
    async with speaking(simulator, "openai") as client:
        video_id = (await create(client))["id"]
        kept = TaskFolder(tmp_path / "state").get(video_id) is not None
        await client.delete(f"videos/{video_id}")

    assert kept
    assert list((tmp_path / "state").iterdir()) == []


async def test_the_models_are_listed(openai: httpx2.AsyncClient) -> None:
    listed = (await openai.get("models")).json()

    assert (listed["object"], [model["id"] for model in listed["data"]]) == ("list", ["sora-2", "sora-2-pro"])
    assert {model["object"] for model in listed["data"]} == {"model"}


async def test_there_is_nothing_but_the_video(openai: httpx2.AsyncClient) -> None:
    video_id = (await create(openai, prompt="A cat [sim:seconds=0]"))["id"]

    answer = await openai.get(f"videos/{video_id}/content", params={"variant": "thumbnail"})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "variant")


async def test_a_server_at_home_needs_no_key(simulator: Simulator) -> None:
    async with speaking(simulator, "openai", key="") as client:
        video_id = (await create(client, prompt="A cat [sim:seconds=0]"))["id"]
        codes = [
            (await client.get(path)).status_code
            for path in (f"videos/{video_id}", f"videos/{video_id}/content", "videos", "models")
        ]

    assert codes == [200] * 4
    assert {request.has_key for request in simulator.received} == {False}


@pytest.mark.parametrize("key", ["", "another"])
async def test_a_key_that_is_set_is_needed_for_every_call(key: str) -> None:
    async with speaking(Simulator(api_key="the-key"), "openai", key=key) as client:
        answers = [
            await client.post("videos", json={"prompt": "A cat"}),
            *[await client.get(path) for path in ("videos/x", "videos/x/content", "videos", "models")],
            await client.delete("videos/x"),
        ]

    assert [(answer.status_code, answer.json()["error"]["code"]) for answer in answers] == [
        (401, "invalid_api_key")
    ] * 6


async def test_a_wrong_path_is_a_404(openai: httpx2.AsyncClient) -> None:
    answer = await openai.get("images")

    assert (answer.status_code, answer.json()["error"]["message"]) == (404, "No such path: GET /openai/v1/images")
