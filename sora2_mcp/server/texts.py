"""What the agent reads: 1 to 5 short lines, most important first, the URL always in it, the next step always named.

Some hosts show the model the text of a result, others only its data, so each text comes in the two parts that the data
holds as well: what there is to say, and what to do next.
"""

import math
from dataclasses import dataclass
from datetime import datetime

from sora2_mcp.domain.configured import SERVICES
from sora2_mcp.domain.preview import Preview
from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import DOWNLOAD_ATTEMPTS, SavedFile, Sighting, Task
from sora2_mcp.errors import Sora2Error
from sora2_mcp.server.offered import days_of
from sora2_mcp.server.views import elapsed_seconds, iso, shown_status
from sora2_mcp.settings import SIMULATED
from sora2_mcp.tasks.downloads import Download
from sora2_mcp.tasks.orders import Submission, refusal_of
from sora2_mcp.tasks.store.interface import Outcome
from sora2_mcp.words import quoted

DEFAULT_WAIT_SECONDS = 25
"""Several hosts and frameworks cut a call after 30 s, a long download's as well."""

_SECONDS_PER_MINUTE = 60
_CONTENT_CODES = (400, 422, 451)
"""The service refused the prompt or an image: the same again fails again."""

_FAULT_CODES = (408, 500, 502, 503, 504)
"""The service failed by itself: the same order may do the next time."""


@dataclass(frozen=True, slots=True)
class Answer:
    """What a result says, in lines, and the call or the word to the user that comes next, as one sentence.

    ``next`` is empty where there is nothing to do.
    """

    message: str
    next: str = ""

    def __str__(self) -> str:
        return f"{self.message}\nNext: {self.next}" if self.next else self.message

    def after(self, line: str) -> "Answer":
        """The same, with a line before it."""
        return Answer(f"{line}\n{self.message}", self.next)


@dataclass(frozen=True, slots=True, kw_only=True)
class Wait:
    """The limit that the caller set for its wait, and how long such videos took lately; None where there is neither."""

    timeout_seconds: int | None = None
    usual_seconds: float | None = None


def submitted(submission: Submission, now: datetime) -> Answer:
    """After generate_video; where a limit is nearly reached, that too."""
    answer = _submitted(submission, now)
    near = limits_nearly_reached(submission)
    return Answer("\n".join([answer.message, *near]), answer.next)


def limits_nearly_reached(submission: Submission) -> list[str]:
    """A sentence for each limit of which four fifths are used."""
    unit = submission.task.price_unit
    return [
        f"{limit.used:g} of {limit.limit:g} {_COUNTED[limit.variable].format(unit=unit)} ({limit.variable})."
        for limit in submission.limits
        if limit.is_near
    ]


_COUNTED = {
    "SORA2_MAX_ACTIVE_TASKS": "tasks that may be unfinished at a time are",
    "SORA2_DAILY_LIMIT": "orders of today are made",
    "SORA2_DAILY_COST": "{unit} of today are spent",
}


def _submitted(submission: Submission, now: datetime) -> Answer:
    task = submission.task
    if submission.outcome is Outcome.REPEAT:
        return _repeated(task, now)
    if submission.outcome is Outcome.SAME_KEY:
        line = "Nothing new was ordered: this idempotency_key has ordered this task already."
        return described(task, now).after(line)
    if submission.outcome is Outcome.SAME_CONSENT:
        return described(task, now).after("Nothing new was ordered: this answer has ordered this task already.")
    if shown_status(task) != "generating":
        # The answer was unclear, a refusal, or came from a service that is done at once.
        return described(task, now)
    if not task.task_id:
        first = f"Being ordered: task {task.reference}, {chosen(task.request)}. The service is slow to answer; the "
        return Answer(f"{first}order goes on by itself. This id stays valid.", f"{wait_call(task)}.")
    charged = f" and is charged in {task.price_unit}" if task.price_unit else ""
    what = (
        "The simulator gives a small clip of its own in a few seconds, and nothing is spent"
        if is_simulated(task)
        else f"A video takes one to several minutes{charged}"
    )
    return Answer(f"Ordered: task {task.reference}, {chosen(task.request)}. {what}.", f"{wait_call(task)}.")


