"""These tests need the agent frameworks' own packages: ``make hosts`` installs them apart and runs them there."""

import sys
from collections.abc import Iterator
from importlib.util import find_spec
from ipaddress import ip_address
from pathlib import Path
from typing import Any

import pytest

from tests.e2e.processes import simulator
from tests.hosts.served import Served, Service

_FRAMEWORKS = ("agents", "langchain", "langchain_mcp_adapters")
_OUTSIDE: list[object] = []

collect_ignore_glob = [] if all(map(find_spec, _FRAMEWORKS)) else ["test_*.py"]


def _is_outside(host: object) -> bool:
    name = host.decode() if isinstance(host, bytes) else host
    if not isinstance(name, str) or name in ("", "localhost"):
        return False
    try:
        return not ip_address(name).is_loopback
    except ValueError:
        return True


def _watch(event: str, arguments: tuple[Any, ...]) -> None:
    """Notes, and refuses, every attempt to look up or reach another machine: telemetry comes from threads."""
    host = arguments[0] if event == "socket.getaddrinfo" else None
    if event == "socket.connect" and isinstance(arguments[1], tuple):
        host = arguments[1][0]
    if _is_outside(host):
        _OUTSIDE.append(host)
        raise OSError(f"no test reaches {host!r}")


if not collect_ignore_glob:
    sys.addaudithook(_watch)


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture(scope="session")
def simulated(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """The address of a simulator process, whose tasks take a second unless the prompt says otherwise."""
    with simulator(tmp_path_factory.mktemp("service"), "--seconds", "1") as base_url:
        yield base_url


@pytest.fixture
def server(tmp_path: Path, simulated: str) -> Served:
    """A place for a server, on a simulator that has received nothing."""
    return Served(folder=tmp_path, service=Service(simulated))


@pytest.fixture(autouse=True)
def _nothing_but_this_machine(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Tracing is off, and nothing else was contacted either."""
    for name in ("HTTP_PROXY", "HTTPS_PROXY", "ALL_PROXY"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.lower(), raising=False)
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    monkeypatch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "1")
    yield
    assert _OUTSIDE == []
