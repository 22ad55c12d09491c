"""A disk that is full, and one that may only be read: nothing is ordered that could not be kept."""

import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import pytest

from sora2_mcp.simulator.app import CLIPS, Simulator
from tests.clocks import eventually
from tests.faults.stores import file_in
from tests.servers import Agent, agent

pytestmark = pytest.mark.anyio

CLIP = (CLIPS / "landscape.mp4").read_bytes()


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Mounts something on the folder, where this user may."""
    run = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if run.returncode:
        pytest.skip(f"mount is not permitted here: {run.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of a megabyte."""
    folder = tmp_path / "disk"
    folder.mkdir()
    with mounted(folder, "-t", "tmpfs", "-o", "size=1m", "tmpfs"):
        yield folder


@contextmanager
def filled(disk: Path) -> Iterator[None]:
    """Leaves no byte free within the block."""
    ballast = disk / "ballast"
    with ballast.open("wb", buffering=0) as file:
        for piece in (4096, 1):
            try:
                while True:
                    file.write(b"x" * piece)
            except OSError:
                pass
    try:
        yield
    finally:
        ballast.unlink()


@asynccontextmanager
async def agent_on(disk: Path, folder: Path, simulator: Simulator) -> AsyncIterator[Agent]:
    """An agent of a server whose store lies on that disk."""
    async with agent(folder, simulator=simulator, database_url=f"sqlite:///{disk / 'tasks.db'}") as me:
        yield me


async def test_on_a_full_disk_nothing_is_ordered_and_the_variable_is_named(tmp_path: Path, small_disk: Path) -> None:
    simulator = Simulator(seconds_per_task=1000)
    async with agent_on(small_disk, tmp_path, simulator) as me:
        kept = await me.content("generate_video", prompt="A puppy")
        with filled(small_disk):
            text = await _refused_in_time(me)
            listed = await me.content("list_tasks")
        assert text.startswith("Not ordered: The task store (SORA2_DATABASE_URL) cannot be used")
        assert "full" in text
        assert "Nothing was spent" in text
        assert [task["task_id"] for task in listed["tasks"]] == [kept["task_id"]]
        assert [request.body and request.body["prompt"] for request in simulator.received] == ["A puppy"]

        ordered = await me.content("generate_video", prompt="A kitten")
        assert [task["task_id"] for task in (await me.content("list_tasks"))["tasks"]] == [
            ordered["task_id"],
            kept["task_id"],
        ]


async def test_the_id_of_a_paid_order_is_kept_once_there_is_room_again(
    tmp_path: Path, small_disk: Path, caplog: pytest.LogCaptureFixture
) -> None:
    simulator = Simulator(seconds_per_task=1000, faults=["order-slow=0.5*1"])
    async with agent_on(small_disk, tmp_path, simulator) as me, anyio.create_task_group() as group:
        caplog.set_level("INFO")

        async def order() -> None:
            await me.content("generate_video", prompt="A kitten")

        group.start_soon(order)
        await eventually(lambda: len(simulator.received) == 1)
        with filled(small_disk):
            await eventually(lambda: "its id could not be saved yet" in caplog.text)
        assert file_in(small_disk).rows("status", "task_id") == [("generating", None)]

        async def bound() -> bool:
            tasks = (await me.content("list_tasks"))["tasks"]
            return [task["task_id"] for task in tasks] == [simulator.received[0].task_id]

        await eventually(bound)
    assert len(simulator.received) == 1


async def test_a_video_that_does_not_fit_leaves_nothing_and_is_saved_once_there_is_room(
    tmp_path: Path, small_disk: Path
) -> None:
    async with agent(tmp_path, video_dir=small_disk / "videos") as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        await me.content("wait_for_video", task_id=task_id)
        await me.content("list_tasks")
        with filled(small_disk):
            text = await me.error("download_video", task_id=task_id)
            assert [path.name for path in small_disk.rglob("*") if path.is_file()] == ["ballast"]
        assert text.startswith(f"Not saved: The video of task {task_id} was not saved")
        assert "No space left on device" in text
        assert "SORA2_VIDEO_DIR" in text
        assert file_in(tmp_path).rows("file_path", "download_owner") == [(None, None)]

        saved = await me.content("download_video", task_id=task_id)
    assert Path(saved["file_path"]).read_bytes() == CLIP
    assert file_in(tmp_path).rows("file_path") == [(saved["file_path"],)]


async def test_with_a_store_that_may_only_be_read_nothing_is_ordered(tmp_path: Path) -> None:
    disk = tmp_path / "disk"
    disk.mkdir()
    simulator = Simulator(seconds_per_task=1000)
    async with agent_on(disk, tmp_path, simulator) as me:
        kept = await me.content("generate_video", prompt="A puppy")

    with mounted(disk, "--bind", "-o", "ro", str(disk)):
        async with agent_on(disk, tmp_path, simulator) as me:
            text = await _refused_in_time(me)
            assert "SORA2_DATABASE_URL" in text
            assert "Nothing was spent" in text
            assert len((await me.client.list_tools()).tools) == 5
    assert file_in(disk).rows("task_id") == [(kept["task_id"],)]
    assert len([request for request in simulator.received if request.method == "POST"]) == 1


async def test_a_folder_for_videos_that_may_only_be_read_is_named(tmp_path: Path) -> None:
    videos = tmp_path / "videos"
    videos.mkdir()
    async with agent(tmp_path, video_dir=videos) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        await me.content("wait_for_video", task_id=task_id)
        with mounted(videos, "--bind", "-o", "ro", str(videos)):
            text = await me.error("download_video", task_id=task_id)
        assert "Read-only file system" in text
        assert "SORA2_VIDEO_DIR" in text

        saved = await me.content("download_video", task_id=task_id)
    assert Path(saved["file_path"]).read_bytes() == CLIP


async def _refused_in_time(me: Agent) -> str:
    with anyio.fail_after(3):
        return await me.error("generate_video", prompt="A kitten")
