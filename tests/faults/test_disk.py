"""A disk that is full, and one that may only be read: nothing is ordered that could not be kept."""

import os
import resource
import shutil
import subprocess
import tempfile
from abc import ABC, abstractmethod
from collections.abc import AsyncIterator, Iterator
from contextlib import AbstractContextManager, ExitStack, asynccontextmanager, contextmanager
from pathlib import Path

import anyio
import anyio.to_thread
import pytest

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.motifs import clip_of
from sora2_mcp.simulator.received import ReceivedRequest
from tests.clocks import eventually
from tests.postgres import PostgresServer
from tests.servers import Agent, agent
from tests.stores import PostgresStore, file_in
from tools.docs.catalogue import tool_names

pytestmark = pytest.mark.anyio

CLIP = clip_of("A kitten", "landscape").read_bytes()
_NOBODY = 65534


class Disk(ABC):
    """A folder that can be made unwritable in one of two ways; ``words`` are what the system says then."""

    full_words: str
    store_full_words: str
    read_only_words: str

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @abstractmethod
    def full(self) -> AbstractContextManager[None]:
        """No byte fits in any file within the block."""

    @abstractmethod
    def read_only(self) -> AbstractContextManager[None]:
        """Nothing may be written within the block."""


class MountedDisk(Disk):
    """A small disk of its own, full or mounted read-only, where this user may mount."""

    full_words = "No space left on device"
    store_full_words = "database or disk is full"
    read_only_words = "Read-only file system"

    @contextmanager
    def full(self) -> Iterator[None]:
        ballast = self.folder / "ballast"
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

    @contextmanager
    def read_only(self) -> Iterator[None]:
        with mounted(self.folder, "--bind", "-o", "ro", str(self.folder)):
            yield


class ForbiddenDisk(Disk):
    """What any user can do to a folder of theirs: no file may grow, or nothing may be changed."""

    full_words = "File too large"
    store_full_words = "disk I/O error"
    read_only_words = "Permission denied"

    @contextmanager
    def full(self) -> Iterator[None]:
        limits = resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.setrlimit(resource.RLIMIT_FSIZE, (0, limits[1]))
        try:
            yield
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, limits)

    @contextmanager
    def read_only(self) -> Iterator[None]:
        modes = {path: path.stat().st_mode for path in (self.folder, *self.folder.rglob("*"))}
        for path, mode in modes.items():
            path.chmod(mode & ~0o222 | 0o444)
        try:
            with without_privileges():
                yield
        finally:
            for path, mode in modes.items():
                path.chmod(mode)


@contextmanager
def mounted(folder: Path, *options: str) -> Iterator[None]:
    """Mounts something on the folder, where this user may."""
    run = subprocess.run(["mount", *options, str(folder)], capture_output=True, text=True, check=False)
    if run.returncode:
        pytest.skip(f"the other kind of disk shows it too; mount is not permitted here: {run.stderr.strip()}")
    try:
        yield
    finally:
        subprocess.run(["umount", "--lazy", str(folder)], check=True)


@contextmanager
def without_privileges() -> Iterator[None]:
    """To root no file is forbidden; to this process none of the folder's is, within the block, as nobody's."""
    me = os.geteuid()
    if me == 0:
        os.seteuid(_NOBODY)
    try:
        yield
    finally:
        os.seteuid(me)


@pytest.fixture(params=[MountedDisk, ForbiddenDisk], ids=["mounted", "forbidden"])
def disk(request: pytest.FixtureRequest) -> Iterator[Disk]:
    """A disk of a megabyte, which nobody may write to in one way or another when a test says so."""
    # Not below pytest's own folder, which only its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="sora2-disk-"))
    folder.chmod(0o755)
    with ExitStack() as stack:
        stack.callback(shutil.rmtree, folder)
        if request.param is MountedDisk:
            stack.enter_context(mounted(folder, "-t", "tmpfs", "-o", "size=1m,mode=755", "tmpfs"))
        yield request.param(folder)


@asynccontextmanager
async def agent_on(disk: Disk, folder: Path, simulator: Simulator) -> AsyncIterator[Agent]:
    """An agent of a server whose store lies on that disk."""
    async with agent(folder, simulator=simulator, database_url=file_in(disk.folder).url) as me:
        yield me


async def test_on_a_full_disk_nothing_is_ordered_and_the_variable_is_named(tmp_path: Path, disk: Disk) -> None:
    simulator = Simulator(seconds_per_task=1000)
    async with agent_on(disk, tmp_path, simulator) as me:
        kept = await me.content("generate_video", prompt="A puppy")
        with disk.full():
            text = await me.error("generate_video", prompt="A kitten")
            listed = await me.content("list_tasks")
        assert text.startswith("Not ordered: The task store (SORA2_DATABASE_URL) cannot be used")
        assert disk.store_full_words in text
        assert "Nothing was spent" in text
        assert [task["task_id"] for task in listed["tasks"]] == [kept["task_id"]]
        assert [request.body and request.body["prompt"] for request in simulator.received] == ["A puppy"]

        ordered = await me.content("generate_video", prompt="A kitten")
        assert [task["task_id"] for task in (await me.content("list_tasks"))["tasks"]] == [
            ordered["task_id"],
            kept["task_id"],
        ]


