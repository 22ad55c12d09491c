"""A look at a finished video without playing it: from the saved file, or from as little of its address as it takes."""

import io
import re
from collections import OrderedDict
from collections.abc import Callable
from contextlib import closing
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from pathlib import Path
from typing import Protocol

import anyio.from_thread
import anyio.to_thread
import httpx2

from sora2_mcp.domain.task import Status, Task
from sora2_mcp.errors import PreviewError
from sora2_mcp.services.exchange import reason_of
from sora2_mcp.tasks.core import Core
from sora2_mcp.tasks.fetch import STALE, RefusedAddressError, is_encoded
from sora2_mcp.tasks.files import is_kept
from sora2_mcp.tasks.polling import Polling

MOST_FRAMES = 9

_FILE_SECONDS = 4.0
_ADDRESS_SECONDS = 20.0
_AT_ONCE = 2
_MOST_BYTES = 64_000_000
"""Read of one video, whatever its size: enough for the index and some seconds of each part of it."""

_PIECE_BYTES = 512 * 1024
_PIECES_KEPT = 24
_TIMEOUT = httpx2.Timeout(connect=5, read=10, write=10, pool=10)
_PART = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", re.ASCII | re.IGNORECASE)


@dataclass(frozen=True, slots=True, kw_only=True)
class Facts:
    """What a video is: its length in seconds, its size in pixels, its codecs. 0 and empty: it does not say."""

    seconds: float
    width: int
    height: int
    frame_rate: float
    codec: str
    sound: str
    """The codec of its sound; empty where it has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Preview:
    """Frames of a video on one JPEG of at most 200 kB, and the moments they show, in seconds from its start."""

    jpeg: bytes
    moments: tuple[float, ...]
    facts: Facts


class Video(Protocol):
    """The bytes of a video, to be read in a thread."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, offset: int, whence: int = ..., /) -> int: ...
    def tell(self) -> int: ...
    def close(self) -> None: ...


Opened = Callable[[Callable[[], bool]], Video]
"""Opens a video, of which is read only while the function that it is given says that there is time."""


class UnreadableVideoError(Exception):
    """The bytes did not come, or are no video that can be shown; the message says why."""


class _StaleError(Exception):
    """The address is no longer good."""


def is_available() -> bool:
    """Whether the extra ``preview`` is installed."""
    return all(find_spec(name) is not None for name in ("av", "PIL"))


class Previews:
    """Makes previews, few at a time, each in a thread."""

    def __init__(self, core: Core, polling: Polling, http: httpx2.AsyncClient) -> None:
        self._clock = core.clock
        self._polling = polling
        self._http = http
        self._threads = anyio.CapacityLimiter(_AT_ONCE)

    async def of(self, task: Task, count: int) -> Preview:
        """So many frames of the task's video, and what it is.

        Raises:
            PreviewError: there is no video, or it cannot be read. Any error of a look.
        """
        if task.status is not Status.SUCCEEDED:
            hint = "" if task.finished else f'Call wait_for_video(task_id="{task.reference}") first.'
            raise PreviewError(task.reference, f"there is none, the task is {task.status.value}.", hint)
        if task.file is not None and await is_kept(task.file):
            path = Path(task.file.path)
            return await self._made(task, lambda _: path.open("rb"), count, _FILE_SECONDS)
        save = f'Call download_video(task_id="{task.reference}") first.'
        if task.is_deleted(self._clock.now()) or not task.link:
            raise PreviewError(task.reference, "it is not saved, and the service gives no address of it.", save)
        try:
            return await self._from_address(task, count)
        except _StaleError:
            seen = await self._polling.look(task)
        try:
            if not seen.link or seen.link == task.link:
                raise _StaleError
            return await self._from_address(seen, count)
        except _StaleError:
            raise PreviewError(task.reference, "its host no longer gives it out.", save) from None

    async def _from_address(self, task: Task, count: int) -> Preview:
        return await self._made(task, partial(_RemoteVideo, self._http, task.link), count, _ADDRESS_SECONDS)

    async def _made(self, task: Task, opened: Opened, count: int, seconds: float) -> Preview:
        until = self._clock.monotonic() + seconds

        def in_time() -> bool:
            return self._clock.monotonic() < until

        # A thread cannot be stopped: one that hangs is left behind, and keeps its place until it ends.
        with self._clock.timeout(seconds + 0.5):
            try:
                make = partial(_preview, opened, count, in_time)
                return await anyio.to_thread.run_sync(make, abandon_on_cancel=True, limiter=self._threads)
            except UnreadableVideoError as error:
                raise PreviewError(task.reference, f"{error}.") from error
            except OSError as error:
                raise PreviewError(task.reference, f"its file cannot be read ({error.strerror}).") from error
        raise PreviewError(task.reference, "it takes too long to read.")


