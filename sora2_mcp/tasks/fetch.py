"""A video's bytes from its address into a file, going on where a connection broke.

Source: RFC 9110, sections 8.8 (validators), 13.1.5 (If-Range) and 14 (ranges).
"""

import hashlib
import logging
import os
import re
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Mapping
from contextlib import AsyncExitStack, contextmanager
from dataclasses import dataclass, replace
from datetime import timedelta
from email.utils import parsedate_to_datetime
from pathlib import Path
from typing import BinaryIO, Literal

import anyio.to_thread
import httpx2

from sora2_mcp.clock import Clock
from sora2_mcp.domain.task import SavedFile
from sora2_mcp.errors import DownloadError, NoVideoError, UnwritableError
from sora2_mcp.services.exchange import reason_of
from sora2_mcp.tasks.files import is_whole_mp4
from sora2_mcp.telemetry.spans import outgoing_request

Progress = Callable[[int, int | None], Awaitable[None]]
"""Awaited after every piece, with the bytes so far and the whole size, where it is known.

The bytes fall only where the host made us start anew.
"""

KEYED = "sora2.keyed_url"
"""The request's extension that names the one address which the service's key is sent to."""

STALE = frozenset({401, 403, 404, 410})
"""What a video's host answers when an address is no longer good."""

IDLE_ATTEMPTS = 3
"""So many attempts in a row that bring nothing new end a download."""

_BUSY = frozenset({408, 425, 429, 500, 502, 503, 504})
_UNREACHABLE = (httpx2.ConnectError, httpx2.ConnectTimeout)
_BREAKS = (httpx2.TimeoutException, httpx2.NetworkError, httpx2.RemoteProtocolError, httpx2.DecodingError)
_TIMEOUT = httpx2.Timeout(connect=10, read=30, write=10, pool=10)
_CHUNK_BYTES = 256 * 1024
_START_BYTES = 8
_SILENCE_SECONDS = 60.0
"""A host can go on for ever with hints before an answer, or with a packing of nothing, and never be silent."""

LEAST_BYTES_PER_SECOND = 5_000
"""A host that sends less counts as stuck: it would hold a download's place for days."""

_LINK = "Give the user the link instead."
_REACH = (
    f"{_LINK} If a VPN, a proxy program or a company's DNS maps names to such addresses, ask them to allow that "
    "network in SORA2_DOWNLOAD_NETWORKS and to restart the server."
)
_CLI_REACH = (
    "If a VPN, a proxy program or your company's DNS maps names to such addresses, allow that network in "
    "SORA2_DOWNLOAD_NETWORKS."
)
_REFUSED = frozenset({401, 403})
_LET_IN = (
    "Give the user the link: their browser may be let in. If the video is older than 15 days, the service has deleted "
    "it."
)
_GONE = "Look with get_task_status; if the video is older than 15 days, the service has deleted it."

_PART = re.compile(r"bytes (\d{1,18})-(\d{1,18})/(\d{1,18}|\*)", re.ASCII | re.IGNORECASE)
_LENGTH = re.compile(r"\d{1,18}", re.ASCII)
_SETTLED = timedelta(seconds=60)

logger = logging.getLogger(__name__)


class RefusedAddressError(httpx2.RequestError):
    """A download would have gone where none may go; the message is the reason, a sentence about the video."""


class NotPublicError(RefusedAddressError):
    """It would have gone to an address that is not public and not allowed."""


class StaleAddressError(NoVideoError):
    """The address is no longer good; a look may bring a newer one."""


class UnreachableHostError(DownloadError):
    """No connection to the video's host; a look may bring another address."""


class _BrokenOffError(Exception):
    """An attempt that ended early though no connection failed; its text is the problem."""


