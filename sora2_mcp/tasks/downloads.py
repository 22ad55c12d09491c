"""A finished task's file -> disk, atomically, once."""

import logging
from datetime import timedelta
from functools import partial
from uuid import uuid4

import anyio
import anyio.to_thread
import httpx2

from sora2_mcp.domain.task import LOCAL, SavedFile, Status, Task
from sora2_mcp.errors import DownloadError, NoVideoError, Sora2Error, StoreError, UnwritableError
from sora2_mcp.tasks.background import Run
from sora2_mcp.tasks.core import Core
from sora2_mcp.tasks.fetch import Progress, StaleAddressError, UnreachableHostError, fetch
from sora2_mcp.tasks.files import default_name, folder_of, is_kept, placed, prepared, safe_name
from sora2_mcp.tasks.polling import Polling
from sora2_mcp.telemetry.context import bind_task
from sora2_mcp.telemetry.spans import DOWNLOAD, record_saved_video, set_outcome, traced

_LEASE = timedelta(seconds=60)
_RENEW_SECONDS = 20.0
_OTHERS_TURN_SECONDS = 0.5
_REMEMBERED = 1000

logger = logging.getLogger(__name__)


class Download(Run[Task]):
    """A download under way, and how far it is."""

    def __init__(self) -> None:
        super().__init__()
        self.received_bytes = 0
        self.total_bytes: int | None = None


class Downloads:
    """Saves videos, each at most once at a time over all processes on the store; never overwrites a file."""

    def __init__(self, core: Core, polling: Polling, http: httpx2.AsyncClient, base_url: str) -> None:
        self._store, self._clock, self._group = core.store, core.clock, core.group
        self._polling = polling
        self._http = http
        self._base_url = base_url
        self._folder = core.settings.videos
        self._limit_bytes = int(core.settings.max_video_mb * 1_000_000)
        self._mark = uuid4().hex[:8]
        self._under_way: dict[str, Download] = {}
        self._failed: dict[str, Sora2Error] = {}

    def begin(self, task: Task, filename: str) -> Download:
        """Starts saving a succeeded task's video, or gives the download under way; no joiner can stop it."""
        download = self._under_way.get(task.id)
        if download is None:
            download = self._under_way[task.id] = Download()
            self._group.start_soon(self._run, task, filename, download)
        return download

    def problem(self, task: Task) -> Sora2Error | None:
        """Why the last attempt of this process to save the video failed; None where none did."""
        return self._failed.get(task.id)

    async def _run(self, task: Task, filename: str, download: Download) -> None:
        bind_task(task)
        try:
            with traced(DOWNLOAD):
                await download.carry_out(lambda: self._saved(task, filename, download), "a download")
                if download.error is not None:
                    set_outcome("error", download.error)
        finally:
            del self._under_way[task.id]
            self._failed.pop(task.id, None)
            if download.error is not None and len(self._failed) < _REMEMBERED:
                self._failed[task.id] = download.error

    async def _saved(self, task: Task, filename: str, download: Download) -> Task:
        """The task with its file.

        Raises:
            DownloadError, StoreError: it was not saved.
        """
        try:
            return await self._save(task, filename, download)
        except DownloadError as error:
            if task.needs_key:
                _take_link_from(error)
            raise
        except OSError as error:
            # Where this machine keeps its files is nothing for others.
            folder = f" {self._folder}" if task.principal == LOCAL else ""
            problem = f"the folder{folder} for videos cannot be used ({error.strerror})."
            raise UnwritableError(task.reference, problem) from error
        except Sora2Error:
            raise
        except Exception as error:
            # One download's border: an unforeseen failure is told as the download's, and not as the store's.
            logger.exception("the download of task %s failed unexpectedly", task.reference)
            raise DownloadError(task.reference, f"saving it failed ({type(error).__name__}).") from error

    async def _save(self, task: Task, filename: str, download: Download) -> Task:
        now = await self._claim_in_turn(task)
        renewal = anyio.CancelScope()
        self._group.start_soon(self._renew, task, renewal)

        async def progress(received: int, total: int | None) -> None:
            download.received_bytes, download.total_bytes = received, total

        try:
            if now.file is not None and await is_kept(now.file):
                # It was saved since the task was read.
                await self._store.release_download(task.id, was_attempt=False)
                set_outcome("there_before")
                return now
            file = await self._fetched(task, filename, progress)
            # Before the lease is given back, or a renewal could take it once more.
            renewal.cancel()
            kept = await self._store.settle_download(task.id, file, task.file)
        except BaseException as error:
            # A full disk or a cancellation says nothing against the host, so it is no attempt.
            of_its_host = isinstance(error, DownloadError) and not isinstance(error, UnwritableError)
            with anyio.move_on_after(1, shield=True):
                await self._store.release_download(task.id, was_attempt=of_its_host)
            raise
        finally:
            renewal.cancel()
        logger.info("the video of task %s is saved, %d bytes", kept.reference, file.size_bytes)
        set_outcome("saved")
        record_saved_video(file.size_bytes)
        return kept

    async def _renew(self, task: Task, renewal: anyio.CancelScope) -> None:
        """Keeps the lease while the download lasts, however slowly its host sends."""
        with renewal:
            while True:
                await self._clock.sleep(_RENEW_SECONDS)
                try:
                    await self._store.claim_download(task.id, _LEASE)
                except StoreError as error:
                    logger.debug("the lease on the download of task %s was not renewed: %s", task.task_id, error)

    async def _fetched(self, task: Task, filename: str, progress: Progress) -> SavedFile:
        try:
            return await self._fetch(task, task.video_url, filename, progress)
        except UnwritableError:
            raise
        except DownloadError as error:
            if task.is_deleted(self._clock.now()):
                raise _deleted(task) from error
            if not isinstance(error, StaleAddressError | UnreachableHostError):
                raise
            seen = await self._polling.look(task)
            if seen.video_url == task.video_url:
                raise
            return await self._fetch(seen, seen.video_url, filename, progress)

    async def _fetch(self, task: Task, url: str, filename: str, progress: Progress) -> SavedFile:
        folder = folder_of(self._folder, task.principal)
        await anyio.to_thread.run_sync(prepared, folder, task.id)
        part = folder / f".{task.id}.{self._mark}.part"
        try:
            file = await fetch(
                self._http,
                url=f"{self._base_url}{url}" if url.startswith("/") else url,
                needs_key=url.startswith("/"),
                part=part,
                task_id=task.reference,
                limit_bytes=self._limit_bytes,
                clock=self._clock,
                progress=progress,
            )
            default = default_name(task.request.prompt, task.reference)
            name = safe_name(filename, default) if filename.strip() else default
            path = await anyio.to_thread.run_sync(placed, part, folder, name, task.reference)
        finally:
            with anyio.CancelScope(shield=True):
                # In a thread: a large file takes long to go.
                await anyio.to_thread.run_sync(partial(part.unlink, missing_ok=True))
        return SavedFile(path=str(path), size_bytes=file.size_bytes, sha256=file.sha256)

    async def _claim_in_turn(self, task: Task) -> Task:
        """The task as it is now. Another process may be saving it just now: then its file is found afterwards."""
        with self._clock.timeout(_LEASE.total_seconds()):
            while (claimed := await self._store.claim_download(task.id, _LEASE)) is None:
                await self._clock.sleep(_OTHERS_TURN_SECONDS)
            return claimed
        raise DownloadError(task.reference, "another process is saving it and has not finished.")


