"""``SORA2_AUTO_DOWNLOAD``: every finished video is saved by itself, also those that ended while nobody ran."""

from pathlib import Path

import anyio
import pytest
from starlette.types import Receive, Scope, Send

from sora2_mcp.clock import SystemClock
from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Task
from sora2_mcp.server.texts import described
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import FakeClock, eventually
from tests.network import NETWORK
from tests.tasks.core import change, listed, opened, settings_for, until

pytestmark = pytest.mark.anyio


async def files_of(service: Tasks) -> set[str]:
    """Where all the saved videos are."""
    tasks, cursor = list[Task](), ""
    while True:
        page = await service.page("local", limit=50, cursor=cursor)
        tasks += page.tasks
        cursor = page.next_cursor
        if not cursor:
            return {task.file.path for task in tasks if task.file is not None}


async def all_saved(settings: Settings, count: int) -> set[str]:
    """The files, once so many tasks have one."""

    def saved() -> int:
        return len([*settings.videos.glob("*.mp4")])

    async with opened(settings) as service:
        # A busy machine needs its time for so many; whether it goes on is seen sooner.
        for so_many in (*range(20, count, 20), count):
            await eventually(lambda so_many=so_many: saved() >= so_many)

        async def noted() -> bool:
            return len(await files_of(service)) == count

        await eventually(noted)
        return await files_of(service)


async def test_videos_that_ended_while_nobody_ran_are_all_saved_after_the_start(tmp_path: Path) -> None:
    await save_after_the_start(tmp_path, count=45)


async def save_after_the_start(folder: Path, count: int) -> None:
    """Orders so many videos, and has a process that starts later save them; more than it reads at a time."""
    simulator = Simulator(seconds_per_task=0)
    async with NETWORK.simulating(simulator) as url:
        settings = settings_for(folder, url, idle_poll_seconds=0.1)
        async with opened(settings) as service:
            for number in range(count):
                await service.submit(VideoRequest(prompt=f"Kitten {number}"), "local")

        paths = await all_saved(settings.model_copy(update={"auto_download": True}), count)

    assert {path.read_bytes()[4:8] for path in map(Path, paths)} == {b"ftyp"}
    assert len(list((folder / "videos").iterdir())) == count


async def test_a_video_is_saved_when_it_is_done_and_nobody_asks(tmp_path: Path) -> None:
    async with NETWORK.simulating(Simulator(seconds_per_task=0.2)) as url:
        settings = settings_for(tmp_path, url, idle_poll_seconds=0.1, auto_download=True)
        async with opened(settings) as service:
            await service.submit(VideoRequest(prompt="A kitten"), "local")
            await eventually(lambda: len([*(tmp_path / "videos").glob("*.mp4")]) == 1)


async def test_without_the_setting_nothing_is_saved_by_itself(tmp_path: Path) -> None:
    async with NETWORK.simulating(Simulator(seconds_per_task=0)) as url:
        async with opened(settings_for(tmp_path, url)) as service:
            task = (await service.submit(VideoRequest(prompt="A kitten"), "local")).task
            await service.get(task.task_id, "local")
            await service.download(task.task_id, "local", "asked")
        assert [path.name for path in (tmp_path / "videos").iterdir()] == ["asked.mp4"]


async def test_a_video_that_cannot_be_saved_keeps_none_of_the_others_waiting_and_is_tried_again(
    tmp_path: Path, clock: FakeClock
) -> None:
    simulator = Simulator(now=clock.now, sleep=clock.sleep, seconds_per_task=0)
    async with NETWORK.simulating(simulator) as url:
        settings = settings_for(tmp_path, url)
        async with opened(settings, clock) as service:
            # More of them fail than are read from the store at a time.
            for number in range(24):
                task = (await service.submit(VideoRequest(prompt=f"Kitten {number:02}"), "local")).task
                await service.get(task.task_id, "local")
        good = {task.task_id: task.video_url for task in await _tasks(settings, clock)}
        await change(settings, "UPDATE tasks SET video_url = 'http://127.0.0.1:9/gone.mp4' WHERE prompt < 'Kitten 22'")
        await change(settings, "UPDATE tasks SET task_id = 'gone-' || task_id WHERE prompt < 'Kitten 22'")
        async with opened(settings.model_copy(update={"auto_download": True}), clock) as service:
            await eventually(lambda: len([*(tmp_path / "videos").glob("*.mp4")]) == 2)
            for task_id, video_url in good.items():
                whole = f"UPDATE tasks SET video_url = '{video_url}' WHERE task_id = 'gone-{task_id}'"  # noqa: S608
                await change(settings, whole)
            await until(clock, lambda: len([*(tmp_path / "videos").glob("*.mp4")]) == 24, step_seconds=2)


async def _tasks(settings: Settings, clock: FakeClock) -> list[Task]:
    async with opened(settings, clock) as service:
        return await listed(service)


async def test_a_host_that_never_finishes_keeps_nobody_from_the_videos_of_others(tmp_path: Path) -> None:
    asked = 0

    async def never(scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG001
        nonlocal asked
        asked += 1
        await anyio.sleep_forever()

    async with NETWORK.simulating(Simulator(seconds_per_task=0)) as url, NETWORK.serving(never) as slow:
        settings = settings_for(tmp_path, url)
        async with opened(settings) as service:
            for number in range(20):
                task = (await service.submit(VideoRequest(prompt=f"Kitten {number:02}"), "local")).task
                await service.get(task.task_id, "local")
        await change(settings, f"UPDATE tasks SET video_url = '{slow}/x.mp4' WHERE prompt < 'Kitten 18'")  # noqa: S608
        async with opened(settings.model_copy(update={"auto_download": True})):
            await eventually(lambda: len([*(tmp_path / "videos").glob("*.mp4")]) == 2)

    assert asked == 3


async def test_a_video_whose_downloads_failed_often_is_left_to_those_who_ask_and_says_so(tmp_path: Path) -> None:
    async with NETWORK.simulating(Simulator(seconds_per_task=0)) as url:
        settings = settings_for(tmp_path, url)
        async with opened(settings) as service:
            tasks = [(await service.submit(VideoRequest(prompt=f"Kitten {number}"), "local")).task for number in (1, 2)]
            for task in tasks:
                await service.get(task.task_id, "local")
        await change(settings, f"UPDATE tasks SET download_attempts = 20 WHERE id = '{tasks[0].id}'")  # noqa: S608
        async with opened(settings.model_copy(update={"auto_download": True})) as service:
            await eventually(lambda: len([*(tmp_path / "videos").glob("*.mp4")]) == 1)
            given_up = await service.find(tasks[0].task_id, "local")
            told = str(described(given_up, SystemClock().now()))
            assert (given_up.file, given_up.download_attempts) == (None, 20)
            assert "Saving it failed 20 times, so it is not tried by itself any more." in told.splitlines()

            saved = await service.download(tasks[0].task_id, "local", "by-hand")
            assert saved.file is not None
            assert saved.download_attempts == 0
