"""Upstream callbacks: hints that make a look, and nothing else, whatever they say."""

import json
import logging
from collections.abc import AsyncIterator
from pathlib import Path

import anyio
import pytest
import stamina

from sora2_mcp.domain.request import AspectRatio, VideoRequest
from sora2_mcp.domain.task import Status, Task
from sora2_mcp.runtime import Runtime
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.callbacks import PENDING_LIMIT, CallbackPaths, callback_hash
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import FakeClock, eventually, settle
from tests.network import NETWORK
from tests.stores import store_at
from tests.tasks.core import (
    CAT,
    DOG,
    change,
    closed_address,
    due_at,
    listed,
    looks,
    opened,
    orders,
    quiet,
    settings_for,
    until,
)

pytestmark = pytest.mark.anyio

PUBLIC_URL = closed_address().removesuffix("/api/v1/sora2") + "/sora"
LONG_CAT = VideoRequest(prompt="A cat [sim:seconds=600]")


@pytest.fixture
def settings(tmp_path: Path, base_url: str) -> Settings:
    """Callbacks are asked for; the tests deliver them themselves, for nobody listens at the address."""
    return settings_for(tmp_path, base_url, public_url=PUBLIC_URL, poll_seconds=3600, idle_poll_seconds=3600)


@pytest.fixture
async def service(settings: Settings, clock: FakeClock) -> AsyncIterator[Tasks]:
    async with Runtime(settings, clock=clock, transport=NETWORK) as runtime:
        yield await runtime.tasks()


def callback_urls(simulator: Simulator) -> list[str | None]:
    """Where each order asked to be called back, in order."""
    return [(order.body or {}).get("callBackUrl") for order in orders(simulator)]


def secret_of(simulator: Simulator, number: int = -1) -> str:
    return (callback_urls(simulator)[number] or "").rpartition("/")[2]


async def only_task(service: Tasks) -> Task:
    [task] = await listed(service)
    return task


async def submitted(service: Tasks, request: VideoRequest = CAT, key: str = "") -> Task:
    return (await service.submit(request, "local", key=key)).task


async def test_every_order_is_sent_with_a_path_of_its_own_that_nobody_can_guess(
    service: Tasks, simulator: Simulator
) -> None:
    for number in range(20):
        await submitted(service, CAT, key=str(number))

    urls = callback_urls(simulator)
    assert len(set(urls)) == 20
    for url in urls:
        folder, _, secret = (url or "").rpartition("/")
        assert folder == f"{PUBLIC_URL}/callbacks"
        assert len(secret) == 40


async def test_without_a_public_address_no_callback_is_asked_for(
    tmp_path: Path, base_url: str, simulator: Simulator, clock: FakeClock
) -> None:
    async with opened(settings_for(tmp_path, base_url), clock) as service:
        task = await submitted(service)

    assert callback_urls(simulator) == [None]
    assert task.callback_hash == ""


async def test_the_agents_own_callback_address_wins(service: Tasks, simulator: Simulator) -> None:
    own = "https://agent.example/hook?token=7"

    task = await submitted(service, VideoRequest(prompt="A cat", callback_url=own))

    assert callback_urls(simulator) == [own]
    assert task.callback_hash == ""


