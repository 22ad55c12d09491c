"""What a test reads of a report."""

from sora2_mcp.cli.doctor.finding import Finding, Verdict
from sora2_mcp.cli.doctor.report import Report


def found(report: Report, name: str) -> list[Finding]:
    """What the check of that name found."""
    return [finding for finding in report.findings if finding.name == name]


def the(report: Report, name: str) -> Finding:
    """The one thing it found."""
    (finding,) = found(report, name)
    return finding


def said(report: Report, name: str) -> tuple[Verdict, str]:
    """Its verdict and words."""
    finding = the(report, name)
    return finding.status, finding.what
