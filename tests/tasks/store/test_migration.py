from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from uuid import uuid4

import anyio
import pytest
from alembic.autogenerate import compare_metadata
from alembic.migration import MigrationContext
from sqlalchemy import Connection, text

from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.store.address import engine_at
from sora2_mcp.tasks.store.database import open_store
from sora2_mcp.tasks.store.engine import Engine
from sora2_mcp.tasks.store.migration import migrate
from sora2_mcp.tasks.store.schema import REVISION, metadata
from tests.clocks import FakeClock
from tests.tasks.store.drafts import SERVICE, draft, reserve

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def opened(url: str) -> AsyncIterator[Engine]:
    engine = engine_at(url)
    try:
        yield engine
    finally:
        await engine.close()


async def set_state(url: str, **values: str) -> None:
    """Pretends that another release has migrated the database."""
    async with opened(url) as engine, engine.writing() as connection:
        for column, value in values.items():
            await connection.execute(text(f"UPDATE schema_state SET {column} = :value"), {"value": value})  # noqa: S608


async def open_and_use(url: str, clock: FakeClock) -> None:
    async with open_store(url, SERVICE, clock) as store:
        order = draft(clock, key=uuid4().hex)
        await reserve(store, order)
        assert await store.load(order.id) == order


def differences(connection: Connection) -> list[object]:
    def ours(_object: object, name: str | None, kind: str, *_: object) -> bool:
        return not (kind == "table" and name == "alembic_version")

    context = MigrationContext.configure(connection, opts={"compare_type": True, "include_object": ours})
    return list(compare_metadata(context, metadata))


async def test_the_migrations_make_exactly_the_schema_the_code_uses(empty_url: str) -> None:
    async with opened(empty_url) as engine:
        await migrate(engine)
        async with engine.reading() as connection:
            assert await connection.run_sync(differences) == []
            state = (await connection.execute(text("SELECT revision, min_compatible FROM schema_state"))).all()

    assert state == [(REVISION, "0001")]


async def test_migrating_again_keeps_every_row(empty_url: str, clock: FakeClock) -> None:
    order = draft(clock)
    async with open_store(empty_url, SERVICE, clock) as store:
        await reserve(store, order)

    async with opened(empty_url) as engine:
        await migrate(engine)
    async with open_store(empty_url, SERVICE, clock) as store:
        assert await store.load(order.id) == order


async def test_several_processes_may_start_at_once_on_an_empty_database(empty_url: str, clock: FakeClock) -> None:
    with anyio.fail_after(20):
        async with anyio.create_task_group() as group:
            for _ in range(8):
                group.start_soon(open_and_use, empty_url, clock)


async def test_a_newer_schema_that_is_compatible_is_used_as_it_is(empty_url: str, clock: FakeClock) -> None:
    await open_and_use(empty_url, clock)
    await set_state(empty_url, revision="9999", min_compatible=REVISION)

    await open_and_use(empty_url, clock)


async def test_a_newer_schema_that_is_incompatible_asks_for_an_upgrade(empty_url: str, clock: FakeClock) -> None:
    await open_and_use(empty_url, clock)
    await set_state(empty_url, revision="9999", min_compatible="9998")

    with pytest.raises(StoreError, match="upgrade sora2-mcp") as caught:
        await open_and_use(empty_url, clock)

    assert "9999" in str(caught.value)
    assert "\n" not in str(caught.value)


async def test_a_file_that_is_no_database_is_named_by_its_variable(tmp_path: Path, clock: FakeClock) -> None:
    notes = tmp_path / "notes.txt"
    notes.write_text("These are my notes, and no database at all.\n" * 200)

    with pytest.raises(StoreError, match="SORA2_DATABASE_URL") as caught:
        await open_and_use(f"sqlite:///{notes}", clock)

    assert "file is not a database" in str(caught.value)
    assert notes.read_text().startswith("These are my notes")


async def test_a_folder_that_cannot_be_made_is_named(tmp_path: Path, clock: FakeClock) -> None:
    (tmp_path / "file").write_text("in the way")

    with pytest.raises(StoreError, match="SORA2_DATABASE_URL") as caught:
        await open_and_use(f"sqlite:///{tmp_path}/file/below/t.db", clock)

    assert f"{tmp_path}/file/below" in str(caught.value)


@pytest.mark.posix
async def test_a_missing_folder_is_made_for_its_owner_only(tmp_path: Path, clock: FakeClock) -> None:
    await open_and_use(f"sqlite:///{tmp_path}/new/folder/t.db", clock)

    assert (tmp_path / "new/folder/t.db").is_file()
    assert (tmp_path / "new/folder").stat().st_mode & 0o077 == 0


async def test_a_store_that_breaks_while_it_is_used_says_so(empty_url: str, clock: FakeClock) -> None:
    async with open_store(empty_url, SERVICE, clock) as store:
        async with opened(empty_url) as engine, engine.writing() as connection:
            await connection.execute(text("ALTER TABLE tasks RENAME TO hidden"))

        with pytest.raises(StoreError, match="SORA2_DATABASE_URL") as caught:
            await store.load("a")

    assert "SELECT" not in str(caught.value)


async def test_orders_in_a_file_survive_a_power_failure(sqlite_url: str) -> None:
    async with opened(sqlite_url) as engine, engine.reading() as connection:
        synchronous = (await connection.execute(text("PRAGMA synchronous"))).scalar_one()
        journal = (await connection.execute(text("PRAGMA journal_mode"))).scalar_one()

    assert (synchronous, journal) == (2, "wal")  # 2 is FULL
