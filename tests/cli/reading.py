"""What a test reads of a report."""

from sora2_mcp.cli.doctor.report import Report, Result, Verdict


def found(report: Report, name: str) -> list[Result]:
    """What the check of that name found."""
    return [result for result in report.results if result.name == name]


def the(report: Report, name: str) -> Result:
    """The one thing it found."""
    (result,) = found(report, name)
    return result


def outcome(report: Report, name: str) -> tuple[Verdict, str]:
    """Its verdict and words."""
    result = the(report, name)
    return result.status, result.what
