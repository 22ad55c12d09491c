"""All that was found, and what follows from it."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from sora2_mcp import __version__
from sora2_mcp.cli.doctor.finding import Finding, Verdict
from sora2_mcp.cli.doctor.readings import Reading

CONNECT = "sora2-mcp client-config HOST"
"""What puts the server into a host."""

_GRAVITY = (Verdict.PROBLEM, Verdict.WARNING)
_URGENCY = (
    "program",
    "configuration",
    "environment",
    "store",
    "network",
    "service",
    "key",
    "round_trip",
    "video_folder",
    "clock",
    "http",
)
"""What stands in the way of most else comes first."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """The findings and the settings they are about."""

    simulate: bool
    findings: Sequence[Finding]
    readings: Sequence[Reading]
    seconds: float

    @property
    def status(self) -> Verdict:
        """The worst of all findings: OK, WARNING or PROBLEM."""
        found = {finding.status for finding in self.findings}
        return next((status for status in _GRAVITY if status in found), Verdict.OK)

    @property
    def next_steps(self) -> Sequence[str]:
        """What to do, the most important first; empty where everything is in order."""
        grave = [finding for finding in self.findings if finding.status in _GRAVITY]
        ranked = sorted(grave, key=lambda finding: (_GRAVITY.index(finding.status), _URGENCY.index(finding.name)))
        return list(dict.fromkeys(finding.hint for finding in ranked))

    def as_json(self) -> dict[str, Any]:
        """For machines; the keys stay as they are. Documented in ``docs/doctor.md``."""
        return {
            "version": __version__,
            "status": self.status,
            "simulate": self.simulate,
            "seconds": self.seconds,
            "findings": [asdict(finding) for finding in self.findings],
            "settings": [asdict(reading) for reading in self.readings],
            "next_steps": self.next_steps,
        }
