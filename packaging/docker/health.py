"""Answers Docker's question whether the server works: over HTTP it must answer; over stdio it does while it runs."""

import sys
from http.client import HTTPConnection
from pathlib import Path

from sora2_mcp.cli.arguments import parse

_PROGRAM = "sora2-mcp"
_EVERYWHERE = {"0.0.0.0": "127.0.0.1", "::": "::1"}  # noqa: S104 - looked up, not listened at
_PATIENCE_SECONDS = 3.0


def address(command_line: bytes) -> tuple[str, int] | None:
    """Where the server with this command line, as ``/proc`` shows it, listens; None over stdio."""
    words = command_line.decode().rstrip("\0").split("\0")
    begin = next((place for place, word in enumerate(words) if Path(word).name == _PROGRAM), len(words))
    arguments = parse(words[begin + 1 :])
    if getattr(arguments, "transport", "stdio") == "stdio":
        return None
    return _EVERYWHERE.get(arguments.host, arguments.host), arguments.port


def works(command_line: bytes) -> bool:
    """Whether that server answers, if it is one that can be asked."""
    where = address(command_line)
    if where is None:
        return True
    connection = HTTPConnection(*where, timeout=_PATIENCE_SECONDS)
    try:
        connection.request("GET", "/healthz")
        return connection.getresponse().status == 200
    except OSError:
        return False
    finally:
        connection.close()


if __name__ == "__main__":
    first = Path(sys.argv[1] if len(sys.argv) > 1 else "/proc/1/cmdline")
    sys.exit(0 if works(first.read_bytes()) else 1)
