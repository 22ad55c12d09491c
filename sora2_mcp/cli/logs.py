"""Logging: to stderr, one line a record, as text or JSON; each says whose work it is about, where that is known."""

import json
import logging
import sys
from datetime import UTC, datetime

from sora2_mcp.telemetry.whose import Named, named_fields, suffix
from sora2_mcp.telemetry.work import trace_id


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
            "message": record.getMessage(),
            **named_fields(record),
        }
        if trace := trace_id():
            entry["trace_id"] = trace
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


class TextFormatter(logging.Formatter):
    """One line a record, and below it what was raised."""

    def formatMessage(self, record: logging.LogRecord) -> str:  # noqa: N802 - its base's name
        """``2026-11-22 12:00:00,000 INFO sora2_mcp.tasks.sender: task … ordered [request=… principal=local task=…]``"""
        return super().formatMessage(record) + suffix(record)


def configure(level: str, style: str) -> None:
    """Sends this program's records from ``level`` up, and other libraries' warnings, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    text = TextFormatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if style == "json" else text)
    handler.addFilter(Named())
    # Libraries log whole addresses, which may be signed: only their warnings are let through.
    logging.basicConfig(level=max(logging.WARNING, logging.getLevelName(level)), handlers=[handler], force=True)
    logging.getLogger("sora2_mcp").setLevel(level)
    # Every repeat of a look would be a warning of its own; a look that fails for good is told once by us.
    logging.getLogger("stamina").setLevel(logging.ERROR)
