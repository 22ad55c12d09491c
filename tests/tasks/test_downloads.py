"""Finished videos -> disk: once, never over another file, each principal in a place of its own."""

import tempfile
from collections.abc import Iterator
from hashlib import sha256
from pathlib import Path

import anyio
import pytest

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import SavedFile, Task
from sora2_mcp.errors import DownloadError, UnknownTaskError
from sora2_mcp.settings import Settings
from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.motifs import clip_of
from sora2_mcp.tasks.files import placed
from sora2_mcp.tasks.tasks import Tasks
from tests.clocks import FakeClock, eventually
from tests.tasks.core import CAT, Fetched, change, looks, opened, settings_for, until

pytestmark = pytest.mark.anyio

CLIP = clip_of("A cat", "landscape").read_bytes()


@pytest.fixture
def gate() -> anyio.Event:
    """Holds every video back until it is set; set from the start unless a test takes another."""
    gate = anyio.Event()
    gate.set()
    return gate


@pytest.fixture
def fetched(simulator: Simulator, gate: anyio.Event) -> list[str]:
    """The paths of the videos that were asked for; to be named before anything that starts the simulator."""
    paths: list[str] = []
    simulator.app.add_middleware(Fetched, paths=paths, gate=gate)
    return paths


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """Where videos are saved; no test leaves a part of one behind."""
    yield tmp_path / "videos"
    assert list((tmp_path / "videos").rglob("*.part")) == []


async def done(service: Tasks, clock: FakeClock, *, principal: str = "local", prompt: str = "A cat") -> Task:
    """A succeeded task."""
    task = (await service.submit(VideoRequest(prompt=prompt), principal)).task
    await clock.advance(5)
    return await service.get(task.task_id, principal)


def names(folder: Path) -> list[str]:
    return sorted(str(path.relative_to(folder)) for path in folder.rglob("*") if path.is_file())


async def test_a_video_is_saved_whole_and_asked_for_again_is_the_same_file(
    fetched: list[str], service: Tasks, clock: FakeClock, folder: Path
) -> None:
    task = await done(service, clock)

    saved = await service.download(task.task_id, "local")
    again = await service.download(f"local-{task.id}", "local", "another name")

    path = folder / f"a-cat-{task.task_id}.mp4"
    assert saved.file == SavedFile(path=str(path), size_bytes=len(CLIP), sha256=sha256(CLIP).hexdigest())
    assert path.read_bytes() == CLIP
    assert again == saved
    assert fetched == [f"/videos/{task.task_id}.mp4"]
    assert names(folder) == [path.name]


async def test_several_who_ask_at_once_cost_one_download(
    simulator: Simulator, settings: Settings, clock: FakeClock, folder: Path
) -> None:
    gate, paths = anyio.Event(), list[str]()
    saved: list[Task] = []

    async def ask(service: Tasks, task: Task) -> None:
        saved.append(await service.download(task.task_id, "local"))

    # The middleware goes in before the first request.
    simulator.app.add_middleware(Fetched, paths=paths, gate=gate)
    async with opened(settings, clock) as one, opened(settings, clock) as two:
        task = await done(one, clock)
        async with anyio.create_task_group() as group:
            for service in (one, one, one, two, two):
                group.start_soon(ask, service, task)
            await eventually(lambda: len(paths) == 1)
            gate.set()
            await until(clock, lambda: len(saved) == 5)

    assert len(paths) == 1
    assert {each.file for each in saved} == {saved[0].file}
    assert names(folder) == [f"a-cat-{task.task_id}.mp4"]


async def test_who_asks_while_the_file_is_being_noted_gets_that_file(
    fetched: list[str], service: Tasks, clock: FakeClock, folder: Path
) -> None:
    read_before = await done(service, clock)
    saved = await service.download(read_before.task_id, "local")

    late = service.downloads.begin(read_before, "")
    await late.done.wait()

    assert late.error is None
    assert (await service.find(read_before.task_id, "local")).file == saved.file
    assert len(fetched) == 1
    assert len(names(folder)) == 1


async def test_nobodys_file_is_ever_replaced(service: Tasks, clock: FakeClock, folder: Path) -> None:
    folder.mkdir()
    (folder / "holiday.mp4").write_text("mine")
    first, second = await done(service, clock, prompt="A cat"), await done(service, clock, prompt="A dog")

    saved = await service.download(first.task_id, "local", "holiday")
    other = await service.download(second.task_id, "local", "holiday.mp4")

    assert (folder / "holiday.mp4").read_text() == "mine"
    assert saved.file is not None
    assert other.file is not None
    assert saved.file.path == str(folder / f"holiday-{first.task_id}.mp4")
    assert other.file.path == str(folder / f"holiday-{second.task_id}.mp4")


