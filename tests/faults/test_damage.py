"""A database that is damaged under a running server: it lives, says so, and orders nothing it could not keep."""

from pathlib import Path

from tests.faults.hosts import Server, served, service, until
from tests.stores import file_in

KITTEN = {"prompt": "A kitten", "idempotency_key": "kitten-1"}


def test_damaged_while_the_server_runs_it_is_named_and_nothing_is_ordered_until_it_is_repaired(tmp_path: Path) -> None:
    store = file_in(tmp_path)
    with service(tmp_path) as sora, served(tmp_path, sora.base_url) as server:
        task_id = server.call("generate_video", prompt="A puppy")["task_id"]
        with store.damaged():
            for call in (KITTEN, {"prompt": "A puppy"}):
                refused = server.error("generate_video", **call)
                assert refused.startswith("Not ordered: The task store (SORA2_DATABASE_URL) cannot be used")
                assert "Nothing was spent" in refused
            for tool in ("get_task_status", "wait_for_video", "download_video"):
                assert "SORA2_DATABASE_URL" in server.error(tool, task_id=task_id)
            assert "SORA2_DATABASE_URL" in server.error("list_tasks")
            assert _lives(server)
        assert sora.prompts() == ["A puppy"]

        store.touch()
        until(lambda: _works(server))
        assert [task["task_id"] for task in server.tasks()] == [task_id]
        assert server.call("generate_video", prompt="A puppy")["task_id"] == task_id
        kitten = server.call("generate_video", **KITTEN)["task_id"]
        assert [post["taskId"] for post in sora.posts()] == [task_id, kitten]
    assert store.rows("prompt", "task_id") == [("A puppy", task_id), ("A kitten", kitten)]


def test_damaged_while_an_order_is_under_way_it_is_not_sent_again_and_its_id_is_kept_once_repaired(
    tmp_path: Path,
) -> None:
    store = file_in(tmp_path)
    with service(tmp_path, "--fault", "order-slow=1*1") as sora, served(tmp_path, sora.base_url) as server:
        ordering = server.send("generate_video", **KITTEN)
        until(lambda: len(sora.posts()) == 1)
        [(id,)] = store.rows("id")
        with store.damaged():
            server.process.logged("its id could not be saved yet")
            # What may be paid for is no error, or the agent would order it again.
            [result] = server.results([ordering])
            given = result["structuredContent"]
            assert (result["isError"], given["task_id"], given["status"]) == (False, f"local-{id}", "generating")
            for call in (KITTEN, {"prompt": "A kitten"}):
                refused = server.error("generate_video", **call)
                assert refused.startswith("Not ordered: The task store (SORA2_DATABASE_URL) cannot be used")
            assert "SORA2_DATABASE_URL" in server.error("wait_for_video", task_id=f"local-{id}")
            assert _lives(server)

        store.touch()
        task_id = sora.posts()[0]["taskId"]
        until(lambda: store.rows("id", "task_id", "status") == [(id, task_id, "generating")])
        until(lambda: _works(server))
        for call in (KITTEN, {"prompt": "A kitten"}):
            assert server.call("generate_video", **call)["task_id"] == task_id
        assert sora.prompts() == ["A kitten"]


def test_a_database_repaired_byte_for_byte_is_used_again_after_a_restart(tmp_path: Path) -> None:
    store = file_in(tmp_path)
    with service(tmp_path) as sora:
        with served(tmp_path, sora.base_url) as server:
            task_id = server.call("generate_video", prompt="A puppy")["task_id"]
            with store.damaged():
                server.error("list_tasks")
        with served(tmp_path, sora.base_url) as server:
            assert [task["task_id"] for task in server.tasks()] == [task_id]


def _lives(server: Server) -> bool:
    server.taken_in()
    return server.process.popen.poll() is None


def _works(server: Server) -> bool:
    [result] = server.results([server.send("list_tasks")])
    return not result.get("isError")
