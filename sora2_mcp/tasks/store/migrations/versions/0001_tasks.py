"""The tasks table."""

from typing import Any

from alembic import op
from sqlalchemy import BigInteger, Boolean, Column, Integer, String, Text, text

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.create_table("tasks", *_order_columns(), *_fact_columns(), *_look_columns(), *_file_columns())
    op.create_index("tasks_active", "tasks", ["service", "status", "created_at"])
    op.create_index("tasks_by_age", "tasks", ["service", "principal", "created_at", "id"])
    op.create_index("tasks_by_callback", "tasks", ["service", "callback"])
    op.create_index("tasks_by_confirmation", "tasks", ["service", "confirmation"], unique=True)
    op.create_index("tasks_by_day", "tasks", ["service", "created_at"])
    op.create_index("tasks_by_fingerprint", "tasks", ["service", "principal", "fingerprint", "created_at"])
    op.create_index("tasks_by_key", "tasks", ["service", "principal", "idempotency_key"], unique=True)
    op.create_index("tasks_by_status", "tasks", ["service", "principal", "status", "created_at", "id"])
    op.create_index("tasks_by_task_id", "tasks", ["service", "task_id"])
    op.create_index("tasks_changed", "tasks", ["service", "changed_at"])
    op.create_index("tasks_due", "tasks", ["service", "next_look_at"])
    unsaved = text("status = 'succeeded' AND file_path IS NULL")
    op.create_index("tasks_unsaved", "tasks", ["service", "created_at"], sqlite_where=unsaved, postgresql_where=unsaved)
    op.create_index("tasks_wanted", "tasks", ["service", "wanted_until"])
    state = op.create_table(
        "schema_state",
        Column("revision", String(32), primary_key=True),
        Column("min_compatible", String(32), nullable=False),
    )
    op.bulk_insert(state, [{"revision": revision, "min_compatible": revision}])


def _order_columns() -> list[Column[Any]]:
    return [
        Column("id", String(32), primary_key=True),
        Column("principal", Text, nullable=False),
        Column("service", Text, nullable=False),
        Column("version", Integer, nullable=False),
        Column("changed_at", BigInteger, nullable=False),
        Column("prompt", Text, nullable=False),
        Column("image_urls", Text, nullable=False),
        Column("aspect_ratio", String(20), nullable=False),
        Column("quality", String(20), nullable=False),
        Column("watermark", Text, nullable=False),
        Column("fingerprint", String(64), nullable=False),
        Column("idempotency_key", String(200)),
        Column("confirmation", String(64)),
        Column("callback", String(64)),
        Column("created_at", BigInteger, nullable=False),
        Column("sending_until", BigInteger),
        Column("handed_out", Boolean, nullable=False),
        Column("adopted", Boolean, nullable=False),
        Column("task_id", String(200)),
    ]


def _fact_columns() -> list[Column[Any]]:
    return [
        Column("status", String(20), nullable=False),
        Column("known_unfinished_at", BigInteger),
        Column("doubts", Text, nullable=False),
        Column("finished_at", BigInteger),
        Column("failure_stage", String(20)),
        Column("failure_code", BigInteger),
        Column("failure_message", Text),
        Column("failure_doubtful", Boolean),
        Column("video_url", Text),
        Column("url_seen_at", BigInteger),
        Column("video_expires_at", BigInteger),
    ]


def _look_columns() -> list[Column[Any]]:
    return [
        Column("next_look_at", BigInteger),
        Column("wanted_until", BigInteger),
        Column("look_owner", String(64)),
        Column("look_lease_until", BigInteger),
        Column("last_look_at", BigInteger),
        Column("look_failures", Integer, nullable=False),
        Column("look_failed_at", BigInteger),
        Column("look_not_before", BigInteger),
        Column("look_error_code", BigInteger),
    ]


def _file_columns() -> list[Column[Any]]:
    return [
        Column("file_path", Text),
        Column("file_size_bytes", BigInteger),
        Column("file_sha256", String(64)),
        Column("download_owner", String(64)),
        Column("download_lease_until", BigInteger),
    ]
