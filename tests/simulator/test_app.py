import re
from datetime import datetime, timedelta
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.dialects import DIALECTS
from sora2_mcp.simulator.motifs import clip_of
from tests.network import NETWORK
from tests.simulator.conftest import KEY
from tests.web import client_of, client_on_network

pytestmark = pytest.mark.anyio


def outside(client: httpx2.AsyncClient, path: str) -> httpx2.URL:
    """An address of the simulator outside its API."""
    return client.base_url.copy_with(path=path)


async def order(client: httpx2.AsyncClient, **fields: Any) -> str:
    answer = await client.post("generate", json={"prompt": "A cat", **fields})
    return str(answer.json()["data"]["taskId"])


async def look(client: httpx2.AsyncClient, task_id: str) -> dict[str, Any]:
    answer = await client.get("record-info", params={"taskId": task_id})
    assert answer.json()["msg"] == "success"
    record: dict[str, Any] = answer.json()["data"]
    return record


async def test_an_order_is_answered_with_the_id_of_its_task(client: httpx2.AsyncClient) -> None:
    answer = await client.post("generate", json={"prompt": "A cat"})

    task_id = answer.json()["data"]["taskId"]
    assert (answer.status_code, answer.json()) == (
        200,
        {"code": 200, "msg": "success", "data": {"taskId": task_id}},
    )
    assert re.fullmatch("sora2_task_[a-z0-9]{12}", task_id)


async def test_a_task_is_known_at_once_and_finished_after_four_seconds(
    client: httpx2.AsyncClient, moments: list[datetime]
) -> None:
    task_id = await order(client)
    before = await look(client, task_id)
    moments.append(moments[-1] + timedelta(seconds=4))
    then = await look(client, task_id)

    assert (before["successFlag"], before["response"]) == (0, None)
    assert then == {
        **before,
        "successFlag": 1,
        "completeTime": "2026-03-20 10:25:04",
        "response": {"imageUrl": f"{str(client.base_url).split('/api')[0]}/videos/{task_id}.mp4"},
    }


async def test_the_video_address_fits_whoever_asks(client: httpx2.AsyncClient) -> None:
    task_id = await order(client, prompt="A cat [sim:seconds=0]")

    answer = await client.get("record-info", params={"taskId": task_id}, headers={"Host": "sora.test:99"})

    assert answer.json()["data"]["response"] == {"imageUrl": f"http://sora.test:99/videos/{task_id}.mp4"}


@pytest.mark.parametrize("aspect_ratio", ["landscape", "portrait"])
async def test_the_video_is_the_clip_of_its_prompt_and_aspect_ratio_and_needs_no_key(
    wired: httpx2.AsyncClient, aspect_ratio: str
) -> None:
    prompt = "A cat [sim:seconds=0]"
    task_id = await order(wired, prompt=prompt, aspectRatio=aspect_ratio)
    url = (await look(wired, task_id))["response"]["imageUrl"]
    clip = clip_of(prompt, aspect_ratio).read_bytes()

    async with client_of() as keyless:
        whole = await keyless.get(url)
        head = await keyless.head(url)
        part = await keyless.get(url, headers={"Range": "bytes=1000-", "If-Range": whole.headers["etag"]})

    assert (whole.status_code, whole.headers["content-type"], whole.content) == (200, "video/mp4", clip)
    assert (head.headers["content-length"], head.headers["etag"]) == (str(len(clip)), whole.headers["etag"])
    assert (part.status_code, part.content) == (206, clip[1000:])


@pytest.mark.parametrize("word", ["", "[sim:seconds=0][sim:no-url]", "[sim:seconds=0][sim:generation-failure]"])
async def test_there_is_no_video_unless_the_task_succeeded_with_one(client: httpx2.AsyncClient, word: str) -> None:
    task_id = await order(client, prompt=f"A cat {word}")

    assert (await client.get(outside(client, f"/videos/{task_id}.mp4"))).status_code == 404
    assert (await client.get(outside(client, "/videos/sora2_task_unknown00000.mp4"))).status_code == 404


@pytest.mark.parametrize("header", [{}, {"Authorization": "Bearer"}, {"Authorization": "Basic any-key"}])
async def test_a_call_without_a_bearer_key_is_answered_with_401(header: dict[str, str]) -> None:
    async with NETWORK.simulating(Simulator()) as url, client_on_network(url, headers=header) as client:
        answers = [
            await client.post("generate", json={"prompt": "A cat"}),
            await client.get("record-info", params={"taskId": "x"}),
        ]

    assert [(answer.status_code, answer.json()["code"], answer.json()["data"]) for answer in answers] == [
        (401, 401, None)
    ] * 2


async def test_with_a_key_of_its_own_the_simulator_takes_no_other() -> None:
    async with NETWORK.simulating(Simulator(api_key="the-key")) as url, client_on_network(url) as client:
        codes = [
            (await client.get("record-info", headers={"Authorization": f"Bearer {key}"})).json()["code"]
            for key in ("the-key", "the-key2", "THE-KEY")
        ]

    assert codes == [400, 401, 401]