def chosen(request: VideoRequest) -> str:
    """``landscape, hd, 8 s, 2 images``: what was chosen for a video."""
    length = f", {request.seconds} s" if request.seconds else ""
    count = len(request.image_urls)
    images = f", {count} image{'s' if count > 1 else ''}" if count else ""
    return f"{request.aspect_ratio}, {request.quality}{length}{images}"


def described(task: Task, now: datetime, wait: Wait | None = None) -> Answer:
    """A task as it stands; ``wait`` is of the call that asks for it."""
    match shown_status(task):
        case "generating":
            return _generating(task, now, wait or Wait())
        case "succeeded":
            return _succeeded(task, now)
        case "failed":
            return _failed(task)
        case "unconfirmed":
            return _unconfirmed(task)


def declined(error: Sora2Error, price_unit: str = "credits") -> Answer:
    """After generate_video, when a person was asked and said no."""
    return Answer(f"Not sent: {error}.{_unspent(price_unit)}", error.hint)


def _unspent(price_unit: str) -> str:
    """That nothing was spent, where something could have been."""
    return " Nothing was spent." if price_unit else ""


def saved(task: Task, file: SavedFile, now: datetime, *, is_new: bool = True) -> Answer:
    """After download_video, which has just saved it or has found it saved."""
    address = "" if task.is_deleted(now) or is_simulated(task) or file.link else _address(task)
    path = f"\nOn the server's own disk: {file.path}" if file.link and file.path else ""
    until = f", this link is good until {file.link_until:%Y-%m-%d %H:%M} UTC" if file.link_until else ""
    first = "Saved" if is_new else "Already saved"
    return Answer(f"{first}: {file.place} ({file.size_bytes / 1e6:.2f} MB{until}).{path}{address}", _hand_over(file))


def _hand_over(file: SavedFile) -> str:
    return "give the user that link." if file.link else "tell the user where the file is."


def saving(task: Task, download: Download) -> Answer:
    """After download_video, when the file takes longer than a call may."""
    return Answer(
        f"Still saving: {_so_far(download)}. It goes on without you.{_address(task)}",
        f'download_video(task_id="{task.reference}") again.',
    )


def _address(task: Task) -> str:
    return f"\nVideo address: {task.link}" if task.link else ""


def unsaved(answer: Answer, problem: Sora2Error) -> Answer:
    """The same of a video that could not be saved, with the reason and what to do about it."""
    return Answer(f"{answer.message}\n{problem}", problem.hint)


def with_preview(answer: Answer, task: Task) -> Answer:
    """The same of a finished video where the agent can look at it; keeping it comes first."""
    return Answer(
        answer.message, f'{answer.next} preview_video(task_id="{task.reference}") shows you what it looks like.'
    )


def previewed(task: Task, preview: Preview) -> Answer:
    """After preview_video: what the picture beside it shows, and what the video is."""
    facts = preview.facts
    *others, last = (f"{moment:.1f}" for moment in preview.moments)
    moments = f"{', '.join(others)} and {last}" if others else last
    frames = f"{len(preview.moments)} frame{'s' if others else ''}"
    rate = f", {facts.frame_rate:g} frames a second" if facts.frame_rate else ""
    sound = f"with sound ({facts.sound})" if facts.sound else "without sound"
    return Answer(
        f"Preview of {task.reference}: the picture shows {frames}, at {moments} s.\n"
        f"The video: {facts.seconds:g} s, {facts.width} x {facts.height}{rate}, {facts.codec}, {sound}.",
        "compare the picture with what the user asked for, and tell them how it fits.",
    )


def saving_now(download: Download | None) -> str:
    """While download_video works."""
    return f"Saving the video, {_so_far(download)}" if download and download.received_bytes else "Saving the video"


def _so_far(download: Download) -> str:
    of_all = "" if download.total_bytes is None else f" of {download.total_bytes / 1e6:.1f}"
    return f"{download.received_bytes / 1e6:.1f}{of_all} MB so far"


def _generating(task: Task, now: datetime, wait: Wait) -> Answer:
    seconds = elapsed_seconds(task, now)
    so_far = "" if seconds is None else f", {duration(seconds)} so far"
    kind = chosen(task.request)
    lines = [f"Still generating: {task.reference}{so_far} ({kind}). Nothing is lost; it goes on without you."]
    if wait.usual_seconds:
        lines.append(f"Such videos took about {duration(wait.usual_seconds)} lately.")
    if task.doubts:
        lines.append(_DOUBTS[task.doubts[-1].sighting])
    if task.look_failed_at is not None:
        code = f" ({task.look_error_code})" if task.look_error_code else ""
        lines.append(f"The last look failed at {iso(task.look_failed_at)}{code}; looks go on by themselves.")
    return Answer("\n".join(lines), _when_to_come_back(task, seconds, wait))


