"""``sora2-mcp doctor``: runs all checks, each bounded in time and none stopped by another, and shows the report."""

import argparse
import importlib
import json
from collections.abc import Awaitable, Callable, Sequence
from contextlib import suppress
from dataclasses import replace

import anyio

from sora2_mcp.cli.display import Display
from sora2_mcp.cli.doctor.installation import check_configuration, check_environment, check_http, check_program
from sora2_mcp.cli.doctor.report import CHECKS, Report, Result, Verdict, problem
from sora2_mcp.cli.doctor.service import check_clock, check_key, check_network, check_service
from sora2_mcp.cli.doctor.setup import Setup, load_setup
from sora2_mcp.cli.doctor.storage import check_store, check_video_folder
from sora2_mcp.errors import ConfigurationError, leaves
from sora2_mcp.services.probe import ANSWER_SECONDS

Check = Callable[[Setup], Awaitable[Sequence[Result]]]

_QUICK_SECONDS = 5.0
_STORE_SECONDS = 8.0
_ROUND_TRIP_SECONDS = 20.0

SLOW_IMPORTS = (
    "packaging.requirements",
    "sora2_mcp.cli.agent",
    "sora2_mcp.server.web.app",
    "sora2_mcp.simulator.serve",
    "sora2_mcp.tasks.store.survey",
)


async def doctor(arguments: argparse.Namespace) -> int:
    """Shows the report; the exit code is 1 if there is a problem, else 0."""
    display = Display()
    setup = load_setup(simulate=arguments.simulate, offline=arguments.offline, round_trip=not arguments.no_round_trip)
    if arguments.json:
        report = await examine(setup)
        display.line(json.dumps(report.as_json(), indent=2))
    else:
        with display.waiting("checking"):
            report = await examine(setup)
        report.show(display)
    return int(report.status is Verdict.PROBLEM)


async def examine(setup: Setup) -> Report:
    """The report on a set-up."""
    began = setup.clock.monotonic()
    # An import holds up the event loop, so it would count as time that the service took to answer.
    for module in SLOW_IMPORTS:
        with suppress(ImportError):
            importlib.import_module(module)
    found = dict[str, Sequence[Result]]()

    async def run(name: str, seconds: float, check: Check) -> None:
        found[name] = await _bounded(name, seconds, check, setup)

    await run("program", _QUICK_SECONDS, check_program)
    await run("configuration", _QUICK_SECONDS, check_configuration)
    await run("environment", _QUICK_SECONDS, check_environment)
    await run("http", _QUICK_SECONDS, check_http)
    async with anyio.create_task_group() as group:
        group.start_soon(run, "store", _STORE_SECONDS, check_store)
        group.start_soon(run, "video_folder", _QUICK_SECONDS, check_video_folder)
        group.start_soon(run, "network", _QUICK_SECONDS, check_network)
        group.start_soon(run, "round_trip", _ROUND_TRIP_SECONDS, _check_round_trip)
        # The key is shown only to a service that answered as it should.
        await run("service", ANSWER_SECONDS + 1, check_service)
        await run("key", ANSWER_SECONDS + 1, check_key)
    await run("clock", _QUICK_SECONDS, check_clock)
    return Report(
        simulate=setup.settings.simulate,
        results=[result for name in CHECKS for result in found[name]],
        settings=setup.shown,
        seconds=round(setup.clock.monotonic() - began, 3),
    )


async def _check_round_trip(setup: Setup) -> Sequence[Result]:
    from sora2_mcp.cli.doctor.round_trip import check_round_trip  # noqa: PLC0415 - brings mcp, which may be broken

    return await check_round_trip(setup)


async def _bounded(name: str, seconds: float, check: Check, setup: Setup) -> Sequence[Result]:
    """The check's results with its name and time; a problem if it fails or does not end in time."""
    began = setup.clock.monotonic()
    found: Sequence[Result] = [
        problem(f"It did not end within {seconds:g} s.", f"Find out what holds up {name}, and try again.")
    ]
    with setup.clock.timeout(seconds):
        try:
            found = await check(setup)
        except ConfigurationError as error:
            found = [problem(str(error), f"Set {error.variable}, as the finding about it says.")]
        except Exception as error:  # noqa: BLE001 - the border of one check: it must not stop the others
            # No traceback is logged: a driver may have put a secret into its error.
            cause = leaves(error)[0]
            what = f"It could not be looked at: {type(cause).__name__}: {setup.redact(str(cause))}"
            hint = f"If no other finding explains why {name} could not be looked at, report it as a fault of sora2-mcp."
            found = [problem(what, hint)]
    took = round(setup.clock.monotonic() - began, 3)
    return [replace(result, name=name, seconds=took) for result in found]
