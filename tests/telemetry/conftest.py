from collections.abc import Iterator

import pytest

from tests.server.conftest import shared_folder
from tests.tasks.conftest import base_url, runtime, service, settings, simulator
from tests.telemetry.exported import Exported, exporting

__all__ = ["base_url", "exported", "runtime", "service", "settings", "shared_folder", "simulator"]


@pytest.fixture
def exported() -> Iterator[Exported]:
    with exporting() as exported:
        yield exported
