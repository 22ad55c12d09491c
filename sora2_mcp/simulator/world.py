"""Tasks over time and the faults that strike them. Pure: the caller brings the time, the ids and the files."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sora2_mcp.simulator.faults import KINDS, Fault, FaultScript, Place, faults_in_prompt
from sora2_mcp.simulator.order import Order

LONG_ID_CHARACTERS: Final = 206
_TRAITS: Final = tuple(name for name, kind in KINDS.items() if kind.place is Place.TRAIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a task ended without success; `code` is one of Sora2API's or Kie's."""

    code: int
    message: str


_MODERATED: Final = Failure(code=400, message="The video was refused by the content policy")
_FAILURES: Final = {
    "creation-failure": Failure(code=500, message="The task could not be created"),
    "generation-failure": Failure(code=501, message="The video could not be generated"),
    "moderation": _MODERATED,
    "moderation-look": _MODERATED,
    "expired": Failure(code=408, message="The task took too long and expired"),
    "cancelled": Failure(code=501, message="The task was cancelled"),
}


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One accepted order. Everything it will ever answer follows from this and the time.

    `outcome` is "" for a video, or the name of the fault it ends with; `traits` are the names of the faults
    that make it unusual; `origin` is `http://host:port` as the order addressed it, for the video URL in the
    callback.
    """

    task_id: str
    prompt: str
    aspect_ratio: str
    callback_url: str
    param_json: str
    accepted_at: datetime
    seconds: float
    dialect: str = "sora2api"
    outcome: str = ""
    traits: tuple[str, ...] = ()
    origin: str = ""
    callback_delivered: bool = False

    @property
    def ends_at(self) -> datetime:
        return self.accepted_at + timedelta(seconds=self.seconds)

    def finished(self, now: datetime) -> bool:
        return now >= self.ends_at

    def progress(self, now: datetime) -> float:
        """How much of its time has passed, 0 to 1."""
        if self.finished(now) or not self.seconds:
            return float(self.finished(now))
        return max(0.0, (now - self.accepted_at).total_seconds() / self.seconds)

    def failure(self, now: datetime) -> Failure | None:
        """Why it ended without success, if it did."""
        return _FAILURES.get(self.outcome) if self.finished(now) else None

    def succeeded(self, now: datetime) -> bool:
        return self.finished(now) and self.outcome not in _FAILURES

    def has_video(self, now: datetime) -> bool:
        return self.finished(now) and self.outcome == ""


def status_of(task: Task, now: datetime, *, waiting: str, working: str, succeeded: str, failed: str) -> str:
    """The word for how a task stands, out of those of its dialect; its traits come first.

    It waits for the first quarter of its time.
    """
    if task.succeeded(now):
        given = {"status-succeeded": "succeeded", "status-success": "success"}
        usual = succeeded
    elif task.finished(now):
        return failed
    else:
        given = {"status-unknown": "unknown", "status-strange": "warming_up"}
        usual = waiting if task.progress(now) < 0.25 else working
    return next((given[name] for name in task.traits if name in given), usual)


def video_url(task: Task, origin: str) -> str:
    """Where the clip of a task lies for whoever reached the simulator at `origin`; it needs no key there."""
    return f"{origin.rstrip('/')}/videos/{task.task_id}.mp4"


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

    def order(self, order: Order, *, dialect: str, task_id: str, now: datetime, origin: str) -> Verdict:
        """Accepts or refuses one order; a refused one uses up nothing but the fault that refused it."""
        scripts = (self._prompt_script(order), self._script)
        fault = _take(lambda fault: fault.place in (Place.REFUSED, Place.ANSWERED), *scripts)
        if fault is not None and fault.place is Place.REFUSED:
            return Verdict(task=None, fault=fault)
        outcome = _take(lambda fault: fault.place is Place.OUTCOME, *scripts)
        duration = _take(lambda fault: fault.place is Place.DURATION, *scripts)
        traits = _traits(*scripts)
        task = Task(
            task_id=task_id.ljust(LONG_ID_CHARACTERS, "0") if "long-id" in traits else task_id,
            prompt=order.prompt,
            aspect_ratio=order.aspect_ratio,
            callback_url="" if "no-callback" in traits else order.callback_url,
            param_json=order.param_json,
            accepted_at=now,
            seconds=self._seconds_per_task if duration is None else duration.value or 0.0,
            dialect=dialect,
            outcome="" if outcome is None else outcome.name,
            traits=traits,
            origin=origin,
        )
        return Verdict(task=task, fault=fault)

    def look(self, task: Task | None) -> Fault | None:
        """The fault that strikes this look, if any; `task` None is a look at an unknown id."""
        return _take(lambda fault: fault.place is Place.LOOK, self._task_script(task), self._script)

    def content(self, task: Task | None) -> Fault | None:
        """The fault that strikes this request for a video, if any."""
        return _take(lambda fault: fault.place is Place.CONTENT, self._task_script(task), self._script)

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


def _traits(*scripts: FaultScript) -> tuple[str, ...]:
    """The names of all that strike: a task may be unusual in several ways at once."""
    return tuple(name for name in _TRAITS if _take(_named(name), *scripts) is not None)


def _named(name: str) -> Callable[[Fault], bool]:
    return lambda fault: fault.name == name
