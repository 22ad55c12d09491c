"""Hosts with real server processes on one store, and the simulator process behind them."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx2

from tests.clocks import PATIENCE_SECONDS
from tests.e2e.processes import Process, StdioHost, simulator
from tests.stores import Store, file_in

LONG_SECONDS = "86400"


@dataclass(frozen=True)
class Service:
    """The simulator process."""

    base_url: str

    def posts(self) -> list[dict[str, Any]]:
        """Every order it received, oldest first, as ``GET /simulator/requests`` spells it."""
        return [request for request in self.received() if request["method"] == "POST"]

    def looks(self) -> list[str]:
        """The ids of the tasks that were looked at, oldest look first."""
        return [request["taskId"] for request in self.received() if request["method"] == "GET"]

    def received(self) -> list[dict[str, Any]]:
        """All it received, oldest first."""
        url = httpx2.URL(self.base_url).copy_with(path="/simulator/requests")
        received: list[dict[str, Any]] = httpx2.get(url, trust_env=False).json()
        return received

    def prompts(self) -> list[str]:
        """The prompts of the orders it received, oldest first."""
        return [post["prompt"] for post in self.posts()]


@contextmanager
def service(folder: Path, *options: str) -> Iterator[Service]:
    """A simulator whose tasks take long unless told otherwise."""
    with simulator(folder, "--seconds", LONG_SECONDS, *options) as base_url:
        yield Service(base_url)


class Server:
    """A server process and the host that speaks to it."""

    def __init__(self, process: Process) -> None:
        self.process = process
        self._host = StdioHost(process)
        self._host.ready()

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The structured content of a call that worked."""
        result = self._host.call(tool, **arguments)
        assert not result.get("isError"), result
        content: dict[str, Any] = result["structuredContent"]
        return content

    def error(self, tool: str, **arguments: Any) -> str:
        """The text of a call that failed."""
        result = self._host.call(tool, **arguments)
        assert result["isError"], result
        text: str = result["content"][0]["text"]
        return text

    def send(self, tool: str, **arguments: Any) -> int:
        """Sends a call without waiting for its answer; gives its number."""
        return self._host.send("tools/call", {"name": tool, "arguments": arguments})

    def taken_in(self) -> None:
        """Returns once all that was sent has been read by the server."""
        self._host.request("tools/list", {})

    def next_message(self) -> dict[str, Any]:
        """Whatever the server says next."""
        return self._host.read()

    def results(self, numbers: list[int]) -> list[dict[str, Any]]:
        """The results of calls sent before, whatever order they come in."""
        found: dict[int, dict[str, Any]] = {}
        while not found.keys() >= set(numbers):
            message = self._host.read()
            if "id" in message:
                found[message["id"]] = message["result"]
        return [found[number] for number in numbers]

    def tasks(self) -> list[dict[str, Any]]:
        """All of ``list_tasks``, page after page."""
        found, cursor = [], ""
        while True:
            page = self.call("list_tasks", limit=50, cursor=cursor)
            found += page["tasks"]
            cursor = page["next_cursor"]
            if not cursor:
                return found

    def leave(self) -> int:
        """Closes both pipes, as a host that crashed leaves them; the exit code of the server, which ends then."""
        popen = self.process.popen
        assert popen.stdout is not None
        popen.stdout.close()
        return self.process.ended()

    def kill(self) -> None:
        """What nothing in the process can see coming: SIGKILL."""
        self.process.popen.kill()
        self.process.popen.wait()


@contextmanager
def served(
    folder: Path, base_url: str, store: Store | None = None, *, home: str = "a", **variables: str
) -> Iterator[Server]:
    """A server process on that store, or on the file in ``folder``; several need a ``home`` each."""
    (folder / home).mkdir(exist_ok=True)
    places = {"SORA2_DATABASE_URL": (store or file_in(folder)).url, "SORA2_VIDEO_DIR": str(folder / "videos")}
    access = {"SORA2_API_BASE_URL": base_url, "SORA2_API_KEY": "any"}
    with Process(folder / home, **{**access, **places, **variables}) as process:
        yield Server(process)


def until(holds: Callable[[], bool]) -> None:
    """Returns once it is true; fails after ``PATIENCE_SECONDS``."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while not holds():
        assert time.monotonic() < deadline, "never came true"
        time.sleep(0.02)
