"""Brings a database up to date, under a lock, only when it is not."""

from pathlib import Path

from sqlalchemy import Connection, inspect, select

from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.store.engine import Engine
from sora2_mcp.tasks.store.schema import REVISION, schema_state

_LOCK = "schema"
_MIGRATING_SECONDS = 60.0


async def migrate(engine: Engine) -> None:
    """Runs the migrations that are missing; several processes may try at once.

    Raises:
        StoreError: the database cannot be used, or was written by a newer, incompatible release.
    """
    async with engine.reading() as connection:
        if await connection.run_sync(up_to_date):
            return
    async with engine.writing(_LOCK, seconds=_MIGRATING_SECONDS) as connection:
        # Another process may have done it while this one waited for the lock.
        if not await connection.run_sync(up_to_date):
            await connection.run_sync(_upgrade)


def up_to_date(connection: Connection) -> bool:
    """Whether no migration is missing.

    Raises:
        StoreError: the database was written by a newer, incompatible release.
    """
    if not inspect(connection).has_table(schema_state.name):
        return False
    state = connection.execute(select(schema_state)).first()
    if state is None or state.revision < REVISION:
        return False
    if state.min_compatible > REVISION:
        raise StoreError(
            f"was written by a newer release of sora2-mcp (schema {state.revision}; this release knows {REVISION}): "
            "upgrade sora2-mcp"
        )
    return True


def _upgrade(connection: Connection) -> None:
    # Alembic costs 0.2 s to import and is needed once in a database's life.
    from alembic import command  # noqa: PLC0415
    from alembic.config import Config  # noqa: PLC0415

    config = Config()
    config.set_main_option("script_location", str(Path(__file__).parent / "migrations").replace("%", "%%"))
    config.attributes["connection"] = connection
    command.upgrade(config, "head")
