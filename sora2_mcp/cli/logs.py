"""Logging: to stderr, one line a record, as text or JSON."""

import json
import logging
import sys
from datetime import UTC, datetime


class JsonFormatter(logging.Formatter):
    """One JSON object a record."""

    def format(self, record: logging.LogRecord) -> str:
        """``{"at": "2026-11-22T12:00:00.000000+00:00", "level": "INFO", "logger": "…", "message": "…"}``"""
        entry = {
            "at": datetime.fromtimestamp(record.created, UTC).isoformat(),
            "level": record.levelname,
            "logger": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["exception"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def configure(level: str, style: str) -> None:
    """Sends this program's records from ``level`` up, and other libraries' warnings, to stderr."""
    handler = logging.StreamHandler(sys.stderr)
    text = logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s")
    handler.setFormatter(JsonFormatter() if style == "json" else text)
    # Libraries log whole addresses, which may be signed: only their warnings are let through.
    logging.basicConfig(level=max(logging.WARNING, logging.getLevelName(level)), handlers=[handler], force=True)
    logging.getLogger("sora2_mcp").setLevel(level)
    # Every repeat of a look would be a warning of its own; a look that fails for good is told once by us.
    logging.getLogger("stamina").setLevel(logging.ERROR)
