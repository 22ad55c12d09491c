"""What went wrong is counted by its class, and what became of it by its outcome."""

from contextlib import suppress
from pathlib import Path
from typing import Any

import anyio
import pytest
from opentelemetry.trace import StatusCode

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.errors import NotReachedError, Sora2Error
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import FakeClock, eventually
from tests.servers import agent
from tests.tasks.core import CAT, DOG, closed_address, opened, settings_for, until
from tests.telemetry.exported import Exported

pytestmark = pytest.mark.anyio


def by_class(exported: Exported) -> tuple[dict[str, int], dict[tuple[str, str], int]]:
    """Outcomes of orders, and failures by operation and class."""
    points = exported.points()
    orders = {labels["sora2.outcome"]: value for labels, value in points.get("sora2.orders", [])}
    failures = {
        (labels["sora2.operation"], labels["error.type"]): value for labels, value in points.get("sora2.failures", [])
    }
    return orders, failures


@pytest.mark.parametrize(
    ("fault", "outcome", "error"),
    [
        ("order-401", "refused", "UnauthorizedError"),
        ("order-402", "refused", "NoCreditsError"),
        ("refused-prompt", "refused", "BadRequestError"),
        ("order-drop", "unconfirmed", "LostAnswerError"),
        ("order-html", "unconfirmed", "LostAnswerError"),
    ],
)
async def test_an_order_that_fails_is_counted_once_by_its_class(
    service: Tasks, simulator: Simulator, exported: Exported, fault: str, outcome: str, error: str
) -> None:
    simulator.add_fault(f"{fault}*1")
    with suppress(Sora2Error):
        await service.submit(CAT, "local")
    await eventually(lambda: bool(exported.named("sora2.order")))

    span = exported.one("sora2.order")
    assert span.status.status_code is StatusCode.ERROR
    assert not span.status.description
    assert (span.attributes or {})["error.type"] == error
    assert by_class(exported) == ({outcome: 1}, {("order", error): 1})


async def test_an_order_tried_again_is_one_order_with_its_attempts(
    service: Tasks, simulator: Simulator, clock: FakeClock, exported: Exported
) -> None:
    simulator.add_fault("order-429*2")
    async with anyio.create_task_group() as group:
        group.start_soon(service.submit, CAT, "local")
        await until(clock, lambda: bool(exported.named("sora2.order")))

    assert (exported.one("sora2.order").attributes or {})["sora2.attempts"] == 3
    assert by_class(exported) == ({"accepted": 1}, {})


async def test_an_unreachable_service_is_a_failure_of_its_own_class(
    tmp_path: Path, clock: FakeClock, exported: Exported
) -> None:
    async def order(service: Tasks) -> None:
        # A busy machine may have the caller leave, by the moved clock, before the order was given up.
        with suppress(NotReachedError):
            await service.submit(CAT, "local")

    async with opened(settings_for(tmp_path, closed_address()), clock) as service, anyio.create_task_group() as group:
        group.start_soon(order, service)
        await until(clock, lambda: bool(exported.named("sora2.order")))

    assert by_class(exported) == ({"refused": 1}, {("order", "NotReachedError"): 1})


async def test_orders_that_are_not_sent_are_told_from_those_that_are(
    tmp_path: Path, base_url: str, clock: FakeClock, exported: Exported
) -> None:
    async with opened(settings_for(tmp_path, base_url, max_active_tasks=1), clock) as service:
        await service.submit(CAT, "local")
        await service.submit(CAT, "local")
        with pytest.raises(Sora2Error):
            await service.submit(DOG, "local")

    assert by_class(exported) == ({"accepted": 1, "joined": 1, "turned_away": 1}, {("order", "LimitError"): 1})


