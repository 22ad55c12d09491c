"""An order is answered within three seconds and a look within ten, whatever the service or the store does."""

import time
from pathlib import Path
from typing import Any

import pytest

from sora2_mcp.simulator.app import Simulator
from tests.faults.hosts import Server, served, service, until
from tests.faults.test_disk import Disk, agent_on
from tests.postgres import PostgresServer
from tests.promises.bare import answer, check_kept, timed
from tests.servers import Agent
from tests.stores import PostgresStore, file_in

LIMITS = {"generate_video": 3.0, "get_task_status": 10.0, "download_video": 10.0, "list_tasks": 2.0}
WAIT_SECONDS = 1
Call = tuple[str, dict[str, Any]]
Answer = tuple[float, dict[str, Any]]


def answered(server: Server, *calls: Call) -> list[Answer]:
    """How many seconds each of these calls, all made at once, takes, and its result."""
    began = time.monotonic()
    numbers = [server.send(tool, **arguments) for tool, arguments in calls]
    answers = dict[int, Answer]()
    while len(answers) < len(numbers):
        message = server.next_message()
        if message.get("id") in numbers:
            answers[message["id"]] = time.monotonic() - began, message["result"]
    return [answers[number] for number in numbers]


def check_in_time(folder: Path, calls: list[Call], answers: list[Answer]) -> None:
    """Fails unless each call was answered within its limit; a wait's is two seconds more than it was to take."""
    bare_seconds = answer(folder)
    for (tool, _), (seconds, _) in zip(calls, answers, strict=True):
        check_kept(seconds, bare_seconds, promised=LIMITS.get(tool, WAIT_SECONDS + 2.0))


def text_of(result: dict[str, Any]) -> str:
    text: str = result["content"][0]["text"]
    return text


def test_an_order_that_the_service_does_not_answer_is_given_a_name_in_time(tmp_path: Path) -> None:
    calls: list[Call] = [("generate_video", {"prompt": "A kitten"})]
    with service(tmp_path, "--fault", "order-slow=60*1") as sora, served(tmp_path, sora.base_url) as server:
        [given] = answered(server, *calls)

    assert given[1]["structuredContent"]["task_id"].startswith("local-")
    check_in_time(tmp_path, calls, [given])


def test_while_the_store_is_locked_every_call_is_answered_in_time(tmp_path: Path) -> None:
    with service(tmp_path) as sora, served(tmp_path, sora.base_url) as server:
        done = server.call("generate_video", prompt="A puppy [sim:seconds=0]")["task_id"]
        server.call("wait_for_video", task_id=done)
        running = server.call("generate_video", prompt="A calf")["task_id"]
        calls: list[Call] = [
            ("generate_video", {"prompt": "A kitten"}),
            ("get_task_status", {"task_id": running}),
            ("list_tasks", {}),
            ("get_task_status", {"task_id": done}),
            ("wait_for_video", {"task_id": running, "timeout_seconds": WAIT_SECONDS}),
        ]
        with file_in(tmp_path).locked():
            answers = answered(server, *calls)

    (_, refused), *others = answers
    assert text_of(refused).startswith("Not ordered: The task store (SORA2_DATABASE_URL) is busy")
    assert [result["isError"] for _, result in others] == [False] * 4
    check_in_time(tmp_path, calls, answers)
    # What is known already is no look.
    check_kept(answers[3][0], answer(tmp_path), promised=2.0)


def test_orders_that_wait_for_a_lock_are_answered_in_time_and_keep_no_reader_waiting(tmp_path: Path) -> None:
    calls: list[Call] = [("generate_video", {"prompt": f"Kitten {number}"}) for number in range(20)]
    with (
        service(tmp_path) as sora,
        served(tmp_path, sora.base_url, SORA2_MAX_REQUESTS_PER_SECOND="1000") as server,
        file_in(tmp_path).locked(),
    ):
        answers = answered(server, *calls)
        [listed] = answered(server, ("list_tasks", {}))

    assert {text_of(result).partition(",")[0] for _, result in answers} == {
        "Not ordered: The task store (SORA2_DATABASE_URL) is busy"
    }
    check_in_time(tmp_path, [*calls, ("list_tasks", {})], [*answers, listed])


