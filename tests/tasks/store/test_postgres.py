"""What only a server can do: break connections, fall silent, be configured by others."""

import re
import sys
import traceback
from collections.abc import AsyncIterator, Awaitable, Callable, Iterator
from contextlib import asynccontextmanager, contextmanager
from urllib.parse import urlsplit

import anyio
import anyio.abc
import asyncpg  # type: ignore[import-untyped]
import pytest
from sqlalchemy import text

from sora2_mcp.errors import StoreError
from sora2_mcp.tasks.store.address import engine_at
from sora2_mcp.tasks.store.database import Database, open_store
from sora2_mcp.tasks.store.interface import Outcome
from sora2_mcp.tasks.store.postgres import PostgresEngine
from tests.clocks import FakeClock, eventually, settle
from tests.postgres import PostgresServer
from tests.tasks.core import closed_address
from tests.tasks.store.drafts import SERVICE, draft, ordered, reserve, saved, succeeded
from tests.tasks.store.feeds import listening, next_ids, two_stores

pytestmark = pytest.mark.anyio

PASSWORD = "s3cr3t-hunter2"
IMPATIENT_SECONDS = 0.3


@asynccontextmanager
async def impatient(url: str, clock: FakeClock) -> AsyncIterator[Database]:
    """A store that takes a server for dead very soon."""
    async with open_store(url, SERVICE, clock):
        engine = PostgresEngine(url, answer_seconds=IMPATIENT_SECONDS)
    try:
        yield Database(engine, SERVICE, clock, lambda _: None)
    finally:
        await engine.close()


@contextmanager
def said_to_be_unusable(*words: str) -> Iterator[None]:
    """The store says so in one line that names the variable, and no secret is in any part of the error."""
    with pytest.raises(StoreError, match="SORA2_DATABASE_URL") as raised:
        yield
    message = str(raised.value)
    assert [word for word in words if word not in message] == []
    assert "\n" not in message
    assert PASSWORD not in "".join(traceback.format_exception(raised.value))


async def use(url: str, clock: FakeClock) -> None:
    async with open_store(url, SERVICE, clock) as store:
        await store.load("a")


async def test_a_missing_driver_is_named_with_the_command_that_installs_it(
    monkeypatch: pytest.MonkeyPatch, clock: FakeClock
) -> None:
    monkeypatch.delitem(sys.modules, "sora2_mcp.tasks.store.postgres")
    monkeypatch.setitem(sys.modules, "asyncpg", None)

    with said_to_be_unusable('pip install "sora2-mcp[postgres]"'):
        await use(f"postgresql://ann:{PASSWORD}@db.example/tasks", clock)


async def test_a_server_that_does_not_listen_is_told_without_its_password(clock: FakeClock) -> None:
    host = closed_address().split("/")[2]

    with said_to_be_unusable("ConnectionRefusedError"):
        await use(f"postgresql://ann:{PASSWORD}@{host}/tasks", clock)


async def test_an_address_that_the_driver_misreads_is_told_without_its_password(clock: FakeClock) -> None:
    with said_to_be_unusable("does not understand"):
        await use(f"postgresql://ann@db.example:{PASSWORD}/tasks", clock)


async def test_a_database_that_is_not_there_is_told_in_the_servers_words(postgres_url: str, clock: FakeClock) -> None:
    with said_to_be_unusable('database "nowhere" does not exist'):
        await use(postgres_url.replace(urlsplit(postgres_url).path, "/nowhere"), clock)


async def test_what_the_driver_raises_between_two_of_its_steps_is_told_as_a_store_that_cannot_be_used(
    postgres_url: str,
) -> None:
    engine = engine_at(postgres_url)
    try:
        with said_to_be_unusable("another operation is in progress"):
            async with engine.reading():
                raise asyncpg.InternalClientError("cannot switch to state 15; another operation is in progress")
    finally:
        await engine.close()


async def test_an_address_may_begin_with_postgres(postgres_url: str, clock: FakeClock) -> None:
    await use(postgres_url.replace("postgresql://", "postgres://"), clock)


async def test_what_cannot_be_stored_is_not_quoted(postgres_url: str, clock: FakeClock) -> None:
    async with open_store(postgres_url, SERVICE, clock) as store:
        with pytest.raises(StoreError, match="query argument") as raised:
            await store.load("A cat \ud800")

    assert "cat" not in str(raised.value)


async def test_orders_survive_a_power_failure_whatever_the_server_is_set_to(postgres_url: str) -> None:
    engine = engine_at(f"{postgres_url}&synchronous_commit=off")
    try:
        async with engine.writing() as connection:
            assert (await connection.execute(text("SHOW synchronous_commit"))).scalar_one() == "on"
    finally:
        await engine.close()


async def test_connections_that_broke_while_idle_are_replaced_unnoticed(
    postgres: PostgresServer, postgres_url: str, clock: FakeClock
) -> None:
    async with open_store(postgres_url, SERVICE, clock) as store:
        task = await ordered(store, draft(clock), "task-1")

        postgres.cut()

        assert await store.load(task.id) == task


async def test_what_was_saved_while_the_feed_was_broken_is_heard_afterwards(
    postgres: PostgresServer, postgres_url: str, present: FakeClock
) -> None:
    async with two_stores(postgres_url) as (one, two):
        task = await ordered(one, draft(present), "task-1")
        async with listening(two) as feed:
            assert await next_ids(feed) == {task.id}
            postgres.cut()
            with pytest.raises(StoreError, match="ended the connection"):
                await anext(feed)
        await saved(one, succeeded(task, present.now()))

        async with listening(two) as feed:
            assert await next_ids(feed) == {task.id}


