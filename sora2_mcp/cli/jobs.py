"""``sora2-mcp generate`` and ``sora2-mcp tasks``: the same verbs as the tools, for people."""

import argparse
import webbrowser
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import anyio
import anyio.to_thread

from sora2_mcp.cli import words
from sora2_mcp.cli.display import Advance, Display
from sora2_mcp.cli.hints import typed
from sora2_mcp.cli.listing import table
from sora2_mcp.cli.references import resolved
from sora2_mcp.domain.request import AspectRatio, Quality, VideoRequest
from sora2_mcp.domain.task import LOCAL, Status, Task
from sora2_mcp.errors import ArgumentError, Sora2Error
from sora2_mcp.runtime import Runtime
from sora2_mcp.server import listing, texts
from sora2_mcp.server.views import saved_video_view, shown_status, task_view
from sora2_mcp.tasks.downloads import Download
from sora2_mcp.tasks.files import is_kept, safe_name
from sora2_mcp.tasks.tasks import Page, Tasks

_WATCH_SECONDS = 0.1
_LIST_LIMIT = 1000
_SAVED_AT_ONCE = 4
_LOOKING_SECONDS = 3600.0
"""Each look has its own limit, but may wait for its turn behind hundreds of others."""


async def perform(arguments: argparse.Namespace, runtime: Runtime) -> int:
    """Runs a command on an open runtime; the exit code is 0 where its task did not fail, else 1."""
    jobs = Jobs(await runtime.tasks(), runtime, arguments)
    if arguments.command == "generate":
        return await jobs.generate(arguments)
    return await _VERBS[arguments.verb](jobs, arguments)


