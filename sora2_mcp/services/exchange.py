"""One request to the service and its answer. How far it came decides what a failure means.

docs/architecture.md has it as a table, "Sent or not sent".
"""

import json
import socket
import ssl
from collections.abc import AsyncIterator, Iterator
from datetime import datetime
from email.utils import parsedate_to_datetime
from typing import Any

import anyio.lowlevel
import httpx2

from sora2_mcp.clock import Clock
from sora2_mcp.errors import CertificateError, LostAnswerError, NotReachedError, ProxyError, leaves
from sora2_mcp.services.proxies import ProxySettingError
from sora2_mcp.services.redaction import without_key
from sora2_mcp.services.service import NOT_ACCEPTED, Answer
from sora2_mcp.services.tls import CAFileError
from sora2_mcp.telemetry.spans import outgoing_request

BODY_LIMIT_BYTES = 250_000
"""Forty times the longest answer that a service has reason to send; reading more would hold up the event loop."""

# For transports that do not report their steps. These errors come before anything is sent.
_NOT_SENT = (
    httpx2.ConnectError,
    httpx2.ConnectTimeout,
    httpx2.PoolTimeout,
    httpx2.ProxyError,
    httpx2.UnsupportedProtocol,
)

_STEPS = {
    "connect_tcp": "connection",
    "setup_socks5_connection": "connection through the proxy",
    "start_tls": "TLS handshake",
}
_PROXY_LOGIN = 407


async def exchange(http: httpx2.AsyncClient, request: httpx2.Request, *, clock: Clock, limit_seconds: float) -> Answer:
    """Sends the request once and reads the whole answer.

    Raises:
        NotReachedError: nothing of the request was sent.
        LostAnswerError: it was sent, and no whole answer of a size that the service sends came within the limit.
    """
    progress = _Progress(request, clock, limit_seconds)
    request.extensions["trace"] = progress.trace
    key = request.headers.get("authorization", "").removeprefix("Bearer ")
    try:
        with clock.timeout(limit_seconds) as limit, outgoing_request(request.url.host):
            response = await http.send(request, stream=True)
            try:
                body = await _body(response)
            finally:
                # Also where the body was not read to its end: the connection is then given up, not kept.
                await response.aclose()
            return Answer(
                status=response.status_code,
                headers=dict(response.headers),
                retry_after_seconds=_retry_after_seconds(response.headers.get("retry-after", "").strip(), clock.now()),
                # In the encodings that JSON may have; what is no text becomes question marks.
                text=without_key(body.decode(json.detect_encoding(body), errors="replace"), key),
                connect_seconds=progress.connect_seconds,
            )
    # A name that no resolver takes raises a UnicodeError.
    except (httpx2.RequestError, UnicodeError) as error:
        raise progress.failure(error) from error
    assert limit.cancelled_caught  # noqa: S101 - the block ends with an answer, an error or the limit
    raise progress.failure(TimeoutError())


def _retry_after_seconds(value: str, now: datetime) -> float | None:
    """``Retry-After`` as seconds from now, whether it was sent as a number or as a date."""
    try:
        # At most a day: a longer time could lie beyond what a date can hold.
        if value.isdecimal():
            return float(min(int(value), 86_400))
        return max(0.0, (parsedate_to_datetime(value) - now).total_seconds())
    except (TypeError, ValueError, OverflowError):
        return None


async def _body(response: httpx2.Response) -> bytes:
    body = bytearray()
    try:
        async for chunk in response.aiter_bytes():
            body += chunk
            if len(body) > BODY_LIMIT_BYTES:
                raise LostAnswerError(f"an answer of more than {BODY_LIMIT_BYTES:,} bytes")
    except (httpx2.RequestError, LostAnswerError):
        # The status alone says that nothing was accepted, however its page ends.
        if response.status_code not in NOT_ACCEPTED:
            raise
        body.clear()
    return bytes(body)


class _InTurns(httpx2.AsyncByteStream):
    """A body that lets other tasks run after each piece."""

    def __init__(self, body: httpx2.AsyncByteStream) -> None:
        self._body = body

    async def __aiter__(self) -> AsyncIterator[bytes]:
        async for piece in self._body:
            yield piece
            # Pieces that are already received come without a pause, and there may be thousands: of one byte each, or of
            # an empty compressed body.
            await anyio.lowlevel.checkpoint()

    async def aclose(self) -> None:
        await self._body.aclose()


async def leave_others_their_turn(response: httpx2.Response) -> None:
    """An event hook: no body holds up the event loop."""
    if isinstance(response.stream, httpx2.AsyncByteStream):
        response.stream = _InTurns(response.stream)


