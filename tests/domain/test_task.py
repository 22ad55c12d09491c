from collections.abc import Callable, Iterable
from dataclasses import replace
from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sora2_mcp.domain.events import TaskCorrected, TaskEvent, TaskFinished
from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import (
    GIVEN_UP_AFTER,
    NOT_REACHED,
    Doubt,
    Failure,
    Sighting,
    Snapshot,
    Stage,
    Status,
    Task,
    advance,
    unseen,
)
from sora2_mcp.errors import SERVICE_ERRORS

CREATED = datetime(2026, 11, 22, 12, 0, tzinfo=UTC)
ORDERED = Task(
    id="a1",
    principal="local",
    service="https://example.com#1",
    request=VideoRequest(prompt="A cat"),
    created_at=CREATED,
    task_id="sora2_task_a1",
)
BLOCKED = Failure(stage=Stage.GENERATION, code=501, message="blocked")
NOT_CREATED = Failure(stage=Stage.CREATION, code=400, message="bad words")
NEVER_KNOWN = Failure(
    stage=Stage.CREATION, code=404, message="the service has not known this task for ten minutes", doubtful=True
)
RANK = {Status.GENERATING: 0, Status.UNCONFIRMED: 0, Status.FAILED: 1, Status.REFUSED: 1, Status.SUCCEEDED: 2}


def at(seconds: float) -> datetime:
    return CREATED + timedelta(seconds=seconds)


def generating(seconds: float) -> Snapshot:
    return Snapshot(sighting=Sighting.GENERATING, seen_at=at(seconds))


def succeeded(seconds: float, url: str = "https://cdn/a.mp4") -> Snapshot:
    return Snapshot(sighting=Sighting.SUCCEEDED, seen_at=at(seconds), video_url=url)


def failed(seconds: float, failure: Failure | None = BLOCKED) -> Snapshot:
    return Snapshot(sighting=Sighting.FAILED, seen_at=at(seconds), failure=failure)


def missing(seconds: float) -> Snapshot:
    return Snapshot(sighting=Sighting.MISSING, seen_at=at(seconds))


def without_url(seconds: float) -> Snapshot:
    return Snapshot(sighting=Sighting.NO_URL, seen_at=at(seconds))


def after(task: Task, *snapshots: Snapshot) -> Task:
    for snapshot in snapshots:
        task, _ = advance(task, snapshot)
    return task


def events_of(task: Task, snapshots: Iterable[Snapshot]) -> list[TaskEvent]:
    events: list[TaskEvent] = []
    for snapshot in snapshots:
        task, happened = advance(task, snapshot)
        events += happened
    return events


minutes = st.sampled_from([0.0, 60.0, 120.0, 300.0, 720.0, 780.0, 1440.0])
"""Few, so that witnesses often speak at the same instant, and some more than ten minutes apart."""

certain_failures = st.builds(
    Failure, stage=st.sampled_from(Stage), code=st.sampled_from([0, 400, 501]), message=st.sampled_from(["", "no"])
)
certain = st.one_of(
    minutes.map(generating),
    st.builds(succeeded, minutes, st.sampled_from(["https://cdn/a.mp4", "https://cdn/b.mp4", "https://cdn/c.mp4"])),
    st.builds(failed, minutes, st.none() | certain_failures),
)
doubting = st.one_of(minutes.map(missing), minutes.map(without_url))
anything = certain | doubting
histories = st.lists(anything, max_size=12)
starts = st.sampled_from([replace(ORDERED, status=status, unclear_because="ReadError") for status in Status])
named = st.sampled_from(["", "sora2_task_a1", "sora2_task_b2"])


@given(starts, histories, named)
def test_any_task_takes_any_snapshot_and_stays_the_same_order(start: Task, seen: list[Snapshot], name: str) -> None:
    task = after(start, *(replace(snapshot, task_id=name) for snapshot in seen))

    kept = ("id", "principal", "service", "request", "created_at", "task_id", "adopted", "file", "version")
    assert task.unclear_because == start.unclear_because
    assert [getattr(task, name) for name in kept] == [getattr(start, name) for name in kept]


