"""What an agent reads of many tasks: where each video is, what was asked for, and what is left to do."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from sora2_mcp.domain.request import Quality, VideoRequest
from sora2_mcp.domain.task import Failure, SavedFile, Stage, Status, Task
from sora2_mcp.server.listing import Filter, line, listed
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.store.interface import MOST_COUNTED, Usage
from sora2_mcp.tasks.tasks import Page
from tests.clocks import PATIENCE_SECONDS, START, FakeClock
from tests.servers import agent, text_of

pytestmark = pytest.mark.anyio

TASK = Task(
    id="0" * 32,
    task_id="t1",
    principal="local",
    service="kie",
    request=VideoRequest(prompt="A kitten", image_urls=("https://x/1.png", "https://x/2.png"), seconds=8),
    created_at=START,
)
DONE = replace(
    TASK,
    status=Status.SUCCEEDED,
    finished_at=START + timedelta(seconds=90),
    known_unfinished_at=START,
    video_url="https://cdn.example.com/x.mp4",
    cost=40.0,
)
FILE = SavedFile(path="/videos/kitten.mp4", size_bytes=1, sha256="")
USAGE = Usage(
    mine_today=2, mine_failed_today=0, mine_this_month=14, mine_failed_this_month=0, all_today=3, all_active=0
)


def read(*tasks: Task, status: str = "any", total: int = 1, daily_limit: int = 0, cursor: str = "") -> list[str]:
    page = Page(tasks=tasks, next_cursor=cursor)
    asked = Filter(status=status, limit=10)
    return str(listed(page, START, asked=asked, total=total, usage=USAGE, daily_limit=daily_limit)).splitlines()


@pytest.mark.parametrize(
    ("task", "end"),
    [
        (TASK, ""),
        (DONE, " · https://cdn.example.com/x.mp4 · not saved, kept until 2026-12-07 · 40 credits"),
        (replace(DONE, retention=None), " · https://cdn.example.com/x.mp4 · not saved · 40 credits"),
        (replace(DONE, file=FILE), " · https://cdn.example.com/x.mp4 · saved: /videos/kitten.mp4 · 40 credits"),
        (replace(DONE, video_url="/content"), " · being saved · 40 credits"),
        (
            replace(TASK, status=Status.FAILED, failure=Failure(stage=Stage.GENERATION, code=501, message="no")),
            " · code 501",
        ),
    ],
)
def test_each_task_says_what_was_asked_for_and_where_its_video_is(task: Task, end: str) -> None:
    begin = f'{task.reference} · {task.status} · 2026-11-22 12:00 UTC · landscape, standard, 8 s, 2 images · "A kitten"'
    assert line(task, START) == begin + end


def test_what_the_service_has_deleted_has_no_link() -> None:
    late = START + timedelta(days=20)
    assert line(DONE, late).endswith(" · expired 2026-12-07, not saved · 40 credits")
    assert line(replace(DONE, file=FILE), late).endswith('"A kitten" · saved: /videos/kitten.mp4 · 40 credits')


def test_a_prompt_is_shown_whole_or_says_that_it_is_cut() -> None:
    whole, long = "k" * 200, "k" * 4321
    assert f'"{whole}"' in line(replace(TASK, request=VideoRequest(prompt=whole)), START)
    cut = line(replace(TASK, request=VideoRequest(prompt=long, quality=Quality.HD)), START)
    assert cut.endswith(f'landscape, hd · "{whole}" (cut, 4,321 characters in all)')


def test_the_last_line_counts_and_tells_the_time() -> None:
    now = "It is 2026-11-22 12:00 UTC."
    assert read(DONE, total=12)[-1] == f"1 of 12. Ordered today: 2; this month: 14. {now}"
    assert read(DONE, daily_limit=5)[-1] == (
        f"1 of 1. Ordered today: 2, with all callers 3 of 5; this month: 14. {now}"
    )
    assert read(DONE, status="succeeded", total=MOST_COUNTED)[-1] == (
        f"1 of 1,000 or more succeeded. Ordered today: 2; this month: 14. {now}"
    )


def test_there_is_a_next_step_only_where_there_is_something_to_do() -> None:
    assert "Next" not in " ".join(read(DONE))
    assert read(TASK)[-1] == 'Next: wait_for_video(task_id="t1") for the video that is still being made.'
    assert read(replace(TASK, status=Status.UNCONFIRMED))[-1].startswith("Next: Tell the user which orders are unconf")
    assert read(DONE, cursor="c")[-1] == 'Next: list_tasks(status="any", limit=10, cursor="c") for older ones.'
    assert read()[-1] == "Next: generate_video orders one."
    assert read(status="failed") == [
        "No failed tasks. Ordered today: 2; this month: 14. It is 2026-11-22 12:00 UTC.",
        "Next: list_tasks() shows every task.",
    ]


async def test_a_list_counts_what_the_store_holds(tmp_path: Path, clock: FakeClock) -> None:
    simulator = Simulator(seconds_per_task=1000, now=clock.now, sleep=clock.sleep)
    async with agent(tmp_path, simulator=simulator, clock=clock, poll_seconds=600, daily_limit=5) as me:
        await me.runtime.tasks(PATIENCE_SECONDS)
        for number in range(3):
            await me.content("generate_video", prompt=f"Kitten {number}")
        counts = "2 of 3. Ordered today: 3 of 5; this month: 3. It is 2026-11-22 12:00 UTC."
        assert counts in text_of(await me.call("list_tasks", limit=2))


async def test_a_wait_says_how_long_such_videos_took_lately(tmp_path: Path) -> None:
    async with agent(tmp_path, simulator=Simulator(seconds_per_task=0)) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        await me.content("wait_for_video", task_id=task_id)
        other = (await me.content("generate_video", prompt="A dog [sim:seconds=1000]"))["task_id"]
        for tool, arguments in (("wait_for_video", {"timeout_seconds": 0}), ("get_task_status", {})):
            text = text_of(await me.call(tool, task_id=other, **arguments))
            assert "\nSuch videos took about " in text
