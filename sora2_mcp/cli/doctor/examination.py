"""All the checks: each bounded in time, none stopped by another."""

import importlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace

import anyio
import anyio.to_thread

from sora2_mcp.cli.doctor.finding import Finding, problem, skipped
from sora2_mcp.cli.doctor.setup import Setup
from sora2_mcp.errors import ConfigurationError, first_of
from sora2_mcp.services.probe import ANSWER_SECONDS, Reply
from sora2_mcp.tasks.reach import Resolve, resolved
from sora2_mcp.tasks.store.port import Survey

Check = Callable[[], Awaitable[Sequence[Finding]]]

ORDER = (
    "program",
    "configuration",
    "environment",
    "store",
    "video_folder",
    "network",
    "service",
    "key",
    "clock",
    "round_trip",
    "http",
)
"""The checks' names, as they are shown."""

ROUND_TRIP_SECONDS = 20.0
_STORE_SECONDS = 8.0
_QUICK_SECONDS = 5.0
_PACKAGE = "sora2_mcp.cli.doctor"
_MODULES = (
    "clock",
    "configuration",
    "environment",
    "folder",
    "http",
    "network",
    "program",
    "rehearsal",
    "service",
    "store",
)


class Examination:
    """One run of the checks over the set-up in the environment ``given``.

    ``offline``: the service is not asked, and where its name leads is not looked up (``resolve``). What checks need is
    imported by themselves, so that a package that is missing or broken stops none but those that need it.
    """

    def __init__(
        self,
        setup: Setup,
        given: Mapping[str, str],
        *,
        offline: bool = False,
        round_trip: bool = True,
        resolve: Resolve = resolved,
    ) -> None:
        self._setup = setup
        self._given = given
        self._offline = offline
        self._round_trip = round_trip
        self._resolve = resolve
        self._reply: Reply | None = None
        self._survey: Survey | None = None
        self._found: dict[str, Sequence[Finding]] = {}

    async def run(self) -> Sequence[Finding]:
        """Every finding, by ``ORDER``."""
        _import_all()
        await self._checked("program", _QUICK_SECONDS, self._look_at_program)
        await self._checked("configuration", _QUICK_SECONDS, self._look_at_configuration)
        await self._checked("environment", _QUICK_SECONDS, self._look_at_environment)
        await self._checked("http", _QUICK_SECONDS, self._look_at_http)
        async with anyio.create_task_group() as group:
            group.start_soon(self._checked, "store", _STORE_SECONDS, self._look_at_store)
            group.start_soon(self._checked, "video_folder", _QUICK_SECONDS, self._look_at_folder)
            group.start_soon(self._checked, "network", _QUICK_SECONDS, self._look_at_network)
            group.start_soon(self._checked, "round_trip", ROUND_TRIP_SECONDS, self._rehearse)
            await self._checked("service", ANSWER_SECONDS + 1, self._ask_service)
            await self._checked("key", ANSWER_SECONDS + 1, self._ask_with_key)
        await self._checked("clock", _QUICK_SECONDS, self._look_at_clock)
        return [finding for name in ORDER for finding in self._found[name]]

    async def _checked(self, name: str, seconds: float, check: Check) -> None:
        clock = self._setup.clock
        began = clock.monotonic()
        found: Sequence[Finding] = [
            problem(name, f"It did not end within {seconds:g} s.", f"Find out what holds up {name}, and try again.")
        ]
        with clock.timeout(seconds):
            found = await self._guarded(name, check)
        took = round(clock.monotonic() - began, 3)
        self._found[name] = [replace(finding, seconds=took) for finding in found]

    async def _guarded(self, name: str, check: Check) -> Sequence[Finding]:
        try:
            return await check()
        except ConfigurationError as error:
            return [problem(name, str(error), f"Set {error.variable}, as the finding about it says.")]
        except Exception as error:  # noqa: BLE001 - the border of one check: it must not stop the others
            cause = first_of(error)
            # Not logged with its traceback: what others put into their errors may be secret.
            what = f"It could not be looked at: {type(cause).__name__}: {self._setup.blot(str(cause))}"
            hint = f"If no other finding explains why {name} could not be looked at, report it as a fault of sora2-mcp."
            return [problem(name, what, hint)]

    async def _look_at_program(self) -> Sequence[Finding]:
        from sora2_mcp.cli.doctor.program import check_program  # noqa: PLC0415 - fails by itself alone, as all below

        return [check_program(self._setup)]

    async def _look_at_configuration(self) -> Sequence[Finding]:
        from sora2_mcp.cli.doctor.configuration import check_configuration  # noqa: PLC0415

        return check_configuration(self._setup)

    async def _look_at_environment(self) -> Sequence[Finding]:
        from sora2_mcp.cli.doctor.environment import check_environment  # noqa: PLC0415

        return check_environment(self._setup, self._given)

    async def _look_at_http(self) -> Sequence[Finding]:
        from sora2_mcp.cli.doctor.http import check_http  # noqa: PLC0415

        return check_http(self._setup)

    async def _look_at_store(self) -> Sequence[Finding]:
        from sora2_mcp.cli.doctor.store import check_store  # noqa: PLC0415

        found, self._survey = await check_store(self._setup)
        return found

    async def _look_at_folder(self) -> Sequence[Finding]:
        from sora2_mcp.cli.doctor.folder import check_videos  # noqa: PLC0415

        # A file system that hangs keeps the thread, not the check.
        return [await anyio.to_thread.run_sync(check_videos, self._setup, abandon_on_cancel=True)]

    async def _look_at_network(self) -> Sequence[Finding]:
        from sora2_mcp.cli.doctor.network import check_network  # noqa: PLC0415

        is_asked = not (self._offline or self._setup.settings.simulate)
        return await check_network(self._setup, self._resolve if is_asked else None)

    async def _ask_service(self) -> Sequence[Finding]:
        from sora2_mcp.cli.doctor.service import SERVICE, check_service, probe_of  # noqa: PLC0415

        if self._is_offline:
            return [skipped(SERVICE, "Not asked, because of --offline.")]
        async with probe_of(self._setup) as probe:
            found, self._reply = await check_service(self._setup, probe)
        return [found]

    async def _ask_with_key(self) -> Sequence[Finding]:
        from sora2_mcp.cli.doctor.service import check_key, probe_of  # noqa: PLC0415

        async with probe_of(self._setup) as probe:
            return [await check_key(self._setup, None if self._is_offline else probe, self._reply)]

    async def _look_at_clock(self) -> Sequence[Finding]:
        from sora2_mcp.cli.doctor.clock import check_clock  # noqa: PLC0415

        return [check_clock(self._setup, self._reply, self._survey)]

    async def _rehearse(self) -> Sequence[Finding]:
        from sora2_mcp.cli.doctor.rehearsal import NAME, check_round_trip  # noqa: PLC0415

        if not self._round_trip:
            return [skipped(NAME, "Not tried, because of --no-round-trip.")]
        return [await check_round_trip(self._setup, self._given)]

    @property
    def _is_offline(self) -> bool:
        # The simulator is on this machine.
        return self._offline and not self._setup.settings.simulate


def _import_all() -> None:
    """Imports what the checks need before any of them is timed; one that cannot be imported says so itself."""
    for module in _MODULES:
        with suppress(ImportError):
            importlib.import_module(f"{_PACKAGE}.{module}")