@given(histories, anything)
def test_the_same_snapshot_twice_says_no_more_than_once(history: list[Snapshot], snapshot: Snapshot) -> None:
    once = after(ORDERED, *history, snapshot)

    assert advance(once, snapshot) == (once, ())


@given(starts, histories, anything)
def test_a_task_never_falls_back(start: Task, history: list[Snapshot], snapshot: Snapshot) -> None:
    task = after(start, *history)
    moved = after(task, snapshot)

    assert RANK[moved.status] >= RANK[task.status]
    assert moved.finished or not task.finished


@given(st.lists(certain, max_size=6).flatmap(lambda seen: st.tuples(st.just(seen), st.permutations(seen))))
def test_the_order_in_which_witnesses_speak_does_not_matter(orders: tuple[list[Snapshot], list[Snapshot]]) -> None:
    one, other = orders

    assert after(ORDERED, *one) == after(ORDERED, *other)


@given(histories)
def test_a_task_finishes_once_and_each_later_change_of_its_result_is_a_correction(seen: list[Snapshot]) -> None:
    expected: list[TaskEvent] = []
    task = ORDERED
    for snapshot in seen:
        moved = after(task, snapshot)
        result, known = (moved.status, moved.failure, moved.video_url), (task.status, task.failure, task.video_url)
        if result != known:
            kind = TaskCorrected if task.finished else TaskFinished
            expected.append(kind(id="a1", at=snapshot.seen_at))
        task = moved

    assert events_of(ORDERED, seen) == expected
    assert sum(isinstance(event, TaskFinished) for event in expected) == task.finished


def test_a_success_finishes_a_task_with_its_url() -> None:
    task, events = advance(after(ORDERED, generating(40)), succeeded(130))

    assert task == replace(
        ORDERED,
        status=Status.SUCCEEDED,
        known_unfinished_at=at(40),
        finished_at=at(130),
        video_url="https://cdn/a.mp4",
        url_seen_at=at(130),
    )
    assert events == (TaskFinished(id="a1", at=at(130)),)


def test_a_failure_finishes_a_task_with_its_reason() -> None:
    task, events = advance(ORDERED, failed(60))

    assert task == replace(ORDERED, status=Status.FAILED, finished_at=at(60), failure=BLOCKED)
    assert events == (TaskFinished(id="a1", at=at(60)),)


def test_of_two_certain_failures_the_earlier_seen_is_kept() -> None:
    task = after(ORDERED, failed(60, BLOCKED), failed(30, NOT_CREATED), failed(90, NOT_CREATED))

    assert task == replace(ORDERED, status=Status.FAILED, finished_at=at(30), failure=NOT_CREATED)


def test_of_two_failures_seen_at_the_same_instant_the_same_one_is_kept_whichever_comes_first() -> None:
    expected = replace(ORDERED, status=Status.FAILED, finished_at=at(60), failure=NOT_CREATED)

    assert after(ORDERED, failed(60, BLOCKED), failed(60, NOT_CREATED)) == expected
    assert after(ORDERED, failed(60, NOT_CREATED), failed(60, BLOCKED)) == expected


def test_a_look_that_finds_it_still_generating_is_no_event() -> None:
    assert advance(ORDERED, generating(5)) == (replace(ORDERED, known_unfinished_at=at(5)), ())


def test_a_later_seen_url_replaces_the_known_one_and_an_earlier_seen_does_not() -> None:
    task = after(ORDERED, succeeded(100, "https://cdn/first.mp4"))

    late, corrected = advance(task, succeeded(200, "https://cdn/second.mp4"))
    assert late == replace(task, video_url="https://cdn/second.mp4", url_seen_at=at(200))
    assert corrected == (TaskCorrected(id="a1", at=at(200)),)

    early, nothing = advance(task, succeeded(50, "https://cdn/zero.mp4"))
    assert early == replace(task, finished_at=at(50))
    assert nothing == ()


@pytest.mark.parametrize("seconds", [0, 60, 89.9])
def test_a_task_unknown_to_the_service_in_its_first_90_seconds_is_generating(seconds: float) -> None:
    assert advance(ORDERED, missing(seconds)) == (replace(ORDERED, known_unfinished_at=at(seconds)), ())


