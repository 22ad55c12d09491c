"""What people and scanners find here: an environment to begin with, and nothing that looks like a secret."""

import re
from pathlib import Path

import pytest

from sora2_mcp.settings import Settings
from tools.docs.configuration import env_example
from tools.docs.files import ROOT

EXAMPLE = ROOT / ".env.example"
LOOKS_REAL = re.compile(
    r"\bsk-[A-Za-z0-9_-]{14,}|\bAKIA[A-Z0-9]{16}|\bgh[pousr]_[A-Za-z0-9]{20,}|BEGIN [A-Z ]*PRIVATE KEY"
)


def test_the_example_of_an_environment_is_that_of_the_settings() -> None:
    assert EXAMPLE.read_text() == env_example(), "run `make docs`"


def test_it_holds_every_variable_with_its_default(monkeypatch: pytest.MonkeyPatch) -> None:
    lines = re.findall(r"^#?(SORA2_[A-Z0-9_]+)=(.*)$", EXAMPLE.read_text(), re.MULTILINE)
    defaults = Settings.load()
    for variable, value in lines:
        monkeypatch.setenv(variable, value)

    assert len(lines) == len(dict(lines)) == len(Settings.model_fields)
    assert Settings.load() == defaults


def test_no_made_up_secret_looks_like_a_real_one() -> None:
    texts = [path for folder in ("tests", "bench", "docs", "tools") for path in (ROOT / folder).rglob("*.[pm][yd]")]
    ours = [path for path in texts if "node_modules" not in path.parts and path != Path(__file__)]
    assert [str(path) for path in ours if LOOKS_REAL.search(path.read_text(encoding="utf-8"))] == []