@pytest.mark.parametrize(
    ("method", "path", "code"),
    [
        ("GET", "record-info?taskId=sora2_task_unknown00000", 404),
        ("GET", "record-info", 400),
        ("GET", "credits", 404),
        ("GET", "generate", 404),
        ("DELETE", "record-info?taskId=x", 404),
        ("POST", "generate", 400),
    ],
)
async def test_errors_are_envelopes_whose_code_is_the_status(
    client: httpx2.AsyncClient, method: str, path: str, code: int
) -> None:
    answer = await client.request(method, path)

    assert (answer.status_code, answer.json()) == (code, {"code": code, "msg": answer.json()["msg"], "data": None})


@pytest.mark.parametrize(
    ("body", "message"),
    [
        (b"", "Malformed JSON in the request body"),
        (b'{"prompt": ', "Malformed JSON in the request body"),
        (b"\xff", "Malformed JSON in the request body"),
        (b'["A cat"]', "The request body must be a JSON object"),
    ],
)
async def test_an_order_that_is_no_json_object_is_refused_with_400(
    client: httpx2.AsyncClient, body: bytes, message: str
) -> None:
    answer = await client.post("generate", content=body)

    assert (answer.status_code, answer.json()) == (400, {"code": 400, "msg": message, "data": None})


async def test_a_refused_order_makes_no_task(client: httpx2.AsyncClient, simulator: Simulator) -> None:
    answer = await client.post("generate", json={"prompt": "A cat", "quality": "4k"})

    assert answer.json() == {"code": 422, "msg": "quality must be one of: standard, hd", "data": None}
    assert [request.task_id for request in simulator.received] == [None]


async def test_moderation_may_show_as_the_code_of_a_look_with_a_record(client: httpx2.AsyncClient) -> None:
    task_id = await order(client, prompt="A cat [sim:moderation-look][sim:seconds=0]")

    answer = await client.get("record-info", params={"taskId": task_id})
    assert (answer.status_code, answer.json()["code"]) == (400, 400)
    assert (answer.json()["data"]["taskId"], answer.json()["data"]["successFlag"]) == (task_id, 3)


async def test_a_restarted_simulator_still_knows_its_tasks(tmp_path: Path) -> None:
    first = Simulator(seconds_per_task=0, state_folder=tmp_path)
    async with NETWORK.simulating(first) as url, client_on_network(url, headers=KEY) as client:
        task_id = await order(client, aspectRatio="portrait")
        known = await look(client, task_id)

    second = Simulator(seconds_per_task=0, state_folder=tmp_path)
    async with NETWORK.simulating(second) as url, client_on_network(url, headers=KEY) as client:
        again = await look(client, task_id)
        video = await client.get(again["response"]["imageUrl"])

    assert {**again, "response": None} == {**known, "response": None}
    assert video.content == clip_of("A cat", "portrait").read_bytes()


async def test_received_requests_are_listed_in_order_without_the_key(client: httpx2.AsyncClient) -> None:
    task_id = await order(client, quality="hd")
    await client.get("record-info", params={"taskId": "unknown"})

    answer = await client.get(outside(client, "/simulator/requests"))

    at = "2026-03-20T10:25:00+00:00"
    assert answer.json() == [
        {
            "method": "POST",
            "path": "/api/v1/sora2/generate",
            "hasKey": True,
            "taskId": task_id,
            "prompt": "A cat",
            "body": {"prompt": "A cat", "quality": "hd"},
            "at": at,
            "code": 200,
            "answeredAt": at,
        },
        {
            "method": "GET",
            "path": "/api/v1/sora2/record-info",
            "hasKey": True,
            "taskId": "unknown",
            "prompt": None,
            "body": None,
            "at": at,
            "code": 404,
            "answeredAt": at,
        },
    ]
    assert "any-key" not in answer.text


async def test_faults_are_scripted_and_cleared_through_the_control_routes(client: httpx2.AsyncClient) -> None:
    faults = outside(client, "/simulator/faults")
    added = await client.post(faults, json={"fault": "order-429", "value": 7, "times": 2})
    struck = await client.post("generate", json={"prompt": "A cat"})
    more = await client.post(faults, json={"fault": "look-drop"})
    cleared = await client.delete(faults)
    usual = await client.post("generate", json={"prompt": "A cat"})

    assert (added.json(), more.json(), cleared.json()) == (["order-429=7*2"], ["order-429=7*1", "look-drop"], [])
    assert (struck.status_code, struck.headers["retry-after"], usual.status_code) == (429, "7", 200)


@pytest.mark.parametrize("body", [b'{"fault": "order-418"}', b"{}", b"x", b'{"fault": "no-url", "times": "x"}'])
async def test_a_fault_that_cannot_be_read_is_answered_with_400(
    client: httpx2.AsyncClient, simulator: Simulator, body: bytes
) -> None:
    answer = await client.post(outside(client, "/simulator/faults"), content=body)

    assert answer.status_code == 400
    assert "fault" in answer.json()["msg"]
    assert simulator.faults_left == ()


async def test_the_controls_answer_this_machine_only(simulator: Simulator) -> None:
    distant = httpx2.ASGITransport(app=simulator.app, client=("192.0.2.7", 4711))
    async with httpx2.AsyncClient(transport=distant, base_url="http://sora.test") as client:
        controls = [await client.get("/simulator/requests"), await client.delete("/simulator/faults")]
        greeting = await client.get("/")

    assert [answer.status_code for answer in controls] == [403, 403]
    assert greeting.text.splitlines() == [
        "A stand-in for video services, part of sora2-mcp. Its APIs:",
        *(f"{name}: {path}" for name, path in DIALECTS.items()),
    ]
