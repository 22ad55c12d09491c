"""The tables, as the newest migration leaves them."""

from datetime import UTC, datetime, timedelta
from typing import Any

from sqlalchemy import BigInteger, Boolean, Column, Dialect, Float, Index, Integer, MetaData, String, Table, Text, text
from sqlalchemy.types import TypeDecorator

REVISION = "0004"
"""The newest migration; its number only grows."""

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)


def microseconds(instant: datetime) -> int:
    """Whole microseconds since 1970."""
    return (instant - _EPOCH) // timedelta(microseconds=1)


class Instant(TypeDecorator[datetime]):
    """An aware UTC datetime, kept as whole microseconds since 1970: sorts and means the same on every engine."""

    impl = BigInteger
    cache_ok = True

    def process_bind_param(self, value: datetime | None, dialect: Dialect) -> int | None:  # noqa: ARG002 - its base's
        return None if value is None else microseconds(value)

    def process_result_value(self, value: Any | None, dialect: Dialect) -> datetime | None:  # noqa: ARG002 - its base's
        return None if value is None else _EPOCH + timedelta(microseconds=value)


class Words(TypeDecorator[str]):
    """Text that others wrote, without the one character that PostgreSQL cannot hold."""

    impl = Text
    cache_ok = True

    def process_bind_param(self, value: str | None, dialect: Dialect) -> str | None:  # noqa: ARG002 - its base's
        return None if value is None else value.replace("\x00", "")


_UNSAVED = text("status = 'succeeded' AND file_path IS NULL")
_HINTED = text("hinted_at IS NOT NULL")
_SENDING = text("sending_until IS NOT NULL")

metadata = MetaData()

tasks = Table(
    "tasks",
    metadata,
    Column("id", String(32), primary_key=True),
    Column("principal", Text, nullable=False),
    Column("service", Text, nullable=False),
    Column("version", Integer, nullable=False),
    Column("changed_at", Instant, nullable=False),
    # The process that wrote the row last: it knows of the change and needs no word of it.
    Column("changed_by", String(64)),
    # What was asked for. A callback address may carry a token of the caller's, so it is not kept.
    Column("prompt", Words, nullable=False),
    Column("image_urls", Text, nullable=False),
    Column("aspect_ratio", String(20), nullable=False),
    Column("quality", String(20), nullable=False),
    Column("watermark", Words, nullable=False),
    Column("seconds", Integer, nullable=False, server_default="0"),
    Column("fingerprint", String(64), nullable=False),
    Column("idempotency_key", String(200)),
    Column("confirmation", String(64)),
    Column("callback", String(64)),
    # What became of the order.
    Column("created_at", Instant, nullable=False),
    Column("sending_until", Instant),
    Column("handed_out", Boolean, nullable=False),
    Column("adopted", Boolean, nullable=False),
    # What was made shorter first, in SQLite stays so by name, and holds ids of any length all the same.
    Column("task_id", Text().with_variant(String(200), "sqlite")),
    # What is known of the task.
    Column("status", String(20), nullable=False),
    Column("known_unfinished_at", Instant),
    Column("doubts", Text, nullable=False),
    Column("finished_at", Instant),
    Column("failure_stage", String(20)),
    Column("failure_code", BigInteger),
    Column("failure_message", Words),
    Column("failure_doubtful", Boolean),
    Column("video_url", Words),
    Column("url_seen_at", Instant),
    Column("video_expires_at", Instant),
    # None where the service does not say how long it keeps a video.
    Column("retention_days", Integer, server_default="15"),
    Column("price_unit", String(20), nullable=False, server_default="credits"),
    Column("cost", Float),
    # The schedule and the lease of its looks. A hint is cleared when a look begins, so one that came later is left.
    Column("next_look_at", Instant),
    Column("wanted_until", Instant),
    Column("look_owner", String(64)),
    Column("look_lease_until", Instant),
    Column("last_look_at", Instant),
    Column("look_failures", Integer, nullable=False),
    Column("look_failed_at", Instant),
    Column("look_not_before", Instant),
    Column("look_error_code", BigInteger),
    Column("hinted_at", Instant),
    Column("hinted_id", Words),
    # Its file.
    Column("file_path", Text),
    Column("file_size_bytes", BigInteger),
    Column("file_sha256", String(64)),
    Column("download_owner", String(64)),
    Column("download_lease_until", Instant),
    Column("download_attempts", Integer, nullable=False, server_default="0"),
    Index("tasks_by_age", "service", "principal", "created_at", "id"),
    Index("tasks_by_status", "service", "principal", "status", "created_at", "id"),
    Index("tasks_by_task_id", "service", "task_id"),
    Index("tasks_by_key", "service", "principal", "idempotency_key", unique=True),
    Index("tasks_by_confirmation", "service", "confirmation", unique=True),
    Index("tasks_by_callback", "service", "callback"),
    Index("tasks_by_fingerprint", "service", "principal", "fingerprint", "created_at"),
    Index("tasks_by_day", "service", "created_at"),
    Index("tasks_active", "service", "status", "created_at"),
    Index("tasks_due", "service", "next_look_at"),
    Index("tasks_wanted", "service", "wanted_until"),
    Index("tasks_changed", "service", "changed_at"),
    Index("tasks_hinted", "service", "hinted_at", sqlite_where=_HINTED, postgresql_where=_HINTED),
    Index("tasks_sending", "service", "sending_until", sqlite_where=_SENDING, postgresql_where=_SENDING),
    Index("tasks_unsaved", "service", "created_at", sqlite_where=_UNSAVED, postgresql_where=_UNSAVED),
)

schema_state = Table(
    "schema_state",
    metadata,
    Column("revision", String(32), primary_key=True),
    # The oldest revision whose programs still work with this schema.
    Column("min_compatible", String(32), nullable=False),
)