def test_a_task_unknown_to_the_service_after_90_seconds_is_doubted_and_goes_on() -> None:
    doubted = replace(ORDERED, doubts=(Doubt(seen_at=at(90), sighting=Sighting.MISSING),))

    assert advance(ORDERED, missing(90)) == (doubted, ())


@pytest.mark.parametrize("seen", [[missing(100), generating(100)], [generating(100), missing(100)]])
def test_a_task_seen_generating_at_the_same_instant_is_not_doubted(seen: list[Snapshot]) -> None:
    assert after(ORDERED, *seen) == replace(ORDERED, known_unfinished_at=at(100))


def test_three_looks_over_ten_minutes_that_find_no_task_end_it() -> None:
    task, events = advance(after(ORDERED, missing(100), missing(400)), missing(700))

    assert task == replace(ORDERED, status=Status.FAILED, finished_at=at(700), failure=NEVER_KNOWN)
    assert events == (TaskFinished(id="a1", at=at(700)),)


def test_three_looks_over_ten_minutes_that_find_a_success_without_url_end_it() -> None:
    task = after(ORDERED, without_url(10), without_url(11), without_url(610))

    message = "the service calls it a success but has given no video address for ten minutes"
    failure = Failure(stage=Stage.GENERATION, code=0, message=message, doubtful=True)
    assert task == replace(ORDERED, status=Status.FAILED, finished_at=at(610), failure=failure)


@pytest.mark.parametrize(
    "seen",
    [
        [missing(100), missing(5000)],
        [missing(100), missing(699), missing(699.9)],
        [without_url(0), missing(90), *(missing(90 + second) for second in range(509))],
        [missing(100), missing(400), generating(500), missing(700), missing(1000)],
        [missing(100), missing(400), generating(700), missing(650), missing(710)],
    ],
    ids=["two looks only", "under ten minutes", "hundreds of looks, too soon", "seen meanwhile", "seen at last"],
)
def test_fewer_looks_or_a_shorter_time_or_a_sighting_between_ends_no_task(seen: list[Snapshot]) -> None:
    assert after(ORDERED, *seen).status is Status.GENERATING


Look = Callable[[float], Snapshot]
steps: st.SearchStrategy[tuple[Look, int]] = st.tuples(
    st.sampled_from([generating, missing, without_url]), st.integers(1, 400)
)


@given(st.lists(steps, max_size=40))
def test_doubts_stay_few_and_still_end_a_task_exactly_when_the_rule_says(taken: list[tuple[Look, int]]) -> None:
    task, now, doubted_at = ORDERED, 90.0, list[float]()
    for look, pause in taken:
        now += pause
        task = after(task, look(now))
        doubted_at = [] if look is generating else [*doubted_at, now]
        over = len(doubted_at) >= 3 and doubted_at[-1] - doubted_at[0] >= 600

        assert task.finished == over
        assert len(task.doubts) <= 3
        if over:
            return


DOUBTFULLY_FAILED = after(ORDERED, missing(100), missing(400), missing(700))


def test_a_doubtful_failure_is_corrected_by_a_success() -> None:
    task, events = advance(DOUBTFULLY_FAILED, succeeded(900))

    assert task == replace(
        ORDERED, status=Status.SUCCEEDED, finished_at=at(900), video_url="https://cdn/a.mp4", url_seen_at=at(900)
    )
    assert events == (TaskCorrected(id="a1", at=at(900)),)


def test_a_doubtful_failure_is_corrected_by_a_certain_one_and_not_back() -> None:
    task, events = advance(DOUBTFULLY_FAILED, failed(900))

    assert task == replace(ORDERED, status=Status.FAILED, finished_at=at(900), failure=BLOCKED)
    assert events == (TaskCorrected(id="a1", at=at(900)),)
    assert advance(task, failed(950, NEVER_KNOWN)) == (task, ())


@pytest.mark.parametrize("snapshot", [generating(900), missing(900), without_url(900)])
def test_a_doubtful_failure_is_not_undone_by_anything_less(snapshot: Snapshot) -> None:
    task, events = advance(DOUBTFULLY_FAILED, snapshot)

    assert (task.status, task.failure, task.finished_at) == (Status.FAILED, NEVER_KNOWN, at(700))
    assert events == ()


