"""Tasks over time and the faults that strike them. Pure: the caller brings the time, the ids and the files."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

from sora2_mcp.simulator.faults import KINDS, Fault, FaultScript, Place, faults_in_prompt
from sora2_mcp.simulator.order import Order

# As long as the ids of a LiteLLM gateway.
LONG_ID_CHARACTERS: Final = 206
_TRAITS: Final = tuple(name for name, kind in KINDS.items() if kind.place is Place.TRAIT)


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a task ended without success; `code` is one of Sora2API's or Kie's."""

    code: int
    message: str


# A task without an outcome of this table ends well; "no-url" is such a success, without a video.
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
    that make it unusual; `origin` is `http://host:port` as the order addressed it.
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
    # A callback has no request from which the video's address could be made.
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
    """The word for how a task stands, out of those of its dialect; its traits come first."""
    # Words beside the documented ones, over which no client may trip.
    if task.succeeded(now):
        given = {"status-succeeded": "succeeded", "status-success": "success"}
        usual = succeeded
    elif task.finished(now):
        return failed
    else:
        given = {"status-unknown": "unknown", "status-strange": "warming_up"}
        # It waits for the first quarter of its time, so that looks find both words.
        usual = waiting if task.progress(now) < 0.25 else working
    return next((given[name] for name in task.traits if name in given), usual)


def failed_word(task: Task) -> str:
    """The word for a failure in dialects that tell three kinds apart."""
    return task.outcome if task.outcome in ("expired", "cancelled") else "failed"


def video_url(task: Task, origin: str) -> str:
    """Where the clip of a task lies for a caller that reached the simulator at `origin`; it needs no key there."""
    return f"{origin.rstrip('/')}/videos/{task.task_id}.mp4"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What becomes of an order: a task if it was accepted, and the fault that strikes its answer."""

    task: Task | None
    fault: Fault | None


class World:
    """Decides what becomes of orders and looks; remembers only which faults are used up."""

    def __init__(self, *, seconds_per_task: float, script: FaultScript) -> None:
        self._seconds_per_task = seconds_per_task
        self._script = script
        # Faults in a prompt are counted over all orders with exactly that prompt (`*2` refuses the first two of them),
        # and over the looks at each task.
        self._scripts_by_prompt: dict[str, FaultScript] = {}
        self._scripts_by_task: dict[str, FaultScript] = {}

    def order(self, order: Order, *, dialect: str, task_id: str, now: datetime, origin: str) -> Verdict:
        """Accepts or refuses one order; a refused one uses up nothing but the fault that refused it."""
        prompt_script = FaultScript()
        if order.faults:
            prompt_script = self._scripts_by_prompt.setdefault(order.prompt, FaultScript(order.faults))
        # What the prompt says is meant for this order, so it comes before what is scripted for all.
        scripts = (prompt_script, self._script)
        fault = _take(scripts, Place.REFUSED, Place.ANSWERED)
        if fault is not None and fault.place is Place.REFUSED:
            return Verdict(task=None, fault=fault)
        outcome = _take(scripts, Place.OUTCOME)
        duration = _take(scripts, Place.DURATION)
        # One fault of each name: a task may be unusual in several ways at once.
        traits = tuple(name for name in _TRAITS if _take(scripts, Place.TRAIT, name=name) is not None)
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

    def strike(self, task: Task | None, place: Place) -> Fault | None:
        """The fault that strikes this look at a task or request for its video, if any; None is an unknown task."""
        task_script = FaultScript()
        if task is not None and (faults := faults_in_prompt(task.prompt)):
            task_script = self._scripts_by_task.setdefault(task.task_id, FaultScript(faults))
        return _take((task_script, self._script), place)


def _take(scripts: Sequence[FaultScript], *places: Place, name: str = "") -> Fault | None:
    """The next fault of these scripts that acts there, and with a name the next one of that name."""

    def wanted(fault: Fault) -> bool:
        return fault.place in places and name in ("", fault.name)

    return next((fault for script in scripts if (fault := script.take(wanted)) is not None), None)
