"""What a process gets from whoever starts it: three streams, and a signal when the terminal closes.

Imports nothing heavy: it must run before anything can print.
"""

import io
import os
import select
import signal
import sys
from typing import Any, TextIO


def start_in_utf_8() -> None:
    """Starts the program anew where its locale knows ASCII only: prompts and names of files would lose letters."""
    if sys.getfilesystemencoding() == "ascii" and not sys.flags.utf8_mode:
        os.execv(sys.executable, [sys.executable, "-X", "utf8", *sys.orig_argv[1:]])  # noqa: S606 - itself


def take_over() -> None:
    """Makes the standard streams safe to use, whatever they are, and has SIGHUP end the program as SIGTERM does."""
    _open_missing()
    sys.stdout = _text(1, sys.stdout, stops=True)
    sys.stderr = _text(2, sys.stderr, stops=False)
    hang_up = getattr(signal, "SIGHUP", None)
    # Whoever started it with nohup wants it to outlive the terminal.
    if hang_up is not None and signal.getsignal(hang_up) is not signal.SIG_IGN:
        signal.signal(hang_up, lambda _number, _frame: signal.raise_signal(signal.SIGTERM))


def ended(code: int) -> int:
    """The exit code of a program that ends with ``code``; says so on stderr if what it showed could not be written."""
    sys.stdout.flush()
    raw = _raw(sys.stdout)
    reason = raw.reason if isinstance(raw, _Output) else ""
    if reason:
        sys.stderr.write(f"sora2-mcp: stdout could not be written ({reason}): what was done is done, but not shown.\n")
    sys.stderr.flush()
    return code or int(bool(reason))


class _Output(io.RawIOBase):
    """A stream that stops no work: what cannot be written is dropped, and ``reason`` says why.

    A reader that has gone raises BrokenPipeError once where ``stops``: nobody waits for the rest.
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
    """Opens what is closed among the first three descriptors: else a database would be given one of them."""
    for number, flags in ((0, os.O_RDONLY), (1, os.O_WRONLY), (2, os.O_WRONLY)):
        try:
            os.fstat(number)
        except OSError:
            # The lowest free number is given, which is this one.
            os.open(os.devnull, flags)


def _text(number: int, stream: TextIO | None, *, stops: bool) -> TextIO:
    """The stream with letters that it cannot hold replaced."""
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
