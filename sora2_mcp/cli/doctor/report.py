"""What the checks found, and how it is shown to people and to programs."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from enum import StrEnum
from typing import Any

from sora2_mcp import __version__
from sora2_mcp.cli.display import Cell, Display
from sora2_mcp.cli.doctor.setup import Setting, Source

CHECKS = (
    *("program", "configuration", "environment", "store", "video_folder", "network"),
    *("service", "key", "clock", "round_trip", "http"),
)
"""The checks' names, in the order in which they are shown."""

_CAN_WAIT = ("video_folder", "clock", "http")
"""The checks whose problems seldom cause others."""


class Verdict(StrEnum):
    """How a check ended. ``SKIPPED`` means not checked, and says nothing."""

    SKIPPED = "skipped"
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


_GRAVITY = (Verdict.PROBLEM, Verdict.WARNING)
_COLOURS = {
    Verdict.OK: "green",
    Verdict.WARNING: "yellow",
    Verdict.PROBLEM: "bold red",
    Verdict.SKIPPED: "dim",
}
_IGNORED = {Source.EMPTY: "empty", Source.PLACEHOLDER: "a placeholder"}
_DOCUMENTED = "https://github.com/sora2-mcp/sora2-mcp/blob/main/docs/configuration.md"
"""Where all settings are described, for those who have the program but not its files."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Result:
    """One thing that a check found: ``what`` is a sentence, ``hint`` says what to do and is empty if nothing is.

    ``name`` is the check and ``seconds`` is how long it took; the runner of the checks fills in both.
    """

    name: str = ""
    status: Verdict
    what: str
    hint: str = ""
    seconds: float = 0.0


def fine(what: str) -> Result:
    """Nothing needs to be done."""
    return Result(status=Verdict.OK, what=what)


def warning(what: str, hint: str) -> Result:
    """It works, but the user should know."""
    return Result(status=Verdict.WARNING, what=what, hint=hint)


def problem(what: str, hint: str) -> Result:
    """It does not work."""
    return Result(status=Verdict.PROBLEM, what=what, hint=hint)


def skipped(why: str) -> Result:
    """It was not checked."""
    return Result(status=Verdict.SKIPPED, what=why)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """All results, and the settings they are about."""

    simulate: bool
    results: Sequence[Result]
    settings: Sequence[Setting]
    seconds: float

    @property
    def status(self) -> Verdict:
        """The worst of all results: OK, WARNING or PROBLEM."""
        return self.wrong[0].status if self.wrong else Verdict.OK

    @property
    def wrong(self) -> Sequence[Result]:
        """The problems and then the warnings, the likely causes of others first."""
        return sorted(
            (result for result in self.results if result.status in _GRAVITY),
            key=lambda result: (
                _GRAVITY.index(result.status),
                result.name in _CAN_WAIT,
                CHECKS.index(result.name),
            ),
        )

    @property
    def next_steps(self) -> Sequence[str]:
        """What to do, the most important first; empty if everything is in order."""
        return list(dict.fromkeys(result.hint for result in self.wrong))

    def as_json(self) -> dict[str, Any]:
        """For programs; ``docs/doctor.md`` promises that these keys stay."""
        return {
            "version": __version__,
            "status": self.status,
            "simulate": self.simulate,
            "seconds": self.seconds,
            "findings": [asdict(result) for result in self.results],
            "settings": [asdict(setting) for setting in self.settings],
            "next_steps": self.next_steps,
        }

    def show(self, display: Display) -> None:
        """The verdict, what is wrong, what to do, the other checks, and the settings that are set."""
        display.title(self._verdict(), f"bold {_COLOURS[self.status]}")
        display.line(f"It took {self.seconds:.1f} s; nothing was ordered or changed.")
        if self.simulate:
            display.line("This was about the simulator: without --simulate the real service is asked.")
        if self.status is not Verdict.PROBLEM:
            display.line("Put it into your host: sora2-mcp client-config HOST")
        if self.wrong:
            display.heading("What is wrong")
            for result in self.wrong:
                _show_result(result, display)
            display.heading("What to do")
            for number, step in enumerate(self.next_steps, 1):
                display.row(Cell(f"{number}.", width=2), Cell(step), plain=f"{number}. {step}")
        display.heading("Other checks" if self.wrong else "Checks")
        for result in self.results:
            if result not in self.wrong:
                _show_result(result, display)
        display.heading("Settings")
        for setting in self.settings:
            if setting.is_set:
                _show_setting(setting, display)
        others = self._others()
        display.row(Cell(others, "dim"), plain=others)

    def _verdict(self) -> str:
        if self.status is Verdict.PROBLEM:
            counts = Counter(result.status for result in self.wrong)
            words = (f"{count} {verdict}{'s' if count > 1 else ''}" for verdict, count in counts.items())
            return f"It does not work: {', '.join(words)}."
        count = len(self.wrong)
        warnings = f"{count} warnings" if count > 1 else "1 warning"
        return f"It works; {warnings} can wait." if count else "Everything is in order."

    def _others(self) -> str:
        """How many settings are not shown, and where they are described."""
        others = [setting for setting in self.settings if not setting.is_set]
        ignored = [f"{one.variable} is {_IGNORED[one.source]}" for one in others if one.source in _IGNORED]
        left_out = f" ({', '.join(ignored)}, which counts as not set)" if ignored else ""
        which = "All" if len(others) == len(self.settings) else "The other"
        return f"{which} {len(others)} are at their defaults{left_out}: {_DOCUMENTED}"


def _show_result(result: Result, display: Display) -> None:
    display.row(
        Cell(result.status, _COLOURS[result.status], width=7),
        Cell(result.name, "bold", width=13),
        Cell(result.what),
        Cell(f"{result.seconds:.1f} s", "dim", width=6),
        plain=f"{result.status}: {result.name}: {result.what} ({result.seconds:.1f} s)",
    )


def _show_setting(setting: Setting, display: Display) -> None:
    value = f"not usable; allowed is {setting.allowed}" if setting.allowed else setting.value
    style = "bold red" if setting.allowed else ""
    display.row(
        Cell(setting.variable, style, width=30),
        Cell(value, style),
        Cell(setting.source, style or "cyan", width=11),
        plain=f"{setting.variable}: {value} [{setting.source}]",
    )
