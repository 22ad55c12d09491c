from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.e2e.processes import Process
from tests.e2e.test_http import address
from tests.faults.hosts import Service, service
from tests.faults.test_disk import disk

__all__ = ["disk"]


@pytest.fixture
def sora(tmp_path: Path) -> Iterator[Service]:
    """A service whose videos are done at once."""
    with service(tmp_path, "--seconds", "0") as sora:
        yield sora


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Process]:
    """A server on HTTP, on the simulator."""
    arguments = ("serve", "--simulate", "--transport", "streamable-http", "--port", "0")
    with Process(tmp_path, *arguments, SORA2_POLL_SECONDS="60") as process:
        address(process)
        yield process
