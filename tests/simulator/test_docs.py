import re
from pathlib import Path

from sora2_mcp.simulator.faults import KINDS

PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"


def test_the_page_names_every_fault_with_its_meaning_and_no_other() -> None:
    rows = re.findall(r"^\| `([a-z0-9-]+)(?:=SECONDS)?` \| (.+?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert dict(rows) == {name: kind.meaning for name, kind in KINDS.items()}
    assert len(rows) == len(KINDS)


def test_the_page_marks_exactly_the_faults_that_take_seconds() -> None:
    marked = re.findall(r"^\| `([a-z0-9-]+)=SECONDS` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert set(marked) == {name for name, kind in KINDS.items() if kind.takes_value}
