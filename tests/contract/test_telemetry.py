"""The operators' page names every metric and span there is, and no other."""

import re
from pathlib import Path

import sora2_mcp

ROOT = Path(sora2_mcp.__file__).parent
PAGE = Path(__file__).parents[2] / "docs" / "operations.md"


def test_every_metric_is_documented_and_every_documented_one_exists() -> None:
    source = (ROOT / "telemetry" / "metrics.py").read_text()
    made = set(re.findall(r'"((?:sora2|mcp)\.[a-z.]+)", *(?:\n *)?[\["]', source))
    row = re.compile(r"^\| `((?:sora2|mcp)\.[a-z.]+)` \| (?:counter|histogram|gauge|up-down)", re.MULTILINE)
    told = set(row.findall(PAGE.read_text()))

    assert len(made) == 11
    assert told == made


def test_every_outcome_is_documented() -> None:
    files = [*(ROOT / "tasks").glob("*.py"), *(ROOT / "server").rglob("*.py"), ROOT / "telemetry" / "spans.py"]
    words = {
        word
        for file in files
        for word in re.findall(r'(?:_outcome|fail)\((?:[A-Z]+, |error, )?"([a-z_]+)"', file.read_text())
    }
    words |= set(re.findall(r'return "([a-z_]+)"\n', (ROOT / "tasks" / "callbacks.py").read_text()))

    assert {"accepted", "refused", "saved", "followed", "forged"} <= words
    assert [word for word in sorted(words) if f"`{word}`" not in PAGE.read_text()] == []
