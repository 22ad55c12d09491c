"""A terminal of any size that a run of the program writes to."""

import os
import pty
import re
import subprocess
from pathlib import Path

from tests.e2e.processes import PROGRAM, environment


def on_a_terminal(
    folder: Path, *arguments: str, columns: int = 80, rows: int = 30, code: int = 0, **variables: str
) -> str:
    """All that a run that ends with that exit code writes to a terminal of that size."""
    ours, theirs = pty.openpty()
    size = {"COLUMNS": str(columns), "LINES": str(rows), "TERM": "xterm"}
    with subprocess.Popen(
        [*PROGRAM, *arguments],
        env=environment(folder, **size, **variables),
        cwd=folder,
        stdin=subprocess.DEVNULL,
        stdout=theirs,
        stderr=theirs,
    ) as process:
        os.close(theirs)
        written = bytearray()
        # A terminal that nobody writes to any more is an error to whoever reads it.
        try:
            while some := os.read(ours, 65536):
                written += some
        except OSError:
            pass
        os.close(ours)
    assert process.returncode == code, written.decode()
    return written.decode()


def without_colours(shown: str) -> str:
    """The same in letters alone."""
    return re.sub(r"\x1b\[[\d;]*m", "", shown)
