"""Tasks over time and the faults that strike them. Pure: the caller brings the time, the ids and the files."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from sora2_mcp.simulator.faults import Fault, FaultScript, Place, faults_in_prompt
from sora2_mcp.simulator.order import Order

GENERATING: Final = 0
SUCCEEDED: Final = 1
CREATION_FAILED: Final = 2
GENERATION_FAILED: Final = 3

_OUTCOMES: Final = {
    "": (SUCCEEDED, 0, None),
    "no-url": (SUCCEEDED, 0, None),
    "creation-failure": (CREATION_FAILED, 500, "The task could not be created"),
    "generation-failure": (GENERATION_FAILED, 501, "The video could not be generated"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One accepted order. Everything it will ever answer follows from this and the time.

    `outcome` is "" for a video, or the name of the fault it ends with; `origin` is `http://host:port` as the
    order addressed it, for the video URL in the callback.
    """

    task_id: str
    prompt: str
    aspect_ratio: str
    callback_url: str
    param_json: str
    accepted_at: datetime
    seconds: float
    outcome: str = ""
    origin: str = ""
    callback_delivered: bool = False

    @property
    def ends_at(self) -> datetime:
        return self.accepted_at + timedelta(seconds=self.seconds)

    def finished(self, now: datetime) -> bool:
        return now >= self.ends_at

    def has_video(self, now: datetime) -> bool:
        return self.finished(now) and self.outcome == ""


def video_url(task: Task, origin: str) -> str:
    """Where the clip of a task lies for whoever reached the simulator at `origin`."""
    return f"{origin.rstrip('/')}/videos/{task.task_id}.mp4"


def record(task: Task, now: datetime, origin: str) -> dict[str, Any]:
    """`data` of record-info, every field always present; times are UTC, as the service states no zone."""
    finished = task.finished(now)
    flag, code, message = _OUTCOMES[task.outcome] if finished else (GENERATING, 0, None)
    return {
        "taskId": task.task_id,
        "paramJson": task.param_json,
        "completeTime": _spell(task.ends_at) if finished else None,
        "response": _response(task, now, origin) if flag == SUCCEEDED else None,
        "successFlag": flag,
        "errorCode": code,
        "errorMessage": message,
        "createTime": _spell(task.accepted_at),
    }


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of an order: a task if it was accepted, and the fault that strikes its answer."""

    task: Task | None
    fault: Fault | None


class World:
    """Decides what becomes of orders and looks; remembers only which faults are used up.

    Faults written in a prompt are counted over all orders with exactly that prompt, and for looks over the
    looks at each task; they come before the ones scripted for everybody.
    """

    def __init__(self, *, seconds_per_task: float, script: FaultScript) -> None:
        self._seconds_per_task = seconds_per_task
        self._script = script
        self._scripts_by_prompt: dict[str, FaultScript] = {}
        self._scripts_by_task: dict[str, FaultScript] = {}

    def order(self, order: Order, *, task_id: str, now: datetime, origin: str) -> Verdict:
        """Accepts or refuses one order; a refused one uses up nothing but the fault that refused it."""
        scripts = (self._prompt_script(order), self._script)
        fault = _take(lambda fault: fault.place in (Place.REFUSED, Place.ANSWERED), *scripts)
        if fault is not None and fault.place is Place.REFUSED:
            return Verdict(task=None, fault=fault)
        outcome = _take(lambda fault: fault.place is Place.OUTCOME, *scripts)
        duration = _take(lambda fault: fault.place is Place.DURATION, *scripts)
        task = Task(
            task_id=task_id,
            prompt=order.prompt,
            aspect_ratio=order.aspect_ratio,
            callback_url=order.callback_url,
            param_json=order.param_json,
            accepted_at=now,
            seconds=self._seconds_per_task if duration is None else duration.value or 0.0,
            outcome="" if outcome is None else outcome.name,
            origin=origin,
        )
        return Verdict(task=task, fault=fault)

    def look(self, task: Task | None) -> Fault | None:
        """The fault that strikes this look, if any; `task` None is a look at an unknown id."""
        return _take(lambda fault: fault.place is Place.LOOK, self._task_script(task), self._script)

    def _prompt_script(self, order: Order) -> FaultScript:
        if not order.faults:
            return FaultScript()
        return self._scripts_by_prompt.setdefault(order.prompt, FaultScript(order.faults))

    def _task_script(self, task: Task | None) -> FaultScript:
        if task is None or not (faults := faults_in_prompt(task.prompt)):
            return FaultScript()
        return self._scripts_by_task.setdefault(task.task_id, FaultScript(faults))


def _take(wanted: Callable[[Fault], bool], *scripts: FaultScript) -> Fault | None:
    return next((fault for script in scripts if (fault := script.take(wanted)) is not None), None)


def _response(task: Task, now: datetime, origin: str) -> dict[str, Any]:
    return {"imageUrl": video_url(task, origin) if task.has_video(now) else None}


def _spell(moment: datetime) -> str:
    return moment.strftime("%Y-%m-%d %H:%M:%S")
