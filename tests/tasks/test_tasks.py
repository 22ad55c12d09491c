"""``Tasks``: get, page, adoption, and whose tasks are whose."""

from base64 import b64encode
from pathlib import Path

import anyio
import httpx2
import pytest

from sora2_mcp.domain.request import AspectRatio, VideoRequest
from sora2_mcp.domain.task import Failure, Stage, Status, Task
from sora2_mcp.errors import ArgumentError, ServerFaultError, UnknownTaskError
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.tasks import Page, Tasks
from tests.clocks import START, FakeClock, eventually
from tests.network import NETWORK
from tests.tasks.core import CAT, DOG, listed, looks, opened, orders, settings_for

pytestmark = pytest.mark.anyio


async def ordered_elsewhere(base_url: str) -> str:
    """A task of the same account that this program knows nothing of."""
    async with httpx2.AsyncClient(headers={"authorization": "Bearer test-key"}, transport=NETWORK) as http:
        answer = await http.post(f"{base_url}/generate", json={"prompt": "A bird", "aspectRatio": "portrait"})
    return str(answer.json()["data"]["taskId"])


async def test_asking_for_a_task_looks_at_it(service: Tasks, simulator: Simulator, clock: FakeClock) -> None:
    task = (await service.submit(CAT, "local")).task
    assert (await service.get(task.task_id, "local")).status is Status.GENERATING
    await clock.advance(4)

    done = await service.get(task.task_id, "local")

    assert (done.status, done.finished_at) == (Status.SUCCEEDED, clock.now())
    assert done.video_url.endswith(f"/videos/{task.task_id}.mp4")
    assert done.video_expires_at is not None
    assert (done.video_expires_at - START).days == 15
    assert looks(simulator) == [task.task_id] * 2


async def test_a_failure_is_told_in_the_services_words(service: Tasks, clock: FakeClock) -> None:
    task = (await service.submit(VideoRequest(prompt="A cat [sim:generation-failure]"), "local")).task
    await clock.advance(4)

    failed = await service.get(task.task_id, "local")

    assert failed.status is Status.FAILED
    assert failed.failure == Failure(stage=Stage.GENERATION, code=501, message="The video could not be generated")


