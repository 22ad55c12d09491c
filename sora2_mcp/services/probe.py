"""One harmless question to the service: a look at a task that cannot exist. It costs nothing and changes nothing."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2

from sora2_mcp.clock import Clock
from sora2_mcp.services.client import http_client
from sora2_mcp.services.exchange import exchange
from sora2_mcp.services.sora2api import envelope_of

ANSWER_SECONDS = 8.0
"""The longest a question lasts, connecting included."""

_NO_TASK = "sora2-mcp-doctor-asks-for-no-task"
_TIMEOUT = httpx2.Timeout(ANSWER_SECONDS, connect=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the service said: ``code`` and ``words`` of its envelope, and ``served_at``, the time by its own clock.

    ``seconds`` is how long it took; of these, ``connect_seconds`` until there was a connection, 0 where there was one.
    """

    code: int
    words: str
    received_at: datetime
    served_at: datetime | None
    seconds: float
    connect_seconds: float


class Probe:
    """Asks the service at ``base_url``, with a key or without."""

    def __init__(self, http: httpx2.AsyncClient, base_url: str, clock: Clock) -> None:
        self._http = http
        self.base_url = base_url
        self._clock = clock

    async def ask(self, key: str = "") -> Reply:
        """What the service says to a look at a task that cannot exist; asked once.

        Raises:
            NotReachedError: nothing was sent; the reason says what stood in the way.
            LostAnswerError: it was sent, and nothing came back that the service would say.
        """
        get = self._http.build_request(
            "GET",
            f"{self.base_url}/record-info",
            params={"taskId": _NO_TASK},
            headers={"authorization": f"Bearer {key}"} if key else {},
            timeout=_TIMEOUT,
        )
        began = self._clock.monotonic()
        answer = await exchange(self._http, get, clock=self._clock, limit_seconds=ANSWER_SECONDS)
        envelope = envelope_of(answer)
        return Reply(
            code=envelope.code or 0,
            words=envelope.words,
            received_at=self._clock.now(),
            served_at=_date_of(answer.headers),
            seconds=self._clock.monotonic() - began,
            connect_seconds=answer.connect_seconds,
        )


@asynccontextmanager
async def open_probe(base_url: str, clock: Clock) -> AsyncIterator[Probe]:
    """A probe that speaks to the service just as the server does, closed on exit."""
    async with http_client(key="") as http:
        yield Probe(http, base_url, clock)


def _date_of(headers: Mapping[str, str]) -> datetime | None:
    try:
        date = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
