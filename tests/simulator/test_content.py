"""Videos whose address needs the key, in the dialects that have them."""

import contextlib
from collections.abc import AsyncIterator

import httpx2
import pytest

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.motifs import clip_of
from sora2_mcp.simulator.order import ASPECT_RATIOS
from sora2_mcp.simulator.serve import running
from tests.simulator.conftest import KEY, speaking
from tests.simulator.spoken import TALKS, Talk
from tests.web import client_of, client_on_network

pytestmark = pytest.mark.anyio

WITH_CONTENT = ["openai", "openrouter"]


@pytest.fixture(params=WITH_CONTENT)
async def talk(request: pytest.FixtureRequest, simulator: Simulator) -> AsyncIterator[Talk]:
    async with speaking(simulator, request.param) as http:
        yield TALKS[request.param](http)


def clips(prompt: str) -> list[bytes]:
    """What may stand for a video of this prompt: dialects differ in the aspect ratio of one that names none."""
    return [clip_of(prompt, aspect_ratio).read_bytes() for aspect_ratio in ASPECT_RATIOS]


async def content(talk: Talk, task_id: str, **headers: str) -> httpx2.Response:
    return await talk.client.get(f"videos/{task_id}/content", headers=headers)


async def test_a_video_comes_whole_or_in_ranges(talk: Talk) -> None:
    prompt = "A cat [sim:seconds=0]"
    task_id = await talk.ordered(prompt)

    whole, part = await content(talk, task_id), await content(talk, task_id, Range="bytes=1000-1999")

    assert (whole.status_code, whole.headers["content-type"]) == (200, "video/mp4")
    assert whole.content in clips(prompt)
    assert (part.status_code, part.content) == (206, whole.content[1000:2000])
    assert part.headers["content-range"] == f"bytes 1000-1999/{len(whole.content)}"


@pytest.mark.parametrize("word", ["", "[sim:seconds=0][sim:no-url]", "[sim:seconds=0][sim:moderation]"])
async def test_there_is_no_video_unless_the_task_succeeded_with_one(talk: Talk, word: str) -> None:
    task_id = await talk.ordered(f"A cat {word}")

    assert talk.code(await content(talk, task_id)) == 404
    assert talk.code(await content(talk, "unknown0")) == 404


@pytest.mark.parametrize("dialect", WITH_CONTENT)
async def test_a_video_needs_the_key_that_is_set(dialect: str) -> None:
    simulator = Simulator(api_key="the-key")
    async with speaking(simulator, dialect, key="the-key") as client:
        task_id = await TALKS[dialect](client).ordered("A cat [sim:seconds=0]")
        codes = [
            (await client.get(f"videos/{task_id}/content", headers={"Authorization": value})).status_code
            for value in ("Bearer the-key", "Bearer another", "")
        ]

    assert codes == [200, 401, 401]
    assert [request.has_key for request in simulator.received] == [True, True, True, False]


async def test_a_redirect_leads_to_the_address_that_needs_no_key(talk: Talk, simulator: Simulator) -> None:
    prompt = "A cat [sim:seconds=0][sim:content-redirect]"
    task_id = await talk.ordered(prompt)

    answer = await content(talk, task_id)
    async with client_on_network() as keyless:
        video = await keyless.get(answer.headers["location"])

    assert answer.status_code == 302
    assert answer.headers["location"] == str(talk.client.base_url.copy_with(path=f"/videos/{task_id}.mp4"))
    assert video.content in clips(prompt)
    (fetched,) = simulator.fetched
    assert (fetched.path, fetched.has_key, fetched.code) == (f"/videos/{task_id}.mp4", False, 200)


@pytest.mark.parametrize("code", [401, 404, 500])
async def test_a_request_for_a_video_is_refused(talk: Talk, code: int) -> None:
    task_id = await talk.ordered(f"A cat [sim:seconds=0][sim:content-{code}*1]")

    answers = [await content(talk, task_id) for _ in range(2)]

    assert talk.code(answers[0]) == code
    assert answers[1].status_code == 200


async def test_a_request_for_a_video_is_answered_with_a_gateway_page(talk: Talk) -> None:
    answer = await content(talk, await talk.ordered("A cat [sim:seconds=0][sim:content-html]"))

    assert (answer.status_code, answer.text[:6]) == (502, "<html>")


@pytest.mark.parametrize("dialect", WITH_CONTENT)
async def test_a_video_breaks_off_after_its_first_half(dialect: str) -> None:
    async with running(Simulator(), dialect=dialect) as url, client_of(url, headers=KEY) as client:
        prompt = "A cat [sim:seconds=0][sim:content-half]"
        task_id = await TALKS[dialect](client).ordered(prompt)
        received = b""
        async with client.stream("GET", f"videos/{task_id}/content") as answer:
            with contextlib.suppress(httpx2.RemoteProtocolError):
                async for piece in answer.aiter_raw():
                    received += piece

    assert answer.headers["content-type"] == "video/mp4"
    assert len(received) == int(answer.headers["content-length"]) // 2
    assert received
    assert any(clip.startswith(received) for clip in clips(prompt))
