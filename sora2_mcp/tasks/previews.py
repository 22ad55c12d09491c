"""A look at a finished video without playing it: from the saved file, or from as little of its address as it takes.

The frames are decoded by ``frames.py``, in a process of its own: what is in a file comes from strangers, and one of
some kilobytes can make a decoder take gigabytes, or crash. That process has limits and can be killed.
"""

import io
import json
import re
import struct
import subprocess
import sys
from base64 import b64decode
from collections.abc import Awaitable, Callable
from contextlib import suppress
from importlib.util import find_spec
from pathlib import Path
from typing import BinaryIO

import anyio
import anyio.to_thread
import httpx2
from anyio.abc import Process
from anyio.streams.buffered import BufferedByteReceiveStream

from sora2_mcp.domain.preview import Facts, Preview
from sora2_mcp.domain.task import Status, Task
from sora2_mcp.errors import PreviewError
from sora2_mcp.services.exchange import reason_of
from sora2_mcp.tasks.core import Core
from sora2_mcp.tasks.fetch import STALE, RefusedAddressError, is_encoded
from sora2_mcp.tasks.files import is_kept
from sora2_mcp.tasks.polling import Polling

MOST_FRAMES = 9

_CALL_SECONDS = 25.0
"""Several hosts cut a call after 30 s."""

_FILE_SECONDS = 4.5
_AT_ONCE = 2
_MOST_BYTES = 64_000_000
"""Read of one video, whatever its size: enough for the index and some seconds of each part of it."""

_PIECE_BYTES = 512 * 1024
_LONGEST_LINE_BYTES = 400_000
_TIMEOUT = httpx2.Timeout(connect=5, read=10, write=10, pool=10)
_PART = re.compile(r"bytes (\d{1,18})-\d{1,18}/(\d{1,18})", re.ASCII | re.IGNORECASE)
_TOO_LONG = "it takes too long to read"
_NOT_THE_PART = "its host did not send the part of it that it was asked for"

# The same modules as here, whatever lies in the folder that a host has started this server in.
_START = "import sys; sys.path[:] = sys.argv[3:]; from sora2_mcp.tasks.frames import main; main()"

Source = Callable[[int], Awaitable[tuple[int, bytes]]]
"""The size of a video, and that piece of it: ``_PIECE_BYTES``, or as many as are left."""


class _UnreadableVideoError(Exception):
    """The bytes did not come, or are no video that can be shown; the message says why."""


class _StaleError(Exception):
    """The address is no longer good."""


def is_available() -> bool:
    """Whether the extra ``preview`` is installed."""
    return all(find_spec(name) is not None for name in ("av", "PIL"))


class Previews:
    """Makes previews, few at a time, each in a process."""

    def __init__(self, core: Core, polling: Polling, http: httpx2.AsyncClient) -> None:
        self._clock = core.clock
        self._polling = polling
        self._http = http
        self._turns = anyio.Semaphore(_AT_ONCE)

    async def of(self, task: Task, count: int) -> Preview:
        """So many frames of the task's video, and what it is.

        Raises:
            PreviewError: there is no video, or it cannot be read. Any error of a look.
        """
        if task.status is not Status.SUCCEEDED:
            hint = "" if task.finished else f'Call wait_for_video(task_id="{task.reference}") first.'
            raise PreviewError(task.reference, f"there is none, the task is {task.status.value}.", hint)
        with self._clock.timeout(_CALL_SECONDS):
            try:
                async with self._turns:
                    return await self._made(task, count)
            except _UnreadableVideoError as error:
                raise PreviewError(task.reference, f"{error}.") from error
        raise PreviewError(task.reference, f"{_TOO_LONG}.")

    async def _made(self, task: Task, count: int) -> Preview:
        if task.file is not None and await is_kept(task.file):
            return await self._of_file(Path(task.file.path), count)
        save = f'Call download_video(task_id="{task.reference}") first.'
        if task.is_deleted(self._clock.now()) or not task.link:
            raise PreviewError(task.reference, "it is not saved, and the service gives no address of it.", save)
        try:
            return await _decoded(_Address(self._http, task.link).piece, count)
        except _StaleError:
            seen = await self._polling.look(task)
        try:
            if not seen.link or seen.link == task.link:
                raise _StaleError
            return await _decoded(_Address(self._http, seen.link).piece, count)
        except _StaleError:
            raise PreviewError(task.reference, "its host no longer gives it out.", save) from None

    async def _of_file(self, path: Path, count: int) -> Preview:
        with self._clock.timeout(_FILE_SECONDS):
            try:
                with path.open("rb") as file:
                    return await _decoded(_File(file).piece, count)
            except OSError as error:
                raise _UnreadableVideoError(f"its file cannot be read ({error.strerror})") from error
        raise _UnreadableVideoError(_TOO_LONG)


