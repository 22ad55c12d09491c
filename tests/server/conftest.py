"""The same tests on either engine: in a file, or with ``TESTED_ENGINE=postgresql`` on a server."""

import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.faults.stores import on_server
from tests.postgres import PostgresServer


@pytest.fixture(autouse=True)
def _tested_engine(request: pytest.FixtureRequest, tmp_path: Path) -> Iterator[None]:
    if os.environ.get("TESTED_ENGINE") != "postgresql":
        yield
        return
    # Only the engine that is asked for is started.
    server: PostgresServer = request.getfixturevalue("postgres")
    with on_server(tmp_path, server.empty_place()):
        yield