def _when_to_come_back(task: Task, seconds: float | None, wait: Wait) -> str:
    call = wait_call(task, wait.timeout_seconds)
    if task.doubts and task.doubts[-1].sighting is Sighting.NO_URL:
        return f"{call} once more at most; without an address by then, tell the user and come back in ten minutes."
    if seconds is None or wait.usual_seconds is None:
        return f"{call} again, or tell the user and come back later."
    left = wait.usual_seconds - seconds
    if left < -wait.usual_seconds:
        return f"{call} again, or tell the user that it takes longer than usual, and come back later."
    if left <= (wait.timeout_seconds or DEFAULT_WAIT_SECONDS):
        return f"{call} once more: it is probably done by then."
    minutes = math.ceil(left / _SECONDS_PER_MINUTE)
    in_minutes = f"{minutes} minutes" if minutes > 1 else "a minute"
    return f"{call} again, or tell the user and come back in {in_minutes}."


_DOUBTS = {
    Sighting.NO_URL: "The service calls it done but has given no video address yet; after ten minutes without one it "
    "counts as failed, and get_task_status then asks once more.",
    Sighting.MISSING: "The service does not know this task at the moment; looks go on for ten minutes.",
}


def _succeeded(task: Task, now: datetime) -> Answer:
    seconds = elapsed_seconds(task, now)
    took = "" if seconds is None else f" in {duration(seconds)}"
    kind = chosen(task.request)
    if task.has_expired(now):
        return Answer(
            f"Expired: {task.reference} ({kind}) was done{took}, but its video was not saved, and the service deleted "
            f"it on {task.video_expires_at:%Y-%m-%d}, {days_of(task.retention)} later.",
            "tell the user; only a new order with generate_video makes it again"
            f"{f', and costs {task.price_unit}' if costs(task) else ''}.",
        )
    done = f"Done{took}, {kind}"
    if task.is_deleted(now):
        done += f"; the service deleted its copy on {task.video_expires_at:%Y-%m-%d}."
    elif task.needs_key:
        done += ". Only the service's key opens its address, so this server saves the video by itself."
    else:
        done += f": {task.link} ({_kept(task, now)})"
    done += f"\n{cost}" if (cost := has_cost(task)) else ""
    if task.file is not None:
        return Answer(f"{done}\nAlready saved: {task.file.place}", _hand_over(task.file))
    if task.download_attempts >= DOWNLOAD_ATTEMPTS:
        done += f"\nSaving it failed {task.download_attempts} times, so it is not tried by itself any more."
    return Answer(done, f'download_video(task_id="{task.reference}") to keep the file.')


def _failed(task: Task) -> Answer:
    failure = task.failure
    kind = chosen(task.request)
    if failure is None or not task.task_id:
        # A refusal that came after the caller had the local id.
        refusal = refusal_of(task)
        said = f"Failed before it was created ({kind}): {refusal}.{_unspent(task.price_unit)}"
        return Answer(said, f"{refusal.hint}{_used_key(task)}")
    where = "before it was created" if failure.stage == "creation" else "while generating"
    what = f"({kind}; code {failure.code})" if failure.code else f"({kind})"
    if failure.doubtful:
        # Only concluded, so the service may still have the video.
        charged = " It has probably been charged." if costs(task) else ""
        lost = " A server of one's own forgets its jobs when it is restarted." if not task.price_unit else ""
        return Answer(
            f"Failed {where} {what}: {failure.message}.{charged}{lost}",
            f'get_task_status(task_id="{task.reference}") asks the service once more; if it stays so, tell the user, '
            f"and order again with generate_video only if they agree.{_used_key(task)}",
        )
    reason = f": the service says {quoted(failure.message)}." if failure.message.strip() else "."
    charge = charge_of_failed(task)
    ask = "ask the user, and if they agree " if charge == UNKNOWN_CHARGE else ""
    return Answer(
        " ".join(filter(None, [f"Failed {where} {what}{reason}", charge, "Nothing more will come of this task."])),
        f"{ask}{another_try(failure.code)}{_used_key(task)}",
    )


