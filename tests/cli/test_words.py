"""What a person reads of a task, and how tasks look in a table."""

import re
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from rich.console import Console

from sora2_mcp.cli.arguments import parse
from sora2_mcp.cli.listing import table
from sora2_mcp.cli.words import described, ordered
from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import (
    DOWNLOAD_ATTEMPTS,
    NOT_REACHED,
    Doubt,
    Failure,
    SavedFile,
    Sighting,
    Stage,
    Status,
    Task,
)
from sora2_mcp.tasks.orders import Submission
from sora2_mcp.tasks.store.interface import Outcome
from tests.cli.test_hints import OF_AGENTS

NOW = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
TASK = Task(
    id="0123456789abcdef0123456789abcdef",
    principal="local",
    service="kie 1",
    request=VideoRequest(prompt="A kitten playing in a garden on a bright spring day, slow push in"),
    created_at=NOW - timedelta(minutes=2),
    task_id="sora2_task_abc123abc123",
)
FILE = SavedFile(path="/videos/kitten.mp4", size_bytes=9, sha256="0" * 64)


def of(status: Status, **changes: Any) -> Task:
    """The task with this status."""
    finished_at = NOW - timedelta(minutes=1) if status in (Status.SUCCEEDED, Status.FAILED) else None
    return replace(TASK, **{"status": status, "finished_at": finished_at, **changes})


def done(**changes: Any) -> Task:
    """The task with a video."""
    return of(Status.SUCCEEDED, **{"video_url": "https://example.com/v.mp4", **changes})


def failed(code: int = 501, *, stage: Stage = Stage.GENERATION, doubtful: bool = False, **changes: Any) -> Task:
    """The task, failed with this code."""
    return of(Status.FAILED, failure=Failure(stage=stage, code=code, message="No.", doubtful=doubtful), **changes)


LONG_AGO = NOW - timedelta(days=30)
EVERY_KIND = {
    "generating": of(Status.GENERATING),
    "doubtful": of(Status.GENERATING, doubts=(Doubt(seen_at=NOW, sighting=Sighting.NO_URL),), look_failed_at=NOW),
    "missing": of(Status.GENERATING, doubts=(Doubt(seen_at=NOW, sighting=Sighting.MISSING),), look_error_code=500),
    "done": done(cost=12.0),
    "saved": done(file=FILE, cost=0.0),
    "keyed": done(video_url="/videos/1"),
    "unsaveable": done(download_attempts=DOWNLOAD_ATTEMPTS),
    "expires soon": done(created_at=NOW - timedelta(days=14)),
    "expired": done(created_at=LONG_AGO, finished_at=LONG_AGO),
    "deleted but saved": done(created_at=LONG_AGO, finished_at=LONG_AGO, file=FILE),
    "kept for ever": done(retention=None),
    "simulated": done(service="simulator", cost=3.0),
    "failed": failed(),
    "failed at a cost": failed(cost=3.0, idempotency_key="k"),
    "failed elsewhere": failed(service="sora2api 1"),
    "concluded": failed(404, stage=Stage.CREATION, doubtful=True, idempotency_key="k"),
    "refused": failed(402, stage=Stage.CREATION, task_id=""),
    "not reached": failed(NOT_REACHED, stage=Stage.CREATION, task_id=""),
    "free": failed(0, price_unit="", doubtful=True),
    "unconfirmed": of(Status.UNCONFIRMED, task_id="", unclear_because="HTTP 502"),
}
each_kind = pytest.mark.parametrize("task", EVERY_KIND.values(), ids=EVERY_KIND)


@each_kind
def test_no_state_of_a_task_is_told_as_to_an_agent(task: Task) -> None:
    said = described(task, NOW, simulate=True)

    assert said.strip()
    assert not re.search(r"\bthe user\b|\btell\b|\bcall\b", said.replace("can tell", ""), re.IGNORECASE)
    assert [name for name in OF_AGENTS if re.search(rf"\b{name}\b", said)] == []


@each_kind
def test_every_next_step_can_be_typed_and_is_about_the_simulators_tasks(task: Task) -> None:
    for command in re.findall(r"sora2-mcp (.+)", described(task, NOW, simulate=True)):
        assert parse(command.split()).simulate


