"""What is asked of a video service, and what it is asked with; free of heavy libraries, so naming it is quick.

A service is one pure file (``sora2api.py``): requests as values, answers as tasks. The client that sends them is one.
"""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any, Protocol

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Snapshot

ORDER_LIMIT_SECONDS = 30.0
"""The longest an order's answer is waited for, connection included."""


NOT_ACCEPTED = frozenset(range(400, 500)) - {408, 409, 423, 425, 499}
"""HTTP statuses that no order can come back with after it was accepted, whoever answered.

The exceptions say that a request took too long, or that one like it is being worked on.
"""


@dataclass(frozen=True, slots=True, kw_only=True)
class Call:
    """One request to the service: ``path`` below its base address, and a body of JSON where there is one."""

    method: str
    path: str
    query: Mapping[str, str] = field(default_factory=dict)
    json: Mapping[str, Any] | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Answer:
    """What came back, without the key that was sent. ``headers`` have lower-case names.

    ``retry_after_seconds``: how long the service asks to wait, where it does. ``connect_seconds`` is 0 where there was
    a connection already.
    """

    status: int
    text: str
    headers: Mapping[str, str] = field(default_factory=dict)
    retry_after_seconds: float | None = None
    connect_seconds: float = 0.0


class Service(Protocol):
    """How one service is spoken to. Pure: nothing is sent here."""

    def order(self, request: VideoRequest) -> Call:
        """What orders a video."""
        ...

    def accepted(self, answer: Answer) -> str:
        """The id under which an order was accepted.

        Raises:
            ServiceError: the service refused, so nothing was spent.
            GatewayError: something in front of it refused, so nothing was spent.
            LostAnswerError: the answer leaves open whether it was accepted.
        """
        ...

    def look(self, task_id: str) -> Call:
        """What asks how a task stands."""
        ...

    def snapshot(self, answer: Answer, seen_at: datetime) -> Snapshot:
        """What the answer to a look shows of its task.

        Raises:
            ServiceError: the service would not say; the task itself is untouched.
            GatewayError: something in front of it refused.
            LostAnswerError: the answer cannot be read.
        """
        ...

    def callback_task_id(self, body: bytes) -> str:
        """The id of the task a callback says it is about; empty where it says none. Never raises."""
        ...


class Turns(Protocol):
    """The rate limit in front of the service."""

    async def order(self) -> None:
        """Waits for an order's turn."""
        ...

    async def look(self) -> None:
        """Waits for a look's turn."""
        ...

    async def round(self) -> None:
        """Waits for a turn of a look that nobody but the poller asked for."""
        ...


class ServiceClient(Protocol):
    """The two calls, and whose turn it is to make one."""

    @property
    def pace(self) -> Turns:
        """To be waited for before a look."""
        ...

    @property
    def last_contact_at(self) -> datetime | None:
        """When the service last answered anything, in this process."""
        ...

    async def generate(self, request: VideoRequest) -> str:
        """Orders a video, once, after the caller has taken its turn, and gives the task's id. Costs credits.

        Raises:
            NotReachedError: nothing was sent.
            ServiceError: refused; nothing was spent.
            LostAnswerError: sent, and nobody knows whether it was accepted.
        """
        ...

    async def record_info(self, task_id: str) -> Snapshot:
        """Looks at a task, after the caller has taken its turn; transient faults are repeated.

        Raises:
            NotReachedError, LostAnswerError, ServiceError: nothing was learnt; the task itself is untouched.
        """
        ...
