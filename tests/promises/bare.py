"""What a bare process of the same kind takes in the same test: a slow machine makes both slow.

What is promised is the difference, which is ours.
"""

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

from tests.e2e.processes import Process, StdioHost

_SERVER = """
from mcp.server.mcpserver import MCPServer

server = MCPServer("bare")


@server.tool()
async def echo(text: str) -> str:
    "Gives the text back."
    return text


server.run({how})
"""
_STDIO = _SERVER.format(how="")
_HTTP = _SERVER.format(how='"streamable-http", host="127.0.0.1", port=0')
_COMMAND = """
import anyio
import mcp.client


async def main():
    print("ready", flush=True)
    await anyio.sleep_forever()


anyio.run(main)
"""


def check_kept(seconds: float, bare_seconds: float, *, promised: float) -> None:
    """Fails unless it took no longer than promised, but for what a bare process took."""
    assert seconds - bare_seconds <= promised, (
        f"took {seconds:.2f} s and a bare process {bare_seconds:.2f} s; promised are {promised:g} s more at most"
    )


def timed(do: Callable[[], object]) -> float:
    """How many seconds it takes."""
    began = time.monotonic()
    do()
    return time.monotonic() - began


def end_of_a_stdio_server(folder: Path) -> float:
    """How many seconds a bare server takes to end on EOF: on a signal it dies without an end of its own, or hangs."""
    with _bare(folder, _STDIO) as process:
        StdioHost(process).handshake()
        return timed(process.ended)


def end_of_an_http_server(folder: Path, how: signal.Signals = signal.SIGTERM) -> float:
    """How many seconds a bare server takes to end on a signal, with nothing open."""
    with _bare(folder, _HTTP) as process:
        process.logged(r"running on http://127\.0\.0\.1:\d+")
        return timed(lambda: process.ended(how))


def end_of_a_command(folder: Path) -> float:
    """How many seconds a bare program takes to end on Ctrl-C."""
    with _bare(folder, _COMMAND) as process:
        assert process.popen.stdout is not None
        process.popen.stdout.readline()
        return timed(lambda: process.ended(signal.SIGINT))


def run_of_a_program(folder: Path) -> float:
    """How many seconds a program takes that imports the SDK and does nothing."""
    with _bare(folder, "import mcp.server.mcpserver, mcp.client") as process:
        return process.seconds_to_end()


def answer(folder: Path) -> float:
    """How many seconds a bare server takes to answer a call."""
    with _bare(folder, _STDIO) as process:
        host = StdioHost(process)
        host.handshake()
        return timed(lambda: host.call("echo", text="hello"))


@contextmanager
def _bare(folder: Path, text: str) -> Iterator[Process]:
    home = folder / "bare"
    home.mkdir(exist_ok=True)
    with Process(home, program=[sys.executable, "-c", text]) as process:
        yield process