def test_an_order_whose_id_cannot_be_kept_yet_is_given_a_name_in_time(tmp_path: Path) -> None:
    with service(tmp_path, "--fault", "order-slow=0.5*1") as sora, served(tmp_path, sora.base_url) as server:
        began = time.monotonic()
        number = server.send("generate_video", prompt="A kitten")
        until(lambda: len(sora.posts()) == 1)
        with file_in(tmp_path).locked():
            [result] = server.results([number])
            seconds = time.monotonic() - began

    assert result["structuredContent"]["task_id"].startswith("local-")
    check_kept(seconds, answer(tmp_path), promised=LIMITS["generate_video"])


def test_on_a_damaged_store_every_call_is_answered_in_time(tmp_path: Path) -> None:
    path = file_in(tmp_path).path
    named = ("get_task_status", "wait_for_video", "download_video")
    calls: list[Call] = [("generate_video", {"prompt": "A kitten"}), ("list_tasks", {})]
    calls += [(tool, {"task_id": "sora2_task_abcdefghijkl"}) for tool in named]
    with service(tmp_path) as sora:
        with served(tmp_path, sora.base_url) as server:
            server.call("generate_video", prompt="A puppy")
            # A clean end leaves no write-ahead log to mend the file from.
            server.process.ended()
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xa5" * (path.stat().st_size - 4096))
        with served(tmp_path, sora.base_url) as server:
            answers = [answered(server, call)[0] for call in calls]

    assert [result["isError"] for _, result in answers] == [True] * 5
    limits = [LIMITS["generate_video"], *[10.0] * 4]
    for (seconds, _), promised in zip(answers, limits, strict=True):
        check_kept(seconds, answer(tmp_path), promised=promised)


@pytest.mark.anyio
async def test_on_a_disk_that_is_full_or_read_only_an_order_is_refused_in_time(tmp_path: Path, disk: Disk) -> None:
    simulator = Simulator(seconds_per_task=1000)
    async with agent_on(disk, tmp_path, simulator) as me:
        await me.content("generate_video", prompt="A puppy")
        with disk.full():
            full_seconds = await _refused(me)
    with disk.read_only():
        async with agent_on(disk, tmp_path, simulator) as me:
            read_only_seconds = await _refused(me)

    for seconds in (full_seconds, read_only_seconds):
        check_kept(seconds, answer(tmp_path), promised=LIMITS["generate_video"])


async def _refused(me: Agent) -> float:
    began = time.monotonic()
    await me.error("generate_video", prompt="A kitten")
    return time.monotonic() - began


def test_while_the_database_server_is_gone_every_call_is_answered_in_time(
    tmp_path: Path, own_postgres: PostgresServer
) -> None:
    store = PostgresStore(own_postgres.empty_place())
    with service(tmp_path) as sora, served(tmp_path, sora.base_url, store) as server:
        task_id = server.call("generate_video", prompt="A puppy")["task_id"]
        calls: list[Call] = [
            ("generate_video", {"prompt": "A kitten"}),
            ("get_task_status", {"task_id": task_id}),
            ("list_tasks", {}),
        ]
        own_postgres.stop()
        try:
            answers = [given for _ in range(3) for given in answered(server, *calls)]
        finally:
            own_postgres.start()

    assert [result["isError"] for _, result in answers] == [True] * 9
    for (tool, _), (seconds, _) in zip(calls * 3, answers, strict=True):
        check_kept(seconds, answer(tmp_path), promised=LIMITS[tool] if tool != "list_tasks" else 10.0)


def test_a_waiter_hears_within_a_second_of_an_end_that_another_process_saved(
    tmp_path: Path, postgres: PostgresServer
) -> None:
    store, rarely = PostgresStore(postgres.empty_place()), {"SORA2_POLL_SECONDS": "3600"}
    with (
        service(tmp_path, "--seconds", "0") as sora,
        served(tmp_path, sora.base_url, store, home="a", SORA2_IDLE_POLL_SECONDS="3600", **rarely) as one,
        served(tmp_path, sora.base_url, store, home="b", SORA2_IDLE_POLL_SECONDS="3600", **rarely) as two,
    ):
        task_id = one.call("generate_video", prompt="A kitten")["task_id"]
        waiting = one.send("wait_for_video", task_id=task_id, timeout_seconds=60)
        until(lambda: store.rows("wanted_until IS NULL") == [(False,)])
        assert two.call("get_task_status", task_id=task_id)["status"] == "succeeded"
        seconds = timed(lambda: one.results([waiting]))
        assert len(sora.looks()) == 1

    check_kept(seconds, answer(tmp_path), promised=1.0)
