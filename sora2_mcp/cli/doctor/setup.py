"""What is examined."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Self

from sora2_mcp.cli.doctor.readings import Blot, Reading, Unknown, readings_of, unknown_in
from sora2_mcp.clock import Clock
from sora2_mcp.settings import Settings, environment_proxies, variable_of


@dataclass(frozen=True, slots=True, kw_only=True)
class Setup:
    """The settings, with defaults in the place of what cannot be used, and where they come from."""

    settings: Settings
    readings: tuple[Reading, ...]
    unknown: tuple[Unknown, ...]
    proxies: tuple[str, ...]
    """The variables that name a proxy."""

    blot: Blot
    clock: Clock

    @classmethod
    def of(cls, given: Mapping[str, str], clock: Clock, *, simulate: bool) -> Self:
        """The set-up in the environment ``given``, which must be this process's own."""
        overrides = {"simulate": True} if simulate else {}
        settings, unusable = Settings.load_usable(**overrides)
        return cls(
            settings=settings,
            readings=tuple(readings_of(settings, given, unusable=unusable, simulate=simulate)),
            unknown=tuple(unknown_in(given)),
            proxies=tuple(sorted(environment_proxies())),
            blot=Blot(given),
            clock=clock,
        )

    def reading(self, field: str) -> Reading:
        """What the variable of a settings field holds."""
        return next(reading for reading in self.readings if reading.variable == variable_of(field))

    def unusable(self, *fields: str) -> str:
        """The first variable of these whose value cannot be used; empty where all can."""
        return next((variable_of(field) for field in fields if self.reading(field).allowed), "")
