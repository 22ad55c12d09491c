"""What the referees' findings are made of: nothing that fails goes by unexplained, and nothing is explained in vain."""

import json
import re
from pathlib import Path
from typing import Any

import pytest

from tests.conformance.suite import EXPLAINED, Check, Explained, Scenario, problems_of

HERE = Path(__file__).parent
REVISION = "2026-07-28"


def scenario(*statuses: str, not_required: str = "") -> Scenario:
    checks = tuple(Check(id=f"check-{number}", status=status, message="Why") for number, status in enumerate(statuses))
    return Scenario(name="some-scenario", checks=checks, not_required=not_required)


def explained(check: str, revision: str = REVISION) -> Explained:
    return Explained(revision=revision, scenario="some-scenario", checks=frozenset({check}), why="…", until="…")


@pytest.mark.parametrize("not_required", ["", "extension"])
@pytest.mark.parametrize("status", ["FAILURE", "WARNING"])
def test_what_fails_unexplained_is_wrong_required_or_not(status: str, not_required: str) -> None:
    found = [scenario("SUCCESS", status, not_required=not_required)]

    assert [*problems_of(REVISION, found, [])] == [f"some-scenario: check-1 is a {status.lower()}: Why"]


def test_what_fails_as_explained_is_not_wrong() -> None:
    assert [*problems_of(REVISION, [scenario("SUCCESS", "FAILURE")], [explained("check-1")])] == []


def test_an_explanation_holds_for_its_own_revision_and_check_only() -> None:
    found = [scenario("SUCCESS", "FAILURE", "FAILURE")]

    wrong = [*problems_of(REVISION, found, [explained("check-1", "2025-11-25"), explained("check-2")])]

    assert wrong == ["some-scenario: check-1 is a failure: Why"]


@pytest.mark.parametrize("found", [[scenario("SUCCESS", "SUCCESS")], []], ids=["passes", "did not run"])
def test_an_explanation_that_nothing_needs_is_wrong(found: list[Scenario]) -> None:
    wrong = [*problems_of(REVISION, found, [explained("check-1")])]

    assert wrong == ["some-scenario: check-1 is explained and passes; its entry can go"]


def test_a_required_scenario_in_which_nothing_was_checked_proves_nothing() -> None:
    assert [*problems_of(REVISION, [scenario("SKIPPED", "INFO")], [])] == ["some-scenario: nothing was checked"]
    assert [*problems_of(REVISION, [scenario("SKIPPED", not_required="extension")], [])] == []


def test_every_explanation_says_why_and_when_it_goes() -> None:
    assert all(entry.checks and entry.why.endswith(".") and entry.until for entry in EXPLAINED)


def test_the_referees_are_pinned_by_hash_and_by_no_address() -> None:
    asked: dict[str, str] = json.loads((HERE / "package.json").read_text())["dependencies"]
    lock: dict[str, Any] = json.loads((HERE / "package-lock.json").read_text())["packages"]

    assert all(re.fullmatch(r"[\d.]+(-[a-z]+\.\d+)?", version) for version in asked.values())
    assert {name: lock[f"node_modules/{name}"]["version"] for name in asked} == asked
    installed = [package for path, package in lock.items() if path]
    assert [package for package in installed if not package["integrity"].startswith("sha512-")] == []
    assert [package for package in installed if "resolved" in package] == []
