"""Where server processes keep their tasks: what lies there, and what time or another program does to it."""

import sqlite3
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from tests.migrated import migrated_file
from tests.postgres import connected

_LEASES = ("sending_until", "look_lease_until", "download_lease_until")
_LONGER_THAN_ANY_WINDOW = timedelta(days=2)


class Store(ABC):
    """One database, empty until a server opens it."""

    url: str
    """What ``SORA2_DATABASE_URL`` is set to."""

    def rows(self, *columns: str) -> list[tuple[Any, ...]]:
        """Columns of every stored task, oldest first."""
        return self.query(f"SELECT {', '.join(columns)} FROM tasks ORDER BY created_at")  # noqa: S608 - names of columns

    def lapse(self, prompts: str = "%") -> None:
        """Lets every lease run out: what the time after a kill does. ``prompts``: whose, as ``LIKE`` spells it."""
        values = ", ".join(f"{lease} = CASE WHEN {lease} IS NULL THEN NULL ELSE 1 END" for lease in _LEASES)
        self.change(f"UPDATE tasks SET {values} WHERE prompt LIKE '{prompts}'")  # noqa: S608 - names of columns

    def age_unanswered(self, prompts: str) -> None:
        """Makes orders without an answer older than any window for repeats; nobody may be sending them."""
        microseconds = _LONGER_THAN_ANY_WINDOW // timedelta(microseconds=1)
        open_still = "task_id IS NULL AND status IN ('generating', 'unconfirmed')"
        self.change(
            f"UPDATE tasks SET created_at = created_at - {microseconds} "  # noqa: S608 - a number and a pattern of ours
            f"WHERE {open_still} AND prompt LIKE '{prompts}'"
        )

    @abstractmethod
    @contextmanager
    def locked(self) -> Iterator[None]:
        """Nobody else can write to the tasks within the block."""

    @abstractmethod
    def query(self, query: str) -> list[tuple[Any, ...]]:
        """What a query finds."""

    @abstractmethod
    def change(self, statement: str) -> None:
        """Changes the database behind the server's back, as an accident would."""

    @abstractmethod
    def refuse(self, event: str, condition: str) -> None:
        """From now on a statement that is such an ``event`` on a task fails where ``condition`` holds."""

    @abstractmethod
    def contents(self) -> str:
        """All that is stored about tasks, in whatever column; in a file also what lies between."""


class SQLiteStore(Store):
    """A file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.url = f"sqlite:///{path}"

    @contextmanager
    def locked(self) -> Iterator[None]:
        with self._open() as connection:
            connection.execute("BEGIN IMMEDIATE")
            yield
            connection.execute("ROLLBACK")

    @contextmanager
    def damaged(self) -> Iterator[None]:
        """Not a byte of the database is as it was within the block, for those who have it open too."""
        self.touch()
        files = [self.path, self.path.with_name(f"{self.path.name}-wal")]
        whole = {file: file.read_bytes() for file in files}
        for file, content in whole.items():
            _overwrite(file, b"\xa5" * len(content))
        try:
            yield
        finally:
            for file, content in whole.items():
                _overwrite(file, content)

    def touch(self) -> None:
        """Another program's change: what others keep of the file in memory, whole or damaged, counts no longer."""
        [(version,)] = self.query("PRAGMA user_version")
        self.change(f"PRAGMA user_version = {version + 1}")

    def query(self, query: str) -> list[tuple[Any, ...]]:
        with self._open() as connection:
            return connection.execute(query).fetchall()

    def change(self, statement: str) -> None:
        with self._open() as connection:
            connection.execute(statement)

    def refuse(self, event: str, condition: str) -> None:
        refused = "BEGIN SELECT RAISE(ABORT, 'the disk is full'); END"
        self.change(f"CREATE TRIGGER refused BEFORE {event} ON tasks WHEN {condition} {refused}")

    def contents(self) -> str:
        files = sorted(self.path.parent.glob(f"{self.path.name}*"))
        return b"".join(file.read_bytes() for file in files).decode(errors="replace")

    @contextmanager
    def _open(self) -> Iterator[sqlite3.Connection]:
        with closing(sqlite3.connect(self.path, timeout=30, isolation_level=None)) as connection:
            yield connection


class PostgresStore(Store):
    """A place on a server. Its connections live in threads of their own: whoever asks may be a coroutine."""

    def __init__(self, url: str) -> None:
        self.url = url

    @contextmanager
    def locked(self) -> Iterator[None]:
        with connected(self.url) as asked:
            # Who only reads is let in, as in a file that is locked.
            asked(lambda connection: connection.execute("BEGIN; LOCK TABLE tasks IN EXCLUSIVE MODE"))
            yield
            asked(lambda connection: connection.execute("ROLLBACK"))

    def query(self, query: str) -> list[tuple[Any, ...]]:
        with connected(self.url) as asked:
            return [tuple(row) for row in asked(lambda connection: connection.fetch(query))]

    def change(self, statement: str) -> None:
        with connected(self.url) as asked:
            asked(lambda connection: connection.execute(statement))

    def refuse(self, event: str, condition: str) -> None:
        refused = "BEGIN RAISE EXCEPTION 'the disk is full'; END"
        self.change(f"CREATE FUNCTION refused() RETURNS trigger LANGUAGE plpgsql AS $${refused}$$")
        each = f"FOR EACH ROW WHEN ({condition}) EXECUTE FUNCTION refused()"
        self.change(f"CREATE TRIGGER refused BEFORE {event} ON tasks {each}")

    def contents(self) -> str:
        return str(self.rows("*"))


def _overwrite(file: Path, content: bytes) -> None:
    with file.open("r+b") as opened:
        opened.write(content)


def file_in(folder: Path) -> SQLiteStore:
    """The file that a server keeps its tasks in where a test names no other store."""
    return SQLiteStore(folder / "tasks.db")


_servers: dict[Path, Callable[[], str]] = {}
_places: dict[Path, Store] = {}


def store_in(folder: Path) -> Store:
    """Where everything in ``folder`` keeps its tasks: its file, or within ``on_server`` one place on the server.

    It has its tables already: migrating is what tests/tasks/store looks at.
    """
    root = next((root for root in (folder, *folder.parents) if root in _servers), None)
    if root is None:
        return _migrated_file(folder)
    if folder not in _places:
        _places[folder] = PostgresStore(_servers[root]())
    return _places[folder]


def _migrated_file(folder: Path) -> SQLiteStore:
    store = file_in(folder)
    if folder.is_dir() and not store.path.exists():
        store.path.touch(mode=0o600)
        store.path.write_bytes(migrated_file())
    return store


def store_at(url: str) -> Store:
    """The one a server with this address uses."""
    return SQLiteStore(Path(url.removeprefix("sqlite:///"))) if url.startswith("sqlite:") else PostgresStore(url)


@contextmanager
def on_server(folder: Path, place: Callable[[], str]) -> Iterator[None]:
    """Gives ``folder``, and each one below, a place on a server; ``place`` makes one and gives its address."""
    _servers[folder] = place
    try:
        yield
    finally:
        del _servers[folder]
        for known in [known for known in _places if known.is_relative_to(folder)]:
            del _places[known]
