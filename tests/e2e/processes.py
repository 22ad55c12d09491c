"""Real processes of the program, ended by their own id."""

import json
import os
import re
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from tests.clocks import PATIENCE_SECONDS

PROGRAM = [os.environ.get("TESTED_PYTHON", sys.executable), "-m", "sora2_mcp"]
"""``TESTED_PYTHON`` names the program's own Python where the tests run in an environment that lacks it."""

ENDS_WITHIN_SECONDS = 2.0
_OPENING = "is still being opened"


def environment(folder: Path, **variables: str) -> dict[str, str]:
    """An environment in which everything is kept below ``folder`` and tasks are looked at often.

    Measured processes take twice the time, so only ``make coverage`` measures them.
    """
    measured = ("COV",) if "MEASURE_PROCESSES" in os.environ else ()
    kept = {name: value for name, value in os.environ.items() if name.startswith((*measured, "PATH", "LANG"))}
    return {**kept, "HOME": str(folder), "SORA2_POLL_SECONDS": "0.1", **variables}


def completed(folder: Path, *arguments: str, **variables: str) -> subprocess.CompletedProcess[str]:
    """A finished run."""
    return subprocess.run(
        [*PROGRAM, *arguments],
        env=environment(folder, **variables),
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
        stdin=subprocess.DEVNULL,
    )


class Process:
    """A running program; its stderr goes to a file of its own, or to another."""

    def __init__(
        self,
        folder: Path,
        *arguments: str,
        program: Sequence[str] = tuple(PROGRAM),
        stderr_at: str = "",
        **variables: str,
    ) -> None:
        self._stderr = folder / "stderr.txt"
        self._stderr.touch()
        with (Path(stderr_at) if stderr_at else self._stderr).open("wb") as stderr:
            self.popen = subprocess.Popen(
                [*program, *arguments],
                env=environment(folder, **variables),
                cwd=folder,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=stderr,
            )

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self.popen.poll() is None:
            self.popen.kill()
        self.popen.wait()
        for stream in (self.popen.stdin, self.popen.stdout):
            if stream is not None:
                stream.close()

    @property
    def stderr(self) -> str:
        return self._stderr.read_text()

    def logged(self, pattern: str) -> re.Match[str]:
        """The first match in what was logged; waits for it."""
        deadline = time.monotonic() + PATIENCE_SECONDS
        while time.monotonic() < deadline:
            if found := re.search(pattern, self.stderr):
                return found
            assert self.popen.poll() is None, self.stderr
            time.sleep(0.02)
        raise AssertionError(f"never logged: {pattern}\n{self.stderr}")

    def seconds_to_end(self) -> float:
        """How long it takes from now to the end."""
        began = time.monotonic()
        self.popen.wait(timeout=PATIENCE_SECONDS)
        return time.monotonic() - began

    def ended(self, how: signal.Signals | None = None) -> int:
        """The exit code once it is ended by that signal, or by the end of its stdin."""
        self.end(how)
        return self.popen.wait(timeout=PATIENCE_SECONDS)

    def end(self, how: signal.Signals | None = None) -> None:
        """Has it end by that signal, or by the end of its stdin."""
        if how is not None:
            self.popen.send_signal(how)
            return
        assert self.popen.stdin is not None
        self.popen.stdin.close()


class Ending(threading.Thread):
    """A process's end while a client's coroutine goes on; ``seconds`` it took, once joined."""

    def __init__(self, process: Process, how: signal.Signals = signal.SIGTERM) -> None:
        super().__init__()
        self._process = process
        self._how = how
        self.seconds = float("inf")

    def run(self) -> None:
        began = time.monotonic()
        self._process.ended(self._how)
        self.seconds = time.monotonic() - began


def once_opened(call: Callable[[], dict[str, Any]]) -> dict[str, Any]:
    """What the call gives once the store is open, which takes a busy machine longer than a call waits."""
    deadline = time.monotonic() + PATIENCE_SECONDS
    while _OPENING in str(answer := call()):
        assert time.monotonic() < deadline, "the store never opened"
    return answer


class StdioHost:
    """A host that writes and reads JSON-RPC lines itself, so that nothing tidies up behind the server."""

    def __init__(self, process: Process) -> None:
        self._process = process
        self._id = 0

    def handshake(self) -> dict[str, Any]:
        """The answer of ``initialize``."""
        client = {"name": "test", "version": "1"}
        parameters = {"protocolVersion": "2025-11-25", "capabilities": {}, "clientInfo": client}
        answer = self.request("initialize", parameters)
        self._write({"jsonrpc": "2.0", "method": "notifications/initialized"})
        return answer

    def ready(self) -> None:
        """The handshake, and the store is open: a busy machine's imports eat up no order's three seconds."""
        self.handshake()
        once_opened(lambda: self.call("list_tasks"))

    def request(self, method: str, parameters: dict[str, Any]) -> dict[str, Any]:
        """The result of a request."""
        number = self.send(method, parameters)
        while (answer := self.read()).get("id") != number:
            pass
        result: dict[str, Any] = answer["result"]
        return result

    def call(self, tool: str, **arguments: Any) -> dict[str, Any]:
        """The result of a tool call."""
        return self.request("tools/call", {"name": tool, "arguments": arguments})

    def send(self, method: str, parameters: dict[str, Any]) -> int:
        """Sends a request without waiting for its answer; gives its id."""
        self._id += 1
        self._write({"jsonrpc": "2.0", "id": self._id, "method": method, "params": parameters})
        return self._id

    def read(self) -> dict[str, Any]:
        """The next message, which must be one line of JSON."""
        assert self._process.popen.stdout is not None
        line = self._process.popen.stdout.readline()
        assert line, self._process.stderr
        message: dict[str, Any] = json.loads(line)
        return message

    def _write(self, message: dict[str, Any]) -> None:
        assert self._process.popen.stdin is not None
        self._process.popen.stdin.write(json.dumps(message).encode() + b"\n")
        self._process.popen.stdin.flush()


@contextmanager
def simulator(folder: Path, *options: str) -> Iterator[str]:
    """A simulator process; gives its base URL."""
    (folder / "simulator").mkdir(exist_ok=True)
    with Process(folder / "simulator", "simulate", "--port", "0", *options) as process:
        assert process.popen.stdout is not None
        line = process.popen.stdout.readline().decode()
        yield line.split()[-1]
