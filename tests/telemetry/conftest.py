from collections.abc import Iterator

import pytest

from tests.tasks.conftest import base_url, runtime, service, settings, simulator
from tests.telemetry.exported import Exported, exporting

__all__ = ["base_url", "exported", "runtime", "service", "settings", "simulator"]


@pytest.fixture
def exported() -> Iterator[Exported]:
    with exporting() as exported:
        yield exported
