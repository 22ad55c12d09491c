"""Orders on their way: what is repeated, what never is, and what a process's end does to them."""

from itertools import pairwise
from pathlib import Path

import anyio
import pytest

from sora2_mcp.domain.task import Failure, Stage, Status, Task
from sora2_mcp.runtime import Runtime
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.orders import SENDING_LEASE
from sora2_mcp.tasks.store.interface import Outcome
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import START, FakeClock, eventually, settle
from tests.network import NETWORK, simulated
from tests.stores import store_at
from tests.tasks.core import CAT, change, listed, opened, orders, settings_for, until

pytestmark = pytest.mark.anyio

LOST_ANSWERS = ["order-drop", "order-half", "order-html", "order-html-accepted", "order-empty", "order-no-id"]


async def sent_in_background(service: Tasks, simulator: Simulator) -> None:
    """Orders, and leaves once the first POST has arrived."""
    async with anyio.create_task_group() as group:
        group.start_soon(service.submit, CAT, "local")
        await eventually(lambda: len(orders(simulator)) == 1)
        group.cancel_scope.cancel()


async def only_task(service: Tasks) -> Task:
    [task] = await listed(service)
    return task


@pytest.mark.parametrize("fault", LOST_ANSWERS)
async def test_an_order_whose_answer_is_lost_is_unconfirmed_and_never_sent_again(
    service: Tasks, simulator: Simulator, clock: FakeClock, fault: str
) -> None:
    simulator.add_fault(f"{fault}*1")

    submission = await service.submit(CAT, "local")
    await clock.advance(600)
    again = await service.submit(CAT, "local")

    assert (submission.task.status, submission.task.task_id) == (Status.UNCONFIRMED, "")
    assert (again.outcome, again.task) == (Outcome.REPEAT, submission.task)
    assert await listed(service) == [submission.task]
    assert len(orders(simulator)) == 1
    assert (await service.usage("local")).all_today == 1