def test_only_a_doubtful_failure_can_be_corrected() -> None:
    assert DOUBTFULLY_FAILED.correctable
    assert not after(ORDERED, failed(5)).correctable
    assert not after(ORDERED, succeeded(5)).correctable
    assert not ORDERED.correctable


def test_a_video_is_kept_for_15_days_from_when_its_task_was_last_known_unfinished() -> None:
    task = after(ORDERED, generating(30), generating(60), succeeded(7200))

    assert task.video_expires_at == at(60) + timedelta(days=15)


def test_a_video_never_seen_unfinished_is_kept_for_15_days_from_its_order() -> None:
    assert after(ORDERED, succeeded(7200)).video_expires_at == CREATED + timedelta(days=15)


def test_a_late_word_of_generating_does_not_lengthen_a_videos_life() -> None:
    assert after(ORDERED, succeeded(100), generating(7200)).video_expires_at == at(100) + timedelta(days=15)


@pytest.mark.parametrize(
    "task",
    [ORDERED, after(ORDERED, failed(60)), after(replace(ORDERED, adopted=True), generating(30), succeeded(60))],
    ids=["unfinished", "failed", "adopted"],
)
def test_nobody_knows_when_the_video_of_an_unfinished_failed_or_adopted_task_expires(task: Task) -> None:
    assert task.video_expires_at is None


SENDING = replace(ORDERED, task_id="", sending_until=at(45))


def test_a_task_is_asked_for_by_the_services_id_once_it_is_known() -> None:
    assert SENDING.reference == "local-a1"
    assert ORDERED.reference == "sora2_task_a1"


@pytest.mark.parametrize("task_id", ["7", "a" * 200, "AZaz09_.:~-", "a-local-a2", "Local-a2", "local", "..", "-"])
def test_a_services_id_of_harmless_characters_is_shown_as_it_is(task_id: str) -> None:
    assert replace(ORDERED, task_id=task_id).reference == task_id


@pytest.mark.parametrize(
    "task_id",
    [
        "a" * 201,
        "a b",
        "a/b",
        "a?b",
        "a%2Fb",
        'a"b',
        "a<b>",
        "a\n",
        "a\u202eb",
        "tâche",
        "٣",
        "猫",
        "local-",
        "local-a2",
        "local-a1",
    ],
    ids=ascii,
)
def test_a_services_id_that_could_be_misread_is_never_shown_but_ours_instead(task_id: str) -> None:
    task = replace(ORDERED, task_id=task_id)

    assert (task.reference, task.task_id) == ("local-a1", task_id)


def test_an_order_that_never_left_has_a_failure_code_that_is_none_of_the_services() -> None:
    assert NOT_REACHED < -1_000_000
    assert NOT_REACHED not in SERVICE_ERRORS


def test_of_a_task_nothing_is_unclear_until_somebody_says_so() -> None:
    assert ORDERED.unclear_because == ""


def test_a_task_that_is_called_unfinished_for_fifteen_days_is_given_up_and_may_still_be_corrected() -> None:
    days = GIVEN_UP_AFTER.total_seconds()

    waiting = after(ORDERED, generating(days - 1))
    given_up = after(waiting, generating(days))
    found = after(given_up, succeeded(days + 60))

    assert waiting.status is Status.GENERATING
    assert (given_up.status, given_up.failure) == (
        Status.FAILED,
        Failure(
            stage=Stage.GENERATION, code=0, message="the service has called it unfinished for 15 days", doubtful=True
        ),
    )
    assert found.status is Status.SUCCEEDED


def test_a_task_that_no_look_learns_anything_of_for_fifteen_days_is_given_up() -> None:
    days = GIVEN_UP_AFTER.total_seconds()
    seen = after(ORDERED, generating(600))

    assert unseen(seen, at(days + 599), 500) is None
    assert unseen(after(seen, succeeded(700)), at(days + 600), 500) is None
    last = unseen(seen, at(days + 600), 500)
    assert last is not None
    assert after(seen, last).failure == Failure(
        stage=Stage.GENERATION, code=500, message="no look at it has been answered for 15 days", doubtful=True
    )
