"""Shared fixtures: one event loop, a clock to move, an environment of nobody's."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import hypothesis
import pytest
import stamina

from sora2_mcp.errors import leaves
from tests.clocks import FakeClock
from tests.postgres import PostgresServer, keep_postgres, new_folder, running_postgres
from tests.stores import on_server

# How long an example takes is the machine's business.
hypothesis.settings.register_profile("untimed", deadline=None)
hypothesis.settings.load_profile("untimed")

ON_WINDOWS = sys.platform == "win32"

collect_ignore_glob = ["e2e/test_*.py", "faults/test_*.py", "promises/test_*.py"] if ON_WINDOWS else []
"""They end processes by signals and limit what those may do, as POSIX has it."""


_POSTGRES = pytest.StashKey[tuple[Path, int]]()
"""The folder of the run's PostgreSQL, and the process that it ends with."""

_KEEPER = pytest.StashKey[subprocess.Popen[bytes]]()


def pytest_configure(config: pytest.Config) -> None:
    """Every worker of a run finds the same server, and what it starts takes signals as on a terminal."""
    if not ON_WINDOWS:
        # Under nohup, or in the background of a script, these are ignored, and all that is started inherits that.
        signal.signal(signal.SIGINT, signal.default_int_handler)
        signal.signal(signal.SIGHUP, signal.SIG_DFL)
    shared = getattr(config, "workerinput", {}).get("postgres")
    config.stash[_POSTGRES] = (Path(shared[0]), shared[1]) if shared else (new_folder(), os.getpid())


def pytest_unconfigure(config: pytest.Config) -> None:
    folder, owner = config.stash[_POSTGRES]
    if owner == os.getpid() and not (folder / "asked").exists():
        folder.rmdir()


@pytest.hookimpl(optionalhook=True)
def pytest_configure_node(node: Any) -> None:
    folder, owner = node.config.stash[_POSTGRES]
    node.workerinput["postgres"] = (str(folder), owner)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_makereport(call: pytest.CallInfo[None]) -> Iterator[None]:
    """A task group's failure is shown as itself: the cause stands first, not the groups around it."""
    if call.excinfo is not None and isinstance(call.excinfo.value, ExceptionGroup):
        call.excinfo = pytest.ExceptionInfo.from_exception(leaves(call.excinfo.value)[0])
    return (yield)


def pytest_runtest_setup(item: pytest.Item) -> None:
    """Leaves out, on Windows, what is marked to need POSIX."""
    if ON_WINDOWS and item.get_closest_marker("posix"):
        pytest.skip("needs signals or file modes as POSIX has them")


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    return "asyncio"


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture(scope="session")
def postgres(request: pytest.FixtureRequest) -> PostgresServer:
    """One server for the whole run, for tests that leave it as it is; each has a place of its own on it."""
    folder, owner = request.config.stash[_POSTGRES]
    try:
        (folder / "asked").touch(exist_ok=False)
    except FileExistsError:
        pass  # Another worker starts it.
    else:
        request.config.stash[_KEEPER] = keep_postgres(folder, owner)
    return PostgresServer(folder)


@pytest.fixture(scope="module")
def own_postgres() -> Iterator[PostgresServer]:
    """A server for tests that stop it, hold it up or count what it is asked."""
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
    with on_server(tmp_path, server.migrated_place):
        yield


@pytest.fixture(scope="session", autouse=True)
def _nobodys_settings() -> Iterator[None]:
    """No test reads the developer's settings."""
    with pytest.MonkeyPatch.context() as patch:
        for name in list(os.environ):
            if name.upper().startswith("SORA2_") or name.lower().endswith("_proxy"):
                patch.delenv(name)
        for name in ("XDG_DATA_HOME", "XDG_CONFIG_HOME", "XDG_VIDEOS_DIR"):
            patch.delenv(name, raising=False)
        yield


@pytest.fixture(autouse=True)
def _nobodys_home(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No test writes into the developer's folders."""
    home = tmp_path / "home"
    home.mkdir()
    monkeypatch.setenv("HOME", str(home))


@pytest.fixture(autouse=True)
def _retries_do_not_pause() -> None:
    """Repeated looks keep their number of attempts, without the waits between them."""
    stamina.set_testing(True, attempts=3, cap=True)