class Jobs:
    """The commands over one open runtime."""

    def __init__(self, tasks: Tasks, runtime: Runtime, arguments: argparse.Namespace) -> None:
        self._tasks = tasks
        self._runtime = runtime
        self._for_machines = arguments.json
        self._simulate = arguments.simulate
        self._display = Display(for_machines=arguments.json)

    async def generate(self, arguments: argparse.Namespace) -> int:
        """Orders; then waits and saves, unless ``--no-wait`` is given."""
        request = VideoRequest(
            prompt=arguments.prompt,
            image_urls=tuple(arguments.image),
            aspect_ratio=AspectRatio(arguments.aspect_ratio),
            quality=Quality(arguments.quality),
            watermark=arguments.watermark,
            callback_url=arguments.callback_url,
            seconds=arguments.seconds,
        )
        submission = await self._tasks.submit(request, LOCAL, key=arguments.idempotency_key)
        with self._names_when_interrupted(submission.task.reference):
            task = await self._answered(submission.task)
        if not task.task_id:
            self._show(task)
            return 1
        self._display.words(words.ordered(submission, task, self._runtime.clock.now()))
        for warning in texts.limits_nearly_reached(submission):
            self._display.line(warning)
        if arguments.no_wait:
            if self._for_machines:
                self._show(task)
            return _code_of(task)
        task = await self._finished(task.reference, arguments.timeout)
        if shown_status(task) != "succeeded":
            self._show(task)
            return 1
        # The file's path is the last line, also where it is saved already.
        self._display.words(words.state(replace(task, file=None), self._runtime.clock.now()))
        return await self._save_ordered(task, arguments.filename)

    async def _save_ordered(self, task: Task, filename: str) -> int:
        try:
            return await self._download(task.reference, filename)
        except Sora2Error:
            if self._for_machines:
                # It is made and paid for: a program that reads this needs its id and address.
                self._show(task)
            raise

    @contextmanager
    def _names_when_interrupted(self, reference: str) -> Iterator[None]:
        """Shows how the task is found again if the body is interrupted."""
        try:
            yield
        except anyio.get_cancelled_exc_class():
            way = f"Find it with: sora2-mcp tasks wait {reference}"
            self._line(f"Interrupted here; what was ordered goes on at the service. {way}")
            raise

    async def _answered(self, task: Task) -> Task:
        """The task once the service has answered its order."""
        # A command that ends earlier would cut the order off: this process sends it.
        with self._display.waiting("Ordering"):
            while not task.task_id and shown_status(task) == "generating":
                await self._runtime.clock.sleep(_WATCH_SECONDS)
                task = await self._tasks.find(task.reference, LOCAL)
        return task

    async def list(self, arguments: argparse.Namespace) -> int:
        """One line a task."""
        if not 1 <= arguments.limit <= _LIST_LIMIT:
            raise ArgumentError("--limit", f"must be a whole number from 1 to {_LIST_LIMIT}.")
        status = None if arguments.status == "any" else Status(arguments.status)
        page = await self._tasks.page(LOCAL, status=status, limit=arguments.limit)
        if self._for_machines:
            for task in page.tasks:
                self._show(task)
            return 0
        self._list(page, arguments)
        return 0

    def _list(self, page: Page, arguments: argparse.Namespace) -> None:
        now = self._runtime.clock.now()
        if not page.tasks:
            kind = "tasks yet" if arguments.status == "any" else f"{arguments.status} tasks"
            self._display.line(f"No {kind} with this service and key.")
        elif self._display.columns:
            self._display.table(table(page.tasks, now, self._display.columns))
        else:
            for task in page.tasks:
                self._display.line(listing.line(task, now))
        warnings = [*filter(None, (listing.expiring(task, now) for task in page.tasks))]
        for warning in warnings:
            self._display.line(f"{warning}.")
        if warnings:
            self._line("Save what is done with: sora2-mcp tasks download --all")
        # Elsewhere than on a terminal only tasks and warnings are expected.
        if page.next_cursor and self._display.columns:
            self._display.line(f"These are the newest {len(page.tasks)}; see more with --limit.")

    async def show(self, arguments: argparse.Namespace) -> int:
        """One task, freshly looked at."""
        task = await self._looked_at(arguments)
        self._show(task)
        return _code_of(task)

    async def wait(self, arguments: argparse.Namespace) -> int:
        """Returns when the task has finished."""
        task = await self._finished(await resolved(self._tasks, arguments.task_id), arguments.timeout)
        self._show(task)
        return int(shown_status(task) != "succeeded")

    async def open(self, arguments: argparse.Namespace) -> int:
        """Plays the video: the saved file, or else its address."""
        task = await self._looked_at(arguments)
        link = "" if task.is_deleted(self._runtime.clock.now()) else task.link
        path = Path(task.file.path) if task.file is not None and await is_kept(task.file) else None
        if path is None and not link:
            self._show(task)
            return 1
        place, shown = (link, link) if path is None else (path.as_uri(), str(path))
        is_opened = await anyio.to_thread.run_sync(webbrowser.open, place)
        self._display.line(f"{'Opened' if is_opened else 'No program to open it was found; it is at'}:\n{shown}")
        if self._for_machines:
            self._show(task)
        return int(not is_opened)

    async def download(self, arguments: argparse.Namespace) -> int:
        """Saves the video, its path is the last line; or every video there is to save."""
        if arguments.all and (arguments.task_id or arguments.filename):
            raise ArgumentError("--all", "saves every video under a name of its own; leave out TASK_ID and --filename.")
        if arguments.all:
            return await self._download_all()
        if not arguments.task_id:
            raise ArgumentError("TASK_ID", "is missing; give one, or --all for every video that is not saved yet.")
        return await self._download(await resolved(self._tasks, arguments.task_id), arguments.filename)

    async def _looked_at(self, arguments: argparse.Namespace) -> Task:
        return await self._tasks.get(await resolved(self._tasks, arguments.task_id), LOCAL)

    async def _finished(self, task_id: str, seconds: float) -> Task:
        """The task once it has finished, or as it is after so many seconds."""
        with self._names_when_interrupted(task_id), self._display.waiting("Generating"):
            return await self._tasks.wait(task_id, LOCAL, seconds)

    async def _download(self, task_id: str, filename: str) -> int:
        task, download = await self._tasks.begin_download(task_id, LOCAL, filename)
        if download is not None:
            with self._display.downloading("Saving") as advance:
                await _follow(download, advance)
            task = await download.result()
        if filename.strip() and not _has_name(task, filename):
            self._display.words(words.saved_elsewhere(filename))
        self._show_saved(task)
        return 0

    def _show_saved(self, task: Task) -> None:
        if self._for_machines:
            view = saved_video_view(task, self._runtime.clock.now(), self._runtime.settings.poll_seconds)
            self._display.record(view.content())
        else:
            self._display.line(f"Saved:\n{task.file.path if task.file else ''}")

    async def _download_all(self) -> int:
        """Saves several at a time; what was saved before an interruption stays, and is passed over next time."""
        unseen = await self._look_at_unfinished()
        unfinished, tasks = await self._unsaved()
        outcomes = dict[str, bool]()
        # Also where it is interrupted: the counts say what the next call has to do.
        try:
            await self._save_each(tasks, outcomes)
        finally:
            saved = sum(outcomes.values())
            again = {"not saved": len(outcomes) - saved, "left": len(tasks) - len(outcomes), "not looked at": unseen}
            counts = {**again, "still generating": unfinished - unseen}
            parts = [f"{saved} saved", *(f"{count} {what}" for what, count in counts.items() if count > 0)]
            self._display.line(", ".join(parts) + ("; repeat the command for those" if any(again.values()) else ""))
        return int(any(again.values()))

    async def _save_each(self, tasks: Sequence[Task], outcomes: dict[str, bool]) -> None:
        room = anyio.Semaphore(_SAVED_AT_ONCE)
        with self._display.downloading_many() as bar:

            async def save(task: Task) -> None:
                async with room:
                    with bar(task.reference) as advance:
                        outcomes[task.id] = await self._saved(task, advance)

            async with anyio.create_task_group() as group:
                for task in tasks:
                    group.start_soon(save, task)

    async def _look_at_unfinished(self) -> int:
        """Looks once at every unfinished task; shows why looks failed, and gives how many did."""
        problems = Counter[str]()

        async def look(task: Task) -> None:
            # A task that cannot be looked at keeps no other from being saved.
            try:
                await self._tasks.get(task.reference, LOCAL, _LOOKING_SECONDS)
            except Sora2Error as error:
                problems[str(error)] += 1

        # All at once: the rate limiter makes them wait for their turn.
        with self._display.waiting("Looking"):
            async with anyio.create_task_group() as group:
                for task in await self._all(Status.GENERATING):
                    group.start_soon(look, task)
        for problem, count in problems.items():
            self._display.line(f"{count} could not be looked at: {problem}")
        return problems.total()

    async def _unsaved(self) -> tuple[int, Sequence[Task]]:
        """How many tasks are unfinished, and all finished ones that are neither saved nor deleted by the service."""
        now = self._runtime.clock.now()
        unfinished = len(await self._all(Status.GENERATING))
        finished = await self._all(Status.SUCCEEDED)
        return unfinished, [task for task in finished if not (task.file or task.has_expired(now))]

    async def _all(self, status: Status) -> Sequence[Task]:
        found, cursor = list[Task](), ""
        while True:
            page = await self._tasks.page(LOCAL, status=status, limit=_LIST_LIMIT, cursor=cursor)
            found += page.tasks
            cursor = page.next_cursor
            if not cursor:
                return found

    async def _saved(self, task: Task, advance: Advance) -> bool:
        try:
            task, download = await self._tasks.begin_download(task.reference, LOCAL)
            if download is not None:
                await _follow(download, advance)
                task = await download.result()
        except Sora2Error as error:
            self._display.line(f"Not saved: {error}")
            return False
        if self._for_machines:
            self._show_saved(task)
        else:
            self._display.line(f"Saved: {task.file.path if task.file else ''}")
        return True

    def _show(self, task: Task) -> None:
        now = self._runtime.clock.now()
        if self._for_machines:
            self._display.record(task_view(task, now, self._runtime.settings.poll_seconds).content())
        else:
            self._display.words(words.described(task, now, simulate=self._simulate))

    def _line(self, text: str) -> None:
        """A line that ends with a command about the same tasks."""
        self._display.line(typed(text, simulate=self._simulate))


def _code_of(task: Task) -> int:
    return int(shown_status(task) in ("failed", "unconfirmed"))


def _has_name(task: Task, filename: str) -> bool:
    """Whether its file has the name that was asked for, or that name with the task's id, as a taken one gets it."""
    stem = safe_name(filename, task.reference).removesuffix(".mp4")
    return task.file is not None and Path(task.file.path).stem.startswith(stem)


async def _follow(download: Download, advance: Advance) -> None:
    while not download.done.is_set():
        advance(download.received_bytes, download.total_bytes)
        with anyio.move_on_after(_WATCH_SECONDS):
            await download.done.wait()


_VERBS = {"list": Jobs.list, "show": Jobs.show, "wait": Jobs.wait, "open": Jobs.open, "download": Jobs.download}
