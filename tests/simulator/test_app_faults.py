import httpx2
import pytest

from sora2_mcp.simulator.app import Simulator
from sora2_mcp.simulator.faults import KINDS, Place

pytestmark = pytest.mark.anyio

ORDER_CODES = {"refused-prompt": 400, **{f"order-{code}": code for code in (401, 402, 422, 429, 455, 500, 501, 505)}}
LOOK_CODES = {f"look-{code}": code for code in (401, 404, 429, 455, 500)}
OUTCOMES = {"creation-failure": 2, "generation-failure": 3, "no-url": 1}
CONNECTIONS = {"order-drop", "order-half", "look-drop"}
OTHER = {"order-html", "order-html-accepted", "order-slow", "order-empty", "order-no-id", "seconds"}
OTHER_LOOKS = {"look-html", "look-slow", "look-empty"}


async def order(client: httpx2.AsyncClient, word: str) -> httpx2.Response:
    return await client.post("generate", json={"prompt": f"A cat [sim:{word}]"})


async def look(client: httpx2.AsyncClient, task_id: str | None) -> httpx2.Response:
    return await client.get("record-info", params={"taskId": task_id})


async def ordered(client: httpx2.AsyncClient, word: str) -> str:
    return str((await order(client, word)).json()["data"]["taskId"])


def accepted(simulator: Simulator) -> str | None:
    """The id the latest order got, whatever it was answered."""
    return simulator.received[-1].task_id


async def is_task(client: httpx2.AsyncClient, task_id: str | None) -> bool:
    return task_id is not None and (await look(client, task_id)).status_code == 200


def test_every_fault_is_covered_below() -> None:
    covered = {*ORDER_CODES, *LOOK_CODES, *OUTCOMES, *CONNECTIONS, *OTHER, *OTHER_LOOKS}

    assert covered == set(KINDS)


@pytest.mark.parametrize(("fault", "code"), ORDER_CODES.items())
async def test_a_refused_order_is_an_error_envelope_and_no_task(
    client: httpx2.AsyncClient, simulator: Simulator, fault: str, code: int
) -> None:
    answer = await order(client, f"{fault}*1")

    assert (answer.status_code, answer.json()["code"], answer.json()["data"]) == (code, code, None)
    assert answer.json()["msg"]
    assert accepted(simulator) is None
    assert (await order(client, f"{fault}*1")).status_code == 200


@pytest.mark.parametrize(("word", "pause"), [("order-429*1", "1"), ("order-429=7*1", "7")])
async def test_too_many_orders_say_when_to_come_back(client: httpx2.AsyncClient, word: str, pause: str) -> None:
    assert (await order(client, word)).headers["retry-after"] == pause


async def test_a_gateway_page_leaves_open_whether_the_order_was_accepted(
    client: httpx2.AsyncClient, simulator: Simulator
) -> None:
    lost = await order(client, "order-html")
    lost_is_task = await is_task(client, accepted(simulator))
    kept = await order(client, "order-html-accepted")
    kept_is_task = await is_task(client, accepted(simulator))

    assert (lost_is_task, kept_is_task) == (False, True)
    assert (lost.status_code, lost.headers["content-type"]) == (502, "text/html; charset=utf-8")
    assert (kept.status_code, kept.content) == (502, lost.content)


@pytest.mark.parametrize(("word", "pause"), [("order-slow", 10.0), ("order-slow=5", 5.0)])
async def test_a_slow_answer_comes_late_to_an_order_accepted_at_once(
    client: httpx2.AsyncClient, slept: list[float], word: str, pause: float
) -> None:
    task_id = await ordered(client, word)

    record = (await look(client, task_id)).json()["data"]
    assert (slept, record["createTime"]) == ([pause], "2026-03-20 10:25:00")


@pytest.mark.parametrize("fault", ["order-drop", "order-half"])
async def test_an_order_whose_connection_breaks_was_accepted(
    wired: httpx2.AsyncClient, simulator: Simulator, fault: str
) -> None:
    with pytest.raises(httpx2.RemoteProtocolError):
        await order(wired, fault)

    assert simulator.received[-1].code is None
    assert await is_task(wired, accepted(simulator))


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


