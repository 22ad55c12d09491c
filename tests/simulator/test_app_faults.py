"""Every fault, in every dialect. How one dialect alone spells a fault is in the tests of that dialect."""

from datetime import datetime, timedelta

import httpx2
import pytest

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.faults import KINDS, Place
from sora2_mcp.simulator.world import LONG_ID_CHARACTERS
from tests.simulator.spoken import Sora2APITalk, Talk

pytestmark = pytest.mark.anyio

ORDER_CODES = {
    "refused-prompt": 400,
    **{f"order-{code}": code for code in (401, 402, 422, 429, 433, 451, 455, 500, 501, 505)},
}
LOOK_CODES = {f"look-{code}": code for code in (401, 404, 429, 433, 455, 500)}
OUTCOMES = {
    "creation-failure": "failed",
    "generation-failure": "failed",
    "moderation": "failed",
    "cancelled": "cancelled",
    "no-url": "succeeded",
}
OF_THEIR_OWN = {"moderation-look", "expired", "success-flag", "signed-url", "no-callback"}
"""Each dialect has its own way with these: see its tests, and tests/simulator/test_callbacks.py."""
WORDS = {"status-unknown": "unknown", "status-strange": "warming_up"}
END_WORDS = {"status-succeeded": "succeeded", "status-success": "success"}
CONNECTIONS = {"order-drop", "order-half", "look-drop"}
OTHER = {"order-html", "order-html-accepted", "order-blocked", "order-slow", "order-empty", "order-no-id", "seconds"}
OTHER_LOOKS = {"look-html", "look-blocked", "look-missing", "look-slow", "look-empty", "forget", "long-id"}
CONTENT = {"content-redirect", "content-401", "content-404", "content-500", "content-html", "content-half"}
"""See tests/simulator/test_content.py."""


def accepted(simulator: Simulator) -> str | None:
    """The id the latest order got, whatever it was answered."""
    return simulator.received[-1].task_id


def word(fault: str) -> str:
    return f"A cat [sim:{fault}]"


def test_every_fault_is_covered_below() -> None:
    singles = {*CONNECTIONS, *OTHER, *OTHER_LOOKS, *OF_THEIR_OWN, *CONTENT}

    assert {*ORDER_CODES, *LOOK_CODES, *OUTCOMES, *WORDS, *END_WORDS, *singles} == set(KINDS)


@pytest.mark.parametrize(("fault", "code"), ORDER_CODES.items())
async def test_a_refused_order_is_an_error_and_no_task(talk: Talk, simulator: Simulator, fault: str, code: int) -> None:
    answer = await talk.order(word(f"{fault}*1"))

    assert talk.code(answer) == talk.spelled(code)
    assert accepted(simulator) is None
    assert talk.code(await talk.order(word(f"{fault}*1"))) == 0


@pytest.mark.parametrize(("fault", "pause"), [("order-429*1", "1"), ("order-429=7*1", "7")])
async def test_too_many_orders_say_when_to_come_back(talk: Talk, fault: str, pause: str) -> None:
    assert (await talk.order(word(fault))).headers["retry-after"] == pause


