"""What the program was started in: home, working folder, umask, output."""

import io
import os
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from sora2_mcp.cli.doctor.report import Verdict
from tests.cli.conftest import Examined
from tests.cli.reading import outcome, the

pytestmark = [pytest.mark.anyio, pytest.mark.posix]

DEFAULT_PLACES = {"SORA2_DATABASE_URL": "", "SORA2_VIDEO_DIR": ""}
NO_HOME = "HOME names no home folder; set it, or SORA2_DATABASE_URL."


@pytest.fixture
def nobody(monkeypatch: pytest.MonkeyPatch) -> None:
    """A user that the system knows nothing of, as in containers."""

    def unknown(_: object) -> None:
        raise KeyError("no such user")

    monkeypatch.delenv("HOME")
    monkeypatch.setattr("pwd.getpwuid", unknown)


@pytest.fixture
def umask() -> Iterator[None]:
    """Puts the umask back."""
    before = os.umask(0o022)
    yield
    os.umask(before)


async def test_where_all_is_as_it_should_be_nothing_needs_to_be_done(examined: Examined) -> None:
    assert outcome(await examined(offline=True, **DEFAULT_PLACES), "environment") == (
        Verdict.OK,
        "The home folder, the working folder, the umask and the output are as they should be.",
    )


@pytest.mark.usefixtures("nobody")
async def test_without_a_home_the_places_that_need_one_are_named_and_the_rest_is_looked_at(examined: Examined) -> None:
    report = await examined(offline=True, **DEFAULT_PLACES)

    assert outcome(report, "environment") == (Verdict.PROBLEM, f"{NO_HOME} The server does not start.")
    assert outcome(report, "store") == (Verdict.PROBLEM, NO_HOME)
    assert the(report, "program").status is Verdict.OK
    assert {setting.variable: setting.value for setting in report.settings}["SORA2_DATABASE_URL"] == f"({NO_HOME})"
    assert report.next_steps[0] == "Set HOME to your home folder in the env of this server's entry in your host."


@pytest.mark.usefixtures("nobody")
async def test_who_has_places_of_their_own_needs_no_home(examined: Examined) -> None:
    report = await examined(offline=True)

    assert [outcome(report, name)[0] for name in ("environment", "store", "video_folder")] == [Verdict.OK] * 3


async def test_a_home_that_is_a_file_is_a_problem_and_one_that_is_not_there_a_doubt(
    examined: Examined, tmp_path: Path
) -> None:
    (tmp_path / "file").touch()

    report = await examined(offline=True, HOME=f"{tmp_path}/file", **DEFAULT_PLACES)
    assert outcome(report, "environment") == (
        Verdict.PROBLEM,
        "HOME names a file, so nothing can be kept below it.",
    )
    report = await examined(offline=True, HOME=f"{tmp_path}/gone", **DEFAULT_PLACES)
    assert outcome(report, "environment") == (Verdict.WARNING, f"HOME names {tmp_path}/gone, which is not there.")


async def test_a_working_folder_that_is_gone_is_named(
    examined: Examined, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "gone").mkdir()
    monkeypatch.chdir(tmp_path / "gone")
    (tmp_path / "gone").rmdir()

    assert outcome(await examined(offline=True), "environment") == (
        Verdict.WARNING,
        "The working folder is gone: relative paths lead nowhere.",
    )
    places = {**DEFAULT_PLACES, "SORA2_VIDEO_DIR": "clips"}
    assert outcome(await examined(offline=True, **places), "video_folder") == (
        Verdict.PROBLEM,
        "SORA2_VIDEO_DIR is relative to a working folder that is gone.",
    )


@pytest.mark.usefixtures("umask")
async def test_a_umask_that_takes_this_users_own_rights_is_a_problem(examined: Examined) -> None:
    os.umask(0o777)
    report = await examined(offline=True)
    os.umask(0o077)

    assert outcome(report, "environment") == (
        Verdict.PROBLEM,
        "The umask is 777: this user cannot use the files it makes.",
    )
    assert outcome(await examined(offline=True), "environment")[0] is Verdict.OK


@pytest.mark.parametrize("encoding", ["cp1252", "gbk", "ascii"])
async def test_an_output_that_cannot_hold_all_letters_is_named(
    examined: Examined, monkeypatch: pytest.MonkeyPatch, encoding: str
) -> None:
    monkeypatch.setattr(sys, "stdout", io.TextIOWrapper(io.BytesIO(), encoding=encoding))

    assert outcome(await examined(offline=True), "environment") == (
        Verdict.WARNING,
        f"What is shown is written in {encoding}, which lacks most letters: they are shown as question marks.",
    )
