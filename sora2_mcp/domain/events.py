"""Facts about tasks, published after they are saved."""

from dataclasses import dataclass
from datetime import datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskEvent:
    """Something happened to the task with this local id, and it is saved."""

    id: str
    at: datetime


class TaskSubmitted(TaskEvent):
    """The service accepted the order: the task has its ``task_id``."""

    __slots__ = ()


class TaskRefused(TaskEvent):
    """The service turned the order down: nothing was spent."""

    __slots__ = ()


class TaskUnconfirmed(TaskEvent):
    """The order was sent and no answer came: nobody knows whether it was accepted."""

    __slots__ = ()


class TaskFinished(TaskEvent):
    """The task succeeded or failed."""

    __slots__ = ()


class TaskCorrected(TaskEvent):
    """A finished task's result is better known: a new video URL, or a success after a doubtful failure."""

    __slots__ = ()


class VideoSaved(TaskEvent):
    """The video's file lies on disk."""

    __slots__ = ()


class LookFailed(TaskEvent):
    """A look at the task failed: nothing of the task has changed, but whoever waits may want to know."""

    __slots__ = ()


class TaskChanged(TaskEvent):
    """Another process saved something about the task; read it to see what."""

    __slots__ = ()
