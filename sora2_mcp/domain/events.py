"""Events: facts about a task that an observation brings."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent:
    """Something happened to the task with this local id."""

    id: str
    at: datetime


class TaskFinished(TaskEvent):
    """The task succeeded or failed."""

    __slots__ = ()


class TaskCorrected(TaskEvent):
    """A finished task's result is better known: a new video URL, or a success after a doubtful failure."""

    __slots__ = ()
