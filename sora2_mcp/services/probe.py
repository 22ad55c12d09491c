"""The doctor's question to the service, such as a look at a task that cannot exist. It costs and changes nothing."""

from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime

import httpx2

from sora2_mcp.clock import Clock
from sora2_mcp.services.client import http_client, request_of
from sora2_mcp.services.exchange import exchange
from sora2_mcp.services.service import Answer, Call, Service

ANSWER_SECONDS = 8.0
"""The longest a question lasts, connecting included."""

_TIMEOUT = httpx2.Timeout(ANSWER_SECONDS, connect=5)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reply:
    """What the service answered: ``code`` and ``words`` of its envelope, and how long that took."""

    code: int
    words: str
    received_at: datetime
    served_at: datetime | None
    """By the service's own clock."""
    seconds: float
    connect_seconds: float
    """Of ``seconds``, until there was a connection; 0 where there was one."""


class Probe:
    """Asks the service at ``base_url``, with a key or without."""

    def __init__(self, service: Service, http: httpx2.AsyncClient, base_url: str, clock: Clock) -> None:
        self._service = service
        self._http = http
        self.base_url = base_url
        self._clock = clock

    async def ask(self, key: str = "") -> Reply:
        """What the service answers to a question that does no harm; asked once.

        Raises:
            NotReachedError: nothing was sent; the reason says what stood in the way.
            LostAnswerError: it was sent, and no answer of the service's came back.
        """
        began = self._clock.monotonic()
        for call in self._service.probes():
            answer = await self._answer(call, key)
            # A server without this path may have the next one.
            if answer.status != httpx2.codes.NOT_FOUND:
                break
        report = self._service.report(answer)
        return Reply(
            code=report.code,
            words=report.words,
            received_at=self._clock.now(),
            served_at=_date_of(answer.headers),
            seconds=self._clock.monotonic() - began,
            connect_seconds=answer.connect_seconds,
        )

    async def balance(self, key: str) -> float | None:
        """What is left in the account; None where the service does not say.

        Raises:
            NotReachedError, LostAnswerError: as ``ask`` does.
        """
        call = self._service.balance()
        return self._service.balance_in(await self._answer(call, key)) if call is not None else None

    async def _answer(self, call: Call, key: str) -> Answer:
        request = request_of(self._http, self.base_url, call, _TIMEOUT)
        if key:
            request.headers["authorization"] = f"Bearer {key}"
        return await exchange(self._http, request, clock=self._clock, limit_seconds=ANSWER_SECONDS)


@asynccontextmanager
async def open_probe(service: Service, base_url: str, clock: Clock) -> AsyncIterator[Probe]:
    """A probe that speaks to the service just as the server does, closed on exit."""
    # Without the key: the doctor first looks at what answers, and only then shows it.
    async with http_client(key="") as http:
        yield Probe(service, http, base_url, clock)


def _date_of(headers: Mapping[str, str]) -> datetime | None:
    try:
        date = parsedate_to_datetime(headers.get("date", ""))
    except ValueError:
        return None
    # A date with the zone -0000 is read as one without a zone; both mean UTC.
    return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
