"""Whose work is at hand: known wherever the work goes, so that each log line and each span can say so."""

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
class Whose:
    """The request that asked for the work, its principal and the task it is about; empty where there is none."""

    request_id: str = ""
    principal: str = ""
    task_id: str = ""


_NOBODYS = Whose()
_current: ContextVar[Whose] = ContextVar("whose", default=_NOBODYS)


def whose() -> Whose:
    """Whose work runs here."""
    return _current.get()


def about(task: Task) -> None:
    """From here on this work, and whatever it starts, is about the task."""
    _current.set(replace(_current.get(), principal=task.principal, task_id=task.reference))


@contextmanager
def asked_by(request_id: str, principal: str = "") -> Iterator[None]:
    """The block, and whatever it starts, is the work of this request."""
    token = _current.set(Whose(request_id=request_id, principal=principal))
    try:
        yield
    finally:
        _current.reset(token)


def new_request_id() -> str:
    """An id for a request that came without one."""
    return secrets.token_hex(8)


def on_its_own(start: Callable[..., object], *arguments: object) -> None:
    """Calls ``start`` so that what it starts is nobody's work: it outlives, and serves more than, whoever began it."""
    Context().run(start, *arguments)


class Named(logging.Filter):
    """Gives each record the fields ``request_id``, ``principal`` and ``task_id``, and drops none. For handlers."""

    def filter(self, record: logging.LogRecord) -> bool:
        known = whose()
        for field in fields(known):
            setattr(record, field.name, getattr(known, field.name))
        return True


def named_fields(record: logging.LogRecord) -> dict[str, str]:
    """What is known of a record that passed ``Named``."""
    values = {field.name: getattr(record, field.name, "") for field in fields(Whose)}
    return {name: value for name, value in values.items() if value}


def suffix(record: logging.LogRecord) -> str:
    """The same for people: `` [request=3f2a… principal=local task=sora2_task_…]``, or nothing."""
    named = " ".join(f"{name.removesuffix('_id')}={_word(value)}" for name, value in named_fields(record).items())
    return f" [{named}]" if named else ""


def _word(value: str) -> str:
    return value if _PLAIN.fullmatch(value) else json.dumps(value, ensure_ascii=False)
