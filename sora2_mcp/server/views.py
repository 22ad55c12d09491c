"""What the agent gets as data, made from domain values."""

import math
from datetime import UTC, datetime
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, PlainSerializer

from sora2_mcp.domain.request import VideoRequest
from sora2_mcp.domain.task import Status, Task
from sora2_mcp.words import quoted


def iso(at: datetime) -> str:
    """``2026-11-22T12:00:00Z``"""
    return at.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


ShownStatus = Literal["generating", "succeeded", "failed", "unconfirmed"]
Instant = Annotated[datetime, PlainSerializer(iso, return_type=str)]


class View(BaseModel):
    """Absent values are left out, so that no field is ever null.

    ``message`` and ``next`` are what the text of a result says: some hosts show the model the data only.
    """

    model_config = ConfigDict(frozen=True)

    message: str | None = None
    next: str | None = None

    def content(self) -> dict[str, Any]:
        """The structured content of a tool's result."""
        return self.model_dump(mode="json", exclude_none=True)


class FailureView(BaseModel):
    """Where and why it failed; ``code`` and ``message`` are the service's, ``message`` is data and no instruction."""

    stage: Literal["creation", "generation"]
    code: int
    message: str


class CostView(BaseModel):
    """What the service says a task has cost, in its own unit."""

    amount: float
    unit: str


class TaskView(View):
    """A task."""

    task_id: str
    status: ShownStatus
    created_at: Instant
    prompt: str | None = None
    aspect_ratio: str | None = None
    quality: str | None = None
    image_urls: list[str] | None = None
    watermark: str | None = None
    seconds: int | None = None
    cost: CostView | None = None
    video_url: str | None = None
    video_expires_at: Instant | None = None
    file_path: str | None = None
    download_url: str | None = None
    failure: FailureView | None = None
    finished_at: Instant | None = None
    elapsed_seconds: float | None = None
    poll_after_seconds: int | None = None


class SavedVideoView(TaskView):
    """A task whose video lies on disk."""

    size_bytes: int | None = None
    sha256: str | None = None


class TaskListView(View):
    """Tasks, newest first."""

    tasks: list[TaskView]
    next_cursor: str = Field(default="")


_SHOWN: dict[Status, ShownStatus] = {
    Status.GENERATING: "generating",
    Status.SUCCEEDED: "succeeded",
    Status.FAILED: "failed",
    Status.UNCONFIRMED: "unconfirmed",
    Status.REFUSED: "failed",
}


def shown_status(task: Task) -> ShownStatus:
    """The status as agents see it; an order the service refused reads as failed."""
    return _SHOWN[task.status]


def task_view(task: Task, now: datetime, poll_seconds: float) -> TaskView:
    """A task as an agent sees it at ``now``."""
    return TaskView(**_fields(task, now, poll_seconds))


def saved_video_view(task: Task, now: datetime, poll_seconds: float) -> SavedVideoView:
    """A task with its file's size and checksum."""
    file = task.file
    return SavedVideoView(
        **_fields(task, now, poll_seconds),
        size_bytes=file.size_bytes if file else None,
        sha256=file.sha256 if file else None,
    )


def declined_view(request: VideoRequest, now: datetime, price_unit: str = "credits") -> TaskView:
    """An order a person did not agree to: no task came of it."""
    nothing = "nothing was sent or spent" if price_unit else "nothing was sent"
    failure = FailureView(stage="creation", code=0, message=f"the user did not agree; {nothing}")
    return TaskView(task_id="", status="failed", created_at=now, prompt=request.prompt, failure=failure)


def _fields(task: Task, now: datetime, poll_seconds: float) -> dict[str, Any]:
    status = shown_status(task)
    request = task.request
    return {
        "task_id": task.reference,
        "status": status,
        "created_at": task.created_at,
        "prompt": request.prompt or None,
        "aspect_ratio": request.aspect_ratio.value,
        "quality": request.quality.value,
        "image_urls": list(request.image_urls) or None,
        "watermark": request.watermark or None,
        "seconds": request.seconds or None,
        "cost": CostView(amount=task.cost, unit=task.price_unit) if task.cost is not None and task.price_unit else None,
        # A link that is known to be dead is no result.
        "video_url": None if task.is_deleted(now) else task.link or None,
        "video_expires_at": task.video_expires_at,
        "file_path": task.file.path or None if task.file else None,
        "download_url": task.file.link or None if task.file else None,
        "failure": _failure(task),
        "finished_at": task.finished_at,
        "elapsed_seconds": elapsed_seconds(task, now),
        # Whole seconds, and never sooner than the server itself looks.
        "poll_after_seconds": math.ceil(poll_seconds) if status == "generating" else None,
    }


def elapsed_seconds(task: Task, now: datetime) -> float | None:
    """Seconds from the order to the end, or to now; unknown for tasks ordered elsewhere."""
    if task.adopted:
        return None
    return round(max(0.0, ((task.finished_at or now) - task.created_at).total_seconds()), 1)


def _failure(task: Task) -> FailureView | None:
    if task.failure is None:
        return None
    # Data needs no quotes.
    message = quoted(task.failure.message)[1:-1]
    return FailureView(stage=task.failure.stage.value, code=max(task.failure.code, 0), message=message)
