"""What a process inherits: three streams, and a signal when the terminal closes.

Imports nothing heavy: it must run before anything can print.
"""

import io
import os
import re
import select
import signal
import sys
import textwrap
from typing import Any, NamedTuple, TextIO

_COMMAND = re.compile(r"(?<!^)sora2-mcp [a-z]")


class Wire(NamedTuple):
    """The protocol's own file descriptors: private duplicates of the original stdin and stdout."""

    read_fd: int
    write_fd: int


def claim_wire() -> Wire:
    """Keeps stdin and stdout for the protocol: other readers get EOF, other output goes to stderr."""
    wire = Wire(os.dup(0), os.dup(1))
    nothing = os.open(os.devnull, os.O_RDONLY)
    # The descriptors themselves are replaced, as a child process or a C library knows nothing of sys.stdout.
    os.dup2(nothing, 0)
    os.close(nothing)
    os.dup2(2, 1)
    return wire


def folded(text: str, stream: TextIO) -> str:
    """Sentences in lines of the terminal's width; as they are where the stream leads elsewhere."""
    if not stream.isatty():
        return text
    from shutil import get_terminal_size  # noqa: PLC0415 - a host that starts the server has no terminal

    return folded_to(get_terminal_size().columns, text)


def folded_to(columns: int, text: str) -> str:
    """Sentences in lines of so many columns; commands and what is indented stay whole, to be copied."""
    # Some terminals say that they have no columns.
    lines = (
        line
        if not columns or line.startswith(" ") or _COMMAND.search(line)
        else textwrap.fill(line, columns, break_long_words=False, break_on_hyphens=False)
        for line in text.splitlines()
    )
    return "".join(f"{line}\n" for line in lines)


def start_in_utf_8() -> None:
    """Starts the program anew where its locale knows ASCII only: prompts and names of files would lose letters."""
    # Python fixes the encoding of file names when it starts, so there is no way to change it later.
    if sys.getfilesystemencoding() == "ascii" and not sys.flags.utf8_mode:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - itself


def take_over() -> None:
    """Makes the standard streams safe to use, whatever they are; SIGHUP then ends the program as SIGTERM does."""
    _open_missing()
    sys.stdout = _text(1, sys.stdout, stops=True)
    sys.stderr = _text(2, sys.stderr, stops=False)
    hang_up = getattr(signal, "SIGHUP", None)
    # A program started with nohup is to outlive the terminal.
    if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:
        signal.signal(hang_up, lambda _number, _frame: signal.raise_signal(signal.SIGTERM))


def ended(code: int) -> int:
    """The exit code of a program that ends with ``code``, after a line on stderr if its output could not be written."""
    # What is still buffered counts too: only now it shows whether that can be written.
    sys.stdout.flush()
    raw = _raw(sys.stdout)
    reason = raw.reason if isinstance(raw, _Output) else ""
    if reason:
        sys.stderr.write(f"sora2-mcp: stdout could not be written ({reason}): what was done is done, but not shown.\n")
    sys.stderr.flush()
    return code or int(bool(reason))


class _Output(io.RawIOBase):
    """A stream that stops no work: it drops what it cannot write, and ``reason`` says why.

    With ``stops`` a reader that has gone raises BrokenPipeError once: the rest has no reader either.
    """

    def __init__(self, raw: io.RawIOBase, *, stops: bool) -> None:
        self._inner = raw
        self._stops = stops
        self.reason = ""

    def write(self, content: Any) -> int:
        try:
            while (written := self._inner.write(content)) is None:
                # Some wrappers hand on pipes that answer "later" in place of waiting.
                select.select([], [self._inner], [])
            return written
        except BrokenPipeError:
            # Once: the flush at the end must not raise again, over the exit code.
            if self._stops:
                self._stops = False
                raise
        except OSError as error:
            self.reason = self.reason or error.strerror or type(error).__name__
        return len(content)

    def writable(self) -> bool:
        return True

    def isatty(self) -> bool:
        return self._inner.isatty()

    def fileno(self) -> int:
        return self._inner.fileno()


def _open_missing() -> None:
    """Opens what is closed among the first three descriptors."""
    # Else a database file would get one of their numbers, and a stray print would go into it.
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The system gives the lowest free number, which is this one.
            os.open(os.devnull, flags)


def _text(number: int, stream: TextIO | None, *, stops: bool) -> TextIO:
    """The stream, in which letters that its encoding does not have are replaced."""
    raw = _raw(stream) or io.FileIO(number, "w", closefd=False)
    return io.TextIOWrapper(
        io.BufferedWriter(_Output(raw, stops=stops)),
        encoding=getattr(stream, "encoding", None) or "utf-8",
        errors="replace",
        line_buffering=number == 2 or raw.isatty(),
    )


def _raw(stream: TextIO | None) -> Any:
    buffer = getattr(stream, "buffer", None)
    # Unbuffered streams have no buffer around the file.
    return getattr(buffer, "raw", buffer)