async def test_every_try_of_an_order_names_the_same_path(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-429=1*2")
    async with anyio.create_task_group() as group:
        group.start_soon(submitted, service)
        await eventually(lambda: len(orders(simulator)) == 1)
        await until(clock, lambda: len(orders(simulator)) == 3)

    assert len(set(callback_urls(simulator))) == 1


async def test_a_repeat_joins_its_order_whether_or_not_callbacks_are_asked_for(
    tmp_path: Path, base_url: str, service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    first = await submitted(service)
    async with opened(settings_for(tmp_path, base_url), clock) as other:
        second = await submitted(other)
    third = await submitted(service)

    assert first.id == second.id == third.id
    assert len(orders(simulator)) == 1


async def test_the_secret_is_nowhere_but_in_the_order_that_was_sent(
    settings: Settings,
    service: Tasks,
    simulator: Simulator,
    clock: FakeClock,
    caplog: pytest.LogCaptureFixture,
) -> None:
    # The simulator lives in this process, and so does the log of what it posts.
    for name in ("httpx2", "httpcore2", "sora2_mcp.simulator"):
        caplog.set_level(logging.CRITICAL, name)
    caplog.set_level(logging.DEBUG)
    simulator.add_fault("order-429=0.1*1")
    shown: list[str] = []
    async with anyio.create_task_group() as group:
        group.start_soon(submitted, service)
        # Time must not run out for a store that is slow in real time.
        await eventually(lambda: len(orders(simulator)) == 1)
        await until(clock, lambda: len(orders(simulator)) == 2, step_seconds=0.1)
    secret = secret_of(simulator)
    await clock.advance(5)
    assert await service.callbacks.received(secret)
    await quiet(settings)

    shown += [repr(task) for task in await listed(service)]
    stored = store_at(settings.store_url).contents()
    assert (await only_task(service)).status is Status.SUCCEEDED
    assert "callbacks arrive" in caplog.text
    assert secret not in "".join(shown) + caplog.text
    assert secret not in stored
    assert callback_hash(secret) in stored


async def test_a_callback_makes_exactly_one_look_and_ends_the_wait(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    task = await submitted(service)
    ended: list[Task] = []

    async def wait() -> None:
        ended.append(await service.wait(task.task_id, "local", 200))

    async with anyio.create_task_group() as group:
        group.start_soon(wait)
        await clock.advance(5)
        assert looks(simulator) == []
        assert await service.callbacks.received(secret_of(simulator))
        await eventually(lambda: bool(ended))

    assert [task.status for task in ended] == [Status.SUCCEEDED]
    assert looks(simulator) == [task.task_id]


async def test_a_lying_callback_finishes_nothing(service: Tasks, settings: Settings, simulator: Simulator) -> None:
    task = await submitted(service, LONG_CAT)

    assert await service.callbacks.received(secret_of(simulator), "sora2_task_lie")
    await quiet(settings)

    seen = await only_task(service)
    assert (seen.status, seen.task_id, seen.video_url) == (Status.GENERATING, task.task_id, "")
    assert looks(simulator) == [task.task_id]


async def test_a_callback_about_a_finished_task_costs_nothing(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    task = await submitted(service)
    await clock.advance(5)
    await service.get(task.task_id, "local")

    for _ in range(10):
        assert await service.callbacks.received(secret_of(simulator))
    await quiet(settings)

    assert looks(simulator) == [task.task_id]


@pytest.mark.parametrize("callbacks", [1, 5])
async def test_a_look_that_had_begun_when_the_callback_came_does_not_count(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock, callbacks: int
) -> None:
    task = await submitted(service, LONG_CAT)
    simulator.add_fault("look-slow=3*1")
    async with anyio.create_task_group() as group:
        group.start_soon(service.get, task.task_id, "local")
        await eventually(lambda: len(looks(simulator)) == 1)
        for _ in range(callbacks):
            assert await service.callbacks.received(secret_of(simulator))
        assert len(looks(simulator)) == 1
        await clock.advance(3)
    await quiet(settings)

    assert looks(simulator) == [task.task_id] * 2


async def test_callbacks_that_come_before_the_look_begins_are_joined(
    service: Tasks, settings: Settings, simulator: Simulator
) -> None:
    task = await submitted(service, LONG_CAT)
    answers: list[bool] = []

    async def call_back() -> None:
        answers.append(await service.callbacks.received(secret_of(simulator)))

    async with anyio.create_task_group() as group:
        # No hint is written, and no look gets its lease.
        with store_at(settings.store_url).locked():
            for _ in range(50):
                group.start_soon(call_back)
            await settle()
            assert service.callbacks.pending == 1
            assert looks(simulator) == []
    await quiet(settings)
    assert answers == [True] * 50

    assert looks(simulator) == [task.task_id]


async def test_another_processs_look_that_had_begun_does_not_count_either(
    settings: Settings, service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    task = await submitted(service, LONG_CAT)
    simulator.add_fault("look-slow=3*1")
    async with opened(settings, clock) as other, anyio.create_task_group() as group:
        group.start_soon(other.get, task.task_id, "local")
        await eventually(lambda: len(looks(simulator)) == 1)
        assert await service.callbacks.received(secret_of(simulator))
        await until(clock, lambda: len(looks(simulator)) == 2, step_seconds=0.25)
        await quiet(settings)

    assert looks(simulator) == [task.task_id] * 2


async def test_a_callback_is_taken_in_by_any_process_on_the_store(
    tmp_path: Path, base_url: str, service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    await submitted(service)
    await clock.advance(5)
    async with opened(settings_for(tmp_path, base_url), clock) as other:
        assert await other.callbacks.received(secret_of(simulator))
        await quiet(settings)

    assert (await only_task(service)).status is Status.SUCCEEDED


async def test_a_path_of_another_account_is_unknown(
    tmp_path: Path, base_url: str, service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    await submitted(service)
    async with opened(settings_for(tmp_path, base_url, api_key="another-key"), clock) as stranger:
        assert not await stranger.callbacks.received(secret_of(simulator))

    assert looks(simulator) == []


@pytest.mark.parametrize("path", ["", "x", "x" * 39, "x" * 41, "x" * 100_000, "é" * 40, " " * 40, "x" * 39 + "\n"])
async def test_what_cannot_be_a_path_of_ours_is_not_even_looked_up(
    service: Tasks, settings: Settings, path: str
) -> None:
    await change(settings, "ALTER TABLE tasks RENAME TO away")
    assert not await service.callbacks.received(path)
    await change(settings, "ALTER TABLE away RENAME TO tasks")


async def test_a_callback_outlasts_a_store_that_fails_for_a_moment(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    task = await submitted(service)
    await clock.advance(5)
    await change(settings, "ALTER TABLE tasks RENAME TO away")
    answers: list[bool] = []

    async def call_back() -> None:
        answers.append(await service.callbacks.received(secret_of(simulator)))

    async with anyio.create_task_group() as group:
        group.start_soon(call_back)
        await eventually(lambda: service.callbacks.pending == 1 and clock.awaits(6))
        await change(settings, "ALTER TABLE away RENAME TO tasks")
        await until(clock, lambda: bool(answers), step_seconds=1)
    await quiet(settings)

    assert answers == [True]
    assert looks(simulator) == [task.task_id]


def authentic(settings: Settings) -> str:
    """A secret that was made with the server's key, but belongs to no order."""
    return CallbackPaths("http://x", settings.callback_key).new().url.rpartition("/")[2]


async def test_junk_callbacks_leave_nothing_behind(service: Tasks, settings: Settings, simulator: Simulator) -> None:
    await submitted(service)
    most = 0

    async def junk(count: int) -> None:
        nonlocal most
        for _ in range(count):
            assert not await service.callbacks.received(authentic(settings), "sora2_task_x")
            most = max(most, service.callbacks.pending)

    async with anyio.create_task_group() as group:
        for _ in range(20):
            group.start_soon(junk, 100)

    assert service.callbacks.pending == 0
    assert most <= 20
    assert looks(simulator) == []


async def test_callbacks_that_cannot_be_looked_up_are_kept_up_to_a_limit(
    service: Tasks, settings: Settings, clock: FakeClock
) -> None:
    await change(settings, "ALTER TABLE tasks RENAME TO away")
    async with anyio.create_task_group() as group:
        for _ in range(PENDING_LIMIT + 200):
            group.start_soon(service.callbacks.received, authentic(settings))
        await eventually(lambda: service.callbacks.pending == PENDING_LIMIT)
        await change(settings, "ALTER TABLE away RENAME TO tasks")
        await until(clock, lambda: service.callbacks.pending == 0, step_seconds=1)


async def lost_order(service: Tasks, simulator: Simulator, key: str = "") -> tuple[Task, str]:
    """An order that was accepted while its answer was lost, and the id the service gave it."""
    simulator.add_fault("order-drop*1")
    task = await submitted(service, CAT, key)
    assert task.status is Status.UNCONFIRMED
    return task, orders(simulator)[-1].task_id or ""


async def test_a_callback_settles_an_order_whose_answer_was_lost(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    order, task_id = await lost_order(service, simulator)
    await clock.advance(5)

    assert await service.callbacks.received(secret_of(simulator), task_id)
    await quiet(settings)

    settled = await only_task(service)
    assert (settled.id, settled.task_id, settled.status) == (order.id, task_id, Status.SUCCEEDED)
    assert looks(simulator) == [task_id]


async def test_a_callback_settles_an_order_even_before_its_task_has_ended(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    _, task_id = await lost_order(service, simulator)
    assert await service.callbacks.received(secret_of(simulator), task_id)
    await quiet(settings)
    settled = await only_task(service)
    await clock.advance(5)
    assert await service.callbacks.received(secret_of(simulator))
    await quiet(settings)

    assert (settled.task_id, settled.status) == (task_id, Status.GENERATING)
    assert (await only_task(service)).status is Status.SUCCEEDED


async def test_a_callback_that_names_nothing_or_an_unknown_task_settles_nothing(
    service: Tasks, settings: Settings, simulator: Simulator
) -> None:
    order, _ = await lost_order(service, simulator)

    for said_id in ("", "sora2_task_nobody", "../generate", "x" * 200):
        assert await service.callbacks.received(secret_of(simulator), said_id)
        await quiet(settings)

    assert await only_task(service) == order


@pytest.mark.parametrize("other", [DOG, VideoRequest(prompt="A cat", aspect_ratio=AspectRatio.PORTRAIT)])
async def test_a_task_that_was_ordered_otherwise_is_not_taken_for_the_order(
    service: Tasks,
    settings: Settings,
    base_url: str,
    tmp_path: Path,
    simulator: Simulator,
    clock: FakeClock,
    other: VideoRequest,
) -> None:
    (tmp_path / "elsewhere").mkdir()
    async with opened(settings_for(tmp_path / "elsewhere", base_url), clock) as elsewhere:
        foreign = await submitted(elsewhere, other)
    order, _ = await lost_order(service, simulator)

    assert await service.callbacks.received(secret_of(simulator), foreign.task_id)
    await quiet(settings)

    assert await only_task(service) == order


async def test_the_id_of_another_order_is_not_taken(service: Tasks, settings: Settings, simulator: Simulator) -> None:
    mine = await submitted(service, CAT, key="mine")
    order, _ = await lost_order(service, simulator, key="lost")

    assert await service.callbacks.received(secret_of(simulator), mine.task_id)
    await quiet(settings)

    assert {task.id: task.task_id for task in await listed(service)} == {mine.id: mine.task_id, order.id: ""}


async def test_a_task_taken_in_by_its_id_and_called_back_about_is_one_task(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    order, task_id = await lost_order(service, simulator)
    await service.get(task_id, "local")
    assert len(await listed(service)) == 2

    await clock.advance(5)
    assert await service.callbacks.received(secret_of(simulator), task_id)
    await quiet(settings)

    merged = await only_task(service)
    assert (merged.id, merged.task_id, merged.status) == (order.id, task_id, Status.SUCCEEDED)


async def test_settling_goes_on_over_a_service_that_fails_for_a_moment(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    _, task_id = await lost_order(service, simulator)
    await clock.advance(5)
    simulator.add_fault("look-500*3")

    assert await service.callbacks.received(secret_of(simulator), task_id)
    await eventually(lambda: len(looks(simulator)) == 3)
    await until(clock, lambda: len(looks(simulator)) == 4)
    await quiet(settings)

    assert (await only_task(service)).status is Status.SUCCEEDED


@pytest.mark.parametrize("named", [True, False], ids=["with the id", "without any id"])
async def test_a_callback_that_comes_before_the_orders_answer_is_not_lost(
    service: Tasks,
    settings: Settings,
    simulator: Simulator,
    clock: FakeClock,
    named: bool,  # noqa: FBT001 - a case of its own
) -> None:
    simulator.add_fault("order-slow=10*1")
    async with anyio.create_task_group() as group:
        group.start_soon(submitted, service)
        await eventually(lambda: len(orders(simulator)) == 1)
        await until(clock, lambda: clock.monotonic() >= 5)
        task_id = orders(simulator)[0].task_id or ""

        assert await service.callbacks.received(secret_of(simulator), task_id if named else "")
        if named:
            await quiet(settings)
            assert (await only_task(service)).status is Status.SUCCEEDED
        await until(clock, lambda: clock.monotonic() >= 12)
        await quiet(settings)

    settled = await only_task(service)
    assert (settled.task_id, settled.status) == (task_id, Status.SUCCEEDED)
    assert looks(simulator) == [task_id]


async def test_callbacks_at_the_end_of_the_process_are_answered_and_begin_nothing(
    settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    async with Runtime(settings, clock=clock, transport=NETWORK) as runtime:
        service = await runtime.tasks()
        await submitted(service)
        runtime.stop()
        assert await service.callbacks.received(secret_of(simulator))
    assert await service.callbacks.received(secret_of(simulator))

    assert looks(simulator) == []
    assert json.dumps(callback_urls(simulator)).count(PUBLIC_URL) == 1


async def test_what_was_not_made_here_costs_no_look_into_the_store(service: Tasks, settings: Settings) -> None:
    await change(settings, "ALTER TABLE tasks RENAME TO away")
    stranger = CallbackPaths("http://x", b"another key").new().url.rpartition("/")[2]
    own = authentic(settings)
    for forged in (stranger, own[:-1] + ("A" if own[-1] != "A" else "B"), "A" * 40, "", "x", own + "A", own[:-1] + "é"):
        assert not await service.callbacks.received(forged)


async def test_a_callback_that_names_an_id_too_early_has_the_task_looked_at_when_its_answer_comes(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-slow=6*1")
    # The service does not know its new task at once.
    simulator.add_fault("look-404*1")
    async with anyio.create_task_group() as group:
        group.start_soon(submitted, service)
        await eventually(lambda: len(orders(simulator)) == 1)
        await until(clock, lambda: clock.monotonic() >= 5)
        task_id = orders(simulator)[0].task_id or ""
        assert await service.callbacks.received(secret_of(simulator), task_id)
        await eventually(lambda: len(looks(simulator)) == 1)
        await until(clock, lambda: clock.monotonic() >= 6)
    await eventually(lambda: len(looks(simulator)) == 2)
    await quiet(settings)

    assert (await only_task(service)).status is Status.SUCCEEDED
    assert clock.monotonic() < 10


@pytest.mark.parametrize("fault", ["look-401", "look-500"])
async def test_an_id_that_cannot_be_looked_at_is_not_asked_for_without_end(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock, fault: str
) -> None:
    stamina.set_testing(True, attempts=1)
    order, task_id = await lost_order(service, simulator)
    simulator.add_fault(fault)

    async def nothing_is_due() -> bool:
        at = await due_at(settings)
        return at is None or at > clock.now()

    assert await service.callbacks.received(secret_of(simulator), task_id)
    for _ in range(60):
        await clock.advance(10)
        # Until the poller has had its turn: a look that is due and not begun yet leaves the store as quiet as none.
        await eventually(nothing_is_due)
        await quiet(settings)

    assert len(looks(simulator)) == (1 if fault == "look-401" else 3)
    assert await only_task(service) == order
