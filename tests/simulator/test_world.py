from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from sora2_mcp.simulator.dialects.sora2api import record
from sora2_mcp.simulator.faults import FaultScript, Place, faults_in_prompt, parse_fault
from sora2_mcp.simulator.order import Order
from sora2_mcp.simulator.world import LONG_ID_CHARACTERS, Task, Verdict, World

NOW = datetime(2026, 3, 20, 10, 25, tzinfo=UTC)
ORIGIN = "http://127.0.0.1:8901/"


def task(*, outcome: str = "") -> Task:
    return Task(
        task_id="sora2_task_abcdef123456",
        prompt="A cat",
        aspect_ratio="landscape",
        callback_url="",
        param_json='{"prompt": "A cat"}',
        accepted_at=NOW,
        seconds=4,
        outcome=outcome,
    )


def after(seconds: float, **options: Any) -> dict[str, Any]:
    return record(task(**options), NOW + timedelta(seconds=seconds), ORIGIN)


def world(*faults: str) -> World:
    return World(seconds_per_task=4, script=FaultScript(parse_fault(fault) for fault in faults))


def order(made: World, prompt: str = "A cat") -> Verdict:
    placed = Order(
        prompt=prompt, aspect_ratio="portrait", callback_url="", param_json="{}", faults=faults_in_prompt(prompt)
    )
    return made.order(placed, dialect="kie", task_id="sora2_task_abcdef123456", now=NOW, origin=ORIGIN)


def looks(made: World, at: Task | None, count: int) -> list[str | None]:
    return [None if (fault := made.strike(at, Place.LOOK)) is None else fault.name for _ in range(count)]


def test_a_task_is_generating_until_its_time_is_up_with_every_field_present() -> None:
    assert (
        after(0)
        == after(3.9)
        == {
            "taskId": "sora2_task_abcdef123456",
            "paramJson": '{"prompt": "A cat"}',
            "completeTime": None,
            "response": None,
            "successFlag": 0,
            "errorCode": 0,
            "errorMessage": None,
            "createTime": "2026-03-20 10:25:00",
        }
    )


def test_a_finished_task_answers_the_same_for_ever() -> None:
    assert (
        after(4)
        == after(1_000_000)
        == {
            "taskId": "sora2_task_abcdef123456",
            "paramJson": '{"prompt": "A cat"}',
            "completeTime": "2026-03-20 10:25:04",
            "response": {"imageUrl": "http://127.0.0.1:8901/videos/sora2_task_abcdef123456.mp4"},
            "successFlag": 1,
            "errorCode": 0,
            "errorMessage": None,
            "createTime": "2026-03-20 10:25:00",
        }
    )


@pytest.mark.parametrize(
    ("outcome", "ending"),
    [
        ("creation-failure", (2, 500, "The task could not be created", None)),
        ("generation-failure", (3, 501, "The video could not be generated", None)),
        ("moderation", (3, 400, "The video was refused by the content policy", None)),
        ("expired", (3, 408, "The task took too long and expired", None)),
        ("cancelled", (3, 501, "The task was cancelled", None)),
        ("no-url", (1, 0, None, {"imageUrl": None})),
    ],
)
def test_a_task_ends_the_way_its_fault_says_and_not_before_its_time(outcome: str, ending: tuple[object, ...]) -> None:
    ended = after(4, outcome=outcome)

    assert (ended["successFlag"], ended["errorCode"], ended["errorMessage"], ended["response"]) == ending
    assert after(3, outcome=outcome) == after(3)


def test_an_accepted_order_becomes_a_task_that_takes_the_usual_time() -> None:
    verdict = order(world())

    assert verdict.fault is None
    assert verdict.task == Task(
        task_id="sora2_task_abcdef123456",
        prompt="A cat",
        aspect_ratio="portrait",
        callback_url="",
        param_json="{}",
        accepted_at=NOW,
        seconds=4,
        dialect="kie",
        origin=ORIGIN,
    )


def test_a_refused_order_uses_up_only_the_fault_that_refused_it() -> None:
    made = world("order-429*1", "generation-failure*1")

    refused, accepted, usual = order(made), order(made), order(made)

    assert refused.task is None
    assert accepted.task is not None
    assert accepted.task.outcome == "generation-failure"
    assert usual.task is not None
    assert usual.task.outcome == ""


def test_faults_in_a_prompt_count_over_orders_with_exactly_that_prompt() -> None:
    made = world()

    struck = [order(made, prompt).fault for prompt in ("A [sim:order-500*1]", "B [sim:order-500*1]") * 2]

    assert [fault and fault.name for fault in struck] == ["order-500", "order-500", None, None]


def test_several_faults_in_a_prompt_act_on_the_same_task() -> None:
    verdict = order(world(), "A cat [sim:seconds=0] [sim:order-drop] [sim:no-url]")

    assert verdict.task is not None
    assert verdict.fault is not None
    assert (verdict.task.seconds, verdict.task.outcome, verdict.fault.name) == (0, "no-url", "order-drop")


def test_faults_in_a_prompt_come_before_the_ones_for_everybody() -> None:
    made = world("order-402*1")

    struck = [order(made, "A cat [sim:order-505*1]").fault for _ in range(3)]

    assert [fault and fault.name for fault in struck] == ["order-505", "order-402", None]


def test_look_faults_of_a_prompt_count_per_task() -> None:
    made = world()
    first = order(made, "A cat [sim:look-500*2]").task

    assert looks(made, first, 3) == ["look-500", "look-500", None]
    assert looks(made, task(), 1) == [None]


def test_look_faults_for_everybody_strike_any_look() -> None:
    assert looks(world("look-html*2"), None, 3) == ["look-html", "look-html", None]


def test_a_task_may_be_unusual_in_several_ways_at_once() -> None:
    made = world("long-id*1", "status-unknown*1", "signed-url")

    first, second = order(made, "A cat [sim:status-success]").task, order(made).task

    assert first is not None
    assert second is not None
    assert first.traits == ("status-unknown", "status-success", "signed-url", "long-id")
    assert len(first.task_id) == LONG_ID_CHARACTERS
    assert (second.traits, second.task_id) == (("signed-url",), "sora2_task_abcdef123456")


def test_requests_for_a_video_have_faults_of_their_own() -> None:
    made = world("content-404*1", "look-404*1")
    at = task()

    struck = [made.strike(at, place) for place in (Place.CONTENT, Place.CONTENT, Place.LOOK)]

    assert [fault and fault.name for fault in struck] == ["content-404", None, "look-404"]
