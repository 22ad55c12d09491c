"""Packed answers: once is HTTP's own way, more than once can take for ever to unpack to nothing."""

import gzip
import json

import httpx2
import pytest

from sora2_mcp.domain.task import Sighting
from sora2_mcp.errors import LostAnswerError
from sora2_mcp.services.client import http_client, open_client
from sora2_mcp.services.sora2api import Sora2API
from sora2_mcp.tasks.ssrf import files_client
from tests.clocks import FakeClock

pytestmark = pytest.mark.anyio

URL = "http://service.example/v1"
RECORD = json.dumps({"code": 200, "data": {"taskId": "a", "successFlag": 0}}).encode()


def packed(content: bytes, times: int) -> httpx2.MockTransport:
    for _ in range(times):
        content = gzip.compress(content)
    headers = {"content-encoding": ", ".join(["gzip"] * times)}
    return httpx2.MockTransport(lambda _: httpx2.Response(200, headers=headers, stream=httpx2.ByteStream(content)))


async def test_an_answer_that_is_packed_once_is_read() -> None:
    async with open_client(
        Sora2API(), base_url=URL, key="k", requests_per_second=1000, clock=FakeClock(), transport=packed(RECORD, 1)
    ) as client:
        assert (await client.look("a")).sighting is Sighting.GENERATING


async def test_an_answer_that_is_packed_more_than_once_is_none() -> None:
    async with open_client(
        Sora2API(), base_url=URL, key="k", requests_per_second=1000, clock=FakeClock(), transport=packed(RECORD, 2)
    ) as client:
        with pytest.raises(LostAnswerError, match="its answer cannot be unpacked"):
            await client.look("a")


async def test_a_video_that_is_packed_more_than_once_is_not_unpacked() -> None:
    async with files_client(URL, transport=packed(b"", 4)) as http:
        with pytest.raises(httpx2.DecodingError, match="packed more than once"):
            await http.get(f"{URL}/x.mp4")


async def test_what_a_host_wants_remembered_is_not_even_read() -> None:
    cookies = [("set-cookie", f"a{number}=b") for number in range(10)]
    transport = httpx2.MockTransport(lambda _: httpx2.Response(200, headers=cookies))
    async with http_client(key="k", transport=transport) as http:
        await http.get(URL)
        assert list(http.cookies.jar) == []
