"""Services that call back, and whether what calls was the service; and that a key is shown to its own service only."""

from pathlib import Path
from typing import Any

import pytest
from mcp.client import Client
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import FileResponse, JSONResponse, RedirectResponse, Response
from starlette.routing import Route

from sora2_mcp.domain.task import Status
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.app import build_server
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.motifs import clip_of
from tests.clocks import FakeClock, eventually
from tests.network import NETWORK
from tests.server.reached import CAT, Host, host
from tests.servers import KEY, Agent, settings_in
from tests.tasks.core import until

pytestmark = pytest.mark.anyio

SECRET = "a-signing-secret"
MODEL = {"kie": "kling-3.0/video", "openrouter": "simulated/cinema-2"}


def called_back_at(host: Host) -> str:
    """Where the latest order is to be called back about."""
    (body,) = [request.body or {} for request in host.simulator.received if request.method == "POST"]
    return str(body.get("callBackUrl") or body["callback_url"])


@pytest.mark.parametrize("service", ["kie", "openrouter"])
@pytest.mark.parametrize("outcome", ["", "generation-failure"])
async def test_a_signed_callback_leads_to_a_look(service: str, outcome: str, tmp_path: Path, clock: FakeClock) -> None:
    faults = [outcome] if outcome else []
    simulator = Simulator(now=clock.now, sleep=clock.sleep, transport=NETWORK, callback_secret=SECRET, faults=faults)
    settings = {"service": service, "model": MODEL[service], "callback_secret": SECRET}
    async with host(tmp_path, simulator, clock, **settings) as reached:
        order = (await reached.service.submit(CAT, "local")).task
        await until(clock, lambda: bool([request for request in simulator.received if request.method == "GET"]))
        await reached.quiet()
        task = await reached.service.find(order.reference, "local")

    assert task.status is (Status.FAILED if outcome else Status.SUCCEEDED)


@pytest.mark.parametrize("service", ["kie", "openrouter"])
@pytest.mark.parametrize("theirs", ["", "another-secret"])
async def test_a_callback_that_is_not_signed_with_the_secret_is_turned_away(
    service: str, theirs: str, tmp_path: Path, clock: FakeClock
) -> None:
    simulator = Simulator(now=clock.now, sleep=clock.sleep, transport=NETWORK, callback_secret=theirs)
    settings = {"service": service, "model": MODEL[service], "callback_secret": SECRET}
    async with host(tmp_path, simulator, clock, **settings) as reached:
        order = (await reached.service.submit(CAT, "local")).task
        path = called_back_at(reached).removeprefix(str(reached.http.base_url).rstrip("/"))
        answer = await reached.http.post(path, json={"data": {"id": order.task_id, "taskId": order.task_id}})
        await clock.advance(10)
        looks = [request for request in simulator.received if request.method == "GET"]

    assert answer.status_code == 401
    assert looks == []


@pytest.mark.parametrize(("service", "is_told"), [("kie", True), ("openrouter", False)])
async def test_a_callback_settles_an_order_whose_answer_was_lost_where_the_record_says_what_was_ordered(
    service: str,
    is_told: bool,  # noqa: FBT001 - a parameter of the test
    tmp_path: Path,
    clock: FakeClock,
) -> None:
    simulator = Simulator(now=clock.now, sleep=clock.sleep, transport=NETWORK, faults=["order-drop"])
    async with host(tmp_path, simulator, clock, service=service, model=MODEL[service]) as reached:
        order = (await reached.service.submit(CAT, "local")).task
        await until(clock, lambda: bool([request for request in simulator.received if request.method == "GET"]))
        await reached.quiet()
        task = await reached.service.find(order.reference, "local")

    assert order.status is Status.UNCONFIRMED
    assert task.status is (Status.SUCCEEDED if is_told else Status.UNCONFIRMED)
    assert bool(task.task_id) is is_told


@pytest.mark.parametrize("service", ["kie", "openrouter"])
async def test_a_callback_address_that_was_dropped_in_silence_loses_nothing(
    service: str, tmp_path: Path, clock: FakeClock
) -> None:
    simulator = Simulator(now=clock.now, sleep=clock.sleep, transport=NETWORK, faults=["no-callback"])
    pace = {"poll_seconds": 5, "idle_poll_seconds": 60}
    async with host(tmp_path, simulator, clock, service=service, model=MODEL[service], **pace) as reached:
        order = (await reached.service.submit(CAT, "local")).task
        await until(clock, lambda: bool([request for request in simulator.received if request.method == "GET"]))

        async def succeeded() -> bool:
            return (await reached.service.find(order.reference, "local")).status is Status.SUCCEEDED

        await eventually(succeeded)


async def test_a_service_that_wants_https_is_given_no_other_address_of_ours(tmp_path: Path, clock: FakeClock) -> None:
    simulator = Simulator(now=clock.now, sleep=clock.sleep, transport=NETWORK)
    for service, public_url, is_given in (
        ("openrouter", "http://mcp.example", False),
        ("openrouter", "https://mcp.example", True),
        ("kie", "http://mcp.example", True),
    ):
        settings = {"service": service, "model": MODEL[service], "public_url": public_url}
        async with host(tmp_path / f"{service}{is_given}", simulator, clock, **settings) as reached:
            await reached.service.submit(CAT, "local")
            body = [request.body or {} for request in simulator.received if request.method == "POST"][-1]

        assert bool(body.get("callback_url") or body.get("callBackUrl")) is is_given


async def test_another_host_never_sees_the_key(tmp_path: Path) -> None:
    seen: list[tuple[str, str]] = []

    def heard(where: str, request: Request) -> None:
        seen.append((where, request.headers.get("authorization", "")))

    async def elsewhere(request: Request) -> Response:
        heard("elsewhere", request)
        return FileResponse(clip_of("A cat", "landscape"), media_type="video/mp4")

    async with NETWORK.serving(Starlette(routes=[Route("/{path:path}", elsewhere)])) as other:

        async def videos(request: Request) -> Response:
            heard("service", request)
            return JSONResponse({"id": "v1", "status": "completed"})

        async def content(request: Request) -> Response:
            heard("content", request)
            return RedirectResponse(f"{other}/x.mp4")

        async def by_itself(request: Request) -> Response:
            heard("service", request)
            return JSONResponse({"id": "v2", "status": "completed", "url": f"{other}/x.mp4"})

        routes = [
            Route("/v1/videos", videos, methods=["POST"]),
            Route("/v1/videos/v1", videos),
            Route("/v1/videos/v1/content", content),
            Route("/v1/videos/v2", by_itself),
        ]
        async with NETWORK.serving(Starlette(routes=routes)) as service:
            settings = settings_in(tmp_path, service="openai", api_base_url=f"{service}/v1")
            await saved_twice(settings)

    assert {where for where, _ in seen} == {"service", "content", "elsewhere"}
    assert {key for where, key in seen if where != "elsewhere"} == {f"Bearer {KEY}"}
    assert [key for where, key in seen if where == "elsewhere"] == ["", ""]


async def saved_twice(settings: Any) -> None:
    async with Runtime(settings, transport=NETWORK) as runtime, Client(build_server(runtime)) as client:
        me = Agent(client, runtime, Simulator())
        ordered = await me.content("generate_video", prompt="A cat")
        ended = await me.content("wait_for_video", task_id=ordered["task_id"])
        assert Path(ended["file_path"]).is_file()
        await me.content("get_task_status", task_id="v2")
        linked = await me.content("download_video", task_id="v2")
        assert Path(linked["file_path"]).is_file()
