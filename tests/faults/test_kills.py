"""kill -9 at every step of an order and of a download: what is left, and what a repeat of the call does."""

import asyncio
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from sora2_mcp.simulator.motifs import clip_of
from tests.clocks import PATIENCE_SECONDS
from tests.faults.front import Visit, in_front_of_process, passed_on
from tests.faults.hosts import Server, Service, served, service, until
from tests.stores import Store

ORDER = {"prompt": "A kitten", "idempotency_key": "kitten-1"}
SUCCEEDS_AT_ONCE = "A kitten [sim:seconds=0]"
CLIP = clip_of(SUCCEEDS_AT_ONCE, "landscape").read_bytes()


def test_killed_before_the_intent_nothing_was_ordered_and_the_repeat_orders_once(tmp_path: Path, store: Store) -> None:
    with service(tmp_path) as sora:
        with served(tmp_path, sora.base_url, store) as server:
            assert server.tasks() == []
            with store.locked():
                server.send("generate_video", **ORDER)
                server.taken_in()
                server.kill()
            assert store.rows("id") == []

        with served(tmp_path, sora.base_url, store) as server:
            assert server.tasks() == []
            ordered = server.call("generate_video", **ORDER)
            assert [task["task_id"] for task in server.tasks()] == [ordered["task_id"]]
        assert [post["taskId"] for post in sora.posts()] == [ordered["task_id"]]


def test_killed_between_intent_and_post_the_order_is_listed_and_never_sent_by_itself(
    tmp_path: Path, store: Store
) -> None:
    with service(tmp_path) as sora:
        # The first order takes the only turn there is for ten seconds.
        with served(tmp_path, sora.base_url, store, SORA2_MAX_REQUESTS_PER_SECOND="0.1") as server:
            first = server.call("generate_video", prompt="A puppy")
            server.send("generate_video", **ORDER)
            until(lambda: len(store.rows("id")) == 2)
            server.kill()
        assert store.rows("prompt", "task_id", "status") == [
            ("A puppy", first["task_id"], "generating"),
            ("A kitten", None, "generating"),
        ]

        _follows_the_rules_of_an_unanswered_order(tmp_path, store, sora.base_url, sora, others=["A puppy"], received=0)


def test_killed_when_the_post_was_sent_but_had_not_arrived_the_order_is_listed(tmp_path: Path, store: Store) -> None:
    swallows = threading.Event()
    swallows.set()
    swallowed = threading.Event()

    async def treat(visit: Visit) -> None:
        if visit.is_order and swallows.is_set():
            swallowed.set()
            await asyncio.sleep(60)
        await passed_on(visit)

    with service(tmp_path) as sora, in_front_of_process(sora.base_url, treat) as url:
        with served(tmp_path, url, store) as server:
            server.send("generate_video", **ORDER)
            assert swallowed.wait(PATIENCE_SECONDS)
            server.kill()
        swallows.clear()

        _follows_the_rules_of_an_unanswered_order(tmp_path, store, url, sora, received=0)


def test_killed_during_the_post_the_order_is_listed_and_never_sent_again(tmp_path: Path, store: Store) -> None:
    with service(tmp_path, "--fault", "order-slow=60*1") as sora:
        with served(tmp_path, sora.base_url, store) as server:
            server.send("generate_video", **ORDER)
            until(lambda: [post["code"] for post in sora.posts()] == [None])
            server.kill()

        _follows_the_rules_of_an_unanswered_order(tmp_path, store, sora.base_url, sora, received=1)


# Waits out twice three seconds; what is stored then is the same as after the kill during the POST.
@pytest.mark.parametrize("store", ["sqlite"], indirect=True)
def test_killed_after_its_local_id_was_given_the_order_keeps_that_id(tmp_path: Path, store: Store) -> None:
    with service(tmp_path, "--fault", "order-slow=60*1") as sora:
        with served(tmp_path, sora.base_url, store) as server:
            given = server.call("generate_video", **ORDER)
            server.kill()
        assert store.rows("id", "handed_out") == [(given["task_id"].removeprefix("local-"), 1)]

        _follows_the_rules_of_an_unanswered_order(
            tmp_path, store, sora.base_url, sora, received=1, local_id=given["task_id"]
        )


def test_killed_between_answer_and_save_the_order_is_listed_and_never_sent_again(tmp_path: Path, store: Store) -> None:
    with service(tmp_path, "--fault", "order-slow=1*1") as sora:
        with served(tmp_path, sora.base_url, store) as server:
            server.send("generate_video", **ORDER)
            until(lambda: len(sora.posts()) == 1)
            with store.locked():
                server.process.logged(rf"task {sora.posts()[0]['taskId']} ordered as")
                server.kill()

        _follows_the_rules_of_an_unanswered_order(tmp_path, store, sora.base_url, sora, received=1)


def test_killed_after_the_save_the_order_is_listed_under_the_services_id(tmp_path: Path, store: Store) -> None:
    with service(tmp_path, "--fault", "order-slow=1*1") as sora:
        with served(tmp_path, sora.base_url, store) as server:
            server.send("generate_video", **ORDER)
            server.process.logged("ordered as")
            until(lambda: store.rows("task_id") == [(sora.posts()[0]["taskId"],)])
            server.kill()

        task_id = sora.posts()[0]["taskId"]
        with served(tmp_path, sora.base_url, store) as server:
            assert [(task["task_id"], task["status"]) for task in server.tasks()] == [(task_id, "generating")]
            assert server.call("generate_video", **ORDER)["task_id"] == task_id
            assert server.call("generate_video", prompt="A kitten")["task_id"] == task_id
        assert len(sora.posts()) == 1


