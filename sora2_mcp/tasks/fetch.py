"""A video's bytes from its address into a file."""

import hashlib
import os
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import BinaryIO

import anyio.to_thread
import httpx2

from sora2_mcp.domain.task import SavedFile
from sora2_mcp.errors import DownloadError, NoVideoError, UnwritableError
from sora2_mcp.tasks.mp4 import is_whole_mp4
from sora2_mcp.tasks.reach import RefusedAddressError

Progress = Callable[[int, int | None], Awaitable[None]]
"""Awaited after every piece, with the bytes so far and the whole size, where it is known."""

STALE = frozenset({401, 403, 404, 410})
"""What a video's host answers when an address is no longer good."""

_TIMEOUT = httpx2.Timeout(connect=10, read=30, write=10, pool=10)
_CHUNK_BYTES = 256 * 1024
_LINK = "Give the user the link instead."
_GONE = "Look with get_task_status; if the video is older than 15 days, the service has deleted it."


class StaleAddressError(NoVideoError):
    """The address is no longer good; a look may bring a newer one."""


class UnreachableHostError(DownloadError):
    """No connection to the video's host; a look may bring another address."""


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
        is_whole = await anyio.to_thread.run_sync(is_whole_mp4, part)
    except RefusedAddressError as error:
        raise NoVideoError(task_id, str(error), _LINK) from error
    except httpx2.TooManyRedirects as error:
        raise NoVideoError(task_id, "its host redirects too often.", _LINK) from error
    except (httpx2.InvalidURL, httpx2.ConnectError, httpx2.ConnectTimeout) as error:
        raise UnreachableHostError(task_id, f"its host cannot be reached ({type(error).__name__}).") from error
    except httpx2.HTTPError as error:
        raise DownloadError(task_id, f"the connection to its host failed ({type(error).__name__}).") from error
    except OSError as error:
        raise UnwritableError(task_id, f"the file could not be written ({error.strerror}).") from error
    if expected is not None and saved.size_bytes != expected:
        problem = f"{saved.size_bytes:,} of {expected:,} bytes came before its host broke off."
        raise DownloadError(task_id, problem)
    if not is_whole:
        raise DownloadError(task_id, f"what its host sent ({saved.size_bytes:,} bytes) is no whole MP4 video.")
    return saved


async def _copy(
    response: httpx2.Response, file: BinaryIO, part: Path, task_id: str, limit_bytes: int, progress: Progress
) -> SavedFile:
    digest, size, total = hashlib.sha256(), 0, _expected_bytes(response)
    async for chunk in response.aiter_bytes(_CHUNK_BYTES):
        if not size and chunk[4:8] != b"ftyp":
            raise DownloadError(task_id, "what its host sent is no MP4 video.")
        size += len(chunk)
        if size > limit_bytes:
            raise _too_large(task_id, size, limit_bytes)
        digest.update(chunk)
        await anyio.to_thread.run_sync(file.write, chunk)
        await progress(size, total)
    if not size:
        raise DownloadError(task_id, "its host sent an empty file.")
    file.flush()
    await anyio.to_thread.run_sync(os.fsync, file.fileno())
    return SavedFile(path=str(part), size_bytes=size, sha256=digest.hexdigest())


def _check_answer(response: httpx2.Response, task_id: str) -> None:
    if response.status_code in STALE:
        problem = f"its host no longer gives it out (HTTP {response.status_code})."
        raise StaleAddressError(task_id, problem, _GONE)
    if response.status_code != httpx2.codes.OK:
        raise DownloadError(task_id, f"its host answered HTTP {response.status_code}.")


def _expected_bytes(response: httpx2.Response) -> int | None:
    """The whole size, where the host says it of the bytes as they arrive here."""
    length = response.headers.get("content-length", "")
    return int(length) if length.isdecimal() and "content-encoding" not in response.headers else None


def _too_large(task_id: str, size_bytes: int, limit_bytes: int) -> UnwritableError:
    problem = f"it has at least {size_bytes / 1e6:,.1f} MB, over the limit SORA2_MAX_VIDEO_MB={limit_bytes / 1e6:g}."
    return UnwritableError(task_id, problem, "Give the user the link instead, or ask them to raise SORA2_MAX_VIDEO_MB.")
