"""Whether the variables are understood."""

from collections.abc import Sequence
from functools import partial

from sora2_mcp.cli.doctor.finding import Finding, fine, problem, warning
from sora2_mcp.cli.doctor.readings import Reading, Source, Unknown
from sora2_mcp.cli.doctor.setup import Setup
from sora2_mcp.domain.configured import DEFAULT_SERVICE
from sora2_mcp.services.chosen import service_of
from sora2_mcp.settings import PREFIX, variable_of

NAME = "configuration"


def check_configuration(setup: Setup) -> Sequence[Finding]:
    """One finding for each variable that is wrong, or one that none is."""
    unusable = [_unusable(reading) for reading in setup.readings if reading.allowed]
    found = [
        *unusable,
        *_lacking(setup),
        *_images(setup),
        *map(_unknown, setup.unknown),
        *map(partial(_without_effect, setup), _idle(setup)),
    ]
    return found or [fine(NAME, _summary(setup))]


def _lacking(setup: Setup) -> Sequence[Finding]:
    """What the service needs beside a key, which has a check of its own."""
    service = setup.settings.service
    return [
        problem(
            NAME,
            f"{variable} is not set, and SORA2_SERVICE={service} cannot do without it.",
            f"Set {variable}; docs/services.md says to what.",
        )
        for variable in setup.settings.lacking
        if variable != variable_of("api_key") and not setup.unusable(variable.removeprefix(PREFIX).lower())
    ]


def _images(setup: Setup) -> Sequence[Finding]:
    folder = setup.settings.image_dir
    if folder is None or (folder.is_absolute() and folder.is_dir()):
        return []
    why = "is no folder" if folder.is_absolute() else "is relative to whatever folder a host starts this in"
    return [warning(NAME, f"SORA2_IMAGE_DIR {why}: {folder}.", "Set SORA2_IMAGE_DIR to a whole path of a folder.")]


def _idle(setup: Setup) -> list[str]:
    """Settings that are set and mean nothing to the service that is chosen."""
    settings = setup.settings
    service = service_of(settings)
    can = service.capabilities()
    idle = {
        "model": settings.service == DEFAULT_SERVICE,
        "model_hd": settings.service == DEFAULT_SERVICE,
        "model_input": settings.service == DEFAULT_SERVICE,
        "request_format": settings.service != "openai",
        "video_seconds": settings.video_seconds not in (0, *can.seconds),
        "callback_secret": not service.signs_callbacks,
        "daily_cost": not can.tells_costs,
    }
    given = {reading.variable for reading in setup.readings if reading.source in (Source.ENVIRONMENT, Source.OPTION)}
    return [variable_of(name) for name, is_idle in idle.items() if is_idle and variable_of(name) in given]


def _without_effect(setup: Setup, variable: str) -> Finding:
    service, allowed = setup.settings.service, ""
    if variable == variable_of("video_seconds") and (lengths := service_of(setup.settings).capabilities().lengths):
        allowed = f" Its model takes {lengths}."
    return warning(
        NAME,
        f"{variable} has no effect with SORA2_SERVICE={service}.{allowed}",
        f"Take {variable} out, or choose the service it is for; docs/services.md says what each takes.",
    )


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
