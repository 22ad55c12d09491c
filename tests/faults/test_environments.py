"""Every command in every odd environment; the quick tests have one of each kind."""

from pathlib import Path

import pytest

from tests.e2e.environments import COMMANDS, ODD, end_well


@pytest.mark.parametrize("command", COMMANDS)
@pytest.mark.parametrize("odd", ODD)
def test_every_command_does_its_work_or_says_in_words_why_not(tmp_path: Path, odd: str, command: str) -> None:
    end_well(tmp_path, command, ODD[odd])
