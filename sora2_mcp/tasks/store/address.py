"""From a database's address to the engine for it."""

from pathlib import Path

from sqlalchemy import URL

from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.store.engine import Engine
from sora2_mcp.tasks.store.sqlite import SQLiteEngine, create_file

POSTGRES = ("postgresql://", "postgres://")


def engine_at(url: str) -> Engine:
    """The engine for a ``sqlite:///`` or ``postgresql://`` address, not connected yet; a file's folder is created.

    After ``sqlite:///`` the path stands as it is: a ``%``, ``?`` or ``#`` in it is part of a name.

    Raises:
        StoreError: the folder cannot be created, or the driver for PostgreSQL is not installed.
    """
    if url.startswith(POSTGRES):
        return postgres_at(url)
    path = url.removeprefix("sqlite:///")
    create_file(Path(path))
    return SQLiteEngine(URL.create("sqlite", database=path).render_as_string())


def postgres_at(url: str) -> Engine:
    """The engine for a ``postgresql://`` address, not connected yet.

    Raises:
        StoreError: its driver is not installed.
    """
    try:
        # The driver is an extra, and slow to import: tasks in a file need neither.
        from sora2_mcp.tasks.store.postgres import PostgresEngine  # noqa: PLC0415
    except ModuleNotFoundError as error:
        problem = 'names a PostgreSQL database, whose driver is missing: pip install "sora2-mcp[postgres]"'
        hint = "Ask the user to install it and to start the server again."
        raise StoreError(problem, hint=hint, cli_hint="Install it, then try again.") from error
    return PostgresEngine(url)
