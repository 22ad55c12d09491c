"""Whether this machine's clock can be trusted: leases, expiry and certificates go by it."""

from datetime import UTC, datetime, timedelta

from sora2_mcp.cli.doctor.finding import Finding, fine, problem, skipped, warning
from sora2_mcp.cli.doctor.setup import Setup
from sora2_mcp.services.probe import Reply
from sora2_mcp.tasks.store.port import Survey

NAME = "clock"

_EARLIEST = datetime(2026, 1, 1, tzinfo=UTC)
"""This program is younger than that."""

_TOLERATED = timedelta(seconds=30)
_GROSS = timedelta(hours=1)
_HINT = "Let the system keep its clock by itself (NTP), then start running servers again."


def check_clock(setup: Setup, reply: Reply | None, survey: Survey | None) -> Finding:
    """This machine's time beside the service's, and beside the newest that is stored."""
    now = setup.clock.now()
    shown = f"{now:%Y-%m-%d %H:%M:%S} UTC"
    if now < _EARLIEST:
        return problem(NAME, f"The clock says {shown}, which is long past.", _HINT)
    if reply is not None and reply.served_at is not None:
        # The date was written about halfway through, and in whole seconds.
        ahead = reply.received_at - timedelta(seconds=reply.seconds / 2) - reply.served_at
        if abs(ahead) > _TOLERATED:
            what = f"The clock says {shown}, {_span(ahead)} the service's."
            return problem(NAME, what, _HINT) if abs(ahead) > _GROSS else warning(NAME, what, _HINT)
    if survey is not None and survey.newest_at is not None and survey.newest_at - now > _TOLERATED:
        what = f"The clock says {shown}, {_span(now - survey.newest_at)} the newest change of a task: it was set back."
        return warning(NAME, what, _HINT)
    if reply is None or reply.served_at is None:
        return _uncompared(shown, survey)
    return fine(NAME, f"The clock says {shown}, as the service's does.")


def _uncompared(shown: str, survey: Survey | None) -> Finding:
    if survey is not None and survey.newest_at is not None:
        return fine(NAME, f"The clock says {shown}, later than all that is stored; the service told no time.")
    return skipped(NAME, f"The clock says {shown}, and nothing told a time to compare it with.")


def _span(ahead: timedelta) -> str:
    seconds = round(abs(ahead).total_seconds())
    amount = (
        f"{seconds / 3600:.1f} h"
        if seconds >= 5400
        else f"{seconds / 60:.0f} min"
        if seconds >= 120
        else f"{seconds} s"
    )
    return f"{amount} {'ahead of' if ahead > timedelta(0) else 'behind'}"
