"""Tasks to rows and back."""

import json
from datetime import datetime, timedelta
from hashlib import sha256
from typing import Any

from sqlalchemy import RowMapping

from sora2_mcp.domain.request import AspectRatio, Quality, VideoRequest
from sora2_mcp.domain.task import Doubt, Failure, SavedFile, Sighting, Stage, Status, Task


def fingerprint(request: VideoRequest) -> str:
    """The same for exactly the same order; the request cannot be read back from it."""
    fields: list[Any] = [
        request.prompt,
        list(request.image_urls),
        request.aspect_ratio,
        request.quality,
        request.watermark,
        request.callback_url,
    ]
    if request.seconds:
        # Orders of a service where no length can be chosen keep the fingerprint they always had.
        fields.append(request.seconds)
    return sha256(json.dumps(fields).encode()).hexdigest()


def order_columns(task: Task) -> dict[str, Any]:
    """What is written once, when the intent is saved."""
    request = task.request
    return {
        "id": task.id,
        "principal": task.principal,
        "service": task.service,
        "prompt": request.prompt,
        "image_urls": json.dumps(request.image_urls),
        "aspect_ratio": request.aspect_ratio.value,
        "quality": request.quality.value,
        "watermark": request.watermark,
        "seconds": request.seconds,
        "retention_days": task.retention.days if task.retention is not None else None,
        "price_unit": task.price_unit,
        "fingerprint": "" if task.adopted else fingerprint(request),
        "idempotency_key": task.idempotency_key or None,
        "callback": task.callback_hash or None,
        "created_at": task.created_at,
        "sending_until": task.sending_until,
        "handed_out": False,
        "adopted": task.adopted,
        "task_id": task.task_id or None,
        "look_failures": 0,
        **fact_columns(task),
    }


def fact_columns(task: Task) -> dict[str, Any]:
    """What observations change."""
    failure = task.failure
    return {
        "status": task.status.value,
        "known_unfinished_at": task.known_unfinished_at,
        "doubts": json.dumps([[doubt.seen_at.isoformat(), doubt.sighting.value] for doubt in task.doubts]),
        "finished_at": task.finished_at,
        "failure_stage": failure.stage.value if failure else None,
        "failure_code": failure.code if failure else None,
        "failure_message": failure.message if failure else None,
        "failure_doubtful": failure.doubtful if failure else None,
        "video_url": task.video_url or None,
        "url_seen_at": task.url_seen_at,
        "video_expires_at": task.video_expires_at,
        "cost": task.cost,
    }


def task_from(row: RowMapping) -> Task:
    """The task a row holds."""
    return Task(
        id=row["id"],
        principal=row["principal"],
        service=row["service"],
        request=VideoRequest(
            prompt=row["prompt"],
            image_urls=tuple(json.loads(row["image_urls"])),
            aspect_ratio=AspectRatio(row["aspect_ratio"]),
            quality=Quality(row["quality"]),
            watermark=row["watermark"],
            seconds=row["seconds"],
        ),
        created_at=row["created_at"],
        task_id=row["task_id"] or "",
        status=Status(row["status"]),
        idempotency_key=row["idempotency_key"] or "",
        adopted=row["adopted"],
        sending_until=row["sending_until"],
        callback_hash=row["callback"] or "",
        known_unfinished_at=row["known_unfinished_at"],
        doubts=tuple(_doubt(*pair) for pair in json.loads(row["doubts"])),
        finished_at=row["finished_at"],
        failure=_failure(row),
        unclear_because="" if row["failure_stage"] else row["failure_message"] or "",
        video_url=row["video_url"] or "",
        url_seen_at=row["url_seen_at"],
        retention=timedelta(days=row["retention_days"]) if row["retention_days"] is not None else None,
        price_unit=row["price_unit"],
        cost=row["cost"],
        file=_file(row),
        last_look_at=row["last_look_at"],
        look_failed_at=row["look_failed_at"],
        look_error_code=row["look_error_code"] or 0,
        download_attempts=row["download_attempts"],
        version=row["version"],
    )


def _doubt(seen_at: str, sighting: str) -> Doubt:
    return Doubt(seen_at=datetime.fromisoformat(seen_at), sighting=Sighting(sighting))


def _failure(row: RowMapping) -> Failure | None:
    if row["failure_stage"] is None:
        return None
    return Failure(
        stage=Stage(row["failure_stage"]),
        code=row["failure_code"],
        message=row["failure_message"],
        doubtful=row["failure_doubtful"],
    )


def _file(row: RowMapping) -> SavedFile | None:
    if row["file_path"] is None:
        return None
    return SavedFile(path=row["file_path"], size_bytes=row["file_size_bytes"], sha256=row["file_sha256"])
