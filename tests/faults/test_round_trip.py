"""A server that hangs for good does not outlast the doctor's check."""

from pathlib import Path

import pytest

from tests.cli.test_doctor_round_trip import is_ended_with_the_check, kept

__all__ = ["kept"]

pytestmark = pytest.mark.anyio


async def test_a_server_that_hangs_is_ended_with_the_check(kept: Path, tmp_path: Path) -> None:
    await is_ended_with_the_check(tmp_path, kept, then="time.sleep(600)")
