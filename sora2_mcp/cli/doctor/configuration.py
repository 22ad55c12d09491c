"""Whether the variables are understood."""

from collections.abc import Sequence

from sora2_mcp.cli.doctor.finding import Finding, fine, problem, warning
from sora2_mcp.cli.doctor.readings import Reading, Source, Unknown
from sora2_mcp.cli.doctor.setup import Setup

NAME = "configuration"


def check_configuration(setup: Setup) -> Sequence[Finding]:
    """One finding for each variable that is wrong, or one that none is."""
    unusable = [_unusable(reading) for reading in setup.readings if reading.allowed]
    return [*unusable, *map(_unknown, setup.unknown)] or [fine(NAME, _summary(setup))]


def _summary(setup: Setup) -> str:
    given = [reading for reading in setup.readings if reading.source in (Source.ENVIRONMENT, Source.OPTION)]
    left = [reading.variable for reading in setup.readings if reading.source is Source.PLACEHOLDER]
    # That is how hosts leave what may be left open, so it is no fault.
    placeholders = f"; a placeholder counts as not set: {', '.join(left)}" if left else ""
    return f"{len(given)} of {len(setup.readings)} settings are given, the others have their defaults{placeholders}."


def _unusable(reading: Reading) -> Finding:
    return problem(
        NAME,
        f"{reading.variable} cannot be used, so the server does not start; allowed is {reading.allowed}.",
        f"Set {reading.variable} to {reading.allowed}, or take it out.",
    )


def _unknown(unknown: Unknown) -> Finding:
    meant = f"; {unknown.meant} was probably meant" if unknown.meant else ""
    hint = f"Did you mean {unknown.meant}? Rename {unknown.variable}, or take it out."
    return warning(
        NAME,
        f"{unknown.variable} is no setting, and nobody reads it{meant}.",
        hint if unknown.meant else f"Take {unknown.variable} out; the README lists the variables there are.",
    )
