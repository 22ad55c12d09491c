"""How tasks read in a list: a line for each, what is about to be deleted, and how many there are."""

from dataclasses import dataclass
from datetime import datetime

from sora2_mcp.domain.task import Task
from sora2_mcp.server.texts import Answer, chosen, wait_call, when
from sora2_mcp.server.views import shown_status
from sora2_mcp.tasks.store.interface import MOST_COUNTED, Usage
from sora2_mcp.tasks.tasks import Page
from sora2_mcp.words import quoted

_PROMPT_SHOWN = 200


@dataclass(frozen=True, slots=True, kw_only=True)
class Filter:
    """What ``list_tasks`` was asked for."""

    status: str
    limit: int


def listed(page: Page, now: datetime, *, asked: Filter, total: int, usage: Usage, daily_limit: int) -> Answer:
    """After list_tasks: one line for each, then how many there are, what was ordered, and what time it is.

    ``total`` of such tasks, counted up to ``MOST_COUNTED``.
    """
    kind = "" if asked.status == "any" else f" {asked.status}"
    counts = f"{_counted(page, total, kind)} {_ordered(usage, daily_limit)} It is {now:%Y-%m-%d %H:%M} UTC."
    if not page.tasks:
        hint = "generate_video orders one." if asked.status == "any" else "list_tasks() shows every task."
        return Answer(counts, hint)
    lines = [line(task, now) for task in page.tasks]
    lines += filter(None, (expiry_warning(task, now) for task in page.tasks))
    return Answer("\n".join([*lines, counts]), " ".join(_steps(page, asked)))


def _counted(page: Page, total: int, kind: str) -> str:
    if not page.tasks:
        return f"No{kind} tasks{'' if kind else ' yet'}."
    more = " or more" if total == MOST_COUNTED else ""
    return f"{len(page.tasks)} of {total:,}{more}{kind}."


def _ordered(usage: Usage, daily_limit: int) -> str:
    today = f"{usage.mine_today}"
    if daily_limit:
        # All callers share the limit.
        others = f", with all callers {usage.all_today}" if usage.all_today != usage.mine_today else ""
        today += f"{others} of {daily_limit}"
    return f"Ordered today: {today}; this month: {usage.mine_this_month}."


def _steps(page: Page, asked: Filter) -> list[str]:
    """What is left to do; empty where nothing is."""
    steps = []
    if page.next_cursor:
        call = f'list_tasks(status="{asked.status}", limit={asked.limit}, cursor="{page.next_cursor}")'
        steps.append(f"{call} for older ones.")
    if generating := [task for task in page.tasks if shown_status(task) == "generating"]:
        steps.append(f"{wait_call(generating[0])} for the video that is still being made.")
    if any(shown_status(task) == "unconfirmed" for task in page.tasks):
        steps.append("Tell the user which orders are unconfirmed: only their account page at the service can tell.")
    return steps


def line(task: Task, now: datetime) -> str:
    """A task on one line."""
    prompt = task.request.prompt
    cut = f" (cut, {len(prompt):,} characters in all)" if len(prompt) > _PROMPT_SHOWN else ""
    parts = [
        task.reference,
        shown_status(task),
        f"{task.created_at:%Y-%m-%d %H:%M} UTC",
        chosen(task.request),
        f"{quoted(prompt[:_PROMPT_SHOWN])}{cut}",
        *_outcome(task, now),
    ]
    return " · ".join(parts)


def _outcome(task: Task, now: datetime) -> list[str]:
    """Where the video is and how long, and what it has cost; a failure's code."""
    status = shown_status(task)
    if status == "failed" and task.failure is not None and task.failure.code > 0:
        return [f"code {task.failure.code}"]
    if status != "succeeded":
        return []
    cost = [f"{task.cost:g} {task.price_unit}"] if task.cost is not None and task.price_unit else []
    if task.has_expired(now):
        return [f"expired {task.video_expires_at:%Y-%m-%d}, not saved", *cost]
    link = [task.link] if task.link and not task.is_deleted(now) else []
    return [*link, _kept(task), *cost]


def _kept(task: Task) -> str:
    if task.file is not None:
        return f"saved: {task.file.place}"
    if task.needs_key:
        return "being saved"
    return f"not saved, kept until {task.video_expires_at:%Y-%m-%d}" if task.video_expires_at else "not saved"


def expiring(task: Task, now: datetime) -> str:
    """A sentence about an unsaved video that the service is about to delete; empty for any other task."""
    if not task.expires_soon(now) or task.video_expires_at is None:
        return ""
    return f"The video of {task.reference} is not saved and deleted {when(task.video_expires_at, now)}"


def expiry_warning(task: Task, now: datetime) -> str:
    """The same with the call that saves it."""
    sentence = expiring(task, now)
    return f'{sentence}: download_video(task_id="{task.reference}").' if sentence else ""


def expiry(task: Task, now: datetime) -> str:
    """The warning, or that it is too late for one; empty for a video that is safe for now."""
    if not task.has_expired(now):
        return expiry_warning(task, now)
    on = f"{task.video_expires_at:%Y-%m-%d}"
    return f"The video of {task.reference} is gone: it was not saved, and the service deleted it on {on}."
