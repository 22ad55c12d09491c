"""The verbs of tools and command line: submit, get, wait, page, download."""

import base64
import binascii
import logging
import re
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from uuid import uuid4

import anyio

from sora2_mcp.domain.preview import Preview
from sora2_mcp.domain.request import Quality, VideoRequest
from sora2_mcp.domain.task import LOCAL, LOCAL_PREFIX, TASK_ID_LIMIT, Sighting, Snapshot, Status, Task, advance
from sora2_mcp.errors import (
    ArgumentError,
    LostAnswerError,
    Sora2Error,
    StoreError,
    UnauthorizedError,
    UnknownTaskError,
)
from sora2_mcp.tasks.callbacks import Callbacks
from sora2_mcp.tasks.core import Core
from sora2_mcp.tasks.downloads import Download, Downloads, saveable
from sora2_mcp.tasks.files import is_kept
from sora2_mcp.tasks.orders import Orders, Submission
from sora2_mcp.tasks.pictures import Pictures
from sora2_mcp.tasks.polling import Polling
from sora2_mcp.tasks.previews import Previews
from sora2_mcp.tasks.store.interface import CallerUsage, PageMark, Usage
from sora2_mcp.telemetry.context import bind_task
from sora2_mcp.telemetry.spans import LOOK, open_wait, set_outcome, traced

logger = logging.getLogger(__name__)

STATUS_SECONDS = 8.0
"""The longest an explicit look is waited for."""

_STORE_PATIENCE_SECONDS = 30.0
"""How long a wait that has begun outlasts a store that fails; a database is restarted in less."""

_USUAL_LIMIT_SECONDS = 1.0
"""A number for a text is not worth a longer wait."""

_FRESH = timedelta(seconds=2)
_LOCAL_ID = re.compile(r"[0-9a-f]{32}")


@dataclass(frozen=True, slots=True, kw_only=True)
class Page:
    """Tasks, newest first; ``next_cursor`` is empty on the last page."""

    tasks: tuple[Task, ...]
    next_cursor: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Overview:
    """What the operator sees: tasks of all callers, their counts, and what is used of the limits."""

    page: Page
    callers: Sequence[CallerUsage]
    usage: Usage