def saveable(task: Task) -> None:
    """Raises:
    DownloadError: the task has no video to save.
    """
    if task.status is Status.SUCCEEDED:
        return
    hint = {
        Status.GENERATING: f'Call wait_for_video(task_id="{task.reference}") first.',
        Status.UNCONFIRMED: "Ask the user whether to order it again with generate_video.",
    }.get(task.status, "Change the prompt and order again with generate_video.")
    # Of any other task it says more what became of it.
    wait = f"Wait for it first: sora2-mcp tasks wait {task.reference}" if task.status is Status.GENERATING else None
    problem = f"there is no video, the task is {task.status.value}."
    raise NoVideoError(task.reference, problem, hint, cli_hint=wait)


def _take_link_from(error: DownloadError) -> None:
    """Advises no link: there is none that opens without the key."""
    if isinstance(error, StaleAddressError):
        error.hint = "Look with get_task_status; the service may have deleted it, or not take SORA2_API_KEY any more."
        error.cli_hint = "The service may have deleted it, or not take SORA2_API_KEY any more."
    elif "the link" in error.hint:
        error.hint = "Tell the user; its address opens with the service's key only."
        error.cli_hint = "Its address opens with the service's key only."


def _deleted(task: Task) -> NoVideoError:
    days = f", {task.retention.days} days after it was done" if task.retention else ""
    problem = f"the service deleted it on {task.video_expires_at:%Y-%m-%d}{days}."
    costs = f", and costs {task.price_unit}" if task.price_unit else ""
    hint = f"Tell the user; only a new order with generate_video makes it again{costs}."
    return NoVideoError(task.reference, problem, hint)
