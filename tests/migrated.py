"""Databases that have their tables already: migrating one takes longer than most tests."""

from functools import cache
from pathlib import Path
from tempfile import TemporaryDirectory

from anyio.from_thread import start_blocking_portal

from sora2_mcp.clock import SystemClock
from sora2_mcp.tasks.store.database import open_store


def migrate(url: str) -> None:
    """Makes the tables; whoever asks may be a coroutine."""

    async def opened() -> None:
        async with open_store(url, "service", SystemClock()):
            pass

    with start_blocking_portal() as portal:
        portal.call(opened)


@cache
def migrated_file() -> bytes:
    """What a SQLite file holds once it was migrated."""
    with TemporaryDirectory() as folder:
        file = Path(folder) / "tasks.db"
        migrate(f"sqlite:///{file}")
        return file.read_bytes()
