"""Shared fixtures: one event loop, a clock to move, an environment of nobody's."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
import stamina

from tests.clocks import FakeClock
from tests.postgres import PostgresServer, running_postgres
from tests.stores import on_server

# How long an example takes is the machine's business.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

ON_WINDOWS = sys.platform == "win32"

collect_ignore_glob = ["e2e/test_*.py", "faults/test_*.py"] if ON_WINDOWS else []
"""They end processes by signals and limit what those may do, as POSIX has it."""


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leaves out, on Windows, what is marked to need POSIX."""
    if ON_WINDOWS and item.get_closest_marker("posix"):
        pytest.skip("needs signals or file modes as POSIX has them")


@pytest.fixture
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def postgres() -> Iterator[PostgresServer]:
    """One server for all tests that ask; each has a place of its own on it."""
    with running_postgres() as server:
        yield server


@pytest.fixture(autouse=True)
def _tested_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    """What keeps its tasks in the test's folder does so in a file, or with ``TESTED_ENGINE=postgresql`` on a server."""
    engine = os.environ.get("TESTED_ENGINE", "sqlite")
    if engine == "sqlite":
        yield
        return
    assert engine == "postgresql", f"TESTED_ENGINE={engine}: sqlite and postgresql are tested"
    # Only the engine that is asked for is started.
    server: PostgresServer = request.getfixturevalue("postgres")
    with on_server(tmp_path, server.empty_place):
        yield


@pytest.fixture(autouse=True)
def _nobodys_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test reads the developer's settings or writes into their folders."""
    for name in list(os.environ):
        if name.upper().startswith("SORA2_") or name.lower().endswith("_proxy"):
            monkeypatch.delenv(name)
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))
    for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_VIDEOS_DIR"):
        monkeypatch.delenv(name, raising=False)


@pytest.fixture(autouse=True)
def _retries_do_not_pause() -> None:
    """Repeated looks keep their number of attempts, without the waits between them."""
    stamina.set_testing(True, attempts=3, cap=True)
