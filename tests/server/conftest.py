import os
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.postgres import PostgresServer
from tests.stores import on_server


@pytest.fixture(scope="module")
def shared_folder(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """For a server that all tests of a module share; it keeps its tasks on the engine that is tested."""
    folder = tmp_path_factory.mktemp("shared")
    if os.environ.get("TESTED_ENGINE") != "postgresql":
        yield folder
        return
    # Only the engine that is asked for is started.
    server: PostgresServer = request.getfixturevalue("postgres")
    with on_server(folder, server.migrated_place):
        yield folder
