"""What a check gives."""

from dataclasses import dataclass
from enum import StrEnum


class Verdict(StrEnum):
    """How a check ended, the worst last but for ``SKIPPED``, which says nothing."""

    SKIPPED = "skipped"
    OK = "ok"
    WARNING = "warning"
    PROBLEM = "problem"


@dataclass(frozen=True, slots=True, kw_only=True)
class Finding:
    """One thing that a check found: ``what`` in a sentence, and in ``hint`` what to do, empty where nothing is.

    ``seconds`` is how long the check took.
    """

    name: str
    status: Verdict
    what: str
    hint: str = ""
    seconds: float = 0.0


def fine(name: str, what: str) -> Finding:
    """Nothing needs to be done."""
    return Finding(name=name, status=Verdict.OK, what=what)


def warning(name: str, what: str, hint: str) -> Finding:
    """It works, but somebody should know."""
    return Finding(name=name, status=Verdict.WARNING, what=what, hint=hint)


def problem(name: str, what: str, hint: str) -> Finding:
    """It does not work."""
    return Finding(name=name, status=Verdict.PROBLEM, what=what, hint=hint)


def skipped(name: str, why: str) -> Finding:
    """Nobody knows."""
    return Finding(name=name, status=Verdict.SKIPPED, what=why)
