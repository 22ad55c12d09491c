"""A task, what was seen of it, and the one rule by which it moves on.

``advance`` is the whole state machine. It is total (any task, any snapshot), idempotent and monotone: a task climbs
``generating < failed < succeeded`` and never back, in whatever order its snapshots come.
"""

import re
from dataclasses import dataclass, field, replace
from datetime import datetime, timedelta
from enum import StrEnum

from sora2_mcp.domain.events import TaskCorrected, TaskEvent, TaskFinished
from sora2_mcp.domain.request import PROMPT_LIMIT, RETENTION, VideoRequest
from sora2_mcp.words import sanitized

LOCAL = "local"
"""The principal of stdio, the command line, and HTTP without tokens."""

LOCAL_PREFIX = "local-"
TASK_ID_LIMIT = 1000
"""The longest id of a service's; those of LiteLLM have 206 characters and more."""

# An id is the service's text: spaces or a sentence in it could read as an instruction to an agent.
_SHOWABLE_ID = re.compile(r"(?!local-)[A-Za-z0-9_.:~-]{1,200}")

NOT_REACHED = -(2**31)
"""The failure code of an order that never left: no connection to the service could be made."""

GIVEN_UP_AFTER = timedelta(days=15)
"""A task about which no look has shown anything new for so long is not looked at any more."""

EXPIRY_WARNING = timedelta(days=3)
"""From so long before a video is deleted, texts urge to save it."""

GRACE = timedelta(seconds=90)
"""A task this young may still be unknown to the part of the service that answers looks."""

DOUBT_LASTS = timedelta(minutes=10)
DOUBT_LOOKS = 3
"""So many looks, over so long, must all find a task missing or without a URL before it counts as failed."""

DOWNLOAD_ATTEMPTS = 20
"""So many downloads that bring no video, and no process begins another by itself."""


class Status(StrEnum):
    """Where a task stands. ``REFUSED`` is never shown."""

    # It is kept for a day all the same, for a process that waits for the same order: it reads the reason there.

    GENERATING = "generating"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    UNCONFIRMED = "unconfirmed"
    REFUSED = "refused"


class Stage(StrEnum):
    """Where a task failed: before it was created at the service, or while it was generated."""

    CREATION = "creation"
    GENERATION = "generation"


class Sighting(StrEnum):
    """What one observation of a task shows."""

    GENERATING = "generating"
    SUCCEEDED = "succeeded"
    FAILED = "failed"
    MISSING = "missing"
    NO_URL = "no_url"


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """Why a task failed; ``code`` and ``message`` are the service's where it gave any."""

    stage: Stage
    code: int
    message: str
    doubtful: bool = False
    """Concluded from repeated 404s or a success without a URL, so an explicit look may still correct it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Snapshot:
    """One observation of a task. ``video_url`` goes with SUCCEEDED, ``failure`` with FAILED."""

    sighting: Sighting
    seen_at: datetime
    video_url: str = ""
    failure: Failure | None = None
    cost: float | None = None
    """In the service's own unit; None where it does not say."""
    request: VideoRequest | None = None
    """The order, as the service describes it."""
    stated: frozenset[str] = frozenset()
    """The fields of ``request`` that the service stated; the others hold defaults."""
    task_id: str = ""
    """The task that the service speaks of, where it says so."""

    def fits(self, ordered: VideoRequest) -> bool:
        """Whether the service describes the task as ``ordered``: the prompt, and whatever else it states."""
        # Without the prompt any two orders of the same shape would look alike.
        found = self.request
        return (
            found is not None and "prompt" in self.stated and all(_same(found, ordered, name) for name in self.stated)
        )


def _same(one: VideoRequest, other: VideoRequest, name: str) -> bool:
    values = (getattr(request, name) for request in (one, other))
    # What the service states is stored sanitized, so the order is compared so too.
    mine, theirs = (sanitized(value, PROMPT_LIMIT) if isinstance(value, str) else value for value in values)
    return bool(mine == theirs)


@dataclass(frozen=True, slots=True, kw_only=True)
class Doubt:
    """One look that found the task missing or without a URL."""

    seen_at: datetime
    sighting: Sighting


@dataclass(frozen=True, slots=True, kw_only=True)
class SavedFile:
    """The video on disk. ``path`` is absolute."""

    path: str
    size_bytes: int
    sha256: str
    link: str = ""
    """A signed address of ours; only where the task is shown to a caller over HTTP."""
    link_until: datetime | None = None
    """The end of that address."""

    @property
    def place(self) -> str:
        """The link over HTTP, else the path: what the caller can use."""
        return self.link or self.path


