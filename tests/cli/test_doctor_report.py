"""How a report reads, to people and to machines, and that no check stops another."""

import importlib
import json
import re
import sys
from datetime import datetime
from pathlib import Path

import pytest

from sora2_mcp.cli.display import Display
from sora2_mcp.cli.doctor.examination import ORDER
from sora2_mcp.cli.doctor.finding import Finding, Verdict, fine, problem, skipped, warning
from sora2_mcp.cli.doctor.page import show
from sora2_mcp.cli.doctor.readings import Reading, Source
from sora2_mcp.cli.doctor.report import Report
from tests.cli.conftest import Examined
from tests.cli.reading import said, the
from tests.clocks import FakeClock
from tests.servers import KEY

pytestmark = pytest.mark.anyio

READINGS = [
    Reading(variable="SORA2_API_KEY", value="(hidden)", source=Source.ENVIRONMENT),
    Reading(variable="SORA2_VIDEO_DIR", value="/home/ann/Videos/sora2", source=Source.PLACEHOLDER),
    Reading(variable="SORA2_POLL_SECONDS", value="5", source=Source.EMPTY),
    Reading(variable="SORA2_PUBLIC_URL", value="", source=Source.DEFAULT),
    Reading(variable="SORA2_CONFIRM", value="", source=Source.ENVIRONMENT, allowed="never, hd or always"),
]


def report(*findings: Finding, simulate: bool = False) -> Report:
    return Report(simulate=simulate, findings=findings, readings=READINGS, seconds=2.5)


def test_elsewhere_than_on_a_terminal_each_thing_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    show(
        report(
            fine("program", "It fits."),
            problem("key", "It is refused.", "Correct it."),
            warning("clock", "It is late.", "Set it."),
            skipped("http", "Not asked."),
        ),
        Display(),
    )

    assert capsys.readouterr().out.splitlines() == [
        "",
        "Settings",
        "SORA2_API_KEY: (hidden) [environment]",
        "SORA2_VIDEO_DIR: /home/ann/Videos/sora2 (placeholder ignored) [default]",
        "SORA2_POLL_SECONDS: 5 (empty variable ignored) [default]",
        "SORA2_PUBLIC_URL: not set [default]",
        "SORA2_CONFIRM: not usable; allowed is never, hd or always [environment]",
        "",
        "Checks",
        "ok: program: It fits. (0.0 s)",
        "problem: key: It is refused. (0.0 s)",
        "warning: clock: It is late. (0.0 s)",
        "skipped: http: Not asked. (0.0 s)",
        "",
        "What to do",
        "1. Correct it.",
        "2. Set it.",
    ]


@pytest.mark.parametrize(
    ("findings", "last"),
    [
        ([fine("program", "It fits.")], "Everything is in order."),
        ([warning("clock", "It is late.", "Set it.")], "It works; the above can wait."),
    ],
)
def test_where_nothing_stands_in_the_way_it_ends_with_how_to_put_it_into_a_host(
    capsys: pytest.CaptureFixture[str], findings: list[Finding], last: str
) -> None:
    show(report(*findings), Display())

    assert capsys.readouterr().out.splitlines()[-2:] == [last, "Put it into your host: sora2-mcp client-config HOST"]


def test_of_the_simulator_it_is_said_that_the_service_was_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    show(report(fine("program", "It fits."), simulate=True), Display())

    assert capsys.readouterr().out.splitlines()[-2] == (
        "Everything is in order. This was about the simulator: without --simulate the real service is asked."
    )


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_every_line_fits_and_every_word_is_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    words = "A long sentence about " + "one thing and another, " * 12

    show(report(problem("configuration", words, words)), Display())

    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(len(line) for line in lines) <= columns
    text = " ".join(" ".join(lines).split())
    assert "problem configuration A long sentence" in text
    assert text.count("another,") == 24
    assert "not usable;" in text


def test_what_to_do_begins_with_the_gravest_and_says_nothing_twice() -> None:
    found = report(
        warning("store", "Some are unconfirmed.", "Look."),
        problem("http", "No tokens.", "Set tokens."),
        problem("round_trip", "It failed.", "Try."),
        problem("configuration", "Bad.", "Correct it."),
        problem("configuration", "Bad too.", "Correct it."),
        fine("program", "It fits."),
    )

    assert found.next_steps == ["Correct it.", "Try.", "Set tokens.", "Look."]
    assert found.status is Verdict.PROBLEM


async def test_machines_get_the_same_with_keys_that_stay(examined: Examined) -> None:
    content = json.loads(json.dumps((await examined(simulate=True, SORA2_VIDEO_DIR="")).as_json()))

    assert list(content) == ["version", "status", "simulate", "seconds", "findings", "settings", "next_steps"]
    assert {tuple(finding) for finding in content["findings"]} == {("name", "status", "what", "hint", "seconds")}
    assert {tuple(reading) for reading in content["settings"]} == {("variable", "value", "source", "allowed")}
    assert list(dict.fromkeys(finding["name"] for finding in content["findings"])) == list(ORDER)
    assert (content["status"], content["simulate"], content["next_steps"]) == ("ok", True, [])
    sources = {reading["variable"]: reading["source"] for reading in content["settings"]}
    assert [sources[f"SORA2_{name}"] for name in ("SIMULATE", "DATABASE_URL", "VIDEO_DIR")] == [
        "option",
        "environment",
        "empty",
    ]


class BrokenClock(FakeClock):
    """Does not know what time it is."""

    def now(self) -> datetime:
        raise RuntimeError(f"no battery, {KEY}")


async def test_a_check_that_fails_itself_is_a_finding_and_stops_no_other(examined: Examined) -> None:
    found = await examined(offline=True, clock=BrokenClock())

    assert said(found, "clock") == (Verdict.PROBLEM, "It could not be looked at: RuntimeError: no battery, ***")
    assert the(found, "clock").hint == (
        "If no other finding explains why clock could not be looked at, report it as a fault of sora2-mcp."
    )
    assert {the(found, name).status for name in ("program", "store", "video_folder", "http")} == {Verdict.OK}


async def test_a_package_that_is_missing_stops_only_what_needs_it(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = importlib.import_module("sora2_mcp.cli.doctor.program")
    monkeypatch.delitem(sys.modules, program.__name__)
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)

    found = await examined(offline=True)

    assert the(found, "program").status is Verdict.PROBLEM
    assert "packaging" in the(found, "program").what
    assert the(found, "store").status is Verdict.OK


def test_the_page_of_the_documentation_names_every_check_and_key() -> None:
    text = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text()

    keys = ["version", "status", "simulate", "seconds", "findings", "settings", "next_steps", "what", "hint"]
    words = [*ORDER, *keys, *Verdict, *Source, "variable", "value", "source", "allowed"]
    assert [word for word in words if f"`{word}`" not in text] == []
