"""The one writer of facts: whoever reports, everything is kept, saved first and published once."""

from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import anyio
import pytest

from sora2_mcp.domain.events import (
    TaskCorrected,
    TaskEvent,
    TaskFinished,
    TaskRefused,
    TaskSubmitted,
    TaskUnconfirmed,
    VideoSaved,
)
from sora2_mcp.domain.request import AspectRatio, Quality, VideoRequest
from sora2_mcp.domain.task import NOT_REACHED, Failure, SavedFile, Sighting, Snapshot, Stage, Status, Task
from sora2_mcp.errors import LostAnswerError, NoCreditsError, NotReachedError, UnknownTaskError
from sora2_mcp.tasks.bus import EventBus
from sora2_mcp.tasks.ledger import Ledger, fingerprint
from sora2_mcp.tasks.pacing import Pacing
from sora2_mcp.tasks.store.database import Database, open_store
from sora2_mcp.tasks.store.port import Budget
from tests.clocks import START, FakeClock
from tests.stores import store_in

pytestmark = pytest.mark.anyio

CAT = VideoRequest(prompt="A cat")
NO_LIMITS = Budget(max_active_tasks=0, daily_limit=0, duplicate_window=timedelta(seconds=60))


@pytest.fixture
async def store(tmp_path: Path, clock: FakeClock) -> AsyncIterator[Database]:
    async with open_store(store_in(tmp_path).url, "here", clock) as store:
        yield store


@pytest.fixture
def bus() -> EventBus:
    return EventBus()


@pytest.fixture
def ledger(store: Database, bus: EventBus, clock: FakeClock) -> Ledger:
    return Ledger(store=store, service="here", bus=bus, clock=clock, pacing=Pacing(5, 60), budget=NO_LIMITS)


async def ordered(ledger: Ledger) -> Task:
    reservation = await ledger.reserve(CAT, "local", "")
    return await ledger.bind(reservation.task, "task-1")


def success(seconds: float, url: str = "https://cdn.example/a.mp4") -> Snapshot:
    return Snapshot(sighting=Sighting.SUCCEEDED, seen_at=START + timedelta(seconds=seconds), video_url=url)


async def test_an_observation_is_saved_and_then_published(ledger: Ledger, store: Database, bus: EventBus) -> None:
    task = await ordered(ledger)
    heard: list[TaskEvent] = []
    with bus.subscribed(heard.append):
        seen = await ledger.observe(task, success(30))

    assert seen.status is Status.SUCCEEDED
    assert await store.load(task.id) == seen
    assert heard == [TaskFinished(id=task.id, at=START + timedelta(seconds=30))]


async def test_whoever_hears_of_an_event_finds_it_saved(ledger: Ledger, bus: EventBus, tmp_path: Path) -> None:
    found: list[tuple[str, str]] = []

    def read(event: TaskEvent) -> None:
        [(status,)] = store_in(tmp_path).query(f"SELECT status FROM tasks WHERE id = '{event.id}'")  # noqa: S608
        found.append((type(event).__name__, status))

    with bus.subscribed(read):
        task = await ordered(ledger)
        await ledger.observe(task, success(30))
        unclear = (await ledger.reserve(CAT, "token:ann", "")).task
        await ledger.unclear(unclear.id, LostAnswerError("no answer"))

    assert found == [("TaskSubmitted", "generating"), ("TaskFinished", "succeeded"), ("TaskUnconfirmed", "unconfirmed")]


async def test_what_is_not_new_is_neither_saved_nor_published(ledger: Ledger, store: Database, bus: EventBus) -> None:
    done = await ledger.observe(await ordered(ledger), success(30))
    heard: list[TaskEvent] = []
    with bus.subscribed(heard.append):
        again = await ledger.observe(done, success(30))

    assert (again, heard) == (done, [])
    assert await store.load(done.id) == done


async def test_two_witnesses_at_once_are_both_believed(ledger: Ledger, store: Database, bus: EventBus) -> None:
    task = await ordered(ledger)
    heard: list[TaskEvent] = []
    witnesses = [success(30, "https://cdn.example/old.mp4"), success(40, "https://cdn.example/new.mp4")]
    with bus.subscribed(heard.append):
        async with anyio.create_task_group() as group:
            for snapshot in witnesses:
                group.start_soon(ledger.observe, task, snapshot)

    stored = await store.load(task.id)
    assert stored is not None
    assert stored.video_url == "https://cdn.example/new.mp4"
    assert stored.finished_at == START + timedelta(seconds=30)
    assert stored.version == task.version + 2
    assert [type(event) for event in heard] == [TaskFinished, TaskCorrected]