@dataclass(frozen=True, slots=True, kw_only=True)
class Task:
    """One order of one video, durable."""

    id: str
    """Ours, from the moment before the order is sent."""
    principal: str
    service: str
    request: VideoRequest
    created_at: datetime
    task_id: str = ""
    """The service's, empty until it has answered."""
    status: Status = Status.GENERATING
    idempotency_key: str = ""
    adopted: bool = False
    sending_until: datetime | None = None
    """The end of the lease under which some process sends the order."""
    callback_hash: str = field(default="", repr=False)
    """Of the callback path that the service was given; empty where it was given none."""
    known_unfinished_at: datetime | None = None
    doubts: tuple[Doubt, ...] = ()
    finished_at: datetime | None = None
    failure: Failure | None = None
    unclear_because: str = ""
    """Why the order is unconfirmed."""
    video_url: str = ""
    """An address that needs no key, or a path below the service's own address, which only the key opens."""
    url_seen_at: datetime | None = None
    retention: timedelta | None = RETENTION
    """How long the service keeps the video; None where it does not say."""
    price_unit: str = "credits"
    """Empty where orders are not known to cost anything."""
    cost: float | None = None
    """In ``price_unit``; None where the service does not say."""
    file: SavedFile | None = None
    last_look_at: datetime | None = None
    look_failed_at: datetime | None = None
    """Set while looks fail."""
    look_error_code: int = 0
    """The service's code for that, where it gave one."""
    download_attempts: int = 0
    """Downloads that were begun and brought no video."""
    version: int = 0
    """Counts saved changes; a change is saved only on the version that it was made from."""

    @property
    def reference(self) -> str:
        """The id to show and to ask by: the service's, or ``local-…`` before that is known or where it is no word."""
        return self.task_id if _SHOWABLE_ID.fullmatch(self.task_id) else LOCAL_PREFIX + self.id

    @property
    def link(self) -> str:
        """The video's address, to hand out; empty where there is none, or only the key opens it."""
        return "" if self.needs_key else self.video_url

    @property
    def needs_key(self) -> bool:
        """Whether only the service's key opens the video, so that it must be saved to be seen."""
        return self.video_url.startswith("/")

    @property
    def finished(self) -> bool:
        return self.status in (Status.SUCCEEDED, Status.FAILED, Status.REFUSED)

    @property
    def may_change(self) -> bool:
        """Whether a look could show anything new of it."""
        return not self.finished or self.correctable

    @property
    def correctable(self) -> bool:
        """Failed, but only by conclusion; an explicit look may still find a success."""
        return self.status is Status.FAILED and self.failure is not None and self.failure.doubtful

    @property
    def video_expires_at(self) -> datetime | None:
        """When the service deletes the file; None for tasks ordered elsewhere, and where the service does not say."""
        if self.adopted or self.status is not Status.SUCCEEDED or self.finished_at is None or self.retention is None:
            return None
        # The true end lies between the last look that found it unfinished and the first that found it done: the earlier
        # one is safe, because no text then promises a link that is already dead.
        return min(self.known_unfinished_at or self.created_at, self.finished_at) + self.retention

    def is_deleted(self, now: datetime) -> bool:
        """The service has deleted the video, so its link is dead; whether or not there is a copy."""
        return self.video_expires_at is not None and self.video_expires_at <= now

    def has_expired(self, now: datetime) -> bool:
        """The service has deleted the video, and there is no copy of it."""
        return self.file is None and self.is_deleted(now)

    def expires_soon(self, now: datetime) -> bool:
        """The service is about to delete the video, and there is no copy of it."""
        if self.file is not None or self.video_expires_at is None:
            return False
        return now < self.video_expires_at <= now + EXPIRY_WARNING


def advance(task: Task, snapshot: Snapshot) -> tuple[Task, tuple[TaskEvent, ...]]:
    """The task after one more observation, and the events that brings; the same task and none if nothing is new."""
    moved = _RULES[snapshot.sighting](task, snapshot)
    if moved == task:
        return task, ()
    if moved.finished and not task.finished:
        return moved, (TaskFinished(id=task.id, at=snapshot.seen_at),)
    if task.finished and (moved.status, moved.failure, moved.video_url) != (task.status, task.failure, task.video_url):
        return moved, (TaskCorrected(id=task.id, at=snapshot.seen_at),)
    return moved, ()


def _generating(task: Task, snapshot: Snapshot) -> Task:
    if not task.finished and snapshot.seen_at - task.created_at >= GIVEN_UP_AFTER:
        message = "the service has called it unfinished for 15 days"
        return _failed(task, replace(snapshot, failure=_concluded(0, message)))
    seen_at = max(task.known_unfinished_at or snapshot.seen_at, snapshot.seen_at)
    # The service knew the task at that instant, so earlier doubts count no more.
    doubts = tuple(doubt for doubt in task.doubts if doubt.seen_at > seen_at)
    return replace(task, known_unfinished_at=seen_at, doubts=doubts)


