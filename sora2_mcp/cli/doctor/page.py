"""A report for people."""

from sora2_mcp.cli.display import Cell, Display
from sora2_mcp.cli.doctor.finding import Finding, Verdict
from sora2_mcp.cli.doctor.readings import Reading, Source
from sora2_mcp.cli.doctor.report import CONNECT, Report

_COLOURS = {
    Verdict.OK: "green",
    Verdict.WARNING: "yellow",
    Verdict.PROBLEM: "bold red",
    Verdict.SKIPPED: "dim",
}
_IGNORED = {Source.EMPTY: " (empty variable ignored)", Source.PLACEHOLDER: " (placeholder ignored)"}
_SOURCES = {Source.EMPTY: Source.DEFAULT, Source.PLACEHOLDER: Source.DEFAULT}
_GIVEN = (Source.ENVIRONMENT, Source.OPTION)


def show(report: Report, display: Display) -> None:
    """Settings, findings, and last what to do."""
    display.heading("Settings")
    for reading in report.readings:
        _show_reading(reading, display)
    display.heading("Checks")
    for finding in report.findings:
        _show_finding(finding, display)
    display.heading("What to do")
    for number, step in enumerate(report.next_steps, 1):
        display.row(Cell(f"{number}.", width=2), Cell(step), plain=f"{number}. {step}")
    if report.status is Verdict.PROBLEM:
        return
    verdict = "Everything is in order." if report.status is Verdict.OK else "It works; the above can wait."
    rehearsed = (
        " This was about the simulator: without --simulate the real service is asked." if report.simulate else ""
    )
    display.line(f"{verdict}{rehearsed}")
    display.line(f"Put it into your host: {CONNECT}")


def _show_reading(reading: Reading, display: Display) -> None:
    value = f"not usable; allowed is {reading.allowed}" if reading.allowed else reading.value or "not set"
    value += _IGNORED.get(reading.source, "")
    source = _SOURCES.get(reading.source, reading.source)
    style = "bold red" if reading.allowed else "" if reading.source in _GIVEN else "dim"
    display.row(
        Cell(reading.variable, style, width=30),
        Cell(value, style),
        Cell(source, style or "cyan", width=11),
        plain=f"{reading.variable}: {value} [{source}]",
    )


def _show_finding(finding: Finding, display: Display) -> None:
    display.row(
        Cell(finding.status, _COLOURS[finding.status], width=7),
        Cell(finding.name, "bold", width=13),
        Cell(finding.what),
        Cell(f"{finding.seconds:.1f} s", "dim", width=6),
        plain=f"{finding.status}: {finding.name}: {finding.what} ({finding.seconds:.1f} s)",
    )
