"""Runs the official conformance suite against a server and judges what it found."""

import json
import re
import time
from collections import Counter
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.conformance.node import CONFORMANCE, run_node

REVISIONS = {"2025-11-25": 30, "2026-07-28": 37}
"""The revisions tried, and how many scenarios each requires: a run of fewer proves less than it says."""

_OF_BOTH_ERAS = {
    "completion-complete",
    "dns-rebinding-protection",
    "prompts-list",
    "resources-list",
    "server-sse-multiple-streams",
    "tools-list",
}
GENERIC = {
    "2025-11-25": _OF_BOTH_ERAS | {"ping", "server-initialize", "server-session-lifecycle"},
    "2026-07-28": _OF_BOTH_ERAS
    | {
        "caching",
        "http-header-validation",
        "input-required-result-unsupported-methods",
        "sep-2164-resource-not-found",
    },
}
"""The scenarios that need no fixtures, so that any server can be asked to pass them."""

SECONDS = 120.0

_NOT_SCORED = re.compile(r"^  [✓✗] (\S+) \((\S+)\)$", re.MULTILINE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One check of a scenario; ``status`` as the suite spells it."""

    id: str
    status: str
    message: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Scenario:
    """What a scenario found; ``not_required`` says why it does not count for the revision, if it does not."""

    name: str
    checks: tuple[Check, ...]
    not_required: str = ""

    @property
    def passed(self) -> bool:
        return all(check.status != "FAILURE" for check in self.checks)


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """Checks of a scenario that are known not to pass: why, and when this entry is to go."""

    revision: str
    scenario: str
    checks: frozenset[str]
    why: str
    until: str


EXPLAINED = (
    Explained(
        revision="2025-11-25",
        scenario="server-sse-polling",
        checks=frozenset({"server-sse-priming-event", "server-sse-retry-field"}),
        why="Legacy streams are not replayed: what a client missed it reads anew, and no task is lost by it.",
        until="the server keeps the events of legacy streams",
    ),
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Report:
    """What the suite found in a server by one revision, and what is wrong with it."""

    revision: str
    server: str
    scenarios: tuple[Scenario, ...]
    problems: tuple[str, ...]
    seconds: float

    def count(self, status: str) -> int:
        """How many checks ended so."""
        return Counter(check.status for scenario in self.scenarios for check in scenario.checks)[status]


async def with_fixtures(revision: str, url: str, folder: Path) -> Report:
    """All scenarios of a revision, against a server that has the fixtures; results stay in ``folder``."""
    began = time.monotonic()
    code, scenarios, said = await _run(revision, url, folder)
    required = [scenario.name for scenario in scenarios if not scenario.not_required]
    problems = [*problems_of(revision, scenarios, EXPLAINED)]
    if len(required) != REVISIONS[revision]:
        problems.append(f"{len(required)} required scenarios ran instead of {REVISIONS[revision]}")
    if code and not problems:
        problems.append(f"the suite ended with {code}: {said[-400:]}")
    return Report(
        revision=revision,
        server="our assembly with fixtures",
        scenarios=scenarios,
        problems=tuple(problems),
        seconds=time.monotonic() - began,
    )


async def as_it_is(revision: str, url: str, folder: Path) -> Report:
    """The scenarios of a revision that any server can pass, against the program as people run it."""
    began = time.monotonic()
    # The others fail for want of fixtures, and the suite's exit code with them.
    _, found, _ = await _run(revision, url, folder)
    scenarios = tuple(scenario for scenario in found if scenario.name in GENERIC[revision])
    missing = sorted(GENERIC[revision] - {scenario.name for scenario in scenarios})
    return Report(
        revision=revision,
        server="sora2-mcp serve",
        scenarios=scenarios,
        problems=(*problems_of(revision, scenarios, ()), *(f"{name} did not run" for name in missing)),
        seconds=time.monotonic() - began,
    )


async def _run(revision: str, url: str, folder: Path) -> tuple[int, tuple[Scenario, ...], str]:
    results = folder / "results"
    arguments = ("server", "--url", url, "--requirements", revision, "--output-dir", str(results))
    code, stdout, stderr = await run_node(CONFORMANCE, *arguments, home=folder, seconds=SECONDS)
    return code, tuple(_read(results, dict(_NOT_SCORED.findall(stdout)))), (stderr or stdout).strip()


def _read(results: Path, not_scored: dict[str, str]) -> Iterator[Scenario]:
    for file in sorted(results.glob("server-*/checks.json")):
        # The folder's name is "server", the scenario's and the instant it began.
        name = re.sub(r"-\d{4}-\d{2}-\d{2}T[\d-]+Z$", "", file.parent.name.removeprefix("server-"))
        found: list[dict[str, Any]] = json.loads(file.read_text())
        yield Scenario(name=name, checks=tuple(map(_check, found)), not_required=not_scored.get(name, ""))


def _check(found: dict[str, Any]) -> Check:
    note = (found.get("details") or {}).get("note", "")
    return Check(id=found["id"], status=found["status"], message=found.get("errorMessage") or note)


def problems_of(revision: str, scenarios: Iterable[Scenario], explained: Iterable[Explained]) -> Iterator[str]:
    """Failures and warnings that nobody explained, and explanations that nobody needs.

    That a scenario is not required for the revision excuses nothing.
    """
    known = {(entry.scenario, check) for entry in explained if entry.revision == revision for check in entry.checks}
    needed = set[tuple[str, str]]()
    for scenario in scenarios:
        if not scenario.not_required and all(check.status != "SUCCESS" for check in scenario.checks):
            yield f"{scenario.name}: nothing was checked"
        for check in scenario.checks:
            if check.status not in ("FAILURE", "WARNING"):
                continue
            needed.add((scenario.name, check.id))
            if (scenario.name, check.id) not in known:
                yield f"{scenario.name}: {check.id} is a {check.status.lower()}: {check.message}"
    for name, check_id in sorted(known - needed):
        yield f"{name}: {check_id} is explained and passes; its entry can go"
