"""``Tasks.submit``: what an order gives its caller."""

from dataclasses import replace
from pathlib import Path

import anyio
import pytest

from sora2_mcp.domain.request import AspectRatio, Quality, VideoRequest
from sora2_mcp.domain.task import NOT_REACHED, Failure, Stage, Status
from sora2_mcp.errors import ArgumentError, KeyReusedError, LimitError, NotReachedError, ServiceError
from sora2_mcp.runtime import Runtime
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.orders import Submission
from sora2_mcp.tasks.store.interface import Outcome
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import START, FakeClock, eventually
from tests.stores import store_at
from tests.tasks.core import CAT, DOG, closed_address, listed, looks, opened, orders, settings_for, until

pytestmark = pytest.mark.anyio

REFUSALS = {
    "refused-prompt": 400,
    **{f"order-{code}": code for code in (401, 402, 422, 500, 501, 505)},
}


async def test_an_order_gives_the_services_id(service: Tasks, simulator: Simulator) -> None:
    request = VideoRequest(
        prompt="A cat",
        image_urls=("https://a.example/1.png",),
        aspect_ratio=AspectRatio.PORTRAIT,
        quality=Quality.HD,
        watermark="me",
        callback_url="https://me.example/hook",
    )

    submission = await service.submit(request, "local")

    [post] = orders(simulator)
    assert post.body == {
        "prompt": "A cat",
        "imageUrls": ["https://a.example/1.png"],
        "aspectRatio": "portrait",
        "quality": "hd",
        "watermark": "me",
        "callBackUrl": "https://me.example/hook",
    }
    assert (submission.task.task_id, submission.outcome) == (post.task_id, Outcome.NEW)
    assert (submission.task.status, submission.task.created_at) == (Status.GENERATING, START)
    assert await listed(service) == [submission.task]


