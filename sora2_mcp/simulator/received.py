"""What the simulator was asked: for tests to assert on and people to look at."""

import json
from dataclasses import dataclass
from datetime import datetime
from typing import Any


@dataclass(slots=True, kw_only=True)
class ReceivedRequest:
    """One API request. It never holds the key, only whether there was one.

    `task_id` is the one asked for, or for an accepted order the one it got; `body` the JSON object of an
    order, or the fields of its form, in which a file is `{"filename": …, "content_type": …, "bytes": 1024}`. `code` is
    the HTTP status answered, None as long as there is no complete answer; `answered_at` is when it was ready to be
    sent, None if the connection was cut instead.
    """

    method: str
    path: str
    at: datetime
    has_key: bool = False
    task_id: str | None = None
    body: dict[str, Any] | None = None
    code: int | None = None
    answered_at: datetime | None = None

    @property
    def prompt(self) -> Any:
        """The prompt of an order, wherever its dialect puts it."""
        body = self.body or {}
        inner = body.get("input")
        return body.get("prompt", inner.get("prompt") if isinstance(inner, dict) else None)

    def spelled(self) -> dict[str, Any]:
        """As `GET /simulator/requests` lists it."""
        return {
            "method": self.method,
            "path": self.path,
            "hasKey": self.has_key,
            "taskId": self.task_id,
            "prompt": self.prompt,
            "body": self.body,
            "at": self.at.isoformat(),
            "code": self.code,
            "answeredAt": None if self.answered_at is None else self.answered_at.isoformat(),
        }


def json_object(text: bytes) -> dict[str, Any] | None:
    """The JSON object a body holds, if it holds one."""
    try:
        parsed = json.loads(text)
    except ValueError:
        return None
    return parsed if isinstance(parsed, dict) else None