async def test_an_accepted_order_may_be_answered_with_nothing(client: httpx2.AsyncClient, simulator: Simulator) -> None:
    answer = await order(client, "order-empty")

    assert (answer.status_code, answer.content) == (200, b"")
    assert await is_task(client, accepted(simulator))


async def test_an_accepted_order_may_be_answered_without_an_id(
    client: httpx2.AsyncClient, simulator: Simulator
) -> None:
    answer = await order(client, "order-no-id")

    assert answer.json() == {"code": 200, "msg": "success", "data": None}
    assert await is_task(client, accepted(simulator))


@pytest.mark.parametrize(("fault", "flag"), OUTCOMES.items())
async def test_a_task_can_be_made_to_end_without_a_video(client: httpx2.AsyncClient, fault: str, flag: int) -> None:
    task_id = await ordered(client, f"{fault}][sim:seconds=0")

    record = (await look(client, task_id)).json()["data"]
    assert (record["successFlag"], (record["response"] or {}).get("imageUrl")) == (flag, None)


async def test_a_task_can_be_given_its_own_duration(client: httpx2.AsyncClient) -> None:
    flags = [
        (await look(client, await ordered(client, f"seconds={seconds}"))).json()["data"]["successFlag"]
        for seconds in (9, 0)
    ]

    assert flags == [0, 1]


@pytest.mark.parametrize(("fault", "code"), LOOK_CODES.items())
async def test_the_first_looks_at_a_task_are_refused(client: httpx2.AsyncClient, fault: str, code: int) -> None:
    task_id = await ordered(client, f"{fault}*2")

    answers = [await look(client, task_id) for _ in range(3)]

    assert [answer.json()["code"] for answer in answers] == [code, code, 200]
    assert [answer.status_code for answer in answers] == [code, code, 200]
    assert answers[0].headers.get("retry-after") == ("1" if code == 429 else None)


async def test_a_look_is_answered_with_a_gateway_page(client: httpx2.AsyncClient) -> None:
    answer = await look(client, await ordered(client, "look-html"))

    assert (answer.status_code, answer.text[:6]) == (502, "<html>")


async def test_a_look_is_answered_late_with_what_is_true_by_then(
    client: httpx2.AsyncClient, slept: list[float]
) -> None:
    answer = await look(client, await ordered(client, "look-slow"))

    assert (slept, answer.json()["data"]["successFlag"]) == ([10.0], 1)


async def test_a_look_is_answered_with_nothing(client: httpx2.AsyncClient) -> None:
    answer = await look(client, await ordered(client, "look-empty"))

    assert (answer.status_code, answer.content) == (200, b"")


async def test_a_look_is_not_answered_at_all(wired: httpx2.AsyncClient) -> None:
    task_id = await ordered(wired, "look-drop*1")

    with pytest.raises(httpx2.RemoteProtocolError):
        await look(wired, task_id)
    assert await is_task(wired, task_id)


async def test_a_fault_given_at_the_start_strikes_every_order() -> None:
    simulator = Simulator(faults=["order-402*2", "look-404"])
    transport = httpx2.ASGITransport(app=simulator.app)
    key = {"Authorization": "Bearer any-key"}
    async with httpx2.AsyncClient(transport=transport, base_url="http://sora.test/api/v1/sora2", headers=key) as client:
        codes = [(await client.post("generate", json={"prompt": "A cat"})).json()["code"] for _ in range(3)]
        found = await look(client, accepted(simulator))

    assert (codes, found.status_code) == ([402, 402, 200], 404)


def test_an_unknown_fault_stops_the_start_and_lists_the_known_ones() -> None:
    with pytest.raises(ValueError, match="Known: refused-prompt, order-401"):
        Simulator(faults=["order-418"])


def test_looks_and_orders_are_told_apart_by_their_names() -> None:
    assert {name for name in KINDS if name.startswith("look-")} == {
        name for name, kind in KINDS.items() if kind.place is Place.LOOK
    }