async def test_looks_are_counted_by_what_they_show_and_failures_by_class(
    service: Tasks, simulator: Simulator, clock: FakeClock, exported: Exported
) -> None:
    task = (await service.submit(CAT, "local")).task
    simulator.add_fault("look-401*1")
    with pytest.raises(Sora2Error):
        await service.get(task.task_id, "local")
    await service.get(task.task_id, "local")
    await clock.advance(4)
    await service.get(task.task_id, "local")

    points = exported.points()
    assert {labels["sora2.outcome"]: value for labels, value in points["sora2.looks"]} == {
        "error": 1,
        "generating": 1,
        "succeeded": 1,
    }
    assert points["sora2.failures"] == [({"error.type": "UnauthorizedError", "sora2.operation": "look"}, 1)]


@pytest.mark.parametrize(("fault", "code"), [("generation-failure", "generation"), ("creation-failure", "creation")])
async def test_a_video_that_fails_counts_with_its_time_and_not_as_a_failure_of_ours(
    service: Tasks, clock: FakeClock, exported: Exported, fault: str, code: str
) -> None:
    task = (await service.submit(VideoRequest(prompt=f"A cat [sim:{fault}]"), "local")).task
    await clock.advance(4)
    failed = await service.get(task.task_id, "local")

    points = exported.points()
    assert failed.failure is not None
    assert failed.failure.stage == code
    assert points["sora2.task.duration"] == [({"sora2.task.status": "failed", "sora2.quality": "standard"}, (1, 4.0))]
    assert "sora2.failures" not in points


async def test_a_task_ordered_elsewhere_has_no_time_from_its_order(
    service: Tasks, clock: FakeClock, tmp_path: Path, exported: Exported, settings: Settings
) -> None:
    others: dict[str, Any] = {"database_url": f"sqlite:///{tmp_path / 'other.db'}"}
    async with opened(settings_for(tmp_path, settings.base_url, **others), clock) as other:
        task = (await other.submit(CAT, "local")).task
    await clock.advance(4)

    assert (await service.get(task.task_id, "local")).finished
    assert "sora2.task.duration" not in exported.points()


async def test_a_download_that_fails_is_counted(
    service: Tasks, clock: FakeClock, exported: Exported, settings: Settings
) -> None:
    task = (await service.submit(CAT, "local")).task
    await clock.advance(4)
    await service.get(task.task_id, "local")
    settings.videos.parent.mkdir(exist_ok=True)
    settings.videos.write_text("no folder")
    with pytest.raises(Sora2Error):
        await service.download(task.task_id, "local")

    points = exported.points()
    assert points["sora2.downloads"] == [({"sora2.outcome": "error"}, 1)]
    assert points["sora2.failures"] == [({"error.type": "UnwritableError", "sora2.operation": "download"}, 1)]


async def test_a_tools_failure_is_counted_by_the_class_behind_what_the_agent_reads(
    tmp_path: Path, clock: FakeClock, exported: Exported
) -> None:
    async with agent(tmp_path, clock=clock) as me:
        await me.error("get_task_status", task_id="nobodys")
        await me.error("list_tasks", limit=1000)

    points = exported.points()
    assert points["sora2.failures"] == [
        ({"error.type": "UnknownTaskError", "sora2.operation": "tool"}, 1),
        ({"error.type": "ArgumentError", "sora2.operation": "tool"}, 1),
    ]
    durations = points["mcp.server.operation.duration"]
    assert [(labels["gen_ai.tool.name"], labels["error.type"]) for labels, _ in durations] == [
        ("get_task_status", "tool_error"),
        ("list_tasks", "tool_error"),
    ]
    span = exported.one("tools/call get_task_status")
    assert (span.attributes or {})["sora2.error.type"] == "UnknownTaskError"


async def test_open_waits_are_counted_as_long_as_they_last(
    service: Tasks, clock: FakeClock, exported: Exported
) -> None:
    task = (await service.submit(VideoRequest(prompt="A cat [sim:seconds=600]"), "local")).task

    def open_waits() -> int:
        return sum(number for _, number in exported.points().get("sora2.waits.open", []))

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(service.wait, task.task_id, "local", 10)
        await eventually(lambda: open_waits() == 3)
        await clock.advance(10)

    assert open_waits() == 0
