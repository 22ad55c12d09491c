"""One harmless question to the service: a look at a task that cannot exist. It costs nothing and changes nothing."""

import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from typing import Any

import httpx2

from sora2_mcp.api.client import bounded_body, http_client
from sora2_mcp.api.codec import envelope_of
from sora2_mcp.clock import Clock
from sora2_mcp.errors import LostAnswerError, NotReachedError, first_of

ANSWER_SECONDS = 8.0
"""The longest a question lasts, connecting included."""

_NO_TASK = "sora2-mcp-doctor-asks-for-no-task"
_TIMEOUT = httpx2.Timeout(ANSWER_SECONDS, connect=5)
_STEPS = {"connect_tcp": "a connection", "start_tls": "the TLS handshake"}


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
            NotReachedError: there is no connection; the reason says what stood in the way.
            LostAnswerError: there is one, and nothing came over it that the service would say.
        """
        way = _Way(self._clock)
        get = self._http.build_request(
            "GET",
            f"{self.base_url}/record-info",
            params={"taskId": _NO_TASK},
            headers={"authorization": f"Bearer {key}"} if key else {},
            extensions={"trace": way.trace},
            timeout=_TIMEOUT,
        )
        with self._clock.timeout(ANSWER_SECONDS):
            return await self._asked(get, way)
        raise way.lost(TimeoutError())

    async def _asked(self, get: httpx2.Request, way: "_Way") -> Reply:
        try:
            response = await self._http.send(get, stream=True)
            try:
                body = await bounded_body(response)
            finally:
                await response.aclose()
        except httpx2.RequestError as error:
            raise way.lost(error) from error
        envelope = envelope_of(response.status_code, body)
        return Reply(
            code=envelope.code or 0,
            words=envelope.words,
            received_at=self._clock.now(),
            served_at=_date_of(response),
            seconds=self._clock.monotonic() - way.began,
            connect_seconds=way.connect_seconds,
        )


@asynccontextmanager
async def open_probe(base_url: str, clock: Clock) -> AsyncIterator[Probe]:
    """A probe that speaks to the service just as the server does, closed on exit."""
    async with http_client(base_url, key="") as http:
        yield Probe(http, base_url, clock)


class _Way:
    """How far a request has come, as the connection tells."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._missing = "a connection"
        self.began = clock.monotonic()
        self.connect_seconds = 0.0

    async def trace(self, event: str, _info: Any) -> None:
        step, _, state = event.rpartition(".")
        name = step.rpartition(".")[2]
        if state == "started":
            self._missing = _STEPS.get(name, "an answer")
        elif state == "complete" and name in _STEPS:
            self._missing = "an answer"
            self.connect_seconds = self._clock.monotonic() - self.began

    def lost(self, error: Exception) -> NotReachedError | LostAnswerError:
        """What to raise for a request that ended in this way."""
        if isinstance(error, httpx2.TimeoutException | TimeoutError):
            seconds = _TIMEOUT.connect if isinstance(error, httpx2.ConnectTimeout) else ANSWER_SECONDS
            reason = f"{self._missing} did not come about within {seconds:g} s"
        else:
            reason = next(filter(None, map(_told, _causes(error))), type(error).__name__)
        return LostAnswerError(reason) if self._missing == "an answer" else NotReachedError(reason)


def _causes(error: BaseException | None) -> Iterator[BaseException]:
    while error is not None:
        error = first_of(error)
        yield error
        error = error.__cause__ or error.__context__


def _told(error: BaseException) -> str:
    """What a cause tells, in words that hold nothing but names of errors; empty where it says nothing of its own."""
    match error:
        case socket.gaierror():
            return f"its name cannot be found: {error.strerror}"
        case ssl.SSLCertVerificationError():
            return f"its certificate is not accepted: {error.verify_message}"
        case ssl.SSLError():
            return f"TLS failed: {error.reason or type(error).__name__}"
        case ConnectionRefusedError():
            return "the connection was refused"
        case OSError() if error.strerror:
            return error.strerror
        case httpx2.ProxyError():
            return "the proxy named in the environment does not let it through"
        case httpx2.RemoteProtocolError():
            return "the connection ended without an answer in HTTP"
        case _:
            return ""


def _date_of(response: httpx2.Response) -> datetime | None:
    try:
        date = parsedate_to_datetime(response.headers.get("date", ""))
    except ValueError:
        return None
    return date.astimezone(UTC) if date.tzinfo else date.replace(tzinfo=UTC)
