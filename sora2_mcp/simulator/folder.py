"""Keeps accepted tasks: in memory, and in a folder other simulator processes may share."""

import json
import logging
import os
import re
from collections.abc import Iterator
from dataclasses import asdict, replace
from datetime import datetime
from pathlib import Path
from typing import Final

from sora2_mcp.simulator.world import Task

# Every dialect's ids, the longest of the `long-id` fault included.
TASK_ID: Final = re.compile(r"[a-z0-9][a-z0-9_-]{7,219}")
logger = logging.getLogger(__name__)


class TaskFolder:
    """Tasks by id, each in one small JSON file. Without a folder they live as long as this object."""

    def __init__(self, folder: Path | None = None) -> None:
        self._folder = folder
        self._tasks: dict[str, Task] = {}

    def save(self, task: Task) -> None:
        """Keeps the task; on disk before this returns."""
        if self._folder is not None:
            self._folder.mkdir(parents=True, exist_ok=True)
            partial = self._folder / f".{task.task_id}.{os.getpid()}.tmp"
            fields = {**asdict(task), "accepted_at": task.accepted_at.isoformat()}
            partial.write_text(json.dumps(fields, ensure_ascii=False, indent=1), encoding="utf-8")
            # In one step, so another process on this folder never reads half a task.
            partial.replace(self._folder / f"{task.task_id}.json")
        # Only once it is on disk: what this process knows, a restart must know, too.
        self._tasks[task.task_id] = task

    def get(self, task_id: str) -> Task | None:
        """The task with this id, in whichever process it was accepted."""
        # A task never changes but for `callback_delivered`, so one that is remembered need not be read again.
        return self._tasks.get(task_id) or self._read(task_id)

    def all(self) -> Iterator[Task]:
        """Every task there is, in no order."""
        yield from tuple(self._tasks.values())
        if self._folder is not None and self._folder.is_dir():
            unread = sorted({path.stem for path in self._folder.glob("*.json")} - self._tasks.keys())
            yield from (task for task_id in unread if (task := self._read(task_id)) is not None)

    def remove(self, task_id: str) -> None:
        """Forgets one task, also in the folder."""
        self._tasks.pop(task_id, None)
        if self._folder is not None:
            (self._folder / f"{task_id}.json").unlink(missing_ok=True)

    def callback_delivered(self, task_id: str) -> bool:
        """Whether any process has delivered the callback."""
        # Read anew, as another process may have delivered it meanwhile.
        task = self._read(task_id) or self._tasks.get(task_id)
        return task is not None and task.callback_delivered

    def mark_callback_delivered(self, task: Task) -> None:
        self.save(replace(task, callback_delivered=True))

    def undelivered(self) -> list[Task]:
        """Every task in the folder whose callback is still owed, oldest first."""
        if self._folder is None:
            return []
        owed = (task for task in self.all() if task.callback_url and not task.callback_delivered)
        return sorted(owed, key=lambda task: task.accepted_at)

    def _read(self, task_id: str) -> Task | None:
        # The id comes from a request and becomes a file name: nothing but an id may pass.
        if self._folder is None or TASK_ID.fullmatch(task_id) is None:
            return None
        try:
            fields = json.loads((self._folder / f"{task_id}.json").read_text(encoding="utf-8"))
            task = Task(
                **{
                    **fields,
                    "accepted_at": datetime.fromisoformat(fields["accepted_at"]),
                    # A list in JSON.
                    "traits": tuple(fields.get("traits", ())),
                }
            )
        except FileNotFoundError:
            return None
        except (ValueError, TypeError, KeyError):
            # A file of a later release, or one that a user has changed: the other tasks go on.
            logger.warning("The file of task %s cannot be read; the task counts as unknown", task_id)
            return None
        self._tasks[task_id] = task
        return task
