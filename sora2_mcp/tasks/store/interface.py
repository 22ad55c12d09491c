"""What the rest of this package asks of a store; free of SQLAlchemy, so that naming it costs no start-up time."""

from collections.abc import AsyncIterator, Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum
from typing import Protocol

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import SavedFile, Status, Task

LOOK_LEASE = timedelta(seconds=30)
"""A lease covers one look; a look that lasts longer has died."""

MOST_COUNTED = 1000
"""Tasks are counted no further, so that a long history costs a list nothing."""

LONGEST_SENDING = timedelta(minutes=10)
"""No order is being sent for longer."""

FARTHEST_LOOK = timedelta(days=2)
"""No settings allow to plan a look further ahead."""


class Outcome(Enum):
    """How a reservation ended."""

    NEW = "new"
    SAME_KEY = "same key"
    SAME_CONSENT = "same consent"
    REPEAT = "repeat"


@dataclass(frozen=True, slots=True)
class LimitUse:
    """How much of the limit that ``variable`` sets is used, over all principals."""

    variable: str
    limit: float
    used: float

    @property
    def is_near(self) -> bool:
        """Whether four fifths are used."""
        return self.used >= self.limit * 0.8


@dataclass(frozen=True, slots=True, kw_only=True)
class Reservation:
    """The task an order belongs to; only with ``Outcome.NEW`` is it the caller's to send.

    ``limits``: how much is used of those that are set, a new order included.
    """

    task: Task
    outcome: Outcome
    limits: tuple[LimitUse, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Budget:
    """What limits orders; 0 = no limit. Counted over all principals of one service.

    ``daily_cost`` is in the service's own unit.
    """

    max_active_tasks: int
    daily_limit: int
    daily_cost: float = 0.0
    duplicate_window: timedelta

    @property
    def has_limits(self) -> bool:
        return bool(self.max_active_tasks or self.daily_limit or self.daily_cost)


@dataclass(frozen=True, slots=True, kw_only=True)
class Usage:
    """Orders counted: ``mine`` of one principal, ``all`` of every principal of the service.

    Costs are in the service's own unit; None where it has stated none.
    """

    mine_today: int
    mine_failed_today: int
    mine_this_month: int
    mine_failed_this_month: int
    all_today: int
    all_active: int
    mine_cost_today: float | None = None
    mine_cost_this_month: float | None = None
    all_cost_today: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class PageMark:
    """Where the next page of ``list_tasks`` begins: after this task."""

    created_at: datetime
    id: str


@dataclass(frozen=True, slots=True, kw_only=True)
class LookPlan:
    """When to look next: while a caller waits, while none does, and the earliest instant that the service allows."""

    wanted_at: datetime
    idle_at: datetime
    not_before: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Survey:
    """How a store stands, found without changing it. Counts are of all principals.

    ``has_tables``: its tables are made; ``is_current``: and need no migration, else nothing is counted. ``obstacle``
    says why nothing can be written, empty where it can. ``expiring`` of the ``unsaved`` videos are deleted soon.
    ``others`` are tasks of other services (another key, another address). ``newest_at`` is when a task of any service
    was last changed.
    """

    has_tables: bool
    is_current: bool
    obstacle: str = ""
    tasks: int = 0
    unconfirmed: int = 0
    unsaved: int = 0
    expiring: int = 0
    others: int = 0
    newest_at: datetime | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class CallerUsage:
    """What one principal has ordered, and how many of its tasks are unfinished."""

    principal: str
    unfinished: int
    today: int
    this_month: int
    failed_this_month: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Claim:
    """A task, leased for one look.

    ``failures``: how many looks failed in a row so far. ``hinted_id``: the id that a callback named of an order that
    has none.
    """

    task: Task
    failures: int = 0
    hinted_id: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Due:
    """When the next look is due, and when the next lease of an order being sent ends."""

    look_at: datetime | None
    lapse_at: datetime | None


class Store(Protocol):
    """Tasks of one ``service``. Every method is one transaction; none of them touches another service's rows.

    Raises:
        StoreError: from any method, when the database cannot be used.
    """

    async def preview(self, draft: Task, budget: Budget) -> Reservation | None:
        """What ``reserve`` would find, None where it would save a new intent; saves nothing.

        Raises:
            KeyReusedError, LimitError: as ``reserve`` would.
        """
        ...

    async def reserve(
        self,
        draft: Task,
        budget: Budget,
        consent: str = "",
        admit: Callable[[Task], None] = lambda _: None,
    ) -> Reservation:
        """Finds the task an order already has, or durably saves the intent to send it, within the budget.

        In this order: same consent of a person, same idempotency key, exact repeat, limits, ``admit``, insert. What
        ``admit`` raises is passed on, and nothing is saved.

        Raises:
            KeyReusedError: the key belongs to another order, or to one that failed.
            LimitError: a limit is reached; nothing is saved.
        """
        ...

    async def hold(self, id: str, lease: timedelta) -> None:
        """Extends the lease under which this process sends the order: so long from now."""
        ...

    async def hand_out(self, id: str) -> Task:
        """Notes that a caller now holds the local id, so the order can no longer vanish; gives the task as it is."""
        ...

    async def refuse(self, refused: Task) -> Task:
        """Ends an unanswered order that the service turned down: hidden, or failed where a caller holds its id.

        Refused orders are deleted after a day.
        """
        ...

    async def unclear(self, id: str, reason: str) -> Task:
        """Marks an unanswered order as unconfirmed, and keeps why."""
        ...

    async def lapse(self) -> None:
        """Marks orders as unconfirmed whose sending lease has ended: the process that sent them has died."""
        ...

    async def bind(self, id: str, task_id: str, plan: LookPlan) -> Task:
        """Gives an order the service's id. Idempotent; merges an adopted task of the same id."""
        ...

    async def bind_hinted(self, id: str, task_id: str, plan: LookPlan) -> Task | None:
        """The same where only a callback named the id: None, and nothing changed, if another order has it.

        An order that has an id by now is given as it is.
        """
        ...

    async def adopt(self, task: Task, plan: LookPlan) -> Task:
        """Saves a task ordered elsewhere, unless it is known by now; gives the saved one.

        Raises:
            UnknownTaskError: another principal has it.
        """
        ...

    async def load(self, id: str) -> Task | None:
        """The task with this local id, refused ones too."""
        ...

    async def find(self, principal: str, reference: str) -> Task | None:
        """The principal's task called ``local-…`` or by the service's id."""
        ...

    async def beginning_with(self, principal: str, beginning: str, limit: int) -> Sequence[Task]:
        """The principal's tasks whose ``local-…`` or service's id begins so, newest first."""
        ...

    async def is_known(self, task_id: str) -> bool:
        """Whether any principal has a task the service calls so."""
        ...

    async def page(
        self, principal: str | None, status: Status | None, limit: int, after: PageMark | None
    ) -> Sequence[Task]:
        """Tasks of a principal (None: of all), newest first; costs the same however many there are."""
        ...

    async def count(self, principal: str, status: Status | None) -> int:
        """How many tasks ``page`` would give in all, up to ``MOST_COUNTED``."""
        ...

    async def usual_seconds(self, request: VideoRequest) -> float | None:
        """The median of how long the last 20 videos of the same quality and length took; None where there are none."""
        ...

    async def callers(self) -> Sequence[CallerUsage]:
        """What each principal has ordered this month (UTC), the one with most orders first."""
        ...

    async def usage(self, principal: str) -> Usage:
        """Counts of today (UTC) and this month."""
        ...

    async def want(self, task: Task, until: datetime, look_at: datetime) -> None:
        """Notes that a caller waits, and pulls the next look forward to ``look_at``.

        It stays where it is if a look is under way, or was made since ``task`` was read.
        """
        ...

    async def hint(self, callback_hash: str, task_id: str = "") -> Task | None:
        """Makes the order that was sent with this callback path due; gives it, None where there is none.

        A look that is under way does not count: another one follows. ``task_id``: what the callback says its id is.
        """
        ...

    async def due(self, farthest: timedelta = FARTHEST_LOOK) -> Due:
        """What the poller has to wake up for.

        A look set further ahead than ``farthest`` is due as well: the clock was set back since.
        """
        ...

    async def unfinished(self) -> int:
        """How many tasks are still looked at: ordered, and not known to have ended."""
        ...

    async def claim(self, task: Task | None = None, *, farthest: timedelta = FARTHEST_LOOK) -> Claim | None:
        """Takes the lease for one look: at this task, or at the due one that is most urgent; None where there is none.

        Most urgent are those with a hint, then those that are waited for, then the longest due. ``task`` is not claimed
        where it was looked at since it was read.
        """
        ...

    async def claimed(self, claim: Claim) -> Claim | None:
        """The same claim with the task as others have saved it meanwhile; None where the lease was lost."""
        ...

    async def settle(self, claim: Claim, task: Task, plan: LookPlan, error_code: int | None = None) -> Task | None:
        """Saves what a look showed, sets the next one and gives the lease back; gives the task as it is saved.

        The task is due at once if a hint came after the look began. An order without an id is looked at again only if
        the look failed: ``error_code`` (0 = none of the service's). None, and nothing is saved, where others have
        changed the task since it was claimed.
        """
        ...

    async def release(self, claim: Claim) -> None:
        """Gives the lease back where the look was broken off: the task is due at once."""
        ...

    async def unsaved(self, limit: int, *, only_keyed: bool = False) -> Sequence[Task]:
        """Succeeded tasks of any principal whose video is not saved and not deleted yet, the oldest first.

        ``only_keyed``: those whose address only the service's key opens.
        Without those whose download has failed ``DOWNLOAD_ATTEMPTS`` times.
        """
        ...

    async def claim_download(self, id: str, lease: timedelta) -> Task | None:
        """Takes, or extends, the lease for saving the video's file; gives the task, None while another process has it.

        Taking it counts as an attempt.
        """
        ...

    async def settle_download(self, id: str, file: SavedFile, replaces: SavedFile | None) -> Task:
        """Gives the lease back and keeps the file's place, if the one it ``replaces`` is still the stored one."""
        ...

    async def release_download(self, id: str, *, was_attempt: bool = True) -> None:
        """Gives the lease back with nothing saved; not an attempt where it was not the host that failed."""
        ...

    def changes(self) -> AsyncIterator[Sequence[str]]:
        """Local ids of tasks that other processes saved, within a second of it; first an empty batch: from here on.

        Called again after a StoreError, it also gives what was saved meanwhile.
        """
        ...