async def _decoded(source: Source, count: int) -> Preview:
    """What the process makes of a video; it does not outlive this, however this ends.

    Raises:
        _UnreadableVideoError: it makes nothing of it. Whatever ``source`` raises.
    """
    command = [sys.executable, "-I", "-c", _START, str(count), str(_PIECE_BYTES), *sys.path]
    try:
        process = await anyio.open_process(command, stderr=subprocess.DEVNULL)
    except OSError as error:
        raise _UnreadableVideoError(f"its decoder cannot be started ({error.strerror})") from error
    async with process:
        try:
            return _understood(await _last_line(process, source))
        except (anyio.EndOfStream, anyio.DelimiterNotFound, anyio.IncompleteRead, ValueError, LookupError) as error:
            raise _UnreadableVideoError("it cannot be read as a video (its decoder gave up)") from error
        finally:
            with suppress(ProcessLookupError):
                process.kill()


async def _last_line(process: Process, source: Source) -> bytes:
    """What the process says in the end, once it has got all the pieces that it asks for."""
    assert process.stdin is not None and process.stdout is not None  # noqa: S101, PT018 - pipes are the default
    said, left = BufferedByteReceiveStream(process.stdout), _MOST_BYTES
    while not (line := await said.receive_until(b"\n", _LONGEST_LINE_BYTES)).startswith(b"{"):
        size, piece = await source(int(line))
        left -= len(piece)
        if left < 0:
            # A damaged index can ask for the same bytes for ever.
            raise _UnreadableVideoError(_TOO_LONG)
        with suppress(anyio.BrokenResourceError, OSError):
            await process.stdin.send(struct.pack(">QI", size, len(piece)) + piece)
    return line


def _understood(line: bytes) -> Preview:
    """Raises:
    _UnreadableVideoError, ValueError, LookupError: it is no preview.
    """
    said = json.loads(line)
    if "problem" in said:
        raise _UnreadableVideoError(str(said["problem"]))
    return Preview(jpeg=b64decode(said["jpeg"]), moments=tuple(said["moments"]), facts=Facts(**said["facts"]))


class _File:
    """A saved video."""

    def __init__(self, file: BinaryIO) -> None:
        self._file = file

    async def piece(self, number: int) -> tuple[int, bytes]:
        """As ``Source``."""
        # What hangs, on a network's file system, is left behind.
        return await anyio.to_thread.run_sync(self._read, number, abandon_on_cancel=True)

    def _read(self, number: int) -> tuple[int, bytes]:
        size = self._file.seek(0, io.SEEK_END)
        self._file.seek(number * _PIECE_BYTES)
        return size, self._file.read(_PIECE_BYTES)


class _Address:
    """A video at its address, of which only what is asked for is fetched."""

    def __init__(self, http: httpx2.AsyncClient, url: str) -> None:
        self._http = http
        self._url = url
        self._size = 0

    async def piece(self, number: int) -> tuple[int, bytes]:
        """As ``Source``.

        Raises:
            _UnreadableVideoError: it did not come. _StaleError.
        """
        first = number * _PIECE_BYTES
        asked = {"range": f"bytes={first}-{first + _PIECE_BYTES - 1}", "accept-encoding": "identity"}
        try:
            async with self._http.stream("GET", self._url, headers=asked, timeout=_TIMEOUT) as answer:
                return self._size_of(answer, first), await self._body(answer, min(_PIECE_BYTES, self._size - first))
        except RefusedAddressError as error:
            raise _UnreadableVideoError(str(error).rstrip(".")) from error
        except (httpx2.HTTPError, httpx2.InvalidURL) as error:
            raise _UnreadableVideoError(f"its host cannot be reached ({reason_of(error)})") from error

    def _size_of(self, answer: httpx2.Response, first: int) -> int:
        """The size of the whole, once it is sure that this is the part of it that was asked for."""
        if answer.status_code in STALE:
            raise _StaleError
        part = _PART.fullmatch(answer.headers.get("content-range", "").strip())
        if answer.status_code != httpx2.codes.PARTIAL_CONTENT or part is None or is_encoded(answer.headers):
            raise _UnreadableVideoError("its host gives out whole files only; save it with download_video first")
        size = int(part[2])
        if int(part[1]) != first or first >= size or self._size not in (0, size):
            raise _UnreadableVideoError(_NOT_THE_PART)
        self._size = size
        return size

    async def _body(self, answer: httpx2.Response, length: int) -> bytes:
        piece = bytearray()
        async for some in answer.aiter_bytes():
            piece += some
            if len(piece) >= length:
                return bytes(piece[:length])
        raise _UnreadableVideoError(_NOT_THE_PART)