async def fetch(
    http: httpx2.AsyncClient,
    *,
    url: str,
    part: Path,
    task_id: str,
    limit_bytes: int,
    clock: Clock,
    progress: Progress,
    needs_key: bool = False,
) -> SavedFile:
    """Streams ``url`` into ``part``, durably, and says what came; ``path`` of the result is ``part``.

    ``needs_key``: the address is one of the service's own, and its key is shown there.

    Goes on after a break, at the byte where it broke if the host can, for as long as attempts bring new bytes.

    Raises:
        DownloadError: no whole MP4 came; ``part`` may hold anything then.
    """
    transfer = _Transfer(
        http, url=url, part=part, task_id=task_id, limit_bytes=limit_bytes, clock=clock, progress=progress,
        needs_key=needs_key,
    )  # fmt: skip
    try:
        await _in_attempts(transfer, clock, task_id)
        is_whole = await anyio.to_thread.run_sync(is_whole_mp4, part)
    except RefusedAddressError as error:
        hint, cli_hint = (_REACH, _CLI_REACH) if isinstance(error, NotPublicError) else (_LINK, None)
        raise NoVideoError(task_id, str(error), hint, cli_hint) from error
    except httpx2.TooManyRedirects as error:
        raise NoVideoError(task_id, "its host redirects too often.", _LINK) from error
    except (httpx2.InvalidURL, *_UNREACHABLE) as error:
        raise UnreachableHostError(task_id, f"its host cannot be reached ({reason_of(error)}).") from error
    except httpx2.HTTPError as error:
        raise DownloadError(task_id, f"the connection to its host failed ({reason_of(error)}).") from error
    except _BrokenOffError as error:
        raise DownloadError(task_id, str(error)) from error
    except OSError as error:
        raise UnwritableError(task_id, f"the file could not be written ({error.strerror}).") from error
    saved = transfer.saved()
    if not is_whole:
        raise DownloadError(task_id, f"what its host sent ({saved.size_bytes:,} bytes) is no whole MP4 video.")
    return saved


async def _in_attempts(transfer: "_Transfer", clock: Clock, task_id: str) -> None:
    """Raises: what the last attempt ended with, once another is not worth it."""
    idle = furthest = 0
    began = clock.monotonic()
    while True:
        try:
            await transfer.attempt()
        except (*_BREAKS, _BrokenOffError) as error:
            gained = transfer.furthest_bytes - furthest
            # The pause before counts: a host that gives a few bytes at each attempt brings no video either. A hundredth
            # of the video is enough in any time: a hundred attempts are worth it.
            needed_bytes = min(LEAST_BYTES_PER_SECOND * (clock.monotonic() - began), transfer.total_bytes / 100)
            is_progress = gained > needed_bytes
            began = clock.monotonic()
            idle = 0 if is_progress else idle + 1
            furthest += gained
            # A host never reached may have moved: its address is looked up before it is tried again.
            if idle == IDLE_ATTEMPTS or (not furthest and isinstance(error, _UNREACHABLE)):
                raise
            logger.debug("the download of task %s broke at byte %d: %r", task_id, furthest, error)
            await clock.sleep(2**idle)
        else:
            return