def test_killed_during_a_download_the_next_process_saves_the_whole_video_and_leaves_no_part(
    tmp_path: Path, store: Store
) -> None:
    halves = threading.Event()
    halves.set()

    async def treat(visit: Visit) -> None:
        answer = await visit.answer()
        if visit.is_video and halves.is_set():
            await visit.send(answer[: len(answer) // 2])
            await asyncio.sleep(60)
        await visit.send(answer)

    with service(tmp_path) as sora, in_front_of_process(sora.base_url, treat) as url:
        with served(tmp_path, url, store) as server:
            task_id = _finished(server)
            server.send("download_video", task_id=task_id)
            until(lambda: len(_files(tmp_path)) == 1)
            server.kill()
        halves.clear()
        assert [part.suffix for part in _files(tmp_path)] == [".part"]

        store.lapse()
        with served(tmp_path, url, store) as server:
            [left] = server.tasks()
            assert (left["task_id"], left["status"], "file_path" in left) == (task_id, "succeeded", False)
            saved = server.call("download_video", task_id=task_id)
            assert server.call("download_video", task_id=task_id) == saved | {
                "message": saved["message"].replace("Saved: ", "Already saved: ", 1)
            }

    assert Path(saved["file_path"]).read_bytes() == CLIP
    assert _files(tmp_path) == [Path(saved["file_path"])]
    assert store.rows("file_path", "download_owner") == [(saved["file_path"], None)]


def test_killed_between_placing_and_noting_a_video_it_is_saved_again_beside_the_first(
    tmp_path: Path, store: Store
) -> None:
    opened = threading.Event()
    asked = threading.Event()

    async def treat(visit: Visit) -> None:
        if visit.is_video:
            asked.set()
            await asyncio.to_thread(opened.wait, PATIENCE_SECONDS)
        await passed_on(visit)

    with service(tmp_path) as sora, in_front_of_process(sora.base_url, treat) as url:
        with served(tmp_path, url, store) as server:
            task_id = _finished(server)
            server.send("download_video", task_id=task_id)
            assert asked.wait(PATIENCE_SECONDS)
            with store.locked():
                opened.set()
                until(lambda: [file.suffix for file in _files(tmp_path)] == [".mp4"])
                [first] = _files(tmp_path)
                server.kill()
        assert store.rows("file_path") == [(None,)]

        store.lapse()
        with served(tmp_path, url, store) as server:
            saved = server.call("download_video", task_id=task_id)

    assert saved["file_path"] != str(first)
    assert sorted(_files(tmp_path)) == sorted([first, Path(saved["file_path"])])
    assert [file.read_bytes() == CLIP for file in _files(tmp_path)] == [True, True]


def _follows_the_rules_of_an_unanswered_order(
    folder: Path,
    store: Store,
    base_url: str,
    sora: Service,
    *,
    received: int,
    others: list[str] | None = None,
    local_id: str = "",
) -> None:
    """The next process lists it, joins every repeat to it, sends it never, and orders anew only with a new key."""
    sent = [*(others or []), *["A kitten"] * received]
    with served(folder, base_url, store, SORA2_DUPLICATE_WINDOW_SECONDS="86400") as server:
        [(id, status, task_id, until_at)] = _kittens(store, "id", "status", "task_id", "sending_until")
        assert (status, task_id, until_at > time.time() * 1e6) == ("generating", None, True)
        assert local_id in ("", f"local-{id}")
        if local_id:
            # While an answer may still come, repeats wait for it: three seconds, so once is enough.
            _joins_every_repeat(server, local_id, "generating")

    store.lapse()
    with served(folder, base_url, store, SORA2_DUPLICATE_WINDOW_SECONDS="86400") as server:
        _joins_every_repeat(server, f"local-{id}", "unconfirmed")
        assert sora.prompts() == sent

        again = server.call("generate_video", **{**ORDER, "idempotency_key": "kitten-2"})
        assert (again["status"], again["task_id"].startswith("sora2_task_")) == ("generating", True)
        assert [(task["task_id"], task["status"]) for task in server.tasks() if task["prompt"] == "A kitten"] == [
            (again["task_id"], "generating"),
            (f"local-{id}", "unconfirmed"),
        ]
    assert sora.prompts() == [*sent, "A kitten"]


def _joins_every_repeat(server: Server, local_id: str, status: str) -> None:
    [listed] = [task for task in server.tasks() if task["prompt"] == "A kitten"]
    # Both wait, at once, for an answer that may still come.
    same_key, exact = server.results(
        [server.send("generate_video", **ORDER), server.send("generate_video", prompt="A kitten")]
    )
    shown = [(task["task_id"], task["status"]) for task in (listed, *map(_content, (same_key, exact)))]
    assert shown == [(local_id, status)] * 3
    assert [_text(result).partition(":")[0] for result in (same_key, exact)] == ["Nothing new was ordered"] * 2


def _content(result: dict[str, Any]) -> dict[str, Any]:
    content: dict[str, Any] = result["structuredContent"]
    return content


def _text(result: dict[str, Any]) -> str:
    text: str = result["content"][0]["text"]
    return text


def _kittens(store: Store, *columns: str) -> list[tuple[Any, ...]]:
    return [row[1:] for row in store.rows("prompt", *columns) if row[0] == "A kitten"]


def _finished(server: Server) -> str:
    """A task that has its video."""
    task_id: str = server.call("generate_video", prompt=SUCCEEDS_AT_ONCE)["task_id"]
    assert server.call("wait_for_video", task_id=task_id, timeout_seconds=20)["status"] == "succeeded"
    return task_id


def _files(folder: Path) -> list[Path]:
    return [path for path in (folder / "videos").rglob("*") if path.is_file()]
