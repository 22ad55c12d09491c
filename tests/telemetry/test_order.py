"""One order from the request to the file, as those see it who watch over the server."""

from pathlib import Path
from typing import Any

import anyio
import pytest
from mcp.client import Client
from mcp.client.streamable_http import streamable_http_client
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.trace import SpanKind, StatusCode

from sora2_mcp.simulator.app import Simulator
from tests.clocks import FakeClock, eventually
from tests.server.reached import UNHURRIED
from tests.servers import agent
from tests.tasks.core import orders, until
from tests.telemetry.exported import Exported
from tests.telemetry.site import site
from tests.web import client_of

pytestmark = pytest.mark.anyio


def said(span: ReadableSpan) -> dict[str, Any]:
    """What of a span is ours."""
    return {name: value for name, value in (span.attributes or {}).items() if not name.startswith(("mcp.", "jsonrpc"))}


async def test_one_order_gives_exactly_these_spans(tmp_path: Path, clock: FakeClock, exported: Exported) -> None:
    simulator = Simulator(seconds_per_task=40, now=clock.now, sleep=clock.sleep)
    async with agent(tmp_path, clock=clock, simulator=simulator, **UNHURRIED) as me:
        ordered = await me.content("generate_video", prompt="A cat", image_urls=["https://a.example/1.png"])
        await clock.advance(40)
        await me.content("get_task_status", task_id=ordered["task_id"])
        await me.content("download_video", task_id=ordered["task_id"])

    assert exported.tree() == {
        "server/discover": "",
        "tools/list": "",
        "tools/call generate_video": "",
        "sora2.order": "tools/call generate_video",
        "tools/call get_task_status": "",
        "sora2.look": "tools/call get_task_status",
        "tools/call download_video": "",
        "sora2.download": "tools/call download_video",
    }
    request = exported.one("tools/call generate_video")
    whose = {
        "sora2.request.id": (request.attributes or {})["sora2.request.id"],
        "sora2.principal": "local",
        "sora2.task.id": ordered["task_id"],
    }
    tool = {"gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "generate_video"}
    order, look, download = (exported.one(f"sora2.{name}") for name in ("order", "look", "download"))
    assert said(request) == {**whose, **tool}
    assert said(order) == {
        **whose,
        "sora2.outcome": "accepted",
        "sora2.quality": "standard",
        "sora2.aspect_ratio": "landscape",
        "sora2.images": 1,
        "sora2.attempts": 1,
        "server.address": "127.0.0.1",
    }
    assert {name: said(look)[name] for name in ("sora2.outcome", "sora2.task.id", "sora2.attempts")} == {
        "sora2.outcome": "succeeded",
        "sora2.task.id": ordered["task_id"],
        "sora2.attempts": 1,
    }
    assert said(download)["sora2.outcome"] == "saved"
    assert said(download)["sora2.size_bytes"] == next((tmp_path / "videos").glob("*.mp4")).stat().st_size
    assert {span.kind for span in (order, look, download)} == {SpanKind.CLIENT}
    assert {span.status.status_code for span in (request, order, look, download)} == {StatusCode.UNSET}
    assert not any(span.links or span.events for span in (request, order, look, download))
    assert len({(span.attributes or {})["sora2.request.id"] for span in (order, look, download)}) == 3


async def test_one_order_gives_exactly_these_numbers(tmp_path: Path, clock: FakeClock, exported: Exported) -> None:
    simulator = Simulator(seconds_per_task=40, now=clock.now, sleep=clock.sleep)
    async with agent(tmp_path, clock=clock, simulator=simulator, **UNHURRIED) as me:
        ordered = await me.content("generate_video", prompt="A cat", quality="hd")
        await clock.advance(40)
        await me.content("get_task_status", task_id=ordered["task_id"])
        await me.content("wait_for_video", task_id=ordered["task_id"])
        saved = await me.content("download_video", task_id=ordered["task_id"])

    def call(tool: str) -> tuple[dict[str, str], tuple[int, float]]:
        labels = {"mcp.method.name": "tools/call", "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": tool}
        return labels, (1, 0.0)

    tools = ("generate_video", "get_task_status", "wait_for_video", "download_video")
    assert exported.points() == {
        "sora2.orders": [
            ({"sora2.outcome": "accepted", "sora2.quality": "hd", "sora2.aspect_ratio": "landscape"}, 1),
        ],
        "sora2.looks": [({"sora2.outcome": "succeeded"}, 1)],
        "sora2.downloads": [({"sora2.outcome": "saved"}, 1)],
        "sora2.download.io": [({}, saved["size_bytes"])],
        "sora2.task.duration": [({"sora2.task.status": "succeeded", "sora2.quality": "hd"}, (1, 40.0))],
        "sora2.waits.open": [({}, 0)],
        "mcp.server.operation.duration": [call(tool) for tool in tools],
    }


async def test_a_callback_leads_to_a_look_in_one_trace_that_is_nobodys_request(
    tmp_path: Path, clock: FakeClock, exported: Exported
) -> None:
    simulator = Simulator(seconds_per_task=40, now=clock.now, sleep=clock.sleep)
    async with (
        site(tmp_path, simulator, clock) as base,
        client_of() as http,
        Client(streamable_http_client(f"{base}/mcp", http_client=http)) as client,
    ):
        await client.call_tool("generate_video", {"prompt": "A cat"})
        await clock.advance(29)
        path = str((orders(simulator)[0].body or {})["callBackUrl"])
        answer = await http.post(path, content=b"{}", headers={"x-request-id": "call-1"})
        await eventually(lambda: len(exported.named("sora2.look")) == 1)
        forged = await http.post(f"{base}/callbacks/forged")

    assert (answer.status_code, answer.headers["x-request-id"]) == (200, "call-1")
    assert forged.status_code == 404
    callback, look = exported.one("sora2.callback"), exported.one("sora2.look")
    assert callback.parent is None
    assert look.parent == callback.context
    told = {"sora2.request.id": "call-1", "sora2.principal": "local", "sora2.task.id": orders(simulator)[0].task_id}
    assert said(callback) == {"sora2.outcome": "followed", **told}
    assert said(look) == {
        "sora2.outcome": "generating",
        "sora2.attempts": 1,
        "server.address": "127.0.0.1",
        **told,
    }
    assert exported.points()["sora2.callbacks"] == [
        ({"sora2.outcome": "followed"}, 1),
        ({"sora2.outcome": "forged"}, 1),
    ]
    # The caller's own trace goes on in the order, as MCP hands it over.
    assert exported.tree()["sora2.order"] == "tools/call generate_video"
    assert exported.tree()["tools/call generate_video"] == "MCP send tools/call generate_video"


async def test_what_runs_by_itself_is_not_the_work_of_the_request_that_opened_the_store(
    tmp_path: Path, clock: FakeClock, exported: Exported
) -> None:
    simulator = Simulator(seconds_per_task=40, now=clock.now, sleep=clock.sleep)
    async with agent(tmp_path, clock=clock, simulator=simulator, poll_seconds=5, idle_poll_seconds=5) as me:
        task_id = (await me.content("generate_video", prompt="A cat"))["task_id"]
        await until(clock, lambda: bool(exported.named("sora2.look")))

    look = exported.named("sora2.look")[0]
    assert look.parent is None
    assert said(look) == {
        "sora2.outcome": "generating",
        "sora2.attempts": 1,
        "server.address": "127.0.0.1",
        "sora2.principal": "local",
        "sora2.task.id": task_id,
    }


async def test_an_order_that_outlives_its_call_is_still_part_of_it(
    tmp_path: Path, clock: FakeClock, exported: Exported
) -> None:
    simulator = Simulator(now=clock.now, sleep=clock.sleep, faults=["order-slow=8*1"])
    async with agent(tmp_path, clock=clock, simulator=simulator) as me:
        calls: list[dict[str, Any]] = []

        async def order() -> None:
            calls.append(await me.content("generate_video", prompt="A cat"))

        async with anyio.create_task_group() as group:
            group.start_soon(order)
            await eventually(lambda: bool(orders(simulator)))
            await clock.advance(3)
        assert calls[0]["task_id"].startswith("local-")
        await eventually(lambda: bool(exported.named("tools/call generate_video")))
        assert not exported.named("sora2.order")
        await clock.advance(6)
        await eventually(lambda: bool(exported.named("sora2.order")))

    request, order_span = exported.one("tools/call generate_video"), exported.one("sora2.order")
    assert order_span.parent == request.context
    assert said(order_span)["sora2.request.id"] == said(request)["sora2.request.id"]
    assert said(request)["sora2.task.id"] == calls[0]["task_id"]
    assert said(order_span)["sora2.task.id"] == orders(simulator)[0].task_id
