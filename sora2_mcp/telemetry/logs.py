"""Logging: to stderr, one line a record, as text or JSON; each with its context: request, principal and task.

It never holds anything up: what stderr does not take is dropped, counted, and said once there is room again.
"""

import io
import json
import logging
import os
import queue
import re
import select
import sys
import threading
from contextlib import suppress
from datetime import UTC, datetime
from typing import Final

from sora2_mcp.telemetry.context import ContextFilter, context_fields, context_suffix
from sora2_mcp.telemetry.spans import trace_id

WAITING_LINES = 1000
"""Lines that wait for stderr to take them."""

_LONGEST_LINE = 20_000
_CLOSING_SECONDS = 0.3
_WINDOW_SECONDS = 60.0
_OURS, _OURS_EACH, _OTHERS_EACH = "sora2_mcp", 600, 20
_PASSWORD = re.compile(r"(?<=://)[^\s/@]{1,500}@")
_PRIVATE: Final = ("httpx2", "httpcore2", "mcp", "sse_starlette", "aiosqlite", "asyncpg", "sqlalchemy", "alembic")
"""Libraries that log whole addresses, which may be signed, headers or messages below WARNING."""


def one_line(text: str) -> str:
    """The text with everything that could end its line, colour it or turn it round in its escaped form."""
    if not text.isprintable():
        text = "".join(
            each if each.isprintable() else each.encode("unicode_escape").decode() for each in text[:_LONGEST_LINE]
        )
    text = _PASSWORD.sub("***@", text)
    return text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]}…"


class JsonFormatter(logging.Formatter):
    """One JSON object a record."""

    def format(self, record: logging.LogRecord) -> str:
        """``{"at": "2026-11-22T12:00:00.000000+00:00", "level": "INFO", "logger": "…", "message": "…"}``

        With ``request_id``, ``principal``, ``task_id``, ``trace_id`` and ``exception`` where there are any.
        """
        entry = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": _shown(record.getMessage()),
            **context_fields(record),
        }
        if trace := trace_id():
            entry["trace_id"] = trace
        if record.exc_info:
            entry["exception"] = _shown(self.formatException(record.exc_info))
        line = json.dumps(entry, ensure_ascii=False)
        return line if line.isprintable() else json.dumps(entry)


def _shown(text: str) -> str:
    text = _PASSWORD.sub("***@", text)
    return text if len(text) <= _LONGEST_LINE else f"{text[:_LONGEST_LINE]}…"


class TextFormatter(logging.Formatter):
    """One line a record; what was raised follows on it."""

    def format(self, record: logging.LogRecord) -> str:
        """``2026-11-22 12:00:00,000 INFO sora2_mcp.tasks.sender: task … ordered [request=… principal=local task=…]``"""
        return one_line(super().format(record))

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - its base's name
        return super().formatMessage(record) + context_suffix(record)


class Repeats(logging.Filter):
    """Lets each statement of the code log so often in a minute; the next line tells how many were left out.

    What callers can make this program, or a library below it, say as often as they like thus never fills the log.
    """

    def __init__(self) -> None:
        super().__init__()
        self._windows: dict[tuple[str, int], tuple[float, int]] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        place = (record.pathname, record.lineno)
        began, count = self._windows.get(place, (record.created, 0))
        is_ours = record.name.partition(".")[0] == _OURS
        most = _OURS_EACH if is_ours else _OTHERS_EACH
        if not 0 <= record.created - began < _WINDOW_SECONDS:
            if count > most:
                record.msg, record.args = f"{record.getMessage()} ({count - most} more like it were left out)", ()
            began, count = record.created, 0
        self._windows[place] = (began, count + 1)
        return count < most


class Escaped(logging.Filter):
    """Makes one line of each record for handlers that others have set up; for loggers."""

    def filter(self, record: logging.LogRecord) -> bool:
        record.msg, record.args = one_line(record.getMessage()), ()
        return True


class BackgroundHandler(logging.Handler):
    """Formats where the record arises and writes in a thread of its own, so that no work waits for the reader."""

    def __init__(self, fd: int, encoding: str = "utf-8", room: int = WAITING_LINES) -> None:
        super().__init__()
        self._fd = fd
        self._encoding = encoding
        self._lines: queue.Queue[str | None] = queue.Queue(room)
        self._dropped = 0
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._write_all, name="log", daemon=True)
        self._thread.start()

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
        except Exception:  # noqa: BLE001
            # The border of one record: a library's faulty arguments must not become an error of its caller.
            line = one_line(f"{record.levelname} {record.name}: a record that cannot be formatted: {record.msg!r}")
        try:
            self._lines.put_nowait(line)
        except queue.Full:
            self._dropped += 1

    def close(self) -> None:
        """Waits, briefly, until all is written."""
        if not self._closed.is_set():
            self._closed.set()
            with suppress(queue.Full):
                self._lines.put(None, timeout=_CLOSING_SECONDS)
                self._thread.join(_CLOSING_SECONDS)
        super().close()

    def _write_all(self) -> None:
        while (line := self._lines.get()) is not None:
            if not self._write(line):
                return
            self.acquire()
            dropped, self._dropped = self._dropped, 0
            self.release()
            if dropped:
                self._write(f"{dropped} log lines were dropped here: stderr did not take them in time")

    def _write(self, line: str) -> bool:
        """Whether it can be read at all."""
        rest = memoryview(f"{line}\n".encode(self._encoding, errors="backslashreplace"))
        try:
            while rest:
                try:
                    rest = rest[os.write(self._fd, rest) :]
                except BlockingIOError:
                    select.select([], [self._fd], [])
        except (OSError, ValueError):
            return False
        return True


def configure(level: str, style: str) -> None:
    """Sends this program's records from ``level`` up, and other libraries' warnings, to stderr."""
    handler = _to_stderr()
    text = TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if style == "json" else text)
    handler.addFilter(ContextFilter())
    handler.addFilter(Repeats())
    logging.basicConfig(level=max(logging.WARNING, logging.getLevelName(level)), handlers=[handler], force=True)
    logging.getLogger(_OURS).setLevel(level)
    # Warnings would else be written to stderr at once, and wait for its reader.
    logging.captureWarnings(capture=True)
    keep_private()


def keep_private() -> None:
    """Keeps what libraries say of addresses, headers and messages out of the log, whichever program has set it up.

    A level that was set for one of them on purpose is left alone.
    """
    for name in _PRIVATE:
        if logging.getLogger(name).level == logging.NOTSET:
            logging.getLogger(name).setLevel(logging.WARNING)
    # Every repeat of a look would be a warning of its own; we log a look that fails for good once.
    logging.getLogger("stamina").setLevel(logging.ERROR)


def join_logging(level: str, style: str) -> None:
    """For an application within another program: that program's logging stays as it is, where it has any."""
    if not logging.getLogger().handlers:
        configure(level, style)
        return
    keep_private()
    for name in [known for known in logging.root.manager.loggerDict if known.startswith("mcp.")]:
        known_logger = logging.getLogger(name)
        if not any(isinstance(each, Escaped) for each in known_logger.filters):
            known_logger.addFilter(Escaped())


def _to_stderr() -> logging.Handler:
    if sys.stderr is None:
        return logging.NullHandler()
    try:
        return BackgroundHandler(sys.stderr.fileno(), sys.stderr.encoding)
    except (OSError, io.UnsupportedOperation):
        return logging.StreamHandler(sys.stderr)
