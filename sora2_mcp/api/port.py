"""What the rest of this package asks of the service; free of heavy libraries, so naming it costs no start-up time."""

from datetime import datetime
from typing import Protocol

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Snapshot

ORDER_LIMIT_SECONDS = 30.0
"""The longest an order's answer is waited for, connection included."""


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


class Sora2API(Protocol):
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
