"""``sora2-mcp doctor``: examines, and shows what was found."""

import argparse
import json
from collections.abc import Callable

from sora2_mcp.cli.display import Display
from sora2_mcp.cli.doctor.examination import Examination
from sora2_mcp.cli.doctor.finding import Verdict
from sora2_mcp.cli.doctor.page import show
from sora2_mcp.cli.doctor.report import Report
from sora2_mcp.cli.doctor.setup import Setup
from sora2_mcp.clock import SystemClock
from sora2_mcp.settings import environment


async def doctor(arguments: argparse.Namespace, *, ending: Callable[[int], None]) -> int:
    """Shows the report; the exit code is 1 where there is a problem, else 0.

    ``ending`` is called with it when all is shown: a check that was given up may still hold a thread.
    """
    display = Display()
    if arguments.json:
        report = await _examined(arguments)
        display.line(json.dumps(report.as_json(), indent=2))
    else:
        display.title("sora2-mcp doctor: is everything in order? (nothing is ordered, nothing is changed)")
        with display.waiting("checking"):
            report = await _examined(arguments)
        show(report, display)
    code = int(report.status is Verdict.PROBLEM)
    ending(code)
    return code


async def _examined(arguments: argparse.Namespace) -> Report:
    given, clock = environment(), SystemClock()
    began = clock.monotonic()
    setup = Setup.of(given, clock, simulate=arguments.simulate)
    examination = Examination(setup, given, offline=arguments.offline, round_trip=not arguments.no_round_trip)
    findings = await examination.run()
    return Report(
        simulate=setup.settings.simulate,
        findings=findings,
        readings=setup.readings,
        seconds=round(clock.monotonic() - began, 3),
    )
