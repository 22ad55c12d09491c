"""Resources: recent tasks, one task, its file, a guide and the usage."""

import json
import re
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from datetime import datetime
from typing import Any

import anyio
from mcp.server.mcpserver import MCPServer
from mcp.server.mcpserver.exceptions import ResourceError, ResourceNotFoundError
from mcp.server.mcpserver.resources import FunctionResource, Resource
from mcp_types import Annotations, Completion
from mcp_types import Resource as ListedResource

from sora2_mcp.domain.task import LOCAL, Status, Task
from sora2_mcp.errors import Sora2Error, UnknownTaskError
from sora2_mcp.runtime import Runtime
from sora2_mcp.server.links import shown
from sora2_mcp.server.listing import expiry
from sora2_mcp.server.offered import wording
from sora2_mcp.server.principal import current_principal
from sora2_mcp.server.unread import Turns
from sora2_mcp.server.views import TaskListView, shown_status, task_view
from sora2_mcp.settings import Settings
from sora2_mcp.tasks.files import is_kept
from sora2_mcp.tasks.previews import is_available
from sora2_mcp.tasks.store.interface import Usage
from sora2_mcp.tasks.tasks import Tasks
from sora2_mcp.words import quoted

TASKS_URI = "sora2://tasks"
TASK_URI = "sora2://tasks/{task_id}"
VIDEO_URI = "sora2://tasks/{task_id}/video"
POSTER_URI = "sora2://tasks/{task_id}/poster"
GUIDE_URI = "sora2://guide"
USAGE_URI = "sora2://usage"

_UNNAMEABLE = re.compile(r"[^A-Za-z0-9_-]")
_JSON = "application/json"
_MP4 = "video/mp4"
LISTED_TASKS = 20
_COMPLETED_TASKS = 50
_COMPLETION_LIMIT = 100
_VIDEO_LIMIT_BYTES = 25_000_000

# The places are for what is true of the service (`offered.wording`).
# Source: the vendor's quick start, "Tips for Better Prompts", "Quality Options", "Best Practices" and "Video Storage".
_GUIDE = """\
# How to get a good video

## The prompt
Be specific. Name, in this order of importance:
- the scene: "a garden", "a beach at low tide", "a city street at night"
- the subject and what it does: "a ginger kitten chases a butterfly"
- the atmosphere: "bright spring day", "mysterious", "warm evening light"
- the camera: "slow push in", "orbit shot", "static wide shot", "handheld, following"

One scene and one clear action work better than a story. Try variations of a prompt rather than ever longer ones.

## What to choose
- `quality`: `standard` for drafts and trials, `hd` only for the final version; it {hd}.
- `aspect_ratio`: `landscape` for desktop and TV, `portrait` for phones.
- `image_urls`: public addresses of JPG or PNG images; the prompt then says how they should move.
- What `generate_video` does not list cannot be chosen here.

## Orders, time, keeping
- Every accepted order is {paid}, also when you order the same again. Give an `idempotency_key` and repeat it
  when you repeat a call; an exact repeat soon after joins the order under way by itself.
- A video takes one to several minutes. Waiting is free. Nothing is lost when a wait ends early.
- A finished video: {deletes}. `download_video` keeps it.
- A refused prompt makes no video and is not {paid}: change what the service objects to, then order again.
"""


def build_resources(runtime: Runtime) -> list[Resource]:
    """The resources with a fixed address."""

    async def tasks() -> str:
        tasks = await _tasks(runtime)
        with _explained():
            page = await tasks.page(current_principal(), limit=LISTED_TASKS)
        page = replace(page, tasks=tuple(shown(runtime, task) for task in page.tasks))
        now, poll_seconds = runtime.clock.now(), runtime.settings.poll_seconds
        views = [task_view(task, now, poll_seconds) for task in page.tasks]
        listed = TaskListView(tasks=views, next_cursor=page.next_cursor).content()
        return _json({**_warnings(page.tasks, now), **listed})

    async def usage() -> str:
        tasks = await _tasks(runtime)
        with _explained():
            counted = await tasks.usage(current_principal())
        # The account is the operator's: other principals do not see what is left in it.
        balance = await tasks.balance() if current_principal() == LOCAL else None
        return _json(_usage(counted, runtime, balance))

    async def guide() -> str:
        return _GUIDE.format_map(wording(runtime.upstream.capabilities()))

    return [
        FunctionResource.from_function(
            tasks, TASKS_URI, name="tasks", title="Recent video tasks", description="Newest first.", mime_type=_JSON
        ),
        FunctionResource.from_function(
            guide,
            GUIDE_URI,
            name="guide",
            title="How to get a good video",
            description="Advice on prompts, quality, cost and waiting.",
            mime_type="text/markdown",
        ),
        FunctionResource.from_function(
            usage,
            USAGE_URI,
            name="usage",
            title="Orders and limits",
            description="Orders and failures today and this month, and what the limits leave.",
            mime_type=_JSON,
        ),
    ]