async def refuse_nested_codings(response: httpx2.Response) -> None:
    """An event hook against bodies that are compressed more than once.

    Raises:
        httpx2.DecodingError: this one is.
    """
    # Four codings around nothing keep a decoder busy for ever.
    codings = [coding for coding in response.headers.get("content-encoding", "").split(",") if coding.strip()]
    if len(codings) > 1:
        raise httpx2.DecodingError("The body is packed more than once", request=response.request)


class _Progress:
    """How far a request has come, as the transport reports it."""

    def __init__(self, request: httpx2.Request, clock: Clock, limit_seconds: float) -> None:
        self.connect_seconds = 0.0
        self._clock = clock
        self._limit_seconds = limit_seconds
        self._connect_limit_seconds = request.extensions["timeout"]["connect"]
        self._began = clock.monotonic()
        self._reports = False
        self._sending = False
        self._missing = "answer"
        self._proxy_status = 0

    async def trace(self, event: str, info: dict[str, Any]) -> None:
        """Called by httpcore2 at each step, with ``connection.connect_tcp.started`` for example."""
        self._reports = True
        step, _, state = event.rpartition(".")
        name = step.rpartition(".")[2]
        if name in _STEPS and state == "started":
            self._missing = _STEPS[name]
        elif name in _STEPS and state == "complete":
            self._missing = "answer"
            self.connect_seconds = self._clock.monotonic() - self._began
        elif name == "send_request_headers" and state == "started":
            # A proxy first gets a request of its own, in which nothing of ours is sent.
            self._sending = info["request"].method != b"CONNECT"
            self._missing = "answer" if self._sending else "answer of the proxy"
        elif name == "receive_response_headers" and state == "complete" and not self._sending:
            self._proxy_status = info["return_value"][1]

    def failure(self, error: Exception) -> NotReachedError | LostAnswerError:
        """The error that ``error`` means for the caller, by how far the request came."""
        reason = self._reason(error)
        # In doubt it was sent: a repeat could cost a second video.
        if self._sending or not (self._reports or isinstance(error, _NOT_SENT)):
            return LostAnswerError(reason)
        return self._kind(error)(reason)

    def _reason(self, error: Exception) -> str:
        if self._proxy_status and not self._sending:
            status = self._proxy_status
            return f"the proxy wants a login ({status})" if status == _PROXY_LOGIN else f"the proxy refused ({status})"
        if isinstance(error, TimeoutError):
            return f"no {self._missing} within {self._limit_seconds:g} s"
        if self._reports and isinstance(error, httpx2.ConnectTimeout):
            return f"no {self._missing} within {self._connect_limit_seconds:g} s"
        return reason_of(error)

    def _kind(self, error: Exception) -> type[NotReachedError]:
        found = list(causes(error))
        if self._proxy_status or any(isinstance(cause, httpx2.ProxyError | ProxySettingError) for cause in found):
            return ProxyError
        is_of_certificate = any(isinstance(cause, ssl.SSLCertVerificationError | CAFileError) for cause in found)
        return CertificateError if is_of_certificate else NotReachedError


def causes(error: BaseException | None) -> Iterator[BaseException]:
    """The error, and what led to it."""
    while error is not None:
        # A group counts as its first error: anyio tries each address of a name.
        error = leaves(error)[0]
        yield error
        error = error.__cause__ or error.__context__


def reason_of(error: Exception) -> str:
    """Why a request failed, in words that hold no value of the environment."""
    return next(filter(None, map(_in_words, causes(error))), "") or _kind_in_words(error)


def _kind_in_words(error: Exception) -> str:
    """What is known by the error's kind alone: no reader knows our libraries' classes."""
    kinds = {
        httpx2.ConnectTimeout: "no connection in time",
        httpx2.PoolTimeout: "no connection was free in time",
        httpx2.TimeoutException: "no answer in time",
        httpx2.ConnectError: "no connection could be made",
        httpx2.NetworkError: "the connection broke off",
        httpx2.DecodingError: "its answer cannot be unpacked",
        httpx2.UnsupportedProtocol: "its address cannot be used",
        httpx2.InvalidURL: "its address cannot be used",
    }
    return next((words for kind, words in kinds.items() if isinstance(error, kind)), "an unexpected failure")


def _in_words(error: BaseException) -> str:
    """An error in words that hold no value of the environment; empty where its cause says more."""
    # Only words of these are shown: those of others may quote a proxy's address, with its password.
    match error:
        case ProxySettingError() | CAFileError():
            return str(error)
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
            return "the proxy did not connect to it"
        case httpx2.RemoteProtocolError():
            return "the connection ended without an answer in HTTP"
        case _:
            return ""
