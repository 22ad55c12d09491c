"""What an upgrade keeps: everything. And what a release that knows less can still do with the result."""

from pathlib import Path
from typing import Any
from uuid import uuid4

import pytest
from alembic import command
from alembic.config import Config
from sqlalchemy import Connection, text

import sora2_mcp.tasks.store.migrations
from sora2_mcp.domain.task import Status
from sora2_mcp.tasks.store.address import engine_at
from sora2_mcp.tasks.store.database import open_store
from sora2_mcp.tasks.store.engine import Engine
from sora2_mcp.tasks.store.schema import REVISION, tasks
from tests.clocks import FakeClock
from tests.tasks.store.drafts import SERVICE, draft, reserve

pytestmark = pytest.mark.anyio

FIRST = "0001"
LATEST = f"{int(REVISION) + 1:04}"
AGE = 1_700_000_000_000_000
COLUMNS = [column.name for column in tasks.columns]

LATER = """
from alembic import op
from sqlalchemy import Column, Integer, String, text

revision = "{later}"
down_revision = "{newest}"
branch_labels = None
depends_on = None


def upgrade() -> None:
    op.add_column("tasks", Column("fps", Integer, nullable=False, server_default=text("10")))
    op.add_column("tasks", Column("remark", String(20)))
    op.create_index("tasks_by_remark", "tasks", ["service", "remark"])
    op.execute("UPDATE schema_state SET revision = '{later}'")
"""
"""A migration as a later release may bring it: it only adds."""


def row_of_the_first_release(number: int, status: str) -> dict[str, Any]:
    """A row in plain values, every column of the first schema filled in where its status allows."""
    ended = status in ("succeeded", "failed")
    return {
        "id": f"{number:032x}", "principal": "local", "service": SERVICE, "version": 3, "changed_at": AGE + number,
        "prompt": f"Kitten {number} – 猫 🐱", "image_urls": '["https://example.com/1.png"]',
        "aspect_ratio": "portrait", "quality": "hd", "watermark": "w", "fingerprint": f"{number:064x}",
        "idempotency_key": f"key-{number}", "confirmation": f"{number + 100:064x}", "callback": f"{number + 200:064x}",
        "created_at": AGE + number, "sending_until": None, "handed_out": True, "adopted": number % 2 == 1,
        "task_id": None if status == "unconfirmed" else f"sora2_task_{number:012d}", "status": status,
        "known_unfinished_at": AGE, "doubts": "[]", "finished_at": AGE + 9 if ended else None,
        "failure_stage": "generation" if status == "failed" else None,
        "failure_code": 501 if status == "failed" else None,
        "failure_message": "no" if status in ("failed", "unconfirmed") else None,
        "failure_doubtful": False if status == "failed" else None,
        "video_url": "https://example.com/v.mp4" if status == "succeeded" else None,
        "url_seen_at": AGE + 9 if status == "succeeded" else None,
        "video_expires_at": AGE + 99 if status == "succeeded" else None,
        "next_look_at": AGE + 5 if status == "generating" else None, "wanted_until": AGE + 6,
        "look_owner": "o", "look_lease_until": AGE + 7, "last_look_at": AGE + 8, "look_failures": 2,
        "look_failed_at": AGE + 8, "look_not_before": AGE + 9, "look_error_code": 500,
        "file_path": "/videos/v.mp4" if status == "succeeded" else None,
        "file_size_bytes": 5_000_000_000 if status == "succeeded" else None,
        "file_sha256": "a" * 64 if status == "succeeded" else None,
        "download_owner": "o", "download_lease_until": AGE + 10,
    }  # fmt: skip


ROWS = [row_of_the_first_release(n, status) for n, status in enumerate(Status) for n in (n * 2, n * 2 + 1)]


def upgraded(connection: Connection, revision: str, *more: Path) -> None:
    """Runs the migrations that ship, and those in other folders, up to a revision."""
    ours = Path(sora2_mcp.tasks.store.migrations.__file__).parent
    config = Config()
    config.set_main_option("script_location", str(ours))
    config.set_main_option("path_separator", "newline")
    config.set_main_option("version_locations", "\n".join(str(folder) for folder in (ours / "versions", *more)))
    config.attributes["connection"] = connection
    command.upgrade(config, revision)


async def written_by_the_first_release(engine: Engine) -> None:
    names, marks = ", ".join(ROWS[0]), ", ".join(f":{name}" for name in ROWS[0])
    async with engine.writing() as connection:
        await connection.run_sync(upgraded, FIRST)
        await connection.execute(text(f"INSERT INTO tasks ({names}) VALUES ({marks})"), ROWS)  # noqa: S608 - our names


async def stored(engine: Engine) -> list[dict[str, Any]]:
    """The columns of the first release, as plain values."""
    names = ", ".join(ROWS[0])
    async with engine.reading() as connection:
        found = await connection.execute(text(f"SELECT {names} FROM tasks ORDER BY id"))  # noqa: S608 - our names
        return [dict(row) for row in found.mappings()]


async def test_a_store_of_the_first_release_opens_in_this_one_with_every_row_and_value(
    empty_url: str, clock: FakeClock
) -> None:
    engine = engine_at(empty_url)
    await written_by_the_first_release(engine)

    async with open_store(empty_url, SERVICE, clock) as store:
        read = [await store.load(str(row["id"])) for row in ROWS]

    assert [(task and task.id, task and task.status.value) for task in read] == [(r["id"], r["status"]) for r in ROWS]
    assert [task.request.prompt for task in read if task] == [row["prompt"] for row in ROWS]
    assert {*ROWS[0]} <= {*COLUMNS}
    assert await stored(engine) == ROWS
    await engine.close()


async def test_a_later_migration_keeps_every_row_and_this_release_goes_on_beside_it(
    empty_url: str, clock: FakeClock, tmp_path: Path
) -> None:
    (tmp_path / f"{LATEST}_later.py").write_text(LATER.format(newest=REVISION, later=LATEST))
    engine = engine_at(empty_url)
    await written_by_the_first_release(engine)
    async with open_store(empty_url, SERVICE, clock) as running:
        async with engine.writing() as connection:
            await connection.run_sync(upgraded, "head", tmp_path)
        assert await stored(engine) == ROWS

        # Both what was running over the upgrade, and what is started after it or put back.
        orders = [draft(clock, key=uuid4().hex), draft(clock, key=uuid4().hex)]
        await reserve(running, orders[0])
        async with open_store(empty_url, SERVICE, clock) as started:
            await reserve(started, orders[1])
            assert [await started.load(order.id) for order in orders] == orders
            assert await started.load(str(ROWS[0]["id"])) is not None

    async with engine.reading() as connection:
        added = (await connection.execute(text("SELECT fps, remark FROM tasks"))).all()
        state = (await connection.execute(text("SELECT revision, min_compatible FROM schema_state"))).all()
    assert [tuple(row) for row in added] == [(10, None)] * (len(ROWS) + len(orders))
    assert [tuple(row) for row in state] == [(LATEST, FIRST)]
    await engine.close()