class Tasks:
    """What callers can do with tasks. ``stopping`` lets waits end early, with the task as it is."""

    def __init__(
        self,
        core: Core,
        *,
        orders: Orders,
        polling: Polling,
        downloads: Downloads,
        callbacks: Callbacks,
        pictures: Pictures,
        previews: Previews,
        stopping: anyio.Event,
    ) -> None:
        self.callbacks = callbacks
        self.pictures = pictures
        self.downloads = downloads
        self._core = core
        self._store, self._clock = core.store, core.clock
        self._orders = orders
        self._polling = polling
        self._previews = previews
        self._stopping = stopping

    async def submit(
        self,
        request: VideoRequest,
        principal: str,
        *,
        key: str = "",
        consent: str = "",
        needs_consent: bool = False,
        called_at: float | None = None,
        joins_running: bool = False,
    ) -> Submission:
        """Orders a video, or joins the order this one repeats; returns within 3 s of ``called_at`` (monotonic).

        ``consent`` identifies a person's yes: the same one never orders twice. ``needs_consent``: without one only an
        order that is known already is found. ``joins_running``: an exact repeat joins an order under way however old,
        for callers that are given nothing before the video is done.

        The order goes on when the caller is cancelled. A task still without an answer then is ``generating`` under its
        ``local-…`` id.

        Raises:
            ArgumentError, KeyReusedError, LimitError, NotAskedError, StoreError: nothing was sent.
            ServiceError, NotReachedError: the order was not accepted; nothing was spent.
        """
        is_local = principal == LOCAL
        submission = await self._orders.submit(
            request,
            principal,
            key,
            called_at,
            consent,
            is_local=is_local,
            needs_consent=needs_consent,
            joins_running=joins_running,
        )
        bind_task(submission.task)
        return submission

    async def is_new(self, request: VideoRequest, principal: str, key: str = "") -> bool:
        """Whether ``submit`` would send an order, rather than find the one there is.

        Raises:
            ArgumentError, KeyReusedError, LimitError, StoreError: as ``submit`` would.
        """
        return await self._orders.is_new(request, principal, key, is_local=principal == LOCAL)

    async def get(self, reference: str, principal: str, seconds: float = STATUS_SECONDS) -> Task:
        """The task, freshly looked at if it is unfinished; answers within ``seconds`` whatever the service does.

        Raises:
            UnknownTaskError: no such task. StoreError. Any error of a look: the task itself is untouched.
        """
        deadline = self._clock.monotonic() + seconds
        task = await self._known(reference, principal, seconds)
        if not task.task_id or not task.may_change or self._is_fresh(task):
            return task
        with self._clock.timeout(deadline - self._clock.monotonic()):
            return await self._polling.look(task)
        # The look goes on without this call, and its result is there for the next one.
        return await self._reloaded(task)

    async def wait(self, reference: str, principal: str, seconds: float) -> Task:
        """The task once it is settled, or as it is after ``seconds``; costs the service nothing by itself.

        A store that fails meanwhile, because it is restarted for example, is given ``_STORE_PATIENCE_SECONDS``.

        Raises:
            UnknownTaskError, StoreError. UnauthorizedError: a look during the wait met a key that is not accepted.
        """
        began_at, deadline = self._clock.now(), self._clock.monotonic() + seconds
        task = await self._known(reference, principal, min(seconds, STATUS_SECONDS))
        failing_since: float | None = None
        with self._core.bus.watching(task.id) as signal, open_wait():
            if self.is_settled(task):
                return task
            while not self._stopping.is_set():
                try:
                    task, failing_since = await self._reloaded(task), None
                except StoreError:
                    now = self._clock.monotonic()
                    failing_since = now if failing_since is None else failing_since
                    if now >= min(deadline, failing_since + _STORE_PATIENCE_SECONDS):
                        raise
                left = deadline - self._clock.monotonic()
                if self.is_settled(task) or left <= 0 or self._stopping.is_set():
                    return task
                _raise_if_unauthorized(task, began_at)
                if not task.finished:
                    self._polling.want(task)
                with self._clock.timeout(min(left, self._polling.refresh_seconds)):
                    await signal.wait()
        # The store is closing, so it is not read once more.
        return task

    def want(self, task: Task) -> None:
        """Notes that a caller waits for the task, for a few seconds: it is looked at as often as for ``wait``."""
        self._polling.want(task)

    async def page(self, principal: str, *, status: Status | None = None, limit: int = 10, cursor: str = "") -> Page:
        """The principal's tasks, newest first.

        Raises:
            ArgumentError: the cursor is none of ours. StoreError.
        """
        return await self._page(principal, status, limit, cursor)

    async def overview(self, *, status: Status | None = None, limit: int = 10, cursor: str = "") -> Overview:
        """The tasks of all principals, newest first, and what each has ordered; for the operator.

        Raises:
            ArgumentError, StoreError: as ``page``.
        """
        page = await self._page(None, status, limit, cursor)
        return Overview(page=page, callers=await self._store.callers(), usage=await self._store.usage(LOCAL))

    async def count(self, principal: str, status: Status | None = None) -> int:
        """How many tasks ``page`` would give in all, counted up to ``MOST_COUNTED``.

        Raises:
            StoreError.
        """
        return await self._store.count(principal, status)

    async def usual_seconds(self, task: Task) -> float | None:
        """How long videos of the same quality and length took lately; None where that is not known, or not in time."""
        with suppress(StoreError), self._clock.timeout(_USUAL_LIMIT_SECONDS):
            return await self._store.usual_seconds(task.request)
        return None

    async def _page(self, principal: str | None, status: Status | None, limit: int, cursor: str) -> Page:
        after = _mark(cursor) if cursor.strip() else None
        found = await self._store.page(principal, status, limit + 1, after)
        more = _cursor(found[limit - 1]) if len(found) > limit else ""
        return Page(tasks=tuple(found[:limit]), next_cursor=more)

    async def download(self, reference: str, principal: str, filename: str = "") -> Task:
        """The task with its video saved; the same file every time, as long as it is there.

        Raises:
            UnknownTaskError, StoreError. DownloadError: it was not saved, or there is nothing to save.
        """
        task, download = await self.begin_download(reference, principal, filename)
        if download is None:
            return task
        return await download.result()

    async def begin_download(self, reference: str, principal: str, filename: str = "") -> tuple[Task, Download | None]:
        """Like ``download``, but gives the download under way, or None where the file is there already."""
        task = await self._known(reference, principal, STATUS_SECONDS)
        if task.file is not None and await is_kept(task.file):
            return task, None
        saveable(task)
        return task, self.downloads.begin(task, filename)

    def saving_problem(self, task: Task) -> Sora2Error | None:
        """Why a video that must be saved to be seen could not be; None where it was, or was not tried."""
        return self.downloads.problem(task) if task.needs_key and task.file is None else None

    async def preview(self, reference: str, principal: str, frames: int) -> tuple[Task, Preview]:
        """So many frames of a finished video, and what it is; the extra ``preview`` must be installed.

        Raises:
            UnknownTaskError, StoreError. PreviewError: there is no video, or it cannot be read.
        """
        task = await self._known(reference, principal, STATUS_SECONDS)
        return task, await self._previews.of(task, frames)

    async def usage(self, principal: str) -> Usage:
        """How many orders there were today and this month."""
        return await self._store.usage(principal)

    async def balance(self) -> float | None:
        """What is left in the account, in the unit of prices; None where the service does not say."""
        return await self._core.client.balance()

    async def find(self, reference: str, principal: str) -> Task:
        """The task as it is known, without a look.

        Raises:
            UnknownTaskError, StoreError.
        """
        task = await self._store.find(principal, reference.strip()) if _may_be_known(reference) else None
        if task is None:
            raise UnknownTaskError(reference)
        return task

    async def beginning_with(self, beginning: str, principal: str, limit: int = 10) -> Sequence[Task]:
        """The tasks whose ids begin so, newest first; none for an empty beginning.

        Raises:
            StoreError.
        """
        return await self._store.beginning_with(principal, beginning, limit) if _may_be_known(beginning) else ()

    @property
    def last_contact_at(self) -> datetime | None:
        """When the service last answered anything, in this process."""
        return self._core.client.last_contact_at

    async def check(self) -> None:
        """Asks the store something.

        Raises:
            StoreError: it cannot be used.
        """
        await self._store.due()

    async def by_id(self, id: str) -> Task | None:
        """The task with this local id, of whichever principal; None where it has gone.

        Raises:
            StoreError.
        """
        # PostgreSQL fails at a NUL, and nothing else than such an id is a task's.
        return await self._store.load(id) if _LOCAL_ID.fullmatch(id) else None

    async def _known(self, reference: str, principal: str, seconds: float) -> Task:
        """The principal's task, taken in from the service where it was ordered elsewhere and there is time to ask."""
        task = await self._found(reference, principal, seconds)
        bind_task(task)
        return task

    async def _found(self, reference: str, principal: str, seconds: float) -> Task:
        task_id = reference.strip()
        try:
            return await self.find(reference, principal)
        except UnknownTaskError:
            if principal != LOCAL or task_id.startswith(LOCAL_PREFIX) or not _may_be_known(task_id):
                raise
            if seconds <= 0 or await self._store.is_known(task_id):
                raise
        with self._clock.timeout(seconds):
            with traced(LOOK):
                await self._core.client.limiter.look()
                snapshot = await self._core.client.look(task_id)
                set_outcome(snapshot.sighting.value)
            if snapshot.sighting is Sighting.MISSING or snapshot.task_id not in ("", task_id):
                raise UnknownTaskError(reference)
            return await self._adopted(task_id, principal, snapshot)
        raise LostAnswerError(f"no answer within {seconds:.0f} s")

    async def _adopted(self, task_id: str, principal: str, snapshot: Snapshot) -> Task:
        """A task that was ordered elsewhere, saved as the principal's own."""
        now = self._clock.now()
        seen = Task(
            id=uuid4().hex,
            principal=principal,
            service=self._core.settings.account,
            request=snapshot.request or VideoRequest(prompt=""),
            created_at=now,
            task_id=task_id,
            adopted=True,
            **self._core.terms(Quality.STANDARD),
        )
        task, _ = advance(seen, snapshot)
        adopted = await self._store.adopt(task, self._core.schedule.plan(now))
        logger.info("task %s was ordered elsewhere and is taken in; it is %s", adopted.reference, adopted.status)
        return adopted

    async def _reloaded(self, task: Task) -> Task:
        stored = await self._store.load(task.id)
        if stored is None and task.task_id:
            # The order of an adopted task has taken its place meanwhile.
            stored = await self._store.find(task.principal, task.task_id)
        if stored is None:
            raise UnknownTaskError(task.reference)
        return stored

    def is_settled(self, task: Task) -> bool:
        """Whether a wait for the task would end at once."""
        if task.needs_key and task.file is None and task.download_attempts <= 1 and not self.saving_problem(task):
            # It is being saved and cannot be seen before; a second try is not waited for.
            return False
        return task.status is not Status.GENERATING

    def _is_fresh(self, task: Task) -> bool:
        # A look in the future was made before the clock was set back: it says nothing about how fresh it is.
        return task.last_look_at is not None and abs(self._clock.now() - task.last_look_at) < _FRESH


def _raise_if_unauthorized(task: Task, since: datetime) -> None:
    if task.look_error_code == UnauthorizedError.code and task.look_failed_at and task.look_failed_at >= since:
        raise UnauthorizedError


def _may_be_known(reference: str) -> bool:
    text = reference.strip()
    return bool(text) and len(text) <= TASK_ID_LIMIT and text.isprintable() and " " not in text


def _cursor(task: Task) -> str:
    return base64.urlsafe_b64encode(f"{task.created_at.isoformat()}|{task.id}".encode()).decode()


def _mark(cursor: str) -> PageMark:
    try:
        created_at, _, id = base64.urlsafe_b64decode(cursor.strip().encode()).decode().partition("|")
        instant = datetime.fromisoformat(created_at)
    except (ValueError, binascii.Error) as error:
        raise ArgumentError("cursor", "is not one that list_tasks gave; leave it out for the newest tasks.") from error
    # Nothing else is in a local id; PostgreSQL fails at a NUL.
    if instant.tzinfo is None or not _LOCAL_ID.fullmatch(id):
        raise ArgumentError("cursor", "is not one that list_tasks gave; leave it out for the newest tasks.")
    return PageMark(created_at=instant, id=id)