def _succeeded(task: Task, snapshot: Snapshot) -> Task:
    if task.status is not Status.SUCCEEDED:
        return replace(
            task,
            status=Status.SUCCEEDED,
            finished_at=snapshot.seen_at,
            video_url=snapshot.video_url,
            url_seen_at=snapshot.seen_at,
            failure=None,
            cost=snapshot.cost,
            doubts=(),
        )
    # A signed address may be another at each look: the latest holds longest. The earliest look is nearest to the end.
    known = (task.url_seen_at or snapshot.seen_at, task.video_url)
    url_seen_at, video_url = max(known, (snapshot.seen_at, snapshot.video_url))
    finished_at = min(task.finished_at or snapshot.seen_at, snapshot.seen_at)
    cost = _dearer(task.cost, snapshot.cost)
    return replace(task, finished_at=finished_at, video_url=video_url, url_seen_at=url_seen_at, cost=cost)


def _dearer(one: float | None, other: float | None) -> float | None:
    # A later look may say less and takes nothing back. The higher one also fits whatever order the snapshots come in.
    return max((cost for cost in (one, other) if cost is not None), default=None)


def _failed(task: Task, snapshot: Snapshot) -> Task:
    failure = snapshot.failure or Failure(stage=Stage.GENERATION, code=0, message="")
    if task.status is Status.SUCCEEDED or (task.status is Status.FAILED and failure.doubtful and not task.correctable):
        return task
    cost = snapshot.cost
    if task.status is Status.FAILED and task.failure is not None and task.correctable == failure.doubtful:
        cost = _dearer(task.cost, snapshot.cost)
        # Of two failures of one kind the first counts; the order of stage, code and words decides at the same instant.
        known = (task.finished_at or snapshot.seen_at, *_order(task.failure))
        if known <= (snapshot.seen_at, *_order(failure)):
            return replace(task, cost=cost)
    return replace(task, status=Status.FAILED, finished_at=snapshot.seen_at, failure=failure, cost=cost, doubts=())


def _doubted(task: Task, snapshot: Snapshot) -> Task:
    """A look that found nothing, or a success without a URL, counts only when it lasts."""
    if task.finished:
        return task
    if snapshot.sighting is Sighting.MISSING and snapshot.seen_at - task.created_at < GRACE:
        return _generating(task, snapshot)
    # A look that came late: the service has known the task since.
    if task.known_unfinished_at is not None and snapshot.seen_at <= task.known_unfinished_at:
        return task
    seen = {*task.doubts, Doubt(seen_at=snapshot.seen_at, sighting=snapshot.sighting)}
    doubts = sorted(seen, key=lambda doubt: (doubt.seen_at, doubt.sighting))
    lasted = doubts[-1].seen_at - doubts[0].seen_at >= DOUBT_LASTS
    if len(doubts) >= DOUBT_LOOKS and lasted:
        failure = _concluded(0, "the service calls it a success but has given no video address for ten minutes")
        if doubts[-1].sighting is Sighting.MISSING:
            failure = _concluded(404, "the service has not known this task for ten minutes", Stage.CREATION)
        return _failed(task, replace(snapshot, failure=failure, seen_at=doubts[-1].seen_at))
    # The rule needs the first two and the last; more would only make the row grow.
    kept = doubts if len(doubts) <= DOUBT_LOOKS else [*doubts[: DOUBT_LOOKS - 1], doubts[-1]]
    return replace(task, doubts=tuple(kept))


def _concluded(code: int, message: str, stage: Stage = Stage.GENERATION) -> Failure:
    return Failure(stage=stage, code=code, message=message, doubtful=True)


def unseen(task: Task, seen_at: datetime, code: int) -> Snapshot | None:
    """The end of a task that no look has found for 15 days, after one more look that failed; None before that."""
    if task.finished or seen_at - max(task.created_at, task.known_unfinished_at or task.created_at) < GIVEN_UP_AFTER:
        return None
    failure = _concluded(code, "no look at it has been answered for 15 days")
    return Snapshot(sighting=Sighting.FAILED, seen_at=seen_at, failure=failure)


def _order(failure: Failure) -> tuple[str, int, str]:
    return (failure.stage, failure.code, failure.message)


_RULES = {
    Sighting.GENERATING: _generating,
    Sighting.SUCCEEDED: _succeeded,
    Sighting.FAILED: _failed,
    Sighting.MISSING: _doubted,
    Sighting.NO_URL: _doubted,
}
