"""``sora2-mcp doctor``: examines, and shows what was found."""

import argparse
import json
from functools import partial

from sora2_mcp.cli.display import Display
from sora2_mcp.cli.doctor.examination import Examination
from sora2_mcp.cli.doctor.finding import Verdict
from sora2_mcp.cli.doctor.page import show
from sora2_mcp.cli.doctor.report import Report
from sora2_mcp.cli.doctor.setup import Setup
from sora2_mcp.clock import Clock, SystemClock
from sora2_mcp.settings import environment
from sora2_mcp.tasks.reach import Resolve, resolved


async def doctor(arguments: argparse.Namespace) -> int:
    """Shows the report; the exit code is 1 where there is a problem, else 0."""
    display = Display()
    examined = partial(
        examine, simulate=arguments.simulate, offline=arguments.offline, round_trip=not arguments.no_round_trip
    )
    if arguments.json:
        report = await examined()
        display.line(json.dumps(report.as_json(), indent=2))
    else:
        display.title("sora2-mcp doctor: looks only, orders and changes nothing")
        with display.waiting("checking"):
            report = await examined()
        show(report, display)
    return int(report.status is Verdict.PROBLEM)


async def examine(
    *,
    simulate: bool = False,
    offline: bool = False,
    round_trip: bool = True,
    clock: Clock | None = None,
    resolve: Resolve = resolved,
) -> Report:
    """The report on the set-up in this process's environment."""
    given, clock = environment(), clock or SystemClock()
    began = clock.monotonic()
    setup = Setup.of(given, clock, simulate=simulate)
    examination = Examination(setup, given, offline=offline, round_trip=round_trip, resolve=resolve)
    findings = await examination.run()
    seconds = round(clock.monotonic() - began, 3)
    return Report(simulate=setup.settings.simulate, findings=findings, readings=setup.readings, seconds=seconds)
