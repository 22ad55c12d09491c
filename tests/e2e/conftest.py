from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.e2e.people import Way
from tests.faults.hosts import Service, service
from tests.stores import Store, file_in


@pytest.fixture
def store(tmp_path: Path) -> Store:
    """An empty store; tests/faults has them all."""
    return file_in(tmp_path)


@pytest.fixture
def way() -> Way:
    """The way most clients come; tests/faults has them all."""
    return "streamable-http", "auto"


@pytest.fixture(scope="module")
def sora(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Service]:
    """A service for all tests of a module, whose videos are done at once."""
    with service(tmp_path_factory.mktemp("sora"), "--seconds", "0") as sora:
        yield sora