def _preview(opened: Opened, count: int, in_time: Callable[[], bool]) -> Preview:
    """In the thread: what is imported here takes 0.2 s."""
    from sora2_mcp.tasks.frames import preview_of  # noqa: PLC0415 - as above

    with closing(opened(in_time)) as file:
        return preview_of(_Bounded(file, in_time), count, in_time)


class _Bounded:
    """A file of which only so much is read, and only in time: a damaged index can ask for the same bytes for ever."""

    def __init__(self, file: "Video", in_time: Callable[[], bool]) -> None:
        self._file = file
        self._in_time = in_time
        self._left = _MOST_BYTES
        self.seek, self.tell, self.close = file.seek, file.tell, file.close

    def read(self, size: int) -> bytes:
        self._left -= size
        if self._left < 0 or not self._in_time():
            raise UnreadableVideoError("it takes too long to read")
        return self._file.read(size)


class _RemoteVideo:
    """A video at its address, of which only the pieces that are read are fetched; used in a worker thread."""

    def __init__(self, http: httpx2.AsyncClient, url: str, in_time: Callable[[], bool]) -> None:
        self._http = http
        self._url = url
        self._in_time = in_time
        self._place = 0
        self._size = 0
        self._pieces: OrderedDict[int, bytes] = OrderedDict()

    def close(self) -> None:
        self._pieces.clear()

    def tell(self) -> int:
        return self._place

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        if whence == io.SEEK_END and not self._size:
            self._piece(0)
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._place, io.SEEK_END: self._size}[whence]
        self._place = max(0, start + offset)
        return self._place

    def read(self, size: int) -> bytes:
        """At most so many bytes, and no more than are left of the piece that they are in."""
        if self._size and self._place >= self._size:
            return b""
        number, offset = divmod(self._place, _PIECE_BYTES)
        found = self._piece(number)[offset : offset + size]
        self._place += len(found)
        return found

    def _piece(self, number: int) -> bytes:
        if number not in self._pieces:
            if not self._in_time():
                raise UnreadableVideoError("it takes too long to read")
            self._pieces[number] = anyio.from_thread.run(self._fetched, number)
            if len(self._pieces) > _PIECES_KEPT:
                self._pieces.popitem(last=False)
        self._pieces.move_to_end(number)
        return self._pieces[number]

    async def _fetched(self, number: int) -> bytes:
        """Raises:
        UnreadableVideoError: the piece did not come. _StaleError.
        """
        first = number * _PIECE_BYTES
        asked = {"range": f"bytes={first}-{first + _PIECE_BYTES - 1}", "accept-encoding": "identity"}
        try:
            async with self._http.stream("GET", self._url, headers=asked, timeout=_TIMEOUT) as answer:
                if answer.status_code in STALE:
                    raise _StaleError
                part = _PART.fullmatch(answer.headers.get("content-range", "").strip())
                if answer.status_code != httpx2.codes.PARTIAL_CONTENT or part is None or is_encoded(answer.headers):
                    raise UnreadableVideoError("its host gives out whole files only; save it with download_video first")
                if int(part[1]) != first:
                    raise UnreadableVideoError("its host did not send the part of it that it was asked for")
                self._size = int(part[2])
                piece = bytearray()
                async for some in answer.aiter_bytes():
                    piece += some
                    if len(piece) >= _PIECE_BYTES:
                        break
                return bytes(piece[:_PIECE_BYTES])
        except RefusedAddressError as error:
            raise UnreadableVideoError(str(error).rstrip(".")) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise UnreadableVideoError(f"its host cannot be reached ({reason_of(error)})") from error
