"""How large a request may be: as large as the largest call, on every way in, and not much larger."""

import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx2
import pytest

from sora2_mcp.domain.request import IMAGE_LIMIT, KEY_LIMIT, PROMPT_LIMIT, URL_LIMIT, WATERMARK_LIMIT
from sora2_mcp.server.messages import LONGEST_CALL_BYTES
from sora2_mcp.simulator.app import Simulator
from tests.server.reached import LONG_CAT
from tests.server.test_messages import REFUSED
from tests.servers import settings_in
from tests.web import in_process

pytestmark = pytest.mark.anyio

META = {
    "io.modelcontextprotocol/protocolVersion": "2026-07-28",
    "io.modelcontextprotocol/clientInfo": {"name": "test", "version": "1"},
    "io.modelcontextprotocol/clientCapabilities": {},
}
HEADERS = {
    "accept": "application/json, text/event-stream",
    "content-type": "application/json",
    "mcp-protocol-version": "2026-07-28",
    "mcp-method": "tools/call",
    "mcp-name": "generate_video",
}
REFUSAL = {"error": "The request is larger than 348,800 bytes, more than any needs; nothing was done."}


@pytest.fixture(scope="module")
async def shared(shared_folder: Path) -> AsyncIterator[httpx2.AsyncClient]:
    async with in_process(settings_in(shared_folder)) as http:
        yield http


def order(**arguments: Any) -> bytes:
    """A call whose every letter beyond ASCII is written as its escape."""
    parameters = {"name": "generate_video", "arguments": arguments, "_meta": META}
    return json.dumps({"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": parameters}).encode()


def address_of_any_length(characters: int) -> str:
    return "http://a.b/".ljust(characters, "\U0001f98a")


async def test_an_order_with_every_argument_at_its_limit_and_every_letter_escaped_is_taken(tmp_path: Path) -> None:
    largest = order(
        prompt=LONG_CAT.prompt.ljust(PROMPT_LIMIT, "\U0001f98a"),
        image_urls=[address_of_any_length(URL_LIMIT)] * IMAGE_LIMIT,
        watermark="\U0001f98a" * WATERMARK_LIMIT,
        callback_url=address_of_any_length(URL_LIMIT),
        idempotency_key="\U0001f98a" * KEY_LIMIT,
    )
    simulator = Simulator(seconds_per_task=0)
    async with in_process(settings_in(tmp_path), simulator) as http:
        answer = await http.post("/mcp", content=largest, headers=HEADERS)

    assert len(largest) > 300_000
    assert answer.status_code == 200
    assert [len((request.body or {})["prompt"]) for request in simulator.received] == [PROMPT_LIMIT]


async def in_pieces(content: bytes) -> AsyncIterator[bytes]:
    for start in range(0, len(content), 10_000):
        yield content[start : start + 10_000]


@pytest.mark.parametrize("path", ["/mcp", "/messages/?session_id=1"])
async def test_whatever_is_larger_is_refused_in_words_before_it_is_read(tmp_path: Path, path: str) -> None:
    too_large = order(prompt="x", callback_url="http://" + "\u0301" * 60_000)
    async with in_process(settings_in(tmp_path)) as http:
        whole = await http.post(path, content=too_large, headers=HEADERS)
        streamed = await http.post(path, content=in_pieces(too_large), headers=HEADERS)

    assert [(answer.status_code, answer.json()) for answer in (whole, streamed)] == [(413, REFUSAL)] * 2


async def test_a_stranger_hears_nothing_of_it(tmp_path: Path) -> None:
    async with in_process(settings_in(tmp_path, auth_tokens="ann:ann-0123456789abcdef")) as http:
        answer: httpx2.Response = await http.post("/mcp", content=b"x" * 400_000, headers=HEADERS)

    assert answer.status_code == 401


@pytest.mark.parametrize(("body", "code", "id"), REFUSED.values(), ids=REFUSED)
async def test_what_is_no_message_is_answered_over_http_too(
    shared: httpx2.AsyncClient, body: bytes, code: int, id: Any
) -> None:
    answer = await shared.post("/mcp", content=body, headers=HEADERS)

    told = answer.json()
    if len(body) > LONGEST_CALL_BYTES:
        assert (answer.status_code, told) == (413, REFUSAL)
    else:
        assert (answer.status_code, told["id"], told["error"]["code"]) == (400, id, code)


async def test_half_a_character_takes_no_call_with_it(tmp_path: Path) -> None:
    simulator = Simulator(seconds_per_task=0)
    async with in_process(settings_in(tmp_path), simulator) as http:
        answer = await http.post("/mcp", content=order(prompt="A kitten \ud83d"), headers=HEADERS)

    assert answer.status_code == 200
    assert [(request.body or {})["prompt"] for request in simulator.received] == ["A kitten ?"]


@pytest.mark.parametrize("field", ["baggage", "traceparent", "tracestate"])
@pytest.mark.parametrize("value", [" " * 8000, "a=b," * 5000, 5, None, {}], ids=["blank", "long", "", "", ""])
async def test_what_is_no_trace_is_not_read_as_one(
    shared: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture, field: str, value: Any
) -> None:
    trace = {"traceparent": "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", field: value}
    parameters = {"name": "list_tasks", "arguments": {}, "_meta": {**META, **trace}}
    message = {"jsonrpc": "2.0", "id": 1, "method": "tools/call", "params": parameters}

    answer = await shared.post("/mcp", json=message, headers={**HEADERS, "mcp-name": "list_tasks"})

    assert (answer.status_code, "result" in answer.json()) == (200, True)
    # OpenTelemetry repeats in the log what it cannot read.
    assert [record.name for record in caplog.records if record.name.startswith("opentelemetry")] == []
