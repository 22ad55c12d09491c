"""These tests need the agent frameworks' own packages: ``make hosts`` installs them apart and runs them there."""

from collections.abc import Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest

from tests.e2e.processes import simulator
from tests.hosts.loopback import nothing_outside, stay
from tests.hosts.served import Served, Service

_FRAMEWORKS = ("agents", "langchain", "langchain_mcp_adapters")

collect_ignore_glob = [] if all(map(find_spec, _FRAMEWORKS)) else ["test_*.py"]

if not collect_ignore_glob:
    stay()


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
    monkeypatch.setenv("LANGSMITH_TRACING", "false")
    monkeypatch.setenv("OPENAI_AGENTS_DISABLE_TRACING", "1")
    with nothing_outside(monkeypatch):
        yield
