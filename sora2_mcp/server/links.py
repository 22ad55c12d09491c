"""Where a caller finds a saved video: over HTTP at a signed address of ours, on this machine at its path."""

from contextvars import ContextVar
from dataclasses import replace
from urllib.parse import quote

from sora2_mcp.domain.task import LOCAL, Task
from sora2_mcp.runtime import Runtime

VIDEO_FOLDER = "videos"
"""Saved videos are at ``/videos/<token>/<name>.mp4`` below our own address."""

own_address: ContextVar[str] = ContextVar("own_address", default="")
"""This server's address, as the caller of the request being worked on reaches it; empty over stdio."""


def shown(runtime: Runtime, task: Task) -> Task:
    """The task as its own principal may see it: over HTTP with a link, and with the file's path only for ``local``."""
    address = own_address.get()
    if task.file is None or not address:
        return task
    file = task.file
    # Both kinds of separator: another system may have saved it.
    name = quote(file.path.replace("\\", "/").rpartition("/")[2])
    tokens = runtime.video_tokens
    link = f"{address}/{VIDEO_FOLDER}/{tokens.token(task.id)}/{name}"
    path = file.path if task.principal == LOCAL else ""
    return replace(task, file=replace(file, path=path, link=link, link_until=tokens.until))