def add_templates(server: MCPServer[Any], runtime: Runtime) -> None:
    """Registers the resources whose address holds a task's id."""
    turns = Turns(runtime.clock)

    @server.resource(
        TASK_URI, name="task", title="A video task", description="What is known of it, without a look.", mime_type=_JSON
    )
    async def task(task_id: str) -> str:
        found, now = shown(runtime, await _find(runtime, task_id)), runtime.clock.now()
        return _json({**_warnings([found], now), **task_view(found, now, runtime.settings.poll_seconds).content()})

    @server.resource(
        VIDEO_URI,
        name="video",
        title="A saved video",
        description="The MP4 file that download_video saved.",
        mime_type=_MP4,
        annotations=Annotations(audience=["user"]),
    )
    async def video(task_id: str) -> bytes:
        found = await _find(runtime, task_id)
        # A file is in memory until the client has read it, and base64 makes it longer by a third.
        if not await turns.take(current_principal()):
            raise ResourceError("Another video is being handed over to you, one at a time; read that one first.")
        return await _video(found, shown(runtime, found), runtime.clock.now())

    if not is_available():
        return

    @server.resource(
        POSTER_URI,
        name="poster",
        title="A frame of a video",
        description="One frame of a finished video.",
        mime_type="image/jpeg",
        annotations=Annotations(audience=["user"]),
    )
    async def poster(task_id: str) -> bytes:
        tasks = await _tasks(runtime)
        with _explained():
            _, preview = await tasks.preview(task_id, current_principal(), 1)
        return preview.jpeg


async def recent_tasks(runtime: Runtime) -> list[ListedResource]:
    """The newest tasks as resources, so that a person can attach one; none where the store cannot be used."""
    try:
        page = await (await runtime.tasks()).page(current_principal(), limit=LISTED_TASKS)
    except Sora2Error:
        # A host lists resources when it starts: the tools' own errors say what is wrong.
        return []
    return [_listed(task) for task in page.tasks]


async def completed_ids(runtime: Runtime, beginning: str, status: Status | None = None) -> Completion:
    """Ids of recent tasks that begin so."""
    try:
        page = await (await runtime.tasks()).page(current_principal(), status=status, limit=_COMPLETED_TASKS)
    except Sora2Error:
        return Completion(values=[], total=0, has_more=False)
    ids = [task.reference for task in page.tasks if task.reference.startswith(beginning)]
    return Completion(values=ids[:_COMPLETION_LIMIT], total=len(ids), has_more=bool(page.next_cursor))


async def _tasks(runtime: Runtime) -> Tasks:
    with _explained():
        return await runtime.tasks()


async def _find(runtime: Runtime, task_id: str) -> Task:
    tasks = await _tasks(runtime)
    with _explained():
        return await tasks.find(task_id, current_principal())


@contextmanager
def _explained() -> Iterator[None]:
    """Turns our errors into those whose words reach a client."""
    try:
        yield
    except UnknownTaskError as error:
        raise ResourceNotFoundError(f"{error}. {error.hint}") from error
    except Sora2Error as error:
        raise ResourceError(f"{error}. {error.hint}") from error


def _warnings(tasks: Iterable[Task], now: datetime) -> dict[str, list[str]]:
    warnings = [*filter(None, (expiry(task, now) for task in tasks))]
    return {"warnings": warnings} if warnings else {}


async def _video(task: Task, seen: Task, now: datetime) -> bytes:
    """The file's bytes; ``seen`` is the task as the caller may see it."""
    again = f'call download_video(task_id="{task.reference}")'
    if task.file is None or seen.file is None:
        gone = expiry(task, now) if task.has_expired(now) else ""
        raise ResourceError(gone or f"The video is not saved yet; {again} first.")
    place = seen.file.place
    if task.file.size_bytes > _VIDEO_LIMIT_BYTES:
        size = f"{task.file.size_bytes / 1e6:.0f} MB"
        raise ResourceError(f"The video has {size}, too much to hand over here; its file is {place}.")
    if not await is_kept(task.file):
        problem = f"The file {place} is gone, or not what was saved any more"
        raise ResourceError(f"{problem}; {again} to save the video again.")
    try:
        return await anyio.Path(task.file.path).read_bytes()
    except OSError as error:
        raise ResourceError(f"The file {place} cannot be read ({error.strerror}); {again} again.") from error


def _listed(task: Task) -> ListedResource:
    prompt = quoted(task.request.prompt[:60])[1:-1] or "a video ordered elsewhere"
    return ListedResource(
        uri=TASK_URI.replace("{task_id}", task.reference),
        # Some frameworks make a tool's name of it, which may have 64 letters, digits, "_" and "-".
        name=f"task-{_UNNAMEABLE.sub('-', task.reference)}"[:64],
        title=f"{shown_status(task)}: {prompt}",
        description=f"Ordered {task.created_at:%Y-%m-%d %H:%M} UTC",
        mime_type=_JSON,
    )


def _usage(usage: Usage, runtime: Runtime, balance: float | None) -> dict[str, Any]:
    settings, unit = runtime.settings, runtime.upstream.capabilities().price_unit
    costs = {"today": usage.mine_cost_today, "this_month": usage.mine_cost_this_month, "balance": balance}
    known = {name: amount for name, amount in costs.items() if amount is not None and unit}
    return {
        **({"cost": {**known, "unit": unit}} if known else {}),
        "today": {"orders": usage.mine_today, "failed": usage.mine_failed_today},
        "this_month": {"orders": usage.mine_this_month, "failed": usage.mine_failed_this_month},
        "limits": limits_used(settings, usage),
    }


def limits_used(settings: Settings, usage: Usage) -> dict[str, dict[str, float]]:
    """What all callers together have used of each limit there is."""
    return {
        **_limit("daily", settings.daily_limit, usage.all_today),
        **_limit("active", settings.max_active_tasks, usage.all_active),
        **_limit("daily_cost", settings.daily_cost, usage.all_cost_today or 0.0),
    }


def _limit(name: str, limit: float, used: float) -> dict[str, dict[str, float]]:
    """What all callers together have used of a limit. Without a limit nothing is shown of what others order."""
    return {name: {"used": used, "limit": limit, "left": max(0, limit - used)}} if limit else {}


def _json(content: dict[str, Any]) -> str:
    return json.dumps(content, ensure_ascii=False, indent=1)