async def test_a_late_generating_never_undoes_a_finish(ledger: Ledger, store: Database) -> None:
    stale = await ordered(ledger)
    await ledger.observe(stale, success(30))

    late = Snapshot(sighting=Sighting.GENERATING, seen_at=START + timedelta(seconds=60))
    seen = await ledger.observe(stale, late)

    assert seen.status is Status.SUCCEEDED
    assert await store.load(stale.id) == seen


async def test_a_hundred_witnesses_publish_one_finish(ledger: Ledger, bus: EventBus) -> None:
    task = await ordered(ledger)
    heard: list[TaskEvent] = []
    with anyio.fail_after(20), bus.subscribed(heard.append):
        async with anyio.create_task_group() as group:
            for _ in range(100):
                group.start_soon(ledger.observe, task, success(30))

    assert heard == [TaskFinished(id=task.id, at=START + timedelta(seconds=30))]


async def test_observing_a_task_that_is_gone_says_so(ledger: Ledger) -> None:
    task = await ordered(ledger)

    with pytest.raises(UnknownTaskError):
        await ledger.observe(replace(task, id="gone"), success(30))


async def test_a_refusal_keeps_the_services_code_and_words(ledger: Ledger, store: Database, bus: EventBus) -> None:
    heard: list[TaskEvent] = []
    told = (await ledger.reserve(CAT, "local", "")).task
    with bus.subscribed(heard.append):
        refused = await ledger.refuse(told, NoCreditsError("Insufficient credits"))

    assert (refused.status, refused.failure) == (
        Status.REFUSED,
        Failure(stage=Stage.CREATION, code=402, message="Insufficient credits"),
    )
    assert await store.load(told.id) == refused
    assert heard == [TaskRefused(id=told.id, at=START)]


async def test_an_order_that_never_left_keeps_the_reason(ledger: Ledger) -> None:
    told = (await ledger.reserve(CAT, "local", "")).task

    refused = await ledger.refuse(told, NotReachedError("ConnectError"))

    assert refused.failure is not None
    assert refused.failure == Failure(stage=Stage.CREATION, code=NOT_REACHED, message="ConnectError")


async def test_every_step_has_its_event(ledger: Ledger, store: Database, bus: EventBus) -> None:
    heard: list[TaskEvent] = []
    file = SavedFile(path="/videos/a.mp4", size_bytes=1, sha256="11")
    with bus.subscribed(heard.append):
        order = (await ledger.reserve(CAT, "local", "k")).task
        await ledger.unclear(order.id, LostAnswerError("no answer"))
        await ledger.bind(order, "task-1")
        await store.claim_download(order.id, "me", timedelta(seconds=60))
        saved = await ledger.file_saved(order, "me", file)
        adopted = await ledger.adopt("task-2", "local", success(1))

    assert [(type(event), event.id) for event in heard] == [
        (TaskUnconfirmed, order.id),
        (TaskSubmitted, order.id),
        (VideoSaved, order.id),
        (TaskSubmitted, adopted.id),
    ]
    assert saved.file == file


async def test_an_adopted_task_without_parameters_has_an_empty_request(ledger: Ledger, store: Database) -> None:
    adopted = await ledger.adopt("task-2", "local", success(1))

    assert (adopted.request, adopted.status, adopted.adopted) == (VideoRequest(prompt=""), Status.SUCCEEDED, True)
    assert await store.find("local", "task-2") == adopted


def test_every_argument_of_an_order_counts_in_its_fingerprint() -> None:
    requests = [
        CAT,
        VideoRequest(prompt="A cat", image_urls=("https://a.example/1.png",)),
        VideoRequest(prompt="A cat", image_urls=("https://a.example/1.png", "https://a.example/2.png")),
        VideoRequest(prompt="A cat", aspect_ratio=AspectRatio.PORTRAIT),
        VideoRequest(prompt="A cat", quality=Quality.HD),
        VideoRequest(prompt="A cat", watermark="me"),
        VideoRequest(prompt="A cat", callback_url="https://me.example/hook"),
    ]

    assert len({fingerprint(request) for request in requests}) == len(requests)
    assert fingerprint(CAT) == fingerprint(VideoRequest(prompt="A cat"))
    assert "cat" not in fingerprint(CAT)