async def test_an_order_without_any_answer_is_unconfirmed_after_its_limit(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-slow=3600")
    await sent_in_background(service, simulator)
    assert (await only_task(service)).status is Status.GENERATING

    await clock.advance(30)

    async def unconfirmed() -> bool:
        return (await only_task(service)).status is Status.UNCONFIRMED

    await eventually(unconfirmed)
    assert len(orders(simulator)) == 1


async def test_too_many_orders_are_repeated_when_the_service_said(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-429=20*2")
    await sent_in_background(service, simulator)

    await until(clock, lambda: len(orders(simulator)) == 3)

    first, second, third = (order.at for order in orders(simulator))
    assert (second - first).total_seconds() >= 20
    assert (third - second).total_seconds() >= 20

    async def accepted() -> bool:
        return (await only_task(service)).task_id == orders(simulator)[2].task_id

    await eventually(accepted)


async def test_an_order_that_waits_its_turn_stays_generating_and_is_listed(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-429=100*1")
    await sent_in_background(service, simulator)

    async def held() -> bool:
        return (await only_task(service)).sending_until != START + SENDING_LEASE

    await eventually(held)
    await clock.advance(90)

    # Longer than a POST's own lease: while its sender lives, nobody calls it unconfirmed.
    assert (await only_task(service)).status is Status.GENERATING


async def test_an_order_is_repeated_during_maintenance_until_it_is_accepted(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-455*4")
    await sent_in_background(service, simulator)

    await until(clock, lambda: len(orders(simulator)) == 5, step_seconds=0.25)

    pauses = [(later.at - earlier.at).total_seconds() for earlier, later in pairwise(orders(simulator))]
    assert all(pause >= least for pause, least in zip(pauses, (0.25, 0.5, 1, 2), strict=True))
    assert orders(simulator)[4].code == 200


async def test_two_minutes_of_too_many_orders_end_it_with_nothing_spent(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-429=25")
    submitted: list[Task] = []

    async def order() -> None:
        submitted.append((await service.submit(CAT, "local")).task)

    async with anyio.create_task_group() as group:
        group.start_soon(order)
        await eventually(lambda: len(orders(simulator)) == 1)
        await until(clock, lambda: len(submitted) == 1)
    for _ in range(400):
        if (task := await only_task(service)).finished:
            break
        await clock.advance(0.5)
        await anyio.sleep(0.005)

    assert task.status is Status.FAILED
    assert task.failure == Failure(stage=Stage.CREATION, code=429, message="Too many requests, please try again later")
    assert task.reference == submitted[0].reference
    first, last = orders(simulator)[0], orders(simulator)[-1]
    assert 70 <= (last.at - first.at).total_seconds() <= 125
    assert (await service.usage("local")).all_today == 0


async def test_a_pause_longer_than_two_minutes_is_not_waited_for(service: Tasks, simulator: Simulator) -> None:
    simulator.add_fault("order-429=121")

    with pytest.raises(Exception, match=r"429"):
        await service.submit(CAT, "local")

    assert len(orders(simulator)) == 1
    assert await listed(service) == []


async def test_a_paid_order_is_bound_as_soon_as_the_store_works_again(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-slow=5")
    await sent_in_background(service, simulator)
    await change(settings, "ALTER TABLE tasks RENAME TO away")
    await clock.advance(6)
    await eventually(lambda: orders(simulator)[0].code == 200)
    await change(settings, "ALTER TABLE away RENAME TO tasks")

    for _ in range(100):
        if (task := await only_task(service)).task_id:
            break
        await clock.advance(0.5)
        await anyio.sleep(0.005)

    assert task.task_id == orders(simulator)[0].task_id


async def test_a_store_that_fails_during_a_pause_stops_neither_the_order_nor_the_others(
    service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-429=5*1")
    store_at(settings.store_url).refuse("UPDATE OF sending_until", "NEW.task_id IS NULL")
    await sent_in_background(service, simulator)

    await until(clock, lambda: len(orders(simulator)) == 2)

    async def accepted() -> bool:
        return (await only_task(service)).task_id == orders(simulator)[1].task_id

    await eventually(accepted)


async def test_the_end_of_the_process_leaves_an_order_under_way_unconfirmed(
    settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-slow=3600")
    with anyio.fail_after(4):
        async with opened(settings, clock) as service:
            await sent_in_background(service, simulator)

    async with opened(settings, clock) as service:
        assert (await only_task(service)).status is Status.UNCONFIRMED
    assert len(orders(simulator)) == 1


async def test_an_answer_that_comes_while_the_process_ends_is_kept(
    settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-slow=5")
    with anyio.fail_after(4):
        async with Runtime(settings, clock=clock, transport=NETWORK) as runtime:
            await sent_in_background(await runtime.tasks(), simulator)
            runtime.stop()
            await clock.advance(5)

    async with opened(settings, clock) as service:
        task = await only_task(service)
    assert (task.status, task.task_id) == (Status.GENERATING, orders(simulator)[0].task_id)


async def test_an_intent_that_is_saved_while_the_process_ends_means_not_sent(
    settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    async with Runtime(settings, clock=clock, transport=NETWORK) as runtime, anyio.create_task_group() as group:
        service = await runtime.tasks()
        with store_at(settings.store_url).locked():
            group.start_soon(service.submit, CAT, "local")
            await settle()
            runtime.stop()
            # Longer than orders under way still have.
            await anyio.sleep(1.3)
        group.cancel_scope.cancel()

    async with opened(settings, clock) as service:
        assert await listed(service) == []
    assert orders(simulator) == []
    assert [status for (status,) in store_at(settings.store_url).rows("status")] in ([], ["refused"])


async def test_the_end_of_the_process_between_two_tries_means_not_sent(
    settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    simulator.add_fault("order-429=60")
    with anyio.fail_after(4):
        async with opened(settings, clock) as service:
            await sent_in_background(service, simulator)
            await eventually(lambda: orders(simulator)[0].code == 429)

    async with opened(settings, clock) as service:
        assert await listed(service) == []
        assert (await service.usage("local")).all_today == 0


async def test_the_built_in_simulator_is_served_as_long_as_the_core_runs(tmp_path: Path, clock: FakeClock) -> None:
    simulator = Simulator(now=clock.now, sleep=clock.sleep)
    settings = settings_for(tmp_path, "http://unused.example", simulate=True, api_key="")
    async with simulated(settings, simulator, clock) as runtime:
        task = (await (await runtime.tasks()).submit(CAT, "local")).task

    assert (task.service, task.task_id) == ("simulator", orders(simulator)[0].task_id)
