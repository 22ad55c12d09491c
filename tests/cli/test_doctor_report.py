"""How a report reads, to people and to machines, and that no check stops another."""

import importlib.util
import json
import re
import sys
from collections.abc import Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import pytest

from sora2_mcp.cli.display import Display
from sora2_mcp.cli.doctor.command import SLOW_IMPORTS
from sora2_mcp.cli.doctor.report import CHECKS, Report, Result, Verdict
from sora2_mcp.cli.doctor.setup import Setting, Source
from tests.cli.conftest import Examined
from tests.cli.reading import outcome, the
from tests.clocks import FakeClock
from tests.servers import KEY

pytestmark = pytest.mark.anyio

SETTINGS = [
    Setting(variable="SORA2_API_KEY", value="(hidden)", source=Source.ENVIRONMENT),
    Setting(variable="SORA2_VIDEO_DIR", value="/home/ann/Videos/sora2", source=Source.PLACEHOLDER),
    Setting(variable="SORA2_POLL_SECONDS", value="5", source=Source.EMPTY),
    Setting(variable="SORA2_PUBLIC_URL", value="", source=Source.DEFAULT),
    Setting(variable="SORA2_CONFIRM", value="", source=Source.ENVIRONMENT, allowed="never, hd or always"),
]


def result(name: str, status: Verdict, what: str, hint: str = "") -> Result:
    return Result(name=name, status=status, what=what, hint=hint)


FITS = result("program", Verdict.OK, "It fits.")
LATE = result("clock", Verdict.WARNING, "It is late.", "Set it.")
REFUSED = result("key", Verdict.PROBLEM, "It is refused.", "Correct it.")
TOOK = "It took 2.5 s; nothing was ordered or changed."
PAGE = "https://github.com/sora2-mcp/sora2-mcp/blob/main/docs/configuration.md"
IGNORED = "SORA2_VIDEO_DIR is a placeholder, SORA2_POLL_SECONDS is empty"
NOT_ASKED = result("http", Verdict.SKIPPED, "Not asked.")


def report(*results: Result, simulate: bool = False, settings: Sequence[Setting] = SETTINGS) -> Report:
    return Report(simulate=simulate, results=results, settings=settings, seconds=2.5)


def lines_of(report: Report, capsys: pytest.CaptureFixture[str]) -> list[str]:
    report.show(Display())
    return capsys.readouterr().out.splitlines()