def test_a_file_that_cannot_be_given_its_name_leaves_no_empty_one_in_its_place(tmp_path: Path) -> None:
    elsewhere = Path("/dev/shm")  # noqa: S108 - another file system, where neither a link nor a move leads to
    if not elsewhere.is_dir() or elsewhere.stat().st_dev == tmp_path.stat().st_dev:
        pytest.skip("there is no other file system here")
    with tempfile.NamedTemporaryFile(dir=elsewhere) as part, pytest.raises(OSError, match="cross-device"):
        placed(Path(part.name), tmp_path, "cat.mp4", "sora2_task_a")

    assert not (tmp_path / "cat.mp4").exists()


async def test_a_name_never_leads_out_of_the_folder(service: Tasks, clock: FakeClock, folder: Path) -> None:
    task = await done(service, clock)

    saved = await service.download(task.task_id, "local", "../../etc/passwd")

    assert saved.file is not None
    assert Path(saved.file.path).parent == folder
    assert names(folder) == ["passwd.mp4"]


async def test_another_principals_videos_lie_in_a_folder_of_their_own(
    service: Tasks, clock: FakeClock, folder: Path
) -> None:
    paths: list[Path] = []
    for principal in ("local", "token:ann", "token:../ann"):
        task = await done(service, clock, principal=principal)
        saved = await service.download(task.task_id, principal, "cat")
        assert saved.file is not None
        paths.append(Path(saved.file.path))

    assert paths[0] == folder / "cat.mp4"
    assert {path.parent.parent for path in paths[1:]} == {folder}
    assert len({path.parent for path in paths}) == 3
    with pytest.raises(UnknownTaskError):
        await service.download(task.task_id, "local")


async def test_an_address_that_is_no_longer_good_is_renewed_by_a_look(
    fetched: list[str], service: Tasks, settings: Settings, simulator: Simulator, clock: FakeClock
) -> None:
    task = await done(service, clock)
    stale = task.video_url.replace(task.task_id, "expired")
    await change(settings, f"UPDATE tasks SET video_url = '{stale}'")  # noqa: S608 - a value of ours
    await clock.advance(60)

    saved = await service.download(task.task_id, "local")

    assert fetched == ["/videos/expired.mp4", f"/videos/{task.task_id}.mp4"]
    assert saved.video_url == task.video_url
    assert saved.file is not None
    assert Path(saved.file.path).read_bytes() == CLIP
    assert len(looks(simulator)) == 2


async def test_a_video_that_is_gone_for_good_is_told(
    service: Tasks, settings: Settings, clock: FakeClock, folder: Path
) -> None:
    task = await done(service, clock)
    stale = task.video_url.replace(task.task_id, "expired")
    await change(settings, f"UPDATE tasks SET video_url = '{stale}', url_seen_at = url_seen_at + 1e12")  # noqa: S608

    with pytest.raises(DownloadError, match="404") as caught:
        await service.download(task.task_id, "local")

    assert "15 days" in caught.value.hint
    assert names(folder) == []


@pytest.mark.parametrize("url", ["http://exa_mple€/a.mp4", "http://a..b/a.mp4", "http://127.0.0.1:1/a.mp4"])
async def test_an_address_that_cannot_be_reached_is_refreshed_by_a_look(
    service: Tasks, settings: Settings, clock: FakeClock, url: str
) -> None:
    task = await done(service, clock, prompt="A dog")
    await change(settings, f"UPDATE tasks SET video_url = '{url}', url_seen_at = 0")  # noqa: S608 - a value of ours

    saved = await service.download(task.task_id, "local")

    assert saved.file is not None
    assert saved.video_url == task.video_url


async def test_a_file_that_is_missing_is_fetched_again(fetched: list[str], service: Tasks, clock: FakeClock) -> None:
    task = await done(service, clock)
    first = await service.download(task.task_id, "local")
    assert first.file is not None
    Path(first.file.path).rename(Path(first.file.path).with_suffix(".moved"))

    second = await service.download(task.task_id, "local", "second")

    assert second.file is not None
    assert Path(second.file.path).name == "second.mp4"
    assert Path(second.file.path).read_bytes() == CLIP
    assert len(fetched) == 2
    assert await service.download(task.task_id, "local") == second


