"""How a store stands, found without touching it."""

import sqlite3
from contextlib import closing
from pathlib import Path

import anyio
import pytest
from sqlalchemy import text

from sora2_mcp.domain.request import RETENTION
from sora2_mcp.domain.task import SavedFile, Task
from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.store.address import engine_at
from sora2_mcp.tasks.store.database import Database, open_store
from sora2_mcp.tasks.store.interface import Survey
from sora2_mcp.tasks.store.schema import REVISION
from sora2_mcp.tasks.store.survey import survey
from tests.clocks import FakeClock
from tests.postgres import PostgresServer
from tests.tasks.store.drafts import SERVICE, draft, ordered, refusal, reserve, saved, succeeded
from tests.tasks.store.test_migration import set_state

pytestmark = pytest.mark.anyio

DAY_SECONDS = 86_400
FILE = SavedFile(path="/videos/a.mp4", size_bytes=1, sha256="11")


async def finished(store: Database, clock: FakeClock, name: str) -> Task:
    task = await ordered(store, draft(clock, prompt=name, principal=f"token:{name}"), name)
    return await saved(store, succeeded(task, clock.now()))


async def test_everything_that_needs_somebody_is_counted_over_all_principals(
    store: Database, stranger: Database, store_url: str, clock: FakeClock
) -> None:
    await finished(store, clock, "gone")
    await clock.advance(2 * DAY_SECONDS)
    await finished(store, clock, "deleted soon")
    kept = await finished(store, clock, "saved")
    await store.settle_download(kept.id, FILE, None)
    await clock.advance(RETENTION.total_seconds() - 2 * DAY_SECONDS)
    await finished(store, clock, "kept for long")
    await ordered(store, draft(clock, prompt="under way"), "under way")
    lost, refused = draft(clock, prompt="lost"), draft(clock, prompt="refused")
    for order in (lost, refused):
        await reserve(store, order)
    await store.unclear(lost.id, "no answer")
    await store.refuse(refusal(refused, clock.now()))
    await ordered(stranger, draft(clock, service="https://api.example/v1#bbbb"), "another's")

    assert await survey(store_url, SERVICE, clock) == Survey(
        has_tables=True, is_current=True, tasks=6, unconfirmed=1, unsaved=2, expiring=1, others=1, newest_at=clock.now()
    )


async def test_an_empty_database_is_left_empty(empty_url: str, clock: FakeClock) -> None:
    if empty_url.startswith("sqlite"):
        Path(empty_url.removeprefix("sqlite:///")).touch()

    found = [await survey(empty_url, SERVICE, clock) for _ in range(2)]

    assert found == [Survey(has_tables=False, is_current=False)] * 2
    if empty_url.startswith("sqlite"):
        assert Path(empty_url.removeprefix("sqlite:///")).stat().st_size == 0


async def test_a_file_that_does_not_exist_is_not_made(tmp_path: Path, clock: FakeClock) -> None:
    assert await survey(f"sqlite:///{tmp_path / 'new.db'}", SERVICE, clock) is None
    assert not (tmp_path / "new.db").exists()


async def test_an_older_schema_is_not_counted_in_and_not_brought_up_to_date(store_url: str, clock: FakeClock) -> None:
    async with open_store(store_url, SERVICE, clock):
        pass
    await set_state(store_url, revision="0000")

    found = [await survey(store_url, SERVICE, clock) for _ in range(2)]

    assert found == [Survey(has_tables=True, is_current=False)] * 2


async def test_a_store_of_a_newer_release_is_told_as_the_server_tells_it(store_url: str, clock: FakeClock) -> None:
    async with open_store(store_url, SERVICE, clock):
        pass
    await set_state(store_url, revision="9999", min_compatible="9998")

    with pytest.raises(StoreError, match=f"newer release .* this release knows {REVISION}.*: upgrade sora2-mcp"):
        await survey(store_url, SERVICE, clock)


@pytest.mark.parametrize("content", [b"no database", b"\xa5" * 100_000])
async def test_a_file_that_is_no_database_cannot_be_used(
    sqlite_url: str, tmp_path: Path, clock: FakeClock, content: bytes
) -> None:
    (tmp_path / "t.db").write_bytes(content)

    with pytest.raises(StoreError, match="DatabaseError: file is not a database"):
        await survey(sqlite_url, SERVICE, clock)

    assert (tmp_path / "t.db").read_bytes() == content


async def test_a_file_that_is_damaged_inside_cannot_be_used(sqlite_url: str, tmp_path: Path, clock: FakeClock) -> None:
    async with open_store(sqlite_url, SERVICE, clock) as store:
        for number in range(20):
            await ordered(store, draft(clock, prompt=f"{number}" * 3000), f"task-{number}")
    file = tmp_path / "t.db"
    content = file.read_bytes()
    file.write_bytes(content[:-40_000] + b"\xa5" * 40_000)

    with pytest.raises(StoreError, match=r"damaged|malformed"):
        await survey(sqlite_url, SERVICE, clock)


async def test_a_file_that_another_program_holds_is_told_with_what_it_says(
    sqlite_url: str, tmp_path: Path, clock: FakeClock
) -> None:
    async with open_store(sqlite_url, SERVICE, clock):
        pass
    with closing(sqlite3.connect(tmp_path / "t.db", isolation_level=None)) as other:
        other.execute("BEGIN IMMEDIATE")
        with anyio.fail_after(20):
            found = await survey(sqlite_url, SERVICE, clock)

    assert found == Survey(has_tables=True, is_current=True, obstacle="database is locked")


async def test_a_server_that_only_lets_read_is_told_so(postgres: PostgresServer, clock: FakeClock) -> None:
    url = postgres.empty_place()
    async with open_store(url, SERVICE, clock):
        pass

    found = await survey(f"{url}&options=-c%20default_transaction_read_only%3Don", SERVICE, clock)

    assert found == Survey(has_tables=True, is_current=True, obstacle="the server only lets read")


async def test_a_user_without_rights_is_told_which_are_missing(postgres: PostgresServer, clock: FakeClock) -> None:
    url = postgres.empty_place()
    schema = url.rpartition("search_path=")[2]
    postgres.execute(f"CREATE ROLE guest_{schema} LOGIN", f"GRANT USAGE ON SCHEMA {schema} TO guest_{schema}")
    guests = url.replace("//postgres:@", f"//guest_{schema}@")

    empty = await survey(guests, SERVICE, clock)
    async with open_store(url, SERVICE, clock):
        pass
    postgres.execute(f"GRANT SELECT ON ALL TABLES IN SCHEMA {schema} TO guest_{schema}")
    filled = await survey(guests, SERVICE, clock)

    assert empty is not None
    assert empty.obstacle == "its user lacks the right to create tables"
    assert filled is not None
    assert filled.obstacle == "its user lacks the right to change the table tasks"


async def test_a_survey_changes_no_row(store: Database, store_url: str, clock: FakeClock) -> None:
    await finished(store, clock, "a")

    async def everything() -> list[object]:
        engine = engine_at(store_url)
        try:
            async with engine.reading() as connection:
                return list((await connection.execute(text("SELECT * FROM tasks"))).all())
        finally:
            await engine.close()

    before = await everything()
    await survey(store_url, SERVICE, clock)

    assert await everything() == before
