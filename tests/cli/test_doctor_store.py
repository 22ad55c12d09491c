"""Whether tasks and videos can be kept, and which tasks need somebody."""

import sqlite3
import tempfile
from collections.abc import Iterator
from contextlib import closing
from datetime import timedelta
from pathlib import Path

import pytest

from sora2_mcp.cli.doctor.report import Verdict
from sora2_mcp.clock import SystemClock
from sora2_mcp.tasks.store.database import Database, open_store
from tests.cli.conftest import Examined
from tests.cli.reading import found, outcome, the
from tests.clocks import FakeClock
from tests.faults.test_disk import without_privileges
from tests.postgres import PostgresServer
from tests.servers import settings_in
from tests.tasks.core import closed_address
from tests.tasks.store.drafts import draft, ordered, reserve, saved, succeeded

pytestmark = pytest.mark.anyio

PASSWORD = "s3cr3t-hunter2"


def file_hint(folder: Path) -> str:
    return (
        f"See that this user may write to {folder} and what lies in it; a file that is damaged or no store is "
        "best replaced by a copy, or moved away: the server then begins a new one."
    )


async def filled(store: Database, clock: FakeClock, service: str) -> None:
    """A video that is deleted soon, an unconfirmed order, and one under way, in this order."""
    done = await ordered(store, draft(clock, prompt="A", service=service), "a")
    await saved(store, succeeded(done, clock.now()))
    await clock.advance(13 * 86_400)
    lost = draft(clock, prompt="B", service=service)
    await reserve(store, lost)
    await store.unclear(lost.id, "no answer")
    await ordered(store, draft(clock, prompt="C", service=service), "c")


async def test_a_store_that_is_not_there_is_left_to_the_server(examined: Examined, tmp_path: Path) -> None:
    report = await examined(offline=True, SORA2_DATABASE_URL=f"sqlite:///{tmp_path}/new/deep/tasks.db")

    assert outcome(report, "store") == (
        Verdict.OK,
        f"Tasks are kept in the file {tmp_path}/new/deep/tasks.db, which the server makes when it starts.",
    )
    assert not (tmp_path / "new").exists()


async def test_what_needs_somebody_is_counted_with_what_to_do(examined: Examined, tmp_path: Path) -> None:
    clock, settings = FakeClock(), settings_in(tmp_path)
    async with open_store(settings.store_url, settings.account, clock) as store:
        await filled(store, clock, settings.account)

    report = await examined(offline=True, clock=clock)
    another = await examined(offline=True, clock=clock, SORA2_API_KEY="another")
    keyless = await examined(offline=True, clock=clock, SORA2_API_KEY="")

    place = f"Tasks are kept in the file {tmp_path}/tasks.db"
    assert [(finding.status, finding.what) for finding in found(report, "store")] == [
        (Verdict.OK, f"{place}: 3, of which 1 not saved and 1 unconfirmed."),
        (Verdict.WARNING, "Orders whose outcome is not known, which may have been charged: 1."),
        (Verdict.WARNING, "Videos not saved that the service deletes within three days: 1."),
    ]
    assert report.next_steps == [
        "Look in your account what became of them. See them with: sora2-mcp tasks list --status unconfirmed",
        "Save them: sora2-mcp tasks download --all",
    ]
    assert outcome(another, "store")[1] == (
        f"{place}: 0, of which 0 not saved and 0 unconfirmed; 3 more belong to another key or address."
    )
    assert outcome(keyless, "store")[1] == f"{place}: 3 of any key."


async def test_a_clock_behind_what_is_stored_was_set_back(examined: Examined, tmp_path: Path) -> None:
    clock, settings = FakeClock(), settings_in(tmp_path)
    async with open_store(settings.store_url, settings.account, clock) as store:
        await filled(store, clock, settings.account)
    fine = await examined(offline=True, clock=clock)
    clock.set_back(timedelta(minutes=10))

    back = await examined(offline=True, clock=clock)

    assert outcome(fine, "clock")[0] is Verdict.OK
    assert the(back, "clock").status is Verdict.WARNING
    assert the(back, "clock").what.endswith(", 10 min behind the newest change of a task: it was set back.")


async def test_a_file_that_is_no_database_is_a_problem_and_is_left_as_it_is(examined: Examined, tmp_path: Path) -> None:
    (tmp_path / "tasks.db").write_bytes(b"These are my notes, no database." * 100)

    report = await examined(offline=True)

    assert outcome(report, "store") == (
        Verdict.PROBLEM,
        (
            "The task store (SORA2_DATABASE_URL) cannot be used: DatabaseError: file is not a database "
            f"(the file {tmp_path}/tasks.db)."
        ),
    )
    assert report.next_steps == [file_hint(tmp_path)]
    assert (tmp_path / "tasks.db").read_bytes() == b"These are my notes, no database." * 100


async def test_a_store_of_a_newer_release_says_to_upgrade(examined: Examined, tmp_path: Path) -> None:
    settings = settings_in(tmp_path)
    async with open_store(settings.store_url, settings.account, SystemClock()):
        pass
    with closing(sqlite3.connect(tmp_path / "tasks.db", isolation_level=None)) as connection:
        connection.execute("UPDATE schema_state SET revision = '9999', min_compatible = '9999'")

    report = await examined(offline=True)

    assert the(report, "store").status is Verdict.PROBLEM
    assert "upgrade sora2-mcp" in the(report, "store").what


