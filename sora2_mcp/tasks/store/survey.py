"""How a store stands, without opening it as a server does: nothing is created, migrated or written."""

import sqlite3
from collections.abc import Callable
from dataclasses import replace
from datetime import datetime
from functools import partial
from pathlib import Path

import anyio.to_thread
from sqlalchemy import ColumnElement, Connection, and_, create_engine, func, inspect, select, text
from sqlalchemy.exc import DBAPIError
from sqlalchemy.pool import NullPool

from sora2_mcp.clock import Clock
from sora2_mcp.domain.task import EXPIRY_WARNING, Status
from sora2_mcp.tasks.store.address import POSTGRES, postgres_at
from sora2_mcp.tasks.store.engine import translated
from sora2_mcp.tasks.store.interface import Survey
from sora2_mcp.tasks.store.migration import up_to_date
from sora2_mcp.tasks.store.queries import unconfirmed, unsaved_videos
from sora2_mcp.tasks.store.schema import tasks

_BUSY_SECONDS = 3.0
_CHECKED_BYTES = 200_000_000
"""A larger file would be checked for damage for minutes."""

_READ_ONLY = text("SELECT pg_is_in_recovery() OR current_setting('default_transaction_read_only') = 'on'")
_MAY_CREATE = text("SELECT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)")
_MAY_WRITE = text(
    "SELECT bool_and(has_table_privilege('tasks', needed)) FROM unnest(ARRAY['INSERT', 'UPDATE', 'DELETE']) needed"
)

Obstacle = Callable[[Connection, bool], str]
"""Why nothing can be written, by a connection and whether the tables are there; empty where it can."""


async def survey(url: str, service: str, clock: Clock) -> Survey | None:
    """How the store at ``url`` stands, and what it holds of ``service``; None where its file does not exist yet.

    Raises:
        StoreError: it cannot be read, or was written by a newer, incompatible release.
    """
    if url.startswith(POSTGRES):
        return await _survey_server(url, service, clock)
    file = Path(url.removeprefix("sqlite:///"))
    # A file system that hangs keeps the thread, not the caller.
    return await anyio.to_thread.run_sync(partial(_survey_file, file, service, clock), abandon_on_cancel=True)


async def _survey_server(url: str, service: str, clock: Clock) -> Survey:
    engine = postgres_at(url)
    try:
        async with engine.reading() as connection:
            return await connection.run_sync(_surveyed, service, clock, _obstacle_on_a_server)
    finally:
        await engine.close()


def _survey_file(file: Path, service: str, clock: Clock) -> Survey | None:
    with translated():
        if not file.exists():
            return None
        engine = create_engine("sqlite://", creator=partial(_opened, file), poolclass=NullPool, hide_parameters=True)
        with engine.connect() as connection:
            if file.stat().st_size <= _CHECKED_BYTES:
                _check_pages(connection)
            return _surveyed(connection, service, clock, _obstacle_in_a_file)


def _opened(file: Path) -> sqlite3.Connection:
    # Not created, and left in whatever mode it is; by hand, so that reading begins no transaction that writes.
    return sqlite3.connect(f"{file.absolute().as_uri()}?mode=rw", uri=True, timeout=_BUSY_SECONDS, isolation_level=None)


def _check_pages(connection: Connection) -> None:
    verdict = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar_one())
    if verdict != "ok":
        raise sqlite3.DatabaseError(f"the file is damaged: {verdict}")


def _obstacle_in_a_file(connection: Connection, _has_tables: bool) -> str:  # noqa: FBT001 - as an Obstacle is called
    try:
        connection.exec_driver_sql("BEGIN IMMEDIATE")
        connection.exec_driver_sql("ROLLBACK")
    except DBAPIError as error:
        return str(error.orig)
    return ""


def _obstacle_on_a_server(connection: Connection, has_tables: bool) -> str:  # noqa: FBT001 - as an Obstacle is called
    # The transaction that reads may not write, so nothing can be tried.
    if connection.execute(_READ_ONLY).scalar_one():
        return "the server only lets read"
    if not connection.execute(_MAY_WRITE if has_tables else _MAY_CREATE).scalar_one():
        return "its user lacks the right to " + ("change the table tasks" if has_tables else "create tables")
    return ""


def _surveyed(connection: Connection, service: str, clock: Clock, obstacle: Obstacle) -> Survey:
    has_tables = inspect(connection).has_table(tasks.name)
    found = Survey(has_tables=has_tables, is_current=up_to_date(connection), obstacle=obstacle(connection, has_tables))
    return _counted(connection, service, clock.now(), found) if found.is_current else found


def _counted(connection: Connection, service: str, now: datetime, found: Survey) -> Survey:
    def count(*conditions: ColumnElement[bool]) -> int:
        return int(connection.execute(select(func.count()).select_from(tasks).where(*conditions)).scalar_one())

    mine, shown = tasks.c.service == service, tasks.c.status != Status.REFUSED.value
    expires_at = tasks.c.video_expires_at
    unsaved = and_(mine, *unsaved_videos(now))
    newest_at: datetime | None = connection.execute(select(func.max(tasks.c.changed_at))).scalar_one()
    return replace(
        found,
        tasks=count(mine, shown),
        unconfirmed=count(mine, unconfirmed(now)),
        unsaved=count(unsaved),
        expiring=count(unsaved, expires_at <= now + EXPIRY_WARNING),
        others=count(tasks.c.service != service, shown),
        newest_at=newest_at,
    )