@pytest.mark.parametrize("content", [b"", CLIP[:-1], CLIP + b"x"], ids=["emptied", "cut", "longer"])
async def test_a_file_that_somebody_changed_is_not_called_the_video_and_not_touched(
    service: Tasks, clock: FakeClock, folder: Path, content: bytes
) -> None:
    task = await done(service, clock)
    first = await service.download(task.task_id, "local", "cat")
    (folder / "cat.mp4").write_bytes(content)

    second = await service.download(task.task_id, "local", "cat")

    assert first.file is not None
    assert second.file is not None
    assert (Path(second.file.path).name, second.file.sha256) == (f"cat-{task.task_id}.mp4", first.file.sha256)
    assert Path(second.file.path).read_bytes() == CLIP
    assert (folder / "cat.mp4").read_bytes() == content
    assert await service.download(task.task_id, "local") == second


async def test_a_place_the_system_does_not_let_us_look_at_counts_as_empty(
    service: Tasks, settings: Settings, clock: FakeClock, folder: Path
) -> None:
    task = await done(service, clock)
    await service.download(task.task_id, "local", "first")
    await change(settings, f"UPDATE tasks SET file_path = '/{'x' * 300}'")  # noqa: S608 - a value of ours

    saved = await service.download(task.task_id, "local", "second")

    assert saved.file is not None
    assert saved.file.path == str(folder / "second.mp4")


@pytest.mark.parametrize(
    ("prompt", "hint"),
    [("A cat [sim:generation-failure]", "generate_video"), ("A cat [sim:seconds=600]", "wait_for_video")],
)
async def test_without_a_video_the_next_step_is_told(
    service: Tasks, clock: FakeClock, folder: Path, prompt: str, hint: str
) -> None:
    task = await done(service, clock, prompt=prompt)

    with pytest.raises(DownloadError, match="there is no video") as caught:
        await service.download(task.task_id, "local")

    assert hint in caught.value.hint
    assert not folder.exists()


async def test_an_unconfirmed_order_has_no_video_to_save(service: Tasks, simulator: Simulator) -> None:
    simulator.add_fault("order-drop*1")
    task = (await service.submit(CAT, "local")).task

    with pytest.raises(DownloadError) as caught:
        await service.download(task.reference, "local")

    assert "Ask the user" in caught.value.hint


async def test_a_folder_that_cannot_be_made_names_its_variable(tmp_path: Path, base_url: str, clock: FakeClock) -> None:
    (tmp_path / "file").write_text("in the way")
    async with opened(settings_for(tmp_path, base_url, video_dir=tmp_path / "file" / "below"), clock) as service:
        task = await done(service, clock)

        with pytest.raises(DownloadError) as caught:
            await service.download(task.task_id, "local")

    assert "SORA2_VIDEO_DIR" in caught.value.hint


async def test_a_download_goes_on_when_who_asked_for_it_is_gone(
    simulator: Simulator, settings: Settings, clock: FakeClock, folder: Path
) -> None:
    gate, paths = anyio.Event(), list[str]()
    simulator.app.add_middleware(Fetched, paths=paths, gate=gate)
    async with opened(settings, clock) as service:
        task = await done(service, clock)
        async with anyio.create_task_group() as group:
            group.start_soon(service.download, task.task_id, "local")
            await eventually(lambda: len(paths) == 1)
            group.cancel_scope.cancel()
        gate.set()

        async def saved() -> bool:
            return (await service.find(task.task_id, "local")).file is not None

        await eventually(saved)

    assert names(folder) == [f"a-cat-{task.task_id}.mp4"]


async def test_a_download_cut_off_by_the_end_of_the_process_is_free_at_once(
    simulator: Simulator, settings: Settings, clock: FakeClock, folder: Path
) -> None:
    gate, paths = anyio.Event(), list[str]()
    simulator.app.add_middleware(Fetched, paths=paths, gate=gate)
    async with opened(settings, clock) as service:
        task = await done(service, clock)
        _, download = await service.begin_download(task.task_id, "local")
        assert download is not None
        await eventually(lambda: len(paths) == 1)
    gate.set()

    async with opened(settings, clock) as service:
        with anyio.fail_after(30):
            saved = await service.download(task.task_id, "local")

    assert saved.file is not None
    assert names(folder) == [Path(saved.file.path).name]
    assert len(paths) == 2
