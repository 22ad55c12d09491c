"""A video's bytes from its address into a file."""

import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread
import httpx2

from sora2_mcp.domain.task import SavedFile
from sora2_mcp.errors import DownloadError

Progress = Callable[[int, int | None], Awaitable[None]]
"""Awaited after every piece, with the bytes so far and the whole size, where it is known."""

STALE = frozenset({401, 403, 404, 410})
"""What a video's host answers when an address is no longer good."""

_TIMEOUT = httpx2.Timeout(connect=10, read=30, write=10, pool=10)
_CHUNK_BYTES = 256 * 1024
_AGAIN = "Call download_video again in a minute; the video is kept for 15 days."
_DISK = "Check SORA2_VIDEO_DIR: its free space and rights; then call download_video again."


class StaleAddressError(DownloadError):
    """The address is no longer good; a look may bring a newer one."""


async def fetch(
    http: httpx2.AsyncClient, *, url: str, part: Path, task_id: str, limit_bytes: int, progress: Progress
) -> SavedFile:
    """Streams ``url`` into ``part``, durably, and says what came; ``path`` of the result is ``part``.

    Raises:
        DownloadError: no whole MP4 came; ``part`` may hold anything then.
    """
    try:
        async with http.stream("GET", url, timeout=_TIMEOUT) as response:
            _check_answer(response, task_id)
            expected = _expected_bytes(response)
            if expected is not None and expected > limit_bytes:
                raise _too_large(task_id, expected, limit_bytes)
            with part.open("wb") as file:
                saved = await _copy(response, file, part, task_id, limit_bytes, progress)
    except httpx2.InvalidURL as error:
        raise DownloadError(task_id, "its address cannot be used.", _AGAIN) from error
    except httpx2.HTTPError as error:
        raise DownloadError(task_id, f"the connection to its host failed ({type(error).__name__}).", _AGAIN) from error
    except OSError as error:
        raise DownloadError(task_id, f"the file could not be written ({error.strerror}).", _DISK) from error
    if expected is not None and saved.size_bytes != expected:
        problem = f"{saved.size_bytes:,} of {expected:,} bytes came before its host broke off."
        raise DownloadError(task_id, problem, _AGAIN)
    return saved


async def _copy(
    response: httpx2.Response, file: BinaryIO, part: Path, task_id: str, limit_bytes: int, progress: Progress
) -> SavedFile:
    digest, size, total = hashlib.sha256(), 0, _expected_bytes(response)
    async for chunk in response.aiter_bytes(_CHUNK_BYTES):
        if not size and chunk[4:8] != b"ftyp":
            raise DownloadError(task_id, "what its host sent is no MP4 video.", _AGAIN)
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(task_id, size, limit_bytes)
        digest.update(chunk)
        await anyio.to_thread.run_sync(file.write, chunk)
        await progress(size, total)
    if not size:
        raise DownloadError(task_id, "its host sent an empty file.", _AGAIN)
    file.flush()
    await anyio.to_thread.run_sync(os.fsync, file.fileno())
    return SavedFile(path=str(part), size_bytes=size, sha256=digest.hexdigest())


def _check_answer(response: httpx2.Response, task_id: str) -> None:
    if response.status_code in STALE:
        problem = f"its host no longer gives it out (HTTP {response.status_code})."
        raise StaleAddressError(task_id, problem, "It may be deleted: the service keeps a video for 15 days.")
    if response.status_code != httpx2.codes.OK:
        raise DownloadError(task_id, f"its host answered HTTP {response.status_code}.", _AGAIN)


def _expected_bytes(response: httpx2.Response) -> int | None:
    """The whole size, where the host says it of the bytes as they arrive here."""
    length = response.headers.get("content-length", "")
    return int(length) if length.isdecimal() and "content-encoding" not in response.headers else None


def _too_large(task_id: str, size_bytes: int, limit_bytes: int) -> DownloadError:
    problem = f"it has at least {size_bytes / 1e6:,.1f} MB, over the limit SORA2_MAX_VIDEO_MB={limit_bytes / 1e6:g}."
    return DownloadError(task_id, problem, "Give the user the link instead, or ask them to raise SORA2_MAX_VIDEO_MB.")