async def test_notices_carry_the_services_mark_and_an_id_and_nothing_of_the_order(
    postgres_url: str, clock: FakeClock
) -> None:
    heard: list[str] = []

    def hear(_connection: object, _pid: int, _channel: str, payload: str) -> None:
        heard.append(payload)

    listener = await asyncpg.connect(postgres_url)
    try:
        await listener.add_listener("sora2_tasks", hear)
        async with open_store(postgres_url, SERVICE, clock) as store:
            order = draft(clock, prompt="A secret cat", key="secret-key", id="0123456789abcdef0123456789abcdef")
            task = await ordered(store, order, "task-1")
            await saved(store, succeeded(task, clock.now()))
            await eventually(lambda: len([payload for payload in heard if payload.endswith(task.id)]) == 3)
    finally:
        await listener.close()

    # Other tests' stores notify on the same channel.
    ours = {payload for payload in heard if payload.endswith(task.id)}
    [(mark, id)] = {tuple(payload.split(":")) for payload in ours}
    assert id == task.id
    assert re.fullmatch(r"[0-9a-f]{16}", mark)
    assert all(re.fullmatch(r"[0-9a-f]{16}:[0-9a-f]{32}", payload) for payload in heard)


async def read(store: Database, _clock: FakeClock) -> None:
    await store.load("a")


async def write(store: Database, clock: FakeClock) -> None:
    await reserve(store, draft(clock))


async def listen(store: Database, _clock: FakeClock) -> None:
    async with listening(store):
        pass


@pytest.mark.parametrize("call", [read, write, listen])
async def test_a_server_that_falls_silent_holds_nobody_up(
    own_postgres: PostgresServer,
    clock: FakeClock,
    call: Callable[[Database, FakeClock], Awaitable[None]],
) -> None:
    async with impatient(own_postgres.empty_place(), clock) as store:
        assert await store.load("a") is None
        with own_postgres.silent(), anyio.fail_after(5):
            for _ in range(2):
                with said_to_be_unusable("did not answer within 0.3 seconds"):
                    await call(store, clock)

        assert await store.load("a") is None


async def test_a_feed_notices_that_the_server_fell_silent(own_postgres: PostgresServer, clock: FakeClock) -> None:
    async with (
        impatient(own_postgres.empty_place(), clock) as store,
        listening(store) as feed,
        anyio.create_task_group() as group,
    ):
        await group.start(pass_time, clock)
        with own_postgres.silent(), said_to_be_unusable("did not answer"):
            await anext(feed)
        group.cancel_scope.cancel()


async def pass_time(clock: FakeClock, *, task_status: anyio.abc.TaskStatus[None]) -> None:
    task_status.started()
    while True:
        await anyio.sleep(0.01)
        await clock.advance(1)


async def test_a_transaction_that_stands_still_gives_its_lock_back(postgres_url: str, clock: FakeClock) -> None:
    async with (
        impatient(postgres_url, clock) as stuck,
        open_store(postgres_url, SERVICE, clock) as store,
        anyio.create_task_group() as group,
    ):
        holds = anyio.Event()

        async def stand_still() -> None:
            async with stuck.engine.writing(lock=SERVICE):
                holds.set()
                await anyio.sleep(60)

        async def told() -> None:
            with said_to_be_unusable("did not answer"):
                await stand_still()

        group.start_soon(told)
        await holds.wait()
        with anyio.fail_after(4):
            assert (await reserve(store, draft(clock))).outcome is Outcome.NEW


async def test_a_connection_in_use_ends_with_its_engine(postgres_url: str) -> None:
    engine = engine_at(postgres_url)
    in_use, ended = anyio.Event(), anyio.Event()

    async def use_it_twice() -> None:
        async with engine.reading() as connection:
            in_use.set()
            await ended.wait()
            await connection.execute(text("SELECT 1"))

    async def told() -> None:
        with pytest.raises(StoreError, match="connection is closed"):
            await use_it_twice()

    async with anyio.create_task_group() as group:
        group.start_soon(told)
        await in_use.wait()
        await engine.close()
        ended.set()


@pytest.mark.parametrize("call", [read, listen])
async def test_a_connection_that_was_being_made_when_its_engine_closed_is_ended(
    own_postgres: PostgresServer,
    clock: FakeClock,
    call: Callable[[Database, FakeClock], Awaitable[None]],
) -> None:
    engine = engine_at(own_postgres.migrated_place())
    store = Database(engine, SERVICE, clock, lambda _: None)

    async def told() -> None:
        with said_to_be_unusable("is closed"):
            await call(store, clock)

    async with anyio.create_task_group() as group:
        with own_postgres.silent():
            group.start_soon(told)
            await settle()
            await engine.close()


async def test_a_read_takes_one_round_trip(own_postgres: PostgresServer, clock: FakeClock) -> None:
    async with open_store(own_postgres.empty_place(), SERVICE, clock) as store:
        await store.load("a")
        with own_postgres.statements() as count:
            await eventually(lambda: is_counting(own_postgres, count))
            before = count()
            for _ in range(10):
                await store.load("a")
            sent = (count() - before) / 10

    assert sent == 1


def is_counting(postgres: PostgresServer, count: Callable[[], int]) -> bool:
    """Whether the setting has been taken in."""
    before = count()
    postgres.execute("SELECT 1")
    return count() > before
