"""Whoever reads what is exported, or the log, learns of no prompt, key, address with a token, or person's name."""

import logging
from collections.abc import Iterator
from io import StringIO
from pathlib import Path

import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from mcp.shared.exceptions import MCPError
from opentelemetry.instrumentation.httpx import HTTPX2ClientInstrumentor
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse
from starlette.routing import Route

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.errors import BadRequestError, FeatureDisabledError
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.serve import running
from sora2_mcp.tasks.tasks import Tasks
from sora2_mcp.telemetry.context import ContextFilter
from sora2_mcp.telemetry.logs import JsonFormatter
from tests.clocks import FakeClock, eventually
from tests.network import NETWORK
from tests.server.reached import UNHURRIED
from tests.servers import KEY, agent
from tests.tasks.core import CAT, change, opened, orders, settings_for
from tests.telemetry.exported import Exported
from tests.telemetry.site import Headers, site
from tests.web import client_of

pytestmark = pytest.mark.anyio

TOKEN = "anns-token-0123456789"
PRIVATE = "velvet lighthouse"
SECRETS = ("velvet", "lighthouse", "img-token", "hook-token", "mark-of-ann", "key-of-ann", TOKEN, KEY)


@pytest.fixture
def log(caplog: pytest.LogCaptureFixture) -> Iterator[StringIO]:
    """All that this program logs, down to the last detail, as its JSON."""
    caplog.set_level(logging.DEBUG)
    text = StringIO()
    handler = logging.StreamHandler(text)
    handler.setFormatter(JsonFormatter())
    handler.addFilter(ContextFilter())
    handler.addFilter(lambda record: record.name.startswith("sora2_mcp") and "simulator" not in record.name)
    logging.getLogger().addHandler(handler)
    yield text
    logging.getLogger().removeHandler(handler)


async def test_a_whole_order_over_http_shows_nothing_of_what_was_sent(
    tmp_path: Path, clock: FakeClock, exported: Exported, log: StringIO
) -> None:
    simulator = Simulator(seconds_per_task=40, now=clock.now, sleep=clock.sleep)
    order = {
        "prompt": PRIVATE,
        "image_urls": ["https://a.example/1.png?t=img-token"],
        "watermark": "mark-of-ann",
        "idempotency_key": "key-of-ann",
    }
    async with (
        site(tmp_path, simulator, clock, auth_tokens=f"ann:{TOKEN}") as base,
        client_of(headers={"authorization": f"Bearer {TOKEN}"}) as http,
        Client(streamable_http_client(f"{base}/mcp", http_client=http)) as client,
    ):
        await client.call_tool("generate_video", order)
        second = {"prompt": PRIVATE, "callback_url": "https://a.example/hook-token"}
        await client.call_tool("generate_video", second)
        secret = str((orders(simulator)[0].body or {})["callBackUrl"]).rpartition("/")[2]
        await clock.advance(40)
        await eventually(lambda: bool(exported.named("sora2.callback")))
        task_id = orders(simulator)[0].task_id
        await client.call_tool("wait_for_video", {"task_id": task_id, "timeout_seconds": 0})
        await client.call_tool("get_task_status", {"task_id": task_id})
        await client.call_tool("download_video", {"task_id": task_id})
        await client.read_resource(f"sora2://tasks/{task_id}")

    spans, logged = exported.everything(), log.getvalue()
    assert len(exported.named("sora2.order")) == 2
    assert len(exported.named("sora2.download")) == 1
    assert "is saved" in logged
    for text in (spans, logged):
        assert [word for word in (*SECRETS, secret) if word in text] == []
    # The client's own spans, which are none of ours, are among them: no address at all has left this process.
    assert "://" not in spans
    assert "/videos/" not in logged


