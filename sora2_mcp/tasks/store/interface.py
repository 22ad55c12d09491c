"""What goes into the store and comes out of it; free of SQLAlchemy, which is slow to import."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from enum import Enum

from sora2_mcp.domain.task import Task

LOOK_LEASE = timedelta(seconds=30)
"""A lease covers one look; a look that lasts longer has died."""

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