@pytest.fixture
def locked_folder() -> Iterator[Path]:
    """A folder that everybody may enter and nobody may write to."""
    # Not below pytest's own folder, which only its owner may enter.
    with tempfile.TemporaryDirectory(prefix="sora2-locked-") as name:
        Path(name).chmod(0o555)
        yield Path(name)
        Path(name).chmod(0o755)


async def test_folders_that_may_not_be_written_to_are_problems(examined: Examined, locked_folder: Path) -> None:
    await examined(offline=True)
    with without_privileges():
        report = await examined(
            offline=True,
            SORA2_DATABASE_URL=f"sqlite:///{locked_folder}/tasks.db",
            SORA2_VIDEO_DIR=f"{locked_folder}/new/videos",
        )

    assert outcome(report, "store")[0] is Verdict.PROBLEM
    assert outcome(report, "store")[1].startswith(
        f"Nothing can be written to the file {locked_folder}/tasks.db: Permission denied ({locked_folder}/"
    )
    assert outcome(report, "video_folder")[0] is Verdict.PROBLEM
    assert outcome(report, "video_folder")[1].startswith(
        f"Videos cannot be saved to {locked_folder}/new/videos: Permission denied ({locked_folder}/"
    )
    assert report.next_steps == [
        file_hint(locked_folder),
        "Set SORA2_VIDEO_DIR to a folder that this user may write to, or give it the rights.",
    ]


async def test_a_file_in_the_place_of_a_folder_is_a_problem(examined: Examined, tmp_path: Path) -> None:
    (tmp_path / "notes").write_text("")

    report = await examined(
        offline=True, SORA2_VIDEO_DIR=f"{tmp_path}/notes/x", SORA2_DATABASE_URL=f"sqlite:///{tmp_path}/notes/tasks.db"
    )

    assert (
        outcome(report, "video_folder")[1]
        == f"Videos cannot be saved to {tmp_path}/notes/x: {tmp_path}/notes is a file."
    )
    assert outcome(report, "store")[1] == (
        f"Nothing can be written to the file {tmp_path}/notes/tasks.db: {tmp_path}/notes is a file."
    )


async def test_a_folder_that_is_there_is_tried_and_left_as_it_was(examined: Examined, tmp_path: Path) -> None:
    (tmp_path / "videos").mkdir()
    before = (tmp_path / "videos").stat()

    report = await examined(offline=True)

    status, what = outcome(report, "video_folder")
    assert (status, what.startswith(f"Videos are saved to {tmp_path}/videos; ")) == (Verdict.OK, True)
    assert what.endswith(" free.")
    assert [*(tmp_path / "videos").iterdir()] == []
    assert (tmp_path / "videos").stat().st_ino == before.st_ino


async def test_a_relative_folder_is_somewhere_else_in_every_host(
    examined: Examined, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)

    report = await examined(offline=True, SORA2_VIDEO_DIR="clips")

    assert the(report, "video_folder").status is Verdict.WARNING
    assert (
        f"Videos are saved to {tmp_path}/clips, which will be made with the first video; "
        in the(report, "video_folder").what
    )
    assert report.next_steps == ["Write SORA2_VIDEO_DIR as an absolute path."]


async def test_a_server_that_is_not_there_is_told_without_its_password(examined: Examined) -> None:
    host = closed_address().split("/")[2]

    report = await examined(offline=True, SORA2_DATABASE_URL=f"postgresql://ann:{PASSWORD}@{host}/tasks")

    status, what = outcome(report, "store")
    assert status is Verdict.PROBLEM
    assert what.startswith("The task store (SORA2_DATABASE_URL) cannot be used: ConnectionRefusedError: ")
    assert what.endswith(f" (postgresql://…@{host}/tasks).")
    assert PASSWORD not in str(report)
    assert report.next_steps == [
        "Check SORA2_DATABASE_URL, and that its server answers and lets its user in and write."
    ]


async def test_a_password_that_is_refused_is_told_without_it(examined: Examined, postgres: PostgresServer) -> None:
    url = postgres.address_with_password("dora", PASSWORD, given="wr0ng-hunter3")

    report = await examined(offline=True, SORA2_DATABASE_URL=url)

    assert "InvalidPasswordError" in the(report, "store").what
    assert "hunter" not in str(report)


async def test_tasks_on_a_server_are_counted_too(examined: Examined, postgres: PostgresServer, tmp_path: Path) -> None:
    clock, url = FakeClock(), postgres.empty_place()
    empty = await examined(offline=True, clock=clock, SORA2_DATABASE_URL=url)
    settings = settings_in(tmp_path, database_url=url)
    async with open_store(settings.store_url, settings.account, clock) as store:
        await filled(store, clock, settings.account)

    report = await examined(offline=True, clock=clock, SORA2_DATABASE_URL=url)

    assert outcome(empty, "store")[0] is Verdict.OK
    assert outcome(empty, "store")[1].endswith(", which is empty; the server makes its tables when it starts.")
    assert found(report, "store")[0].what.endswith(": 3, of which 1 not saved and 1 unconfirmed.")
    assert the(report, "program").status is Verdict.OK