async def test_errors_show_only_their_class_whatever_words_caused_them(tmp_path: Path, exported: Exported) -> None:
    async with agent(tmp_path, simulator=Simulator(seconds_per_task=0), **UNHURRIED) as me:
        task_id = (await me.content("generate_video", prompt=PRIVATE))["task_id"]
        await me.content("get_task_status", task_id=task_id)
        saved = await me.content("download_video", task_id=task_id)
        Path(saved["file_path"]).unlink()
        for read in (f"sora2://tasks/{task_id}/video", f"sora2://tasks/{PRIVATE}", f"nowhere://{PRIVATE}"):
            with pytest.raises(MCPError):
                await me.client.read_resource(read)
        with pytest.raises(MCPError, match="idea is missing"):
            await me.client.get_prompt("write_video_prompt", {"style": PRIVATE})
        await me.error("get_task_status", task_id=PRIVATE)
        await me.error("generate_video", prompt=PRIVATE, quality=PRIVATE)
        await change(me.runtime.settings, "UPDATE tasks SET aspect_ratio = prompt")
        await me.error("get_task_status", task_id=task_id)

    text = exported.everything()
    assert [word for word in SECRETS if word in text] == []
    errors = [(span.name, (span.attributes or {}).get("sora2.error.type")) for span in exported.spans]
    assert ("resources/read", "MCPError") in errors
    assert ("tools/call get_task_status", "ValueError") in errors


async def test_what_the_service_says_of_a_prompt_stays_between_it_and_the_agent(
    tmp_path: Path, exported: Exported, log: StringIO
) -> None:
    async def answer(request: Request) -> JSONResponse:
        prompt = (await request.json())["prompt"]
        accepted = {"code": 200, "msg": "ok", "data": {"taskId": "sora2_task_1"}}
        return JSONResponse({"code": 400, "msg": f"No {prompt}!", "data": None} if prompt == PRIVATE else accepted)

    async def look(_: Request) -> JSONResponse:
        return JSONResponse({"code": 505, "msg": f"What of {PRIVATE}?", "data": None})

    echo = Starlette(routes=[Route("/generate", answer, methods=["POST"]), Route("/record-info", look)])
    async with NETWORK.serving(echo) as base, opened(settings_for(tmp_path, base)) as service:
        with pytest.raises(BadRequestError, match=PRIVATE):
            await service.submit(VideoRequest(prompt=PRIVATE), "local")
        task = (await service.submit(CAT, "local")).task
        with pytest.raises(FeatureDisabledError, match=PRIVATE):
            await service.get(task.task_id, "local")

    assert "a look at task sora2_task_1 failed" in log.getvalue()
    assert "was not accepted: The service refused the request's content (400)" in log.getvalue()
    assert PRIVATE not in log.getvalue() + exported.everything()


async def test_a_subject_of_an_issuers_is_hashed_in_spans_and_in_no_metric(
    service: Tasks, exported: Exported, log: StringIO
) -> None:
    await service.submit(CAT, "jwt:https://id.example|ann@example.com")
    await eventually(lambda: bool(exported.named("sora2.order")))

    principal = str((exported.one("sora2.order").attributes or {})["sora2.principal"])
    assert principal.startswith("jwt:")
    assert len(principal) == len("jwt:") + 12
    assert "ann@" not in exported.everything()
    # The log is the operator's own, who must be able to tell who it was.
    assert '"principal": "jwt:https://id.example|ann@example.com"' in log.getvalue()


async def test_nothing_of_our_traces_goes_out_to_the_service_even_where_http_clients_are_instrumented(
    tmp_path: Path, clock: FakeClock, exported: Exported
) -> None:
    seen: dict[str, set[str]] = {}
    simulator = Simulator(seconds_per_task=0)
    simulator.app.add_middleware(Headers, seen=seen)
    HTTPX2ClientInstrumentor().instrument()
    try:
        async with running(simulator) as base, opened(settings_for(tmp_path, base), clock, None) as service:
            task = (await service.submit(CAT, "local")).task
            await service.get(task.task_id, "local")
            await service.download(task.task_id, "local")
            async with client_of() as somebody_elses:
                await somebody_elses.get(f"{base}/elsewhere")
    finally:
        HTTPX2ClientInstrumentor().uninstrument()

    told = {path.rpartition("/")[2]: "traceparent" in headers for path, headers in seen.items()}
    assert told == {"generate": False, "record-info": False, f"{task.task_id}.mp4": False, "elsewhere": True}
    assert [span.name for span in exported.spans] == ["sora2.order", "sora2.look", "sora2.download", "GET"]
