"""Many videos that ended while no process ran."""

from pathlib import Path

import pytest

from tests.tasks.test_autosave import save_after_the_start

pytestmark = pytest.mark.anyio


async def test_two_hundred_videos_are_all_saved_after_the_start(tmp_path: Path) -> None:
    await save_after_the_start(tmp_path, count=200)