async def test_a_look_less_than_two_seconds_old_is_used_again(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    task = (await service.submit(CAT, "local")).task
    await service.get(task.task_id, "local")
    await clock.advance(1.9)
    await service.get(task.task_id, "local")
    assert len(looks(simulator)) == 1

    await clock.advance(0.1)
    await service.get(f"local-{task.id}", "local")

    assert len(looks(simulator)) == 2


async def test_those_who_ask_at_once_share_one_look(service: Tasks, simulator: Simulator, clock: FakeClock) -> None:
    task = (await service.submit(CAT, "local")).task
    simulator.add_fault("look-slow=5*1")
    seen: list[Task] = []

    async def ask() -> None:
        seen.append(await service.get(task.task_id, "local"))

    async with anyio.create_task_group() as group:
        for _ in range(10):
            group.start_soon(ask)
        await eventually(lambda: len(looks(simulator)) == 1)
        await clock.advance(5)

    assert [task.status for task in seen] == [Status.SUCCEEDED] * 10
    assert looks(simulator) == [task.task_id]


async def test_a_finished_task_costs_no_look(service: Tasks, simulator: Simulator, clock: FakeClock) -> None:
    task = (await service.submit(CAT, "local")).task
    await clock.advance(4)
    done = await service.get(task.task_id, "local")
    await clock.advance(3600)

    assert await service.get(task.task_id, "local") == done
    assert await service.wait(task.task_id, "local", 60) == done
    assert len(looks(simulator)) == 1


async def test_an_unconfirmed_order_has_nothing_to_look_at(service: Tasks, simulator: Simulator) -> None:
    simulator.add_fault("order-drop*1")
    task = (await service.submit(CAT, "local")).task

    assert await service.get(task.reference, "local") == task
    assert looks(simulator) == []


async def test_a_look_that_fails_is_told_and_the_task_stays_as_it_was(service: Tasks, simulator: Simulator) -> None:
    task = (await service.submit(CAT, "local")).task
    simulator.add_fault("look-500")

    with pytest.raises(ServerFaultError):
        await service.get(task.task_id, "local")

    assert (await service.find(task.task_id, "local")).status is Status.GENERATING


async def test_asking_ends_after_eight_seconds_whatever_the_service_does(
    service: Tasks, simulator: Simulator, clock: FakeClock
) -> None:
    task = (await service.submit(CAT, "local")).task
    simulator.add_fault("look-slow=3600")
    seen: list[Task] = []

    async def ask() -> None:
        seen.append(await service.get(task.task_id, "local"))

    async with anyio.create_task_group() as group:
        group.start_soon(ask)
        await eventually(lambda: len(looks(simulator)) == 1)
        await clock.advance(8)

    assert [task.status for task in seen] == [Status.GENERATING]


async def test_a_task_ordered_elsewhere_is_taken_in(
    service: Tasks, base_url: str, simulator: Simulator, clock: FakeClock
) -> None:
    task_id = await ordered_elsewhere(base_url)

    with pytest.raises(UnknownTaskError):
        await service.wait(task_id, "local", 0)
    adopted = await service.get(task_id, "local")

    assert (adopted.task_id, adopted.adopted, adopted.status) == (task_id, True, Status.GENERATING)
    assert adopted.request == VideoRequest(prompt="A bird", aspect_ratio=AspectRatio.PORTRAIT)
    assert await listed(service) == [adopted]
    await clock.advance(4)
    done = await service.get(task_id, "local")
    assert (done.id, done.status, done.video_expires_at) == (adopted.id, Status.SUCCEEDED, None)
    assert looks(simulator) == [task_id] * 2


async def test_only_local_takes_in_tasks(service: Tasks, base_url: str, simulator: Simulator) -> None:
    task_id = await ordered_elsewhere(base_url)

    with pytest.raises(UnknownTaskError):
        await service.get(task_id, "token:ann")

    assert looks(simulator) == []


async def test_another_principals_task_is_unknown_and_nobody_is_asked(service: Tasks, simulator: Simulator) -> None:
    anns = (await service.submit(CAT, "token:ann")).task
    bobs = (await service.submit(CAT, "local")).task

    for reference, principal in (
        (anns.task_id, "token:bob"),
        (anns.task_id, "local"),
        (f"local-{anns.id}", "local"),
        (bobs.task_id, "token:ann"),
    ):
        with pytest.raises(UnknownTaskError) as caught:
            await service.get(reference, principal)
        assert str(caught.value) == str(UnknownTaskError(reference))

    assert looks(simulator) == []
    assert await listed(service, "token:ann") == [anns]


async def test_an_id_the_service_does_not_know_is_unknown(service: Tasks, simulator: Simulator) -> None:
    with pytest.raises(UnknownTaskError, match="nobody") as caught:
        await service.get("nobody", "local")

    assert "list_tasks" in caught.value.hint
    assert looks(simulator) == ["nobody"]
    assert await listed(service) == []


@pytest.mark.parametrize("reference", ["", " ", "two words", "x" * 1001, "a\nb", "local-unknown", " local-unknown"])
async def test_what_cannot_be_an_id_of_the_service_is_not_asked_for(
    service: Tasks, simulator: Simulator, reference: str
) -> None:
    with pytest.raises(UnknownTaskError):
        await service.get(reference, "local")

    assert simulator.received == ()


async def test_finding_costs_no_look(service: Tasks, simulator: Simulator) -> None:
    task = (await service.submit(CAT, "local")).task

    assert await service.find(f"  {task.task_id} ", "local") == task
    with pytest.raises(UnknownTaskError):
        await service.find("nobody", "local")
    assert looks(simulator) == []


async def test_pages_lead_from_one_to_the_next(service: Tasks) -> None:
    submitted = [(await service.submit(VideoRequest(prompt=f"cat {n}"), "local")).task for n in range(5)]

    first = await service.page("local", limit=2)
    second = await service.page("local", limit=2, cursor=first.next_cursor)
    last = await service.page("local", limit=2, cursor=f" {second.next_cursor}\n")

    seen = [*first.tasks, *second.tasks, *last.tasks]
    assert sorted(task.id for task in seen) == sorted(task.id for task in submitted)
    assert (len(first.tasks), len(second.tasks), last.next_cursor) == (2, 2, "")
    assert await service.page("local", limit=5) == Page(tasks=tuple(seen), next_cursor="")
    assert await service.page("local", status=Status.SUCCEEDED) == Page(tasks=(), next_cursor="")


NUL_IN_IT = b64encode(b"2026-01-01T00:00:00+00:00|" + b"\0" * 32).decode()


@pytest.mark.parametrize("cursor", ["nonsense", "é", "MjAyNg==", "MjAyNi0wMS0wMVQwMDowMDowMHxh", NUL_IN_IT, "%%%"])
async def test_a_cursor_of_nobodys_is_an_error_that_names_it(service: Tasks, cursor: str) -> None:
    with pytest.raises(ArgumentError) as caught:
        await service.page("local", cursor=cursor)

    assert caught.value.argument == "cursor"


async def test_processes_with_different_keys_on_one_store_never_meet(
    tmp_path: Path, base_url: str, simulator: Simulator, clock: FakeClock
) -> None:
    one: Settings = settings_for(tmp_path, base_url, api_key="key-a", max_active_tasks=1)
    two: Settings = settings_for(tmp_path, base_url, api_key="key-b", max_active_tasks=1)
    async with opened(one, clock) as a:
        mine = (await a.submit(CAT, "local", key="k")).task
    await clock.advance(300)
    async with opened(two, clock) as b:
        assert await listed(b) == []
        theirs = (await b.submit(DOG, "local", key="k")).task
        assert (await b.usage("local")).all_active == 1
        await clock.advance(30)
    assert looks(simulator) == []

    async with opened(one, clock) as a:
        assert await a.find(mine.task_id, "local") == mine
        with pytest.raises(UnknownTaskError):
            await a.find(theirs.task_id, "local")
    assert len(orders(simulator)) == 2
