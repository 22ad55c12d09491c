import json
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest

from sora2_mcp.simulator.folder import TaskFolder
from sora2_mcp.simulator.world import Task

TASK = Task(
    task_id="sora2_task_abcdef123456",
    prompt="Ein Kätzchen",
    aspect_ratio="portrait",
    callback_url="http://127.0.0.1:9/hook",
    param_json='{"prompt": "Ein Kätzchen"}',
    accepted_at=datetime(2026, 3, 20, 10, 25, 0, 123_456, tzinfo=UTC),
    seconds=0.25,
    outcome="no-url",
    origin="http://127.0.0.1:8901/",
)


def test_another_process_finds_the_same_task(tmp_path: Path) -> None:
    other = TaskFolder(tmp_path / "new" / "state")
    TaskFolder(tmp_path / "new" / "state").save(TASK)

    assert other.get(TASK.task_id) == TASK
    assert [path.name for path in (tmp_path / "new" / "state").iterdir()] == ["sora2_task_abcdef123456.json"]


def test_without_a_folder_tasks_stay_with_their_object() -> None:
    folder = TaskFolder()
    folder.save(TASK)

    assert folder.get(TASK.task_id) == TASK
    assert TaskFolder().get(TASK.task_id) is None


def test_only_undelivered_callbacks_are_owed_oldest_first(tmp_path: Path) -> None:
    folder = TaskFolder(tmp_path)
    older = replace(TASK, task_id="sora2_task_zzzzzz000000", accepted_at=TASK.accepted_at - timedelta(days=1))
    silent = replace(TASK, task_id="sora2_task_silent000000", callback_url="")
    delivered = replace(TASK, task_id="sora2_task_done00000000")
    for task in (TASK, older, silent, delivered):
        folder.save(task)
    folder.mark_callback_delivered(delivered)

    assert TaskFolder(tmp_path).undelivered() == [older, TASK]


def test_a_delivery_by_another_process_is_seen_although_the_task_is_remembered(tmp_path: Path) -> None:
    mine, other = TaskFolder(tmp_path), TaskFolder(tmp_path)
    mine.save(TASK)
    other.mark_callback_delivered(TASK)

    assert mine.callback_delivered(TASK.task_id)


def test_an_id_cannot_name_a_file_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "state").mkdir()
    TaskFolder(tmp_path).save(TASK)

    assert TaskFolder(tmp_path / "state").get(f"../{TASK.task_id}") is None


def test_a_file_that_cannot_be_read_counts_as_no_task(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    (tmp_path / f"{TASK.task_id}.json").write_text('{"task_id": ')

    assert TaskFolder(tmp_path).get(TASK.task_id) is None
    assert TASK.task_id in caplog.text


def test_tasks_of_other_processes_are_among_all_and_a_removed_one_is_gone(tmp_path: Path) -> None:
    mine, other = TaskFolder(tmp_path), TaskFolder(tmp_path)
    theirs = replace(TASK, task_id="0" * 32, dialect="kie", traits=("status-unknown", "long-id"))
    mine.save(TASK)
    other.save(theirs)
    both = sorted(mine.all(), key=lambda task: task.task_id)
    mine.remove(TASK.task_id)

    assert both == [theirs, TASK]
    assert list(TaskFolder(tmp_path).all()) == [theirs]


def test_a_task_saved_before_there_were_dialects_is_one_of_the_first(tmp_path: Path) -> None:
    TaskFolder(tmp_path).save(TASK)
    file = tmp_path / f"{TASK.task_id}.json"
    fields = json.loads(file.read_text(encoding="utf-8"))
    file.write_text(json.dumps({name: value for name, value in fields.items() if name not in ("dialect", "traits")}))

    assert TaskFolder(tmp_path).get(TASK.task_id) == TASK
