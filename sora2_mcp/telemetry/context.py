"""The log context: request, principal and task of the work under way, for each log line and each span."""

import json
import logging
import re
import secrets
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar
from dataclasses import dataclass, fields, replace

from sora2_mcp.domain.task import Task

_PLAIN = re.compile(r"[^\s\"=\[\]]+")


@dataclass(frozen=True, slots=True, kw_only=True)
class LogContext:
    """The request that asked for the work, its principal and the task it is about; empty where there is none."""

    request_id: str = ""
    principal: str = ""
    task_id: str = ""


_EMPTY = LogContext()
_current: ContextVar[LogContext] = ContextVar("log_context", default=_EMPTY)


def log_context() -> LogContext:
    """The context of the work under way."""
    return _current.get()


def bind_task(task: Task) -> None:
    """From here on this work, and all that it starts, is about the task."""
    _current.set(replace(_current.get(), principal=task.principal, task_id=task.reference))


@contextmanager
def request_context(request_id: str, principal: str = "") -> Iterator[None]:
    """The block, and all that it starts, works for this request."""
    token = _current.set(LogContext(request_id=request_id, principal=principal))
    try:
        yield
    finally:
        _current.reset(token)


def new_request_id() -> str:
    """An id for a request that came without one."""
    return secrets.token_hex(8)


def start_detached(start: Callable[..., object], *arguments: object) -> None:
    """Calls ``start`` with an empty context: what it starts outlives the request at hand, and serves others too."""
    Context().run(start, *arguments)


class ContextFilter(logging.Filter):
    """Gives each record the fields ``request_id``, ``principal`` and ``task_id``, and drops none. For handlers."""

    def filter(self, record: logging.LogRecord) -> bool:
        known = log_context()
        for field in fields(known):
            setattr(record, field.name, getattr(known, field.name))
        return True


def context_fields(record: logging.LogRecord) -> dict[str, str]:
    """The context of a record that passed ``ContextFilter``."""
    values = {field.name: getattr(record, field.name, "") for field in fields(LogContext)}
    return {name: value for name, value in values.items() if value}


def context_suffix(record: logging.LogRecord) -> str:
    """The same for people: `` [request=3f2a… principal=local task=sora2_task_…]``, or nothing."""
    named = " ".join(f"{name.removesuffix('_id')}={_word(value)}" for name, value in context_fields(record).items())
    return f" [{named}]" if named else ""


def _word(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
