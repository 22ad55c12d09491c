"""Tasks as a table on a terminal: one line for each, which fits 80 columns."""

from collections.abc import Sequence
from datetime import datetime

from rich.table import Table
from rich.text import Text

from sora2_mcp.domain.task import LOCAL_PREFIX, Task
from sora2_mcp.server.views import shown_status
from sora2_mcp.words import sanitized

_STYLES = {"generating": "yellow", "succeeded": "green", "failed": "red", "unconfirmed": "magenta"}
_LONGEST_ID = 64
"""Those of gateways have 200 characters, of which the first may be the same in all."""

_ID_SHOWN = 24
"""A beginning of so many characters is an id as well, and leaves room for the prompt."""

_LOCAL_SHOWN = 12
_PROMPT_SHOWN = 200
_COSTS_FROM_COLUMNS = 100
"""Narrower, the prompt would have no room; ``tasks show`` and plain lines have the cost as well."""


def table(tasks: Sequence[Task], now: datetime, columns: int) -> Table:
    """For a terminal of so many columns; times are this machine's."""
    grid = Table(box=None, pad_edge=False, padding=(0, 1, 0, 0), expand=True, header_style="bold")
    grid.add_column("ID", no_wrap=True, overflow="fold")
    grid.add_column("STATUS", no_wrap=True)
    grid.add_column("ORDERED", no_wrap=True)
    grid.add_column("VIDEO", no_wrap=True)
    unit = next((task.price_unit for task in tasks if task.cost is not None), "")
    has_costs = bool(unit) and columns >= _COSTS_FROM_COLUMNS
    if has_costs:
        grid.add_column(unit.upper(), no_wrap=True, justify="right")
    grid.add_column("PROMPT", no_wrap=True, overflow="ellipsis", ratio=1)
    for task in tasks:
        status = shown_status(task)
        cells = [
            Text(shown_id(task), style="cyan"),
            Text(status, style=_STYLES[status]),
            Text(_when(task.created_at, now)),
            Text(*_video(task, now)),
            *([Text("" if task.cost is None else f"{task.cost:g}")] if has_costs else []),
            Text(sanitized(task.request.prompt, _PROMPT_SHOWN)),
        ]
        grid.add_row(*cells)
    return grid


def shown_id(task: Task) -> str:
    """An id that can be typed: its beginning; the place of a very long one takes the local one."""
    is_usual = len(task.reference) <= _LONGEST_ID
    return task.reference[:_ID_SHOWN] if is_usual else f"{LOCAL_PREFIX}{task.id[:_LOCAL_SHOWN]}"


def _when(instant: datetime, now: datetime) -> str:
    """``27 Nov 16:45``; of another year ``27 Nov 2025``."""
    local = instant.astimezone()
    return f"{local:%d %b %H:%M}" if local.year == now.astimezone().year else f"{local:%d %b %Y}"


def _video(task: Task, now: datetime) -> tuple[str, str]:
    """Where the video is, or why there is none; and the style of that."""
    status = shown_status(task)
    if status == "failed" and task.failure is not None and task.failure.code > 0:
        return f"code {task.failure.code}", ""
    if status != "succeeded":
        return "", ""
    if task.file is not None:
        return "saved", ""
    if task.has_expired(now):
        return "expired", "red"
    if task.video_expires_at is None:
        return "not saved", ""
    return f"until {task.video_expires_at.astimezone():%d %b}", "bold red" if task.expires_soon(now) else ""