async def test_a_gateway_page_leaves_open_whether_the_order_was_accepted(talk: Talk, simulator: Simulator) -> None:
    lost = await talk.order(word("order-html"))
    lost_is_task = await talk.is_task(accepted(simulator))
    kept = await talk.order(word("order-html-accepted"))
    kept_is_task = await talk.is_task(accepted(simulator))

    assert (lost_is_task, kept_is_task) == (False, True)
    assert (lost.status_code, lost.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert (kept.status_code, kept.content) == (502, lost.content)


async def test_a_gateway_that_blocks_answers_in_place_of_the_service(talk: Talk, simulator: Simulator) -> None:
    order = await talk.order(word("order-blocked"))
    is_task = accepted(simulator) is not None
    look = await talk.look(await talk.ordered(word("look-blocked")))

    assert not is_task
    assert [(answer.status_code, answer.text) for answer in (order, look)] == [(403, "error code: 1010")] * 2


@pytest.mark.parametrize(("fault", "pause"), [("order-slow", 10.0), ("order-slow=5", 5.0)])
async def test_a_slow_answer_comes_late_to_an_order_accepted_at_once(
    talk: Talk, moments: list[datetime], slept: list[float], fault: str, pause: float
) -> None:
    began_at = moments[-1]
    task_id = await talk.ordered(word(f"{fault}][sim:seconds={pause}"))

    assert slept == [pause]
    assert moments[-1] == began_at + timedelta(seconds=pause)
    assert talk.status(await talk.look(task_id)) == talk.words["succeeded"]


@pytest.mark.parametrize("fault", ["order-drop", "order-half"])
async def test_an_order_whose_connection_breaks_was_accepted(
    wired_talk: Talk, simulator: Simulator, fault: str
) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        await wired_talk.order(word(fault))

    assert simulator.received[-1].code is None
    assert await wired_talk.is_task(accepted(simulator))


async def test_half_an_answer_is_a_good_beginning_cut_short(wired: httpx2.AsyncClient) -> None:
    request = {"prompt": "A cat [sim:order-half]"}
    async with wired.stream("POST", "generate", json=request) as answer:
        pieces = answer.aiter_raw()
        received = await anext(pieces)
        with pytest.raises(httpx2.RemoteProtocolError):
            await anext(pieces)

    assert answer.status_code == 200
    assert received.startswith(b'{"code":200,')
    assert len(received) == int(answer.headers["content-length"]) // 2


async def test_an_accepted_order_may_be_answered_with_nothing(talk: Talk, simulator: Simulator) -> None:
    answer = await talk.order(word("order-empty"))

    assert (answer.status_code, answer.content) == (200, b"")
    assert await talk.is_task(accepted(simulator))


async def test_an_accepted_order_may_be_answered_without_an_id(talk: Talk, simulator: Simulator) -> None:
    answer = await talk.order(word("order-no-id"))

    assert (talk.code(answer), talk.task_id(answer)) == (0, None)
    assert await talk.is_task(accepted(simulator))


@pytest.mark.parametrize(("fault", "ending"), OUTCOMES.items())
async def test_a_task_can_be_made_to_end_without_a_video(talk: Talk, fault: str, ending: str) -> None:
    task_id = await talk.ordered(word(f"{fault}][sim:seconds=0"))

    expected = 2 if isinstance(talk, Sora2APITalk) and fault == "creation-failure" else talk.words[ending]
    assert talk.status(await talk.look(task_id)) == expected
    video = talk.client.base_url.copy_with(path=f"/videos/{task_id}.mp4")
    assert (await talk.client.get(video)).status_code == 404


async def test_a_task_can_be_given_its_own_duration(talk: Talk, moments: list[datetime]) -> None:
    slow, quick = await talk.ordered(word("seconds=8")), await talk.ordered(word("seconds=4"))
    moments.append(moments[-1] + timedelta(seconds=4))

    words = [talk.status(await talk.look(task_id)) for task_id in (slow, quick)]
    assert words == [talk.words["generating"], talk.words["succeeded"]]


@pytest.mark.parametrize("fault", [*WORDS, *END_WORDS])
async def test_a_task_stands_in_words_that_few_know(talk: Talk, moments: list[datetime], fault: str) -> None:
    task_id = await talk.ordered(word(fault))
    moments.append(moments[-1] + timedelta(seconds=2))
    during = talk.status(await talk.look(task_id))
    moments.append(moments[-1] + timedelta(seconds=2))
    after = talk.status(await talk.look(task_id))

    if isinstance(talk, Sora2APITalk):  # its words are numbers
        assert (during, after) == (9 if fault in WORDS else 0, 1)
    else:
        expected = WORDS.get(fault, talk.words["generating"]), END_WORDS.get(fault, talk.words["succeeded"])
        assert (during, after) == expected


async def test_an_id_may_be_very_long(talk: Talk) -> None:
    task_id = await talk.ordered(word("long-id"))

    assert len(task_id) == LONG_ID_CHARACTERS
    assert await talk.is_task(task_id)


@pytest.mark.parametrize(("fault", "code"), LOOK_CODES.items())
async def test_the_first_looks_at_a_task_are_refused(talk: Talk, fault: str, code: int) -> None:
    task_id = await talk.ordered(word(f"{fault}*2"))

    answers = [await talk.look(task_id) for _ in range(3)]

    assert [talk.code(answer) for answer in answers] == [talk.spelled(code), talk.spelled(code), 0]
    assert answers[0].headers.get("retry-after") == ("1" if code == 429 else None)


async def test_a_fresh_task_may_be_reported_missing_as_an_unknown_one_is(talk: Talk) -> None:
    task_id = await talk.ordered(word("look-missing*1"))

    fresh, unknown, known = [await talk.look(asked) for asked in (task_id, "0" * 32, task_id)]

    assert (fresh.status_code, fresh.json()) == (unknown.status_code, unknown.json())
    assert (talk.code(fresh) in (404, 422), talk.code(known)) == (True, 0)


async def test_a_service_that_restarted_knows_no_task_ordered_before(talk: Talk, simulator: Simulator) -> None:
    before = [await talk.ordered("A cat"), await talk.ordered("A dog")]
    simulator.add_fault("forget*1")
    lost = [await talk.is_task(task_id) for task_id in before]
    after = await talk.ordered("A cat")

    assert lost == [False, False]
    assert await talk.is_task(after)


async def test_a_look_is_answered_with_a_gateway_page(talk: Talk) -> None:
    answer = await talk.look(await talk.ordered(word("look-html")))

    assert (answer.status_code, answer.text[:6]) == (502, "<html>")


async def test_a_look_is_answered_late_with_what_is_true_by_then(talk: Talk, slept: list[float]) -> None:
    answer = await talk.look(await talk.ordered(word("look-slow")))

    assert (slept, talk.status(answer)) == ([10.0], talk.words["succeeded"])


async def test_a_look_is_answered_with_nothing(talk: Talk) -> None:
    answer = await talk.look(await talk.ordered(word("look-empty")))

    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_look_is_not_answered_at_all(wired_talk: Talk) -> None:
    task_id = await wired_talk.ordered(word("look-drop*1"))

    with pytest.raises(httpx2.RemoteProtocolError):
        await wired_talk.look(task_id)
    assert await wired_talk.is_task(task_id)


async def test_a_fault_given_at_the_start_strikes_every_order() -> None:
    simulator = Simulator(faults=["order-402*2", "look-404"])
    transport = httpx2.ASGITransport(app=simulator.app)
    key = {"Authorization": "Bearer any-key"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://sora.test/api/v1/sora2", headers=key) as client:
        codes = [(await client.post("generate", json={"prompt": "A cat"})).json()["code"] for _ in range(3)]
        found = await client.get("record-info", params={"taskId": accepted(simulator)})

    assert (codes, found.status_code) == ([402, 402, 200], 404)


async def test_a_fault_is_one_for_all_dialects(talk: Talk, simulator: Simulator) -> None:
    simulator.add_fault("order-402*1")

    codes = [talk.code(await talk.order("A cat")) for _ in range(2)]

    assert (codes, simulator.faults_left) == ([402, 0], ())


def test_an_unknown_fault_stops_the_start_and_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="Known: refused-prompt, order-401"):
        Simulator(faults=["order-418"])


def test_looks_and_orders_are_told_apart_by_their_names() -> None:
    assert {name for name in KINDS if name.startswith("look-")} | {"forget"} == {
        name for name, kind in KINDS.items() if kind.place is Place.LOOK
    }
