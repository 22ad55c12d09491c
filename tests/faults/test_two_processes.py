"""Two server processes on one store, as two hosts of one user start them."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

from tests.faults.hosts import Server, served, service, until
from tests.stores import Store, file_in

RACERS = 20
Call = dict[str, Any]


@contextmanager
def pair(folder: Path, base_url: str, store: Store, **variables: str) -> Iterator[tuple[Server, Server]]:
    """Two servers; neither ever met a database that was locked for it."""
    with (
        served(folder, base_url, store, home="a", **variables) as first,
        served(folder, base_url, store, home="b", **variables) as second,
    ):
        yield first, second
        for server in (first, second):
            assert "locked" not in server.process.stderr
            assert "Traceback" not in server.process.stderr


def raced(servers: tuple[Server, Server], calls: list[Call]) -> list[dict[str, Any]]:
    """The results of orders sent to both servers in turn, all at once."""
    sent: list[tuple[Server, int]] = [
        (server, server.send("generate_video", **call))
        for server, call in zip(servers * (len(calls) // 2), calls, strict=True)
    ]
    return [result for one in servers for result in one.results([number for server, number in sent if server is one])]


def test_twenty_racing_orders_over_both_are_one_order(tmp_path: Path, store: Store) -> None:
    with service(tmp_path, "--fault", "order-slow=0.5") as sora:
        with pair(tmp_path, sora.base_url, store) as servers:
            with_a_key = raced(servers, [{"prompt": "A kitten", "idempotency_key": "kitten-1"}] * RACERS)
            repeats = raced(servers, [{"prompt": "A puppy"}] * RACERS)
        posts = sora.posts()

    for results, post in zip((with_a_key, repeats), posts, strict=True):
        assert [result["structuredContent"]["task_id"] for result in results] == [post["taskId"]] * RACERS
    assert store.rows("task_id") == [(post["taskId"],) for post in posts]


def test_twenty_racing_orders_with_one_key_and_other_arguments_are_one_order_and_errors_that_name_the_key(
    tmp_path: Path,
    store: Store,
) -> None:
    calls = [{"prompt": f"Kitten {number}", "idempotency_key": "kitten-1"} for number in range(RACERS)]
    with service(tmp_path) as sora:
        with pair(tmp_path, sora.base_url, store) as servers:
            results = raced(servers, calls)
        posts = sora.posts()

    refused = [result["content"][0]["text"] for result in results if result.get("isError")]
    assert [text.partition(" was used")[0] for text in refused] == ['Not ordered: idempotency_key "kitten-1"'] * 19
    assert store.rows("prompt", "task_id") == [(post["prompt"], post["taskId"]) for post in posts]
    assert len(posts) == 1


@pytest.mark.parametrize("variable", ["SORA2_DAILY_LIMIT", "SORA2_MAX_ACTIVE_TASKS"])
def test_a_limit_holds_over_both(tmp_path: Path, store: Store, variable: str) -> None:
    with service(tmp_path) as sora:
        with pair(tmp_path, sora.base_url, store, **{variable: "5"}) as servers:
            results = raced(servers, [{"prompt": f"Kitten {number}"} for number in range(RACERS)])
            listed = [{task["task_id"] for task in server.tasks()} for server in servers]
        posts = sora.posts()

    refused = [result["content"][0]["text"] for result in results if result.get("isError")]
    first = f"Not ordered: The limit {variable}=5 is reached (5 counted). Nothing was spent."
    assert [text.splitlines()[0] for text in refused] == [first] * 15
    assert len(posts) == 5
    assert listed == [{post["taskId"] for post in posts}] * 2


def test_a_wait_in_one_hears_of_an_end_that_the_other_saw(tmp_path: Path, store: Store) -> None:
    # Neither looks by itself for an hour: only the explicit look in the second one can see the end.
    slow = {"SORA2_POLL_SECONDS": "3600", "SORA2_IDLE_POLL_SECONDS": "3600"}
    with service(tmp_path) as sora, pair(tmp_path, sora.base_url, store, **slow) as (first, second):
        task_id = first.call("generate_video", prompt="A kitten [sim:seconds=0.5]")["task_id"]
        waiting = first.send("wait_for_video", task_id=task_id, timeout_seconds=60)
        until(lambda: second.call("get_task_status", task_id=task_id)["status"] == "succeeded")

        [heard] = first.results([waiting])
        assert heard["structuredContent"]["status"] == "succeeded"
        assert first.tasks() == second.tasks()


def test_two_hundred_waiters_over_both_cost_as_many_looks_as_one(tmp_path: Path) -> None:
    store = file_in(tmp_path)
    poll_seconds = 0.5
    paced = {"SORA2_POLL_SECONDS": str(poll_seconds), "SORA2_IDLE_POLL_SECONDS": "3600"}
    with service(tmp_path) as sora, pair(tmp_path, sora.base_url, store, **paced) as servers:
        task_id = servers[0].call("generate_video", prompt="A kitten [sim:seconds=4]")["task_id"]
        wait = {"task_id": task_id, "timeout_seconds": 60}
        waits = [(server, [server.send("wait_for_video", **wait) for _ in range(100)]) for server in servers]
        told = [result["structuredContent"] for server, numbers in waits for result in server.results(numbers)]
        looks = sora.looks()

    assert [result["status"] for result in told] == ["succeeded"] * 200
    # The most that one waiter can cost: intervals are at least 88 % of what is set.
    assert 2 <= len(looks) <= told[0]["elapsed_seconds"] / (poll_seconds * 0.88) + 2
    assert set(looks) == {task_id}