UNKNOWN_CHARGE = "Whether it was charged is not known."


def charge_of_failed(task: Task) -> str:
    """What is known of the cost of a failed task; empty where orders cost nothing."""
    if not costs(task):
        return ""
    if task.cost is not None:
        return has_cost(task)
    service = SERVICES.get(task.service.partition(" ")[0])
    charges_nothing = service is not None and service.failures_are_free
    return "The service charges nothing for failed tasks." if charges_nothing else UNKNOWN_CHARGE


def another_try(code: int, order: str = "order again with generate_video") -> str:
    """Whether the same order may do, or what to change, by the code of a failure."""
    if code in _CONTENT_CODES:
        return f"change what the service objects to, then {order}: the same would fail again."
    if code in _FAULT_CODES:
        return f"{order}: the service failed by itself, so the same prompt may do."
    return f"{order}: the same prompt may do, but change it where the service's words object to it."


def _used_key(task: Task) -> str:
    return " Its idempotency_key is used up: give a new one, or none." if task.idempotency_key else ""


def _unconfirmed(task: Task) -> Answer:
    because = (
        f"no readable answer came back ({task.unclear_because})" if task.unclear_because else "no answer came back"
    )
    charged = "It may have been charged, so it" if costs(task) else "It"
    known_key = " and the same idempotency_key give" if task.idempotency_key else " give"
    return Answer(
        f"Unclear whether the order arrived: {task.reference} ({chosen(task.request)}) was sent at "
        f"{iso(task.created_at)}, but {because}. {charged} was not sent again. No call can settle this; the user's "
        "account page at the service can.",
        f"ask the user before ordering again. The same arguments{known_key} this task again; if they agree to a new "
        "order, call generate_video with a new idempotency_key.",
    )


def _repeated(task: Task, now: datetime) -> Answer:
    ago = duration(max(0.0, (now - task.created_at).total_seconds()))
    known = described(task, now).after(f"Nothing new was ordered: exactly this was ordered {ago} ago.")
    another = "To order another one anyway, repeat the call with a new idempotency_key."
    return Answer(f"{known.message}\n{another}", known.next)


def is_simulated(task: Task) -> bool:
    """Whether nothing was or will be paid for it, and its address leads nowhere once this program has ended."""
    return task.service.partition(" ")[0] == SIMULATED


def costs(task: Task) -> bool:
    """Whether it was paid for, or would be."""
    return bool(task.price_unit) and not is_simulated(task)


def has_cost(task: Task) -> str:
    """What it has cost, in a sentence; empty where that is not known."""
    if task.cost is None or not task.price_unit:
        return ""
    if task.cost == 0:
        return "It has cost nothing."
    return f"It has cost {task.cost:g} {'simulated ' if is_simulated(task) else ''}{task.price_unit}."


def _kept(task: Task, now: datetime) -> str:
    if is_simulated(task):
        return "a clip of the simulator's, on this computer and only while this server runs"
    expires_at = task.video_expires_at
    if expires_at is None and task.retention is None:
        return "for how long is not known, so save it soon; give the user this link"
    if expires_at is None:
        return f"kept {days_of(task.retention)} from its end, which is not known here; give the user this link"
    if task.expires_soon(now):
        return f"NOT SAVED, and deleted {when(expires_at, now)}: save it now with download_video"
    return f"kept until {expires_at:%Y-%m-%d}; give the user this link"


def when(instant: datetime, now: datetime) -> str:
    """``in 2 days, on 2026-12-07 12:00 UTC``"""
    days = (instant - now).days
    within = f"in {days} days" if days > 1 else "within two days" if days else "within a day"
    return f"{within}, on {instant:%Y-%m-%d %H:%M} UTC"


def wait_call(task: Task, timeout_seconds: int | None = None) -> str:
    """The call that waits for a task, as long as the caller did before."""
    timeout = f", timeout_seconds={timeout_seconds}" if timeout_seconds else ""
    return f'wait_for_video(task_id="{task.reference}"{timeout})'


def duration(seconds: float) -> str:
    """``48 s``, ``2 min 10 s``, ``1 h 5 min``."""
    whole = round(seconds)
    minutes, rest = divmod(whole, 60)
    hours, minutes_left = divmod(minutes, 60)
    if hours:
        return f"{hours} h {minutes_left} min"
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"