async def test_a_slow_answer_gives_the_local_id_in_time_and_the_task_has_both_ids_later(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-slow=10")
    given: list[Submission] = []

    async def order() -> None:
        given.append(await service.submit(CAT, "local"))

    async with anyio.create_task_group() as group:
        group.start_soon(order)
        await eventually(lambda: len(orders(simulator)) == 1)
        await clock.advance(3)
        await eventually(lambda: len(given) == 1)

    early = given[0].task
    assert (early.reference, early.status) == (f"local-{early.id}", Status.GENERATING)
    task_id = orders(simulator)[0].task_id
    assert task_id is not None
    await clock.advance(7)

    async def answered() -> bool:
        return bool((await service.find(early.reference, "local")).task_id)

    await eventually(answered)
    assert await service.find(early.reference, "local") == await service.find(task_id, "local")
    assert len(orders(simulator)) == 1


@pytest.mark.parametrize(("fault", "code"), REFUSALS.items())
async def test_a_refused_order_raises_its_error_and_leaves_nothing(
    tmp_path: Path, base_url: str, simulator: Simulator, clock: FakeClock, fault: str, code: int
) -> None:
    simulator.add_fault(f"{fault}*1")
    async with opened(settings_for(tmp_path, base_url, max_active_tasks=1, daily_limit=1), clock) as service:
        with pytest.raises(ServiceError) as caught:
            await service.submit(CAT, "local", key="k")

        assert caught.value.code == code
        assert caught.value.message
        assert await listed(service) == []
        again = await service.submit(DOG, "local", key="k")

    assert again.outcome is Outcome.NEW
    assert len(orders(simulator)) == 2


async def test_a_refusal_after_the_local_id_was_given_fails_the_task_and_costs_nothing(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-429=20*1")
    simulator.add_fault("order-402*1")
    given: list[Submission] = []

    async def order() -> None:
        given.append(await service.submit(CAT, "local", key="k"))

    async with anyio.create_task_group() as group:
        group.start_soon(order)
        # Not before it was sent: time that runs while a busy machine still reserves ends the call.
        await eventually(lambda: len(orders(simulator)) == 1)
        await until(clock, lambda: len(given) == 1)
    await until(clock, lambda: len(orders(simulator)) == 2)

    async def failed() -> bool:
        return (await service.find(given[0].task.reference, "local")).status is Status.FAILED

    await eventually(failed)
    [task] = await listed(service)
    assert task.id == given[0].task.id
    assert task.failure == Failure(stage=Stage.CREATION, code=402, message="Insufficient credits")
    usage = await service.usage("local")
    assert (usage.mine_today, usage.all_today, usage.all_active) == (0, 0, 0)
    with pytest.raises(KeyReusedError):
        await service.submit(CAT, "local", key="k")


async def test_a_service_that_cannot_be_reached_leaves_nothing(tmp_path: Path) -> None:
    settings = settings_for(tmp_path, closed_address())
    async with opened(settings) as service:
        with anyio.fail_after(3), pytest.raises(NotReachedError):
            await service.submit(CAT, "local", key="k")
        kept = store_at(settings.store_url).rows("status", "failure_stage", "failure_code", "failure_message")
        assert kept == [("refused", "creation", NOT_REACHED, "no connection could be made")]

        usage = await service.usage("local")
        assert (await listed(service), usage.all_active, usage.all_today) == ([], 0, 0)


async def test_cancelling_the_caller_does_not_cancel_the_order(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-slow=10")
    async with anyio.create_task_group() as group:
        group.start_soon(service.submit, CAT, "local")
        await eventually(lambda: len(orders(simulator)) == 1)
        group.cancel_scope.cancel()

    await clock.advance(10)

    async def bound() -> bool:
        return [task.task_id for task in await listed(service)] == [orders(simulator)[0].task_id]

    await eventually(bound)


async def test_who_would_wait_long_for_a_turn_at_the_service_gets_the_local_id_at_once(
    tmp_path: Path, base_url: str, clock: FakeClock
) -> None:
    given: list[Submission] = []
    async with opened(settings_for(tmp_path, base_url, max_requests_per_second=1), clock) as service:

        async def order(number: int) -> None:
            given.append(await service.submit(VideoRequest(prompt=f"A cat {number}"), "local"))

        async with anyio.create_task_group() as group:
            for number in range(6):
                group.start_soon(order, number)
            # One is sent, two wait a second and two for theirs, and no time passes for any of them.
            await eventually(lambda: len(given) >= 4)
            assert sum(not submission.task.task_id for submission in given) >= 3
            assert clock.monotonic() == 0
            group.cancel_scope.cancel()


async def test_racing_repeats_wait_for_the_first_ones_answer(service: Tasks, simulator: Simulator) -> None:
    given: list[Submission] = []

    async def order(key: str) -> None:
        given.append(await service.submit(CAT, "local", key=key))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(order, "k")

    [post] = orders(simulator)
    assert {submission.task.task_id for submission in given} == {post.task_id}
    assert sorted(submission.outcome.value for submission in given) == ["new"] + ["same key"] * 9


async def test_racing_repeats_share_the_first_ones_refusal(
    runtime: Runtime, simulator: Simulator, clock: FakeClock
) -> None:
    service = await runtime.tasks()
    simulator.add_fault("order-429=1*1")
    simulator.add_fault("order-402*1")
    codes: list[int] = []

    async def order() -> None:
        with pytest.raises(ServiceError) as caught:
            await service.submit(CAT, "local", key="k")
        codes.append(caught.value.code)

    async with anyio.create_task_group() as group:
        for _ in range(3):
            group.start_soon(order)
        await eventually(lambda: len(orders(simulator)) == 1)
        [task] = await listed(service)
        await eventually(lambda: runtime.bus.waiters(task.id) == 2)
        await eventually(lambda: clock.awaits(1))
        await clock.advance(1)

    assert codes == [402, 402, 402]
    assert len(orders(simulator)) == 2


async def test_an_exact_repeat_joins_the_task_under_way(service: Tasks, simulator: Simulator) -> None:
    first = await service.submit(CAT, "local")

    assert await service.submit(CAT, "local") == replace(first, outcome=Outcome.REPEAT)
    assert len(orders(simulator)) == 1
    assert (await service.submit(CAT, "token:ann")).outcome is Outcome.NEW


async def test_a_limit_stops_the_order_before_it_is_sent(
    tmp_path: Path, base_url: str, simulator: Simulator, clock: FakeClock
) -> None:
    async with opened(settings_for(tmp_path, base_url, max_active_tasks=1), clock) as service:
        await service.submit(CAT, "token:ann")
        with pytest.raises(LimitError) as caught:
            await service.submit(DOG, "local")

    assert (caught.value.limit, caught.value.used) == (1, 1)
    assert len(orders(simulator)) == 1


@pytest.mark.parametrize(
    ("request_", "key", "argument"),
    [
        (VideoRequest(prompt=" \n"), "", "prompt"),
        (VideoRequest(prompt="A cat", image_urls=("ftp://a",)), "", "image_urls"),
        (CAT, "k" * 201, "idempotency_key"),
    ],
)
async def test_bad_arguments_are_named_and_nothing_is_sent(
    service: Tasks, simulator: Simulator, request_: VideoRequest, key: str, argument: str
) -> None:
    with pytest.raises(ArgumentError) as caught:
        await service.submit(request_, "local", key=key)

    assert caught.value.argument == argument
    assert simulator.received == ()


async def test_the_window_and_the_limits_come_from_the_settings(
    tmp_path: Path, base_url: str, simulator: Simulator, clock: FakeClock
) -> None:
    settings: Settings = settings_for(tmp_path, base_url, duplicate_window_seconds=0, daily_limit=2)
    async with opened(settings, clock) as service:
        await service.submit(CAT, "local")
        await service.submit(CAT, "local")
        with pytest.raises(LimitError):
            await service.submit(CAT, "local")

    assert len(orders(simulator)) == 2
    assert looks(simulator) == []