class _Transfer:
    """One file on its way, over as many attempts as it takes."""

    def __init__(
        self,
        http: httpx2.AsyncClient,
        *,
        url: str,
        part: Path,
        task_id: str,
        limit_bytes: int,
        clock: Clock,
        progress: Progress,
        needs_key: bool = False,
    ) -> None:
        self._extensions = {KEYED: str(httpx2.URL(url))} if needs_key else {}
        self.furthest_bytes = 0
        self._http = http
        self._url = url
        self._part = part
        self._task_id = task_id
        self._limit_bytes = limit_bytes
        self._clock = clock
        self._progress = progress
        self._version = Version()
        self._size = 0
        self._digest = hashlib.sha256()
        self._gives_ranges = True

    @property
    def total_bytes(self) -> float:
        """The size of the whole; endless where it is not known."""
        return self._version.total_bytes or float("inf")

    async def attempt(self) -> None:
        """Brings what is missing, or as much of it as comes."""
        is_rest = bool(self._size) and self._gives_ranges and self._version.is_resumable
        asked = {"accept-encoding": "identity", **(self._version.rest_from(self._size) if is_rest else {})}
        with outgoing_request(httpx2.URL(self._url).host):
            await self._exchange(asked, is_rest=is_rest)

    async def _exchange(self, asked: dict[str, str], *, is_rest: bool) -> None:
        async with AsyncExitStack() as stack:
            answer = self._http.stream("GET", self._url, headers=asked, timeout=_TIMEOUT, extensions=self._extensions)
            with self._in_time():
                response = await stack.enter_async_context(answer)
            if is_rest and response.status_code in (206, 416):
                self._go_on(response)
            else:
                self._start_anew(response)
            total = self._version.total_bytes
            if total is not None and total > self._limit_bytes:
                raise _too_large(self._task_id, total, self._limit_bytes)
            # In a thread: to empty a large file takes long.
            with await anyio.to_thread.run_sync(_opened, self._part, "ab" if self._size else "wb") as file:
                await self._copy(response, file)

    @contextmanager
    def _in_time(self) -> Iterator[None]:
        with self._clock.timeout(_SILENCE_SECONDS) as patience:
            yield
        if patience.cancelled_caught:
            raise _BrokenOffError(f"nothing of it came for {_SILENCE_SECONDS:.0f} s.")

    def saved(self) -> SavedFile:
        return SavedFile(path=str(self._part), size_bytes=self._size, sha256=self._digest.hexdigest())

    def _go_on(self, response: httpx2.Response) -> None:
        rest = self._version.rest_in(response.headers, self._size)
        if response.status_code != httpx2.codes.PARTIAL_CONTENT or rest is None:
            # Its ranges cannot be trusted: from here on it is asked for the whole file only.
            self._gives_ranges = False
            raise _BrokenOffError("its host did not send the part of the file it was asked for.")
        self._version = rest

    def _start_anew(self, response: httpx2.Response) -> None:
        if response.status_code in STALE:
            status = response.status_code
            if status in _REFUSED:
                raise StaleAddressError(self._task_id, f"its host refuses to give it out (HTTP {status}).", _LET_IN)
            raise StaleAddressError(self._task_id, f"its host no longer gives it out (HTTP {status}).", _GONE)
        if response.status_code != httpx2.codes.OK:
            problem = f"its host answered HTTP {response.status_code}."
            raise _BrokenOffError(problem) if response.status_code in _BUSY else DownloadError(self._task_id, problem)
        self._version, self._size, self._digest = version_of(response.headers), 0, hashlib.sha256()

    async def _copy(self, response: httpx2.Response, file: BinaryIO) -> None:
        total = self._version.total_bytes
        try:
            async for chunk in self._chunks(response):
                await self._add(chunk, file, total)
        except (*_BREAKS, _BrokenOffError):
            # Nothing is missing then but the host's goodbye.
            if self._size != total:
                raise
        if total is not None and self._size < total:
            raise _BrokenOffError(f"{self._size:,} of {total:,} bytes came before its host broke off.")
        if not self._size:
            raise DownloadError(self._task_id, "its host sent an empty file.")
        file.flush()
        await anyio.to_thread.run_sync(os.fsync, file.fileno())

    async def _add(self, chunk: bytes, file: BinaryIO, total: int | None) -> None:
        if not self._size and chunk[4:_START_BYTES] != b"ftyp":
            raise DownloadError(self._task_id, "what its host sent is no MP4 video.")
        size = self._size + len(chunk)
        if size > self._limit_bytes:
            raise _too_large(self._task_id, size, self._limit_bytes)
        if total is not None and size > total:
            raise DownloadError(self._task_id, f"its host sent more than the {total:,} bytes it announced.")
        await anyio.to_thread.run_sync(file.write, chunk)
        self._digest.update(chunk)
        self._size, self.furthest_bytes = size, max(size, self.furthest_bytes)
        await self._progress(size, total)

    async def _chunks(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        """The body in pieces of one size; what came before a break is given before the break is raised."""
        pending = bytearray()
        try:
            async for some in self._body(response):
                pending += some
                while len(pending) >= _CHUNK_BYTES:
                    yield bytes(pending[:_CHUNK_BYTES])
                    del pending[:_CHUNK_BYTES]
        except (*_BREAKS, _BrokenOffError):
            # Fewer bytes do not show whether a video begins with them.
            if len(pending) >= _START_BYTES:
                yield bytes(pending)
            raise
        if pending:
            yield bytes(pending)

    async def _body(self, response: httpx2.Response) -> AsyncIterator[bytes]:
        """The body as it comes, if it comes fast enough."""
        pieces = response.aiter_bytes()
        came_bytes, since = 0, self._clock.monotonic()
        while True:
            with self._in_time():
                piece = await anext(pieces, None)
            if piece is None:
                return
            yield piece
            came_bytes += len(piece)
            seconds = self._clock.monotonic() - since
            if seconds >= _SILENCE_SECONDS:
                if came_bytes < LEAST_BYTES_PER_SECOND * seconds:
                    raise _BrokenOffError(f"its host sent {came_bytes:,} bytes in {seconds:.0f} s, which is too slow.")
                came_bytes, since = 0, self._clock.monotonic()


def _opened(path: Path, mode: Literal["ab", "wb"]) -> BinaryIO:
    """The file, unless it became a symbolic link, through which the video would overwrite another file."""

    def no_link(name: str, flags: int) -> int:
        return os.open(name, flags | getattr(os, "O_NOFOLLOW", 0), 0o666)

    return open(path, mode, opener=no_link)


def _too_large(task_id: str, size_bytes: int, limit_bytes: int) -> UnwritableError:
    problem = f"it has at least {size_bytes / 1e6:,.1f} MB, over the limit SORA2_MAX_VIDEO_MB={limit_bytes / 1e6:g}."
    hint = "Give the user the link instead, or ask them to raise SORA2_MAX_VIDEO_MB."
    return UnwritableError(task_id, problem, hint, cli_hint="Raise SORA2_MAX_VIDEO_MB, then try again.")


@dataclass(frozen=True, slots=True, kw_only=True)
class Version:
    """Which file a host gives out, as far as its answer says."""

    total_bytes: int | None = None
    etag: str = ""
    modified: str = ""
    validator: str = ""
    """What If-Range may compare; empty if the host gave nothing that is different for every content."""

    @property
    def is_resumable(self) -> bool:
        """Whether the rest of it can be distinguished from the rest of another file."""
        return bool(self.validator) or self.total_bytes is not None

    def rest_from(self, have_bytes: int) -> dict[str, str]:
        """The headers that ask for all but the first bytes, or for the whole of a file that has changed."""
        condition = {"if-range": self.validator} if self.validator else {}
        return {"range": f"bytes={have_bytes}-", **condition}

    def rest_in(self, headers: Mapping[str, str], have_bytes: int) -> "Version | None":
        """The version with what a 206 adds to it; None if that is not the rest of this file."""
        part = _PART.fullmatch(headers.get("content-range", "").strip())
        if part is None or is_encoded(headers) or not self._is_of(headers):
            return None
        first, last = int(part[1]), int(part[2])
        total = None if part[3] == "*" else int(part[3])
        if not have_bytes == first <= last or (total is not None and last >= total):
            return None
        if total != self.total_bytes and (not self.validator or None not in (total, self.total_bytes)):
            return None
        return replace(self, total_bytes=self.total_bytes if total is None else total)

    def _is_of(self, headers: Mapping[str, str]) -> bool:
        """Whether an answer is about this file, as far as it says: hosts may ignore If-Range."""
        if "etag" in headers:
            return headers["etag"] == self.etag
        return headers.get("last-modified", self.modified) == self.modified


def version_of(headers: Mapping[str, str]) -> Version:
    """What a 200 says. An encoded body says nothing: its length and ranges are not the file's."""
    if is_encoded(headers):
        return Version()
    length, etag = headers.get("content-length", ""), headers.get("etag", "")
    return Version(
        total_bytes=int(length) if _LENGTH.fullmatch(length) else None,
        etag=etag,
        modified=headers.get("last-modified", ""),
        validator=etag if etag.startswith('"') else _strong_date(headers),
    )


def is_encoded(headers: Mapping[str, str]) -> bool:
    return headers.get("content-encoding", "identity").strip().lower() != "identity"


def _strong_date(headers: Mapping[str, str]) -> str:
    """When the file was changed, unless so shortly before the answer that it may have changed twice."""
    modified = headers.get("last-modified", "")
    try:
        age = parsedate_to_datetime(headers.get("date", "")) - parsedate_to_datetime(modified)
    except (TypeError, ValueError):
        return ""
    return modified if age >= _SETTLED else ""