async def test_the_id_of_a_paid_order_is_kept_once_there_is_room_again(
    tmp_path: Path, disk: Disk, caplog: pytest.LogCaptureFixture
) -> None:
    simulator = Simulator(seconds_per_task=1000, faults=["order-slow=0.5*1"])
    async with agent_on(disk, tmp_path, simulator) as me, anyio.create_task_group() as group:
        caplog.set_level("INFO")

        async def order() -> None:
            await me.content("generate_video", prompt="A kitten")

        group.start_soon(order)
        await eventually(lambda: len(simulator.received) == 1)
        with disk.full():
            await eventually(lambda: "its id could not be saved yet" in caplog.text)
        assert file_in(disk.folder).rows("status", "task_id") == [("generating", None)]

        async def bound() -> bool:
            tasks = (await me.content("list_tasks"))["tasks"]
            return [task["task_id"] for task in tasks] == [simulator.received[0].task_id]

        await eventually(bound)
    assert len(simulator.received) == 1


async def test_a_video_that_does_not_fit_leaves_nothing_and_is_saved_once_there_is_room(
    tmp_path: Path, disk: Disk, postgres: PostgresServer
) -> None:
    # The store is on another machine: whether there is room for files here is nothing to it.
    store, videos = PostgresStore(postgres.empty_place()), disk.folder / "videos"
    async with agent(tmp_path, video_dir=videos, database_url=store.url) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        await me.content("wait_for_video", task_id=task_id)
        with disk.full():
            text = await me.error("download_video", task_id=task_id)
            assert list(videos.iterdir()) == []
        assert text.startswith(f"Not saved: The video of task {task_id} was not saved")
        assert disk.full_words in text
        assert "SORA2_VIDEO_DIR" in text
        facts = await anyio.to_thread.run_sync(store.rows, "task_id", "status", "file_path", "download_owner")
        assert facts == [(task_id, "succeeded", None, None)]

        saved = await me.content("download_video", task_id=task_id)
        assert list(videos.iterdir()) == [Path(saved["file_path"])]
        assert Path(saved["file_path"]).read_bytes() == CLIP
        assert [post.task_id for post in _posts(me.simulator)] == [task_id]
    facts = await anyio.to_thread.run_sync(store.rows, "task_id", "file_path", "download_owner")
    assert facts == [(task_id, saved["file_path"], None)]


async def test_with_a_store_that_may_only_be_read_nothing_is_ordered(tmp_path: Path, disk: Disk) -> None:
    simulator = Simulator(seconds_per_task=1000)
    async with agent_on(disk, tmp_path, simulator) as me:
        kept = await me.content("generate_video", prompt="A puppy")

    with disk.read_only():
        async with agent_on(disk, tmp_path, simulator) as me:
            text = await me.error("generate_video", prompt="A kitten")
            assert "SORA2_DATABASE_URL" in text
            assert "Nothing was spent" in text
            assert len((await me.client.list_tools()).tools) == len(tool_names())
    assert file_in(disk.folder).rows("task_id") == [(kept["task_id"],)]
    assert [post.body and post.body["prompt"] for post in _posts(simulator)] == ["A puppy"]


async def test_a_folder_for_videos_that_may_only_be_read_is_named_and_the_video_is_saved_once_it_may_be_written(
    tmp_path: Path, disk: Disk
) -> None:
    async with agent(tmp_path, video_dir=disk.folder) as me:
        task_id = (await me.content("generate_video", prompt="A kitten"))["task_id"]
        await me.content("wait_for_video", task_id=task_id)
        with disk.read_only():
            text = await me.error("download_video", task_id=task_id)
        assert text.startswith(f"Not saved: The video of task {task_id} was not saved")
        assert disk.read_only_words in text
        assert "SORA2_VIDEO_DIR" in text
        assert list(disk.folder.iterdir()) == []
        facts = file_in(tmp_path).rows("task_id", "status", "file_path", "download_owner")
        assert facts == [(task_id, "succeeded", None, None)]

        saved = await me.content("download_video", task_id=task_id)
        assert list(disk.folder.iterdir()) == [Path(saved["file_path"])]
        assert Path(saved["file_path"]).read_bytes() == CLIP
        assert [post.task_id for post in _posts(me.simulator)] == [task_id]
    assert file_in(tmp_path).rows("task_id", "file_path", "download_owner") == [(task_id, saved["file_path"], None)]


def _posts(simulator: Simulator) -> list[ReceivedRequest]:
    return [request for request in simulator.received if request.method == "POST"]
