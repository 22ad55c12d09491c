"""The server as frameworks start it, from its own environment, and what it and the service hold afterwards."""

import json
import re
import sqlite3
import urllib.request
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any
from urllib.parse import urljoin

from tests.e2e.processes import PROGRAM, Process, environment

_READY = r"serving MCP at (http://127\.0\.0\.1:\d+/mcp)"
_AT_THIS_MACHINE = urllib.request.build_opener(urllib.request.ProxyHandler({}))


POLL_SECONDS = 0.5


class Service:
    """The simulator, as one test sees it: what it received before counts no longer."""

    def __init__(self, base_url: str) -> None:
        self.base_url = base_url
        self._before = 0
        self._before = len(self._received())

    def orders(self) -> list[str]:
        """The prompts of the orders it received, oldest first."""
        return [body["prompt"] for body in self.bodies()]

    def bodies(self) -> list[dict[str, Any]]:
        """The orders it received, oldest first, as it spells them."""
        return [request["body"] for request in self._received() if request["method"] == "POST"]

    def looks(self) -> int:
        """How often it was asked about a task."""
        return sum(request["method"] == "GET" for request in self._received())

    def _received(self) -> list[dict[str, Any]]:
        with _AT_THIS_MACHINE.open(urljoin(self.base_url, "/simulator/requests"), timeout=10) as answer:
            received: list[dict[str, Any]] = json.load(answer)
        return received[self._before :]


@dataclass(frozen=True, slots=True, kw_only=True)
class Served:
    """Where a server keeps its tasks, and the service it orders from."""

    folder: Path
    service: "Service"
    settings: dict[str, str] = field(default_factory=dict)

    def having(self, **settings: str) -> "Served":
        """The same with these settings too, or in place of others."""
        return replace(self, settings={**self.settings, **settings})

    @property
    def stdio(self) -> dict[str, Any]:
        """Command, arguments, environment and folder, as every framework asks for them."""
        return {"command": PROGRAM[0], "args": PROGRAM[1:], "env": self._environment, "cwd": str(self.folder)}

    @contextmanager
    def http(self) -> Iterator[str]:
        """A server on streamable HTTP; gives its address."""
        arguments = ("serve", "--transport", "streamable-http", "--port", "0")
        with Process(self.folder, *arguments, **self._variables) as process:
            yield process.logged(_READY).group(1)
            process.popen.terminate()
            process.seconds_to_end()

    def rows(self) -> list[tuple[str, str, str | None]]:
        """Id, status and file of every stored task."""
        with closing(sqlite3.connect(self.folder / "tasks.db", timeout=30)) as connection:
            return connection.execute("SELECT task_id, status, file_path FROM tasks ORDER BY created_at").fetchall()

    @property
    def _variables(self) -> dict[str, str]:
        return {
            "SORA2_API_BASE_URL": self.service.base_url,
            "SORA2_API_KEY": "any",
            "SORA2_DATABASE_URL": f"sqlite:///{self.folder / 'tasks.db'}",
            "SORA2_VIDEO_DIR": str(self.folder / "videos"),
            "SORA2_POLL_SECONDS": str(POLL_SECONDS),
            **self.settings,
        }

    @property
    def _environment(self) -> dict[str, str]:
        return environment(self.folder, **self._variables)


def files_in(text: str) -> list[Path]:
    """The MP4 files that a text names and that are there."""
    found = [Path(name) for name in re.findall(r'(/[^\s"]+\.mp4)\b', text)]
    return [path for path in found if path.is_file() and path.read_bytes()[4:8] == b"ftyp"]
