"""Outside referees: the official conformance suite and the Inspector's command line, against our own server.

``make conformance`` installs them and runs this. It prints what they found and ends with 1 if anything is wrong that
``suite.EXPLAINED`` does not explain. Everything stays on this machine and in a temporary folder.
"""

import json
import logging
import sys
import time
import warnings
from collections.abc import Iterator
from pathlib import Path
from tempfile import TemporaryDirectory

import anyio
from mcp.shared.exceptions import MCPDeprecationWarning

from tests.conformance.inspector import ERAS, STDIO, Journey, Lane, over_http, travelled
from tests.conformance.server import assembled
from tests.conformance.suite import EXPLAINED, REVISIONS, Report, Scenario, as_it_is, with_fixtures

PACKAGE = Path(__file__).parent / "package.json"


def say(text: str = "") -> None:
    """One line for whoever reads the run, at once."""
    sys.stdout.write(f"{text}\n")
    sys.stdout.flush()


class Referees:
    """All of them, once; every program keeps what it keeps in a folder of its own."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.reports: list[Report] = []
        self.journeys: list[Journey] = []

    async def run(self) -> None:
        """Two things at a time: over stdio the Inspector starts a server for each call, and takes longest."""
        async with anyio.create_task_group() as group:
            group.start_soon(self._over_stdio)
            await self._suite()
            await self._over_http()

    async def _suite(self) -> None:
        async with assembled(self._made("assembled")) as url:
            for revision in REVISIONS:
                self._note(await with_fixtures(revision, url, self._made(revision)))

    async def _over_http(self) -> None:
        for revision, era in zip(REVISIONS, ERAS, strict=True):
            home = self._made(f"http-{era}")
            with over_http(home) as (url, target):
                self._pass(await travelled(Lane(transport="streamable HTTP", era=era, target=target), home))
                self._note(await as_it_is(revision, url, self._made(f"{revision}-as-it-is")))

    async def _over_stdio(self) -> None:
        for era in ERAS:
            lane = Lane(transport="stdio", era=era, target=STDIO)
            self._pass(await travelled(lane, self._made(f"stdio-{era}")))

    def _made(self, name: str) -> Path:
        folder = self._folder / name
        folder.mkdir()
        return folder

    def _note(self, report: Report) -> None:
        self.reports.append(report)
        say(described(report))

    def _pass(self, journey: Journey) -> None:
        self.journeys.append(journey)
        say(
            f"inspector    {journey.lane.transport}, {journey.lane.era} era: {journey.calls} calls, "
            f"{'not ' if journey.problem else ''}as they must be, {journey.seconds:.0f} s"
        )

    def skipped(self) -> Iterator[str]:
        """What the suite did not try, and why."""
        for report in self.reports:
            for scenario in report.scenarios:
                for check in scenario.checks:
                    if check.status == "SKIPPED":
                        yield f"{report.revision}, {scenario.name}: {check.id}: {check.message}"

    def problems(self) -> Iterator[str]:
        """What is wrong, one line each."""
        for report in self.reports:
            yield from (f"{report.revision}, {report.server}: {problem}" for problem in report.problems)
        for journey in self.journeys:
            if journey.problem:
                yield f"inspector, {journey.lane.transport}, {journey.lane.era}: {journey.problem}"


def described(report: Report) -> str:
    """One line of the table."""
    required = [scenario for scenario in report.scenarios if not scenario.not_required]
    others = [scenario for scenario in report.scenarios if scenario.not_required]
    shares = f"{_share(required)} required scenarios, {_share(others)} others"
    checks = f"{report.count('SUCCESS')} checks passed, {report.count('FAILURE')} failed"
    rest = f"{report.count('WARNING')} warnings, {report.count('SKIPPED')} skipped"
    return f"conformance  {report.revision}, {report.server}: {shares}; {checks}, {rest}, {report.seconds:.0f} s"


def _share(scenarios: list[Scenario]) -> str:
    return f"{sum(scenario.passed for scenario in scenarios)} of {len(scenarios)}"


async def main() -> int:
    """Runs everything; 1 if something is wrong."""
    began = time.monotonic()
    # Scenarios of the legacy era ask for what the newest one has left behind.
    warnings.simplefilter("ignore", MCPDeprecationWarning)
    versions = json.loads(PACKAGE.read_text())["dependencies"]
    say(", ".join(f"{name} {version}" for name, version in versions.items()))
    with TemporaryDirectory() as folder:
        logging.basicConfig(filename=Path(folder) / "log.txt")
        referees = Referees(Path(folder))
        await referees.run()
    say()
    for line in referees.skipped():
        say(f"skipped      {line}")
    for entry in EXPLAINED:
        checks = " and ".join(sorted(entry.checks))
        say(f"explained    {entry.revision}, {entry.scenario}: {checks}: {entry.why} To go when {entry.until}.")
    problems = [*referees.problems()]
    for problem in problems:
        say(f"wrong        {problem}")
    passed = sum(report.count("SUCCESS") for report in referees.reports)
    passed += sum(journey.calls - bool(journey.problem) for journey in referees.journeys)
    say(f"\nin {time.monotonic() - began:.0f} s")
    say(f"referees: {passed} passed, {len(problems)} failed")
    return 1 if problems else 0


if __name__ == "__main__":
    sys.exit(anyio.run(main))
