"""A whole job on the simulator, with a server process of its own."""

import sys
import tempfile
from pathlib import Path

import anyio
import psutil  # type: ignore[import-untyped]
import pytest

from sora2_mcp.cli.doctor.report import Verdict
from sora2_mcp.cli.doctor.round_trip import check_round_trip
from sora2_mcp.cli.doctor.setup import load_setup
from sora2_mcp.clock import SystemClock
from tests.cli.conftest import Examined
from tests.cli.reading import outcome
from tests.clocks import FakeClock, eventually
from tests.servers import KEY
from tools.docs.catalogue import tool_names

pytestmark = pytest.mark.anyio


@pytest.fixture
def kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder that temporary folders are made in."""
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr(tempfile, "tempdir", str(folder))
    return folder


async def test_a_whole_job_is_done_and_nothing_of_it_is_left(examined: Examined, tmp_path: Path, kept: Path) -> None:
    # A clock that stands still: a busy machine may take its time.
    clock = FakeClock(SystemClock().now())
    report = await examined(offline=True, round_trip=True, clock=clock, SORA2_DAILY_LIMIT="bad", SORA2_SIMULATE="")

    status, what = outcome(report, "round_trip")
    assert (status, f" s (MCP 2026-07-28, {len(tool_names())} tools) and on the simulator ordered, " in what) == (
        Verdict.OK,
        True,
    )
    assert [*kept.iterdir()] == []
    assert sorted(path.name for path in tmp_path.iterdir()) == ["home", "temporary"]
    assert [*(tmp_path / "home").iterdir()] == []


async def test_a_server_that_ends_at_once_is_told_with_its_last_words_and_no_secret(
    monkeypatch: pytest.MonkeyPatch, kept: Path
) -> None:
    monkeypatch.setenv("SORA2_API_KEY", KEY)
    words = f"print('first', file=sys.stderr); sys.exit('no module with {KEY}')"

    (result,) = await check_round_trip(load_setup(), command=[sys.executable, "-c", f"import sys; {words}"])

    assert result.status is Verdict.PROBLEM
    assert result.what == (
        "The server did not do a whole job on the simulator: The connection to the server failed: Connection closed; "
        "it said: no module with ***"
    )
    assert result.hint == "Try it by hand, with more to read: SORA2_LOG_LEVEL=DEBUG sora2-mcp demo"
    assert [*kept.iterdir()] == []


async def test_a_program_that_is_not_there_is_a_problem() -> None:
    (result,) = await check_round_trip(load_setup(), command=["/nowhere/python"])

    assert result.status is Verdict.PROBLEM
    assert "/nowhere/python" in result.what


async def test_a_server_that_answers_nothing_is_ended_with_the_check(kept: Path, tmp_path: Path) -> None:
    await is_ended_with_the_check(tmp_path, kept, then="sys.stdin.read()")


async def is_ended_with_the_check(folder: Path, kept: Path, *, then: str) -> None:
    """A check that is cancelled leaves nothing of a server that says nothing and does this once it is spoken to."""
    spoken_to = folder / "spoken to"
    listen = f"import pathlib, sys, time; sys.stdin.readline(); pathlib.Path({str(spoken_to)!r}).touch()"
    silent = [sys.executable, "-c", f"{listen}; {then}"]
    async with anyio.create_task_group() as group:
        group.start_soon(lambda: check_round_trip(load_setup(), command=silent))
        await eventually(spoken_to.exists)
        assert len(children(silent)) == 1
        group.cancel_scope.cancel()

    assert children(silent) == []
    assert [*kept.iterdir()] == []


def children(command: list[str]) -> list[psutil.Process]:
    """This process's own that run this command."""
    return [child for child in psutil.Process().children(recursive=True) if _runs(child, command)]


def _runs(process: psutil.Process, command: list[str]) -> bool:
    try:
        return bool(process.cmdline() == command)
    except psutil.Error:
        return False


async def test_no_setting_of_the_users_reaches_the_server(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("SORA2_API_KEY", KEY)
    monkeypatch.setenv("sora2_poll_seconds", "bad")
    monkeypatch.setenv("TZ", "UTC")
    told = tmp_path / "told"
    tell = f"import os, pathlib; pathlib.Path({str(told)!r}).write_text(str(sorted(os.environ)))"

    await check_round_trip(load_setup(), command=[sys.executable, "-c", tell])

    names = told.read_text()
    assert "SORA2_API_KEY" not in names
    assert "sora2_poll_seconds" not in names
    assert "TZ" in names


async def test_it_can_be_left_out(examined: Examined) -> None:
    assert outcome(await examined(offline=True), "round_trip") == (
        Verdict.SKIPPED,
        "Not tried, because of --no-round-trip.",
    )