def test_elsewhere_than_on_a_terminal_each_thing_is_a_line(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines_of(report(FITS, LATE, REFUSED, NOT_ASKED), capsys) == [
        "It does not work: 1 problem, 1 warning.",
        TOOK,
        "",
        "What is wrong",
        "problem: key: It is refused. (0.0 s)",
        "warning: clock: It is late. (0.0 s)",
        "",
        "What to do",
        "1. Correct it.",
        "2. Set it.",
        "",
        "Other checks",
        "ok: program: It fits. (0.0 s)",
        "skipped: http: Not asked. (0.0 s)",
        "",
        "Settings",
        "SORA2_API_KEY: (hidden) [environment]",
        "SORA2_CONFIRM: not usable; allowed is never, hd or always [environment]",
        f"The other 3 are at their defaults ({IGNORED}, which counts as not set): {PAGE}",
    ]


def test_where_nothing_is_wrong_and_nothing_set_the_checks_and_a_count_follow(
    capsys: pytest.CaptureFixture[str],
) -> None:
    default = Setting(variable="SORA2_PUBLIC_URL", value="", source=Source.DEFAULT)

    assert lines_of(report(FITS, settings=[default]), capsys) == [
        "Everything is in order.",
        TOOK,
        "Put it into your host: sora2-mcp client-config HOST",
        "",
        "Checks",
        "ok: program: It fits. (0.0 s)",
        "",
        "Settings",
        f"All 1 are at their defaults: {PAGE}",
    ]


@pytest.mark.parametrize(
    ("results", "first"),
    [
        ([FITS], "Everything is in order."),
        ([LATE], "It works; 1 warning can wait."),
        ([LATE, replace(LATE, what="And more.")], "It works; 2 warnings can wait."),
    ],
)
def test_where_nothing_stands_in_the_way_it_begins_with_how_to_put_it_into_a_host(
    capsys: pytest.CaptureFixture[str], results: list[Result], first: str
) -> None:
    advice = "Put it into your host: sora2-mcp client-config HOST"
    assert lines_of(report(*results), capsys)[:3] == [first, TOOK, advice]


def test_of_the_simulator_it_is_said_that_the_service_was_not_asked(capsys: pytest.CaptureFixture[str]) -> None:
    assert lines_of(report(FITS, simulate=True), capsys)[:3] == [
        "Everything is in order.",
        TOOK,
        "This was about the simulator: without --simulate the real service is asked.",
    ]


@pytest.mark.parametrize("columns", [80, 120])
def test_on_a_terminal_every_line_fits_and_every_word_is_there(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, columns: int
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.setenv("COLUMNS", str(columns))
    words = "A long sentence about " + "one thing and another, " * 12

    report(result("configuration", Verdict.PROBLEM, words, words)).show(Display())

    lines = re.sub(r"\x1b\[[0-9;]*m", "", capsys.readouterr().out).splitlines()
    assert max(len(line) for line in lines) <= columns
    assert lines[0] == "It does not work: 1 problem."
    text = " ".join(" ".join(lines).split())
    assert "problem configuration A long sentence" in text
    assert text.count("another,") == 24
    assert "not usable;" in text


def test_what_to_do_begins_with_the_gravest_and_says_nothing_twice() -> None:
    found = report(
        result("store", Verdict.WARNING, "Some are unconfirmed.", "Look."),
        result("http", Verdict.PROBLEM, "No tokens.", "Set tokens."),
        result("round_trip", Verdict.PROBLEM, "It failed.", "Try."),
        result("configuration", Verdict.PROBLEM, "Bad.", "Correct it."),
        result("configuration", Verdict.PROBLEM, "Bad too.", "Correct it."),
        FITS,
    )

    assert found.next_steps == ["Correct it.", "Try.", "Set tokens.", "Look."]
    assert found.status is Verdict.PROBLEM


async def test_machines_get_the_same_with_keys_that_stay(examined: Examined) -> None:
    content = json.loads(json.dumps((await examined(simulate=True, SORA2_VIDEO_DIR="")).as_json()))

    assert list(content) == ["version", "status", "simulate", "seconds", "findings", "settings", "next_steps"]
    assert {tuple(finding) for finding in content["findings"]} == {("name", "status", "what", "hint", "seconds")}
    assert {tuple(setting) for setting in content["settings"]} == {("variable", "value", "source", "allowed")}
    assert list(dict.fromkeys(finding["name"] for finding in content["findings"])) == list(CHECKS)
    assert (content["status"], content["simulate"], content["next_steps"]) == ("ok", True, [])
    sources = {setting["variable"]: setting["source"] for setting in content["settings"]}
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

    assert outcome(found, "clock") == (Verdict.PROBLEM, "It could not be looked at: RuntimeError: no battery, ***")
    assert the(found, "clock").hint == (
        "If no other finding explains why clock could not be looked at, report it as a fault of sora2-mcp."
    )
    assert {the(found, name).status for name in ("program", "store", "video_folder", "http")} == {Verdict.OK}


async def test_a_package_that_is_missing_stops_only_what_needs_it(
    examined: Examined, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "packaging.requirements", None)

    found = await examined(offline=True)

    assert the(found, "program").status is Verdict.PROBLEM
    assert "packaging" in the(found, "program").what
    assert the(found, "store").status is Verdict.OK


def test_what_is_imported_before_anything_is_timed_exists() -> None:
    assert [module for module in SLOW_IMPORTS if importlib.util.find_spec(module) is None] == []


def test_the_page_of_the_documentation_names_every_check_and_key() -> None:
    text = (Path(__file__).parents[2] / "docs" / "doctor.md").read_text()

    keys = ["version", "status", "simulate", "seconds", "findings", "settings", "next_steps", "what", "hint"]
    words = [*CHECKS, *keys, *Verdict, *Source, "variable", "value", "source", "allowed"]
    assert [word for word in words if f"`{word}`" not in text] == []
