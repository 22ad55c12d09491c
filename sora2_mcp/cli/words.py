"""What a person at a terminal reads of tasks; agents read ``server/texts.py``.

Next steps are commands that can be typed as they stand. Each ends its line, so that ``hints.typed`` can add to it.
"""

from collections.abc import Iterator
from datetime import datetime

from sora2_mcp.cli import hints
from sora2_mcp.domain.configured import SERVICES
from sora2_mcp.domain.task import DOWNLOAD_ATTEMPTS, Sighting, Task
from sora2_mcp.server.offered import days_of
from sora2_mcp.server.texts import (
    UNKNOWN_CHARGE,
    another_try,
    charge_of_failed,
    chosen,
    costs,
    duration,
    has_cost,
    is_simulated,
    when,
)
from sora2_mcp.server.views import elapsed_seconds, shown_status
from sora2_mcp.tasks.orders import Submission, refusal_of
from sora2_mcp.tasks.store.interface import Outcome
from sora2_mcp.words import quoted


def described(task: Task, now: datetime, *, simulate: bool = False) -> str:
    """A task as it stands, and the command that comes next; ``simulate``: this one was called with that option."""
    return "\n".join(filter(None, [state(task, now), hints.typed(_next(task, now), simulate=simulate)]))


def state(task: Task, now: datetime) -> str:
    """A task as it stands."""
    match shown_status(task):
        case "generating":
            lines = _generating(task, now)
        case "succeeded":
            lines = _succeeded(task, now)
        case "failed":
            lines = _failed(task)
        case "unconfirmed":
            lines = _unconfirmed(task)
    return "\n".join(lines)


def _next(task: Task, now: datetime) -> str:
    """The command that comes next; empty where there is none."""
    status, id = shown_status(task), task.reference
    if status == "generating":
        return f"Wait for it with: sora2-mcp tasks wait {id}"
    if status == "succeeded" and task.file is not None:
        return f"Play it with: sora2-mcp tasks open {id}"
    if status == "succeeded" and not task.has_expired(now):
        return f"Save it with: sora2-mcp tasks download {id}"
    return f"Ask the service once more with: sora2-mcp tasks show {id}" if task.correctable else ""


def ordered(submission: Submission, task: Task, now: datetime) -> str:
    """After an order whose task is ``task`` by now: whether it is a new one."""
    ago = duration(max(0.0, (now - task.created_at).total_seconds()))
    match submission.outcome:
        case Outcome.NEW:
            return f"Ordered: {task.reference}"
        case Outcome.REPEAT:
            return (
                f"Nothing new was ordered: exactly this was ordered {ago} ago, as {task.reference}\n"
                "To order another one anyway, give a new --idempotency-key."
            )
        case _:
            return f"Nothing new was ordered: this --idempotency-key has ordered {task.reference} already."


def saved_elsewhere(filename: str) -> str:
    """Why a video that was saved before does not get the name that is asked for."""
    return f"It was saved before, so --filename {filename} is not used: a video keeps the place of its first file."


def _generating(task: Task, now: datetime) -> Iterator[str]:
    seconds = elapsed_seconds(task, now)
    so_far = "" if seconds is None else f", {duration(seconds)} so far"
    yield f"Still generating: {task.reference}{so_far} ({chosen(task.request)}). It goes on, whatever happens here."
    if task.doubts:
        yield _DOUBTS[task.doubts[-1].sighting]
    if task.look_failed_at is not None:
        code = f" (code {task.look_error_code})" if task.look_error_code else ""
        yield f"The last look failed {_local(task.look_failed_at)}{code}; looks go on while a command waits."


_DOUBTS = {
    Sighting.NO_URL: "The service calls it done but has given no video address yet. After ten minutes without one it "
    "counts as failed.",
    Sighting.MISSING: "The service does not know this task at the moment. After ten minutes it counts as failed.",
}


def _succeeded(task: Task, now: datetime) -> Iterator[str]:
    seconds = elapsed_seconds(task, now)
    took = "" if seconds is None else f" in {duration(seconds)}"
    if task.has_expired(now):
        yield (
            f"Expired: {task.reference} was done{took}, but its video was not saved, and the service deleted it on "
            f"{task.video_expires_at:%Y-%m-%d}, {days_of(task.retention)} later."
        )
        yield f"Only a new order makes it again{f', and costs {task.price_unit}' if costs(task) else ''}."
        return
    yield f"Done{took}: {chosen(task.request)}."
    yield from _where(task, now)
    if cost := has_cost(task):
        yield cost
    if task.file is not None:
        yield f"Saved: {task.file.path}"
    elif task.download_attempts >= DOWNLOAD_ATTEMPTS:
        yield f"Saving it failed {task.download_attempts} times, so it is not tried by itself any more."


def _where(task: Task, now: datetime) -> Iterator[str]:
    """The video's address, and for how long it is good."""
    expires_at = task.video_expires_at
    if task.is_deleted(now):
        yield f"The service deleted its copy on {expires_at:%Y-%m-%d}."
        return
    if task.needs_key:
        yield "Only the service's key opens its address, so it must be saved to be seen."
        return
    yield task.link
    if is_simulated(task):
        yield "A clip of the simulator's, there only while it runs."
    elif expires_at is None:
        known = f"{days_of(task.retention)} from its end" if task.retention else "for a time that is not known"
        yield f"Kept there {known}."
    elif task.expires_soon(now):
        yield f"NOT SAVED, and deleted {when(expires_at, now)}."
    else:
        yield f"Kept there until {expires_at:%Y-%m-%d}."


def _failed(task: Task) -> Iterator[str]:
    failure = task.failure
    if failure is None or not task.task_id:
        refusal = refusal_of(task)
        unspent = " Nothing was spent." if task.price_unit else ""
        yield f"Failed before it was created: {hints.problem(refusal)}.{unspent}"
        yield f"{hints.hint(refusal)}{_used_key(task)}"
        return
    where = "before it was created" if failure.stage == "creation" else "while generating"
    code = f" (code {failure.code})" if failure.code else ""
    if failure.doubtful:
        charged = " It has probably been charged." if costs(task) else ""
        lost = " A server of your own forgets its jobs when it is restarted." if not task.price_unit else ""
        yield f"Failed {where}{code}: {failure.message}.{charged}{lost}{_used_key(task)}"
        return
    reason = f": the service says {quoted(failure.message)}" if failure.message.strip() else ""
    charge = charge_of_failed(task)
    if charge == UNKNOWN_CHARGE:
        charge = "Whether it was charged, your account page at the service shows."
    yield f"Failed {where}{code}{reason}. {charge}".rstrip()
    yield f"Nothing more comes of it. To have it made, {another_try(failure.code, 'order again')}{_used_key(task)}"


def _used_key(task: Task) -> str:
    return " Its --idempotency-key is used up: give a new one, or none." if task.idempotency_key else ""


def _unconfirmed(task: Task) -> Iterator[str]:
    because = (
        f"no readable answer came back ({task.unclear_because})" if task.unclear_because else "no answer came back"
    )
    service = SERVICES.get(task.service.partition(" ")[0])
    page = f" ({service.account_page})" if service is not None and service.account_page else ""
    charged = "It may have been charged, so it" if costs(task) else "It"
    yield (
        f"Unclear whether the order arrived: {task.reference} was sent {_local(task.created_at)}, but {because}. "
        f"{charged} was not sent again."
    )
    yield f"Only your account page at the service{page} can tell: look there before you order again."
    yield "The same order gives this task again. For a new one, give a new --idempotency-key."


def _local(instant: datetime) -> str:
    return f"on {instant.astimezone():%Y-%m-%d at %H:%M}"