@pytest.mark.parametrize(
    ("kind", "said"),
    [
        (
            "generating",
            (
                "Still generating: sora2_task_abc123abc123, 2 min 0 s so far (landscape, standard). "
                "It goes on, whatever happens here.\n"
                "Wait for it with: sora2-mcp tasks wait sora2_task_abc123abc123"
            ),
        ),
        (
            "done",
            (
                "Done in 1 min 0 s: landscape, standard.\n"
                "https://example.com/v.mp4\n"
                "Kept there until 2026-12-07.\n"
                "It has cost 12 credits.\n"
                "Save it with: sora2-mcp tasks download sora2_task_abc123abc123"
            ),
        ),
        (
            "failed",
            (
                'Failed while generating (code 501): the service says "No.". '
                "The service charges nothing for failed tasks.\n"
                "Nothing more comes of it. To have it made, order again: the same prompt may do, but change it where "
                "the service's words object to it."
            ),
        ),
        (
            "refused",
            (
                'Failed before it was created: The account has no credits left (402); the service says "No.". '
                "Nothing was spent.\n"
                "Top up the account on the service's own site, then try again."
            ),
        ),
    ],
)
def test_a_task_is_told_in_sentences_with_the_next_step_last(kind: str, said: str) -> None:
    assert described(EVERY_KIND[kind], NOW) == said


def test_of_an_unconfirmed_order_your_own_account_page_is_named() -> None:
    said = described(EVERY_KIND["unconfirmed"], NOW)

    assert "Only your account page at the service (https://kie.ai/api-key) can tell" in said
    assert "It may have been charged, so it was not sent again." in said
    assert "For a new one, give a new --idempotency-key." in said


@pytest.mark.parametrize(
    ("outcome", "said"),
    [
        (Outcome.NEW, "Ordered: sora2_task_abc123abc123"),
        (
            Outcome.REPEAT,
            (
                "Nothing new was ordered: exactly this was ordered 2 min 0 s ago, as sora2_task_abc123abc123\n"
                "To order another one anyway, give a new --idempotency-key."
            ),
        ),
        (
            Outcome.SAME_KEY,
            "Nothing new was ordered: this --idempotency-key has ordered sora2_task_abc123abc123 already.",
        ),
    ],
)
def test_an_order_says_whether_it_is_a_new_one(outcome: Outcome, said: str) -> None:
    assert ordered(Submission(task=TASK, outcome=outcome), TASK, NOW) == said


def drawn(tasks: list[Task], columns: int) -> list[str]:
    """A table's lines on a terminal of this width."""
    console = Console(width=columns, force_terminal=True, color_system=None)
    with console.capture() as capture:
        console.print(table(tasks, NOW, columns))
    return [line.rstrip() for line in capture.get().splitlines()]


def test_a_table_fits_80_columns_with_a_line_for_each_task() -> None:
    tasks = [*EVERY_KIND.values()]
    lines = drawn(tasks, 80)

    assert len(lines) == len(tasks) + 1
    assert max(map(len, lines)) <= 80
    assert lines[0].split() == ["ID", "STATUS", "ORDERED", "VIDEO", "PROMPT"]
    assert lines[1].split()[:2] == ["sora2_task_abc123abc123", "generating"]


def test_a_table_says_where_each_video_is() -> None:
    kinds = ("saved", "expired", "expires soon", "failed", "kept for ever", "generating")
    lines = drawn([EVERY_KIND[kind] for kind in kinds], 80)[1:]

    where = [re.split(r"\d\d:\d\d ", line)[1].split("  ")[0] for line in lines]
    assert where[:2] == ["saved", "expired"]
    assert re.match(r"until 2\d Nov", where[2])
    assert where[3:5] == ["code 501", "not saved"]


def test_costs_are_shown_where_there_is_room() -> None:
    wide, narrow = (drawn([EVERY_KIND["done"]], columns) for columns in (100, 99))

    assert wide[0].split() == ["ID", "STATUS", "ORDERED", "VIDEO", "CREDITS", "PROMPT"]
    assert " 12 A kitten" in wide[1]
    assert "CREDITS" not in narrow[0]


def test_of_a_long_id_a_table_shows_the_beginning_which_is_an_id_too() -> None:
    lines = drawn([replace(TASK, task_id="video_340586d0c5a84a55b9a3b1a2d4c7e8f9")], 80)

    assert lines[1].startswith("video_340586d0c5a84a55b9 generating")


def test_of_an_id_too_long_for_a_table_its_local_one_is_begun() -> None:
    lines = drawn([replace(TASK, task_id="video_" + "x" * 180)], 80)

    assert lines[1].startswith("local-0123456789ab generating")


def test_times_of_another_year_have_the_year() -> None:
    lines = drawn([replace(TASK, created_at=datetime(2025, 6, 15, 12, tzinfo=UTC))], 80)

    assert "15 Jun 2025" in lines[1]
