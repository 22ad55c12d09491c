import re
from pathlib import Path

from sora2_mcp.simulator.dialects import DIALECTS
from sora2_mcp.simulator.dialects.openai import OpenAI
from sora2_mcp.simulator.dialects.openrouter import OpenRouter
from sora2_mcp.simulator.faults import KINDS
from sora2_mcp.simulator.motifs import CLIPS, MOTIFS
from sora2_mcp.simulator.order import Refusal

PAGE = Path(__file__).parents[2] / "docs" / "simulator.md"


def test_the_page_names_every_fault_with_its_meaning_and_no_other() -> None:
    rows = re.findall(
        r"^\| `([a-z0-9-]+)(?:=SECONDS)?` \| ([^|]+?) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE
    )

    assert dict(rows) == {name: kind.meaning for name, kind in KINDS.items()}
    assert len(rows) == len(KINDS)


def test_the_page_marks_exactly_the_faults_that_take_seconds() -> None:
    marked = re.findall(r"^\| `([a-z0-9-]+)=SECONDS` \|", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert set(marked) == {name for name, kind in KINDS.items() if kind.takes_value}


def test_the_page_has_the_base_path_of_every_dialect() -> None:
    rows = re.findall(r"^\| `(\w+)` \| `(/[\w/]+)` \| .+ \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)

    assert dict(rows) == DIALECTS


def test_the_page_shows_every_motif_and_how_large_the_clips_are() -> None:
    page = PAGE.read_text(encoding="utf-8")
    largest = max(path.stat().st_size for path in CLIPS.iterdir())

    assert tuple(re.findall(r"^\| `(\w+)` \| [^`|]+ \| [^`|]+ \|$", page, re.MULTILINE)) == MOTIFS
    assert [int(size) * 1000 >= largest for size in re.findall(r"in at most (\d+) kB", page)] == [True]


def test_the_page_says_how_each_code_is_spelled_by_status() -> None:
    rows = re.findall(r"^\| (\d+) \| (\d+) \| (\d+) \|$", PAGE.read_text(encoding="utf-8"), re.MULTILINE)
    listed = {int(code): (int(openai), int(openrouter)) for code, openai, openrouter in rows}

    for code in (400, 401, 402, 404, 422, 429, 433, 451, 455, 500, 501, 505):
        spelled = tuple(dialect.error(Refusal(code)).status_code for dialect in (OpenAI(), OpenRouter()))
        assert spelled == listed.get(code, (code, code))
