"""Tests that never leave this machine: a process of tests is refused every other one, and says which it asked for."""

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from ipaddress import ip_address
from typing import Any

import pytest

_OUTSIDE: list[object] = []


def stay() -> None:
    """Notes, and refuses, every attempt of this process to look up or reach another machine, from any thread."""
    sys.addaudithook(_watch)


@contextmanager
def nothing_outside(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """No proxy is set for what runs meanwhile, and no other machine was asked for at its end."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    yield
    assert _OUTSIDE == []


def _is_outside(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if not isinstance(name, str) or name in ("", "localhost"):
        return False
    try:
        return not ip_address(name).is_loopback
    except ValueError:
        return True


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    host = arguments[0] if event == "socket.getaddrinfo" else None
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    if _is_outside(host):
        _OUTSIDE.append(host)
        raise OSError(f"no test reaches {host!r}")
