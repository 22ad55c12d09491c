"""``sora2-mcp tasks`` on a terminal: a table, colours, and lines of its width."""

import re
from pathlib import Path

from tests.e2e.processes import completed
from tests.e2e.terminals import on_a_terminal, without_colours

CUT = "A kitten playing in a garden on a bright spring day, slow push in [sim:seconds=600]"


def lines_of(shown: str) -> list[str]:
    """What stands in each line, without colours."""
    return [line.rstrip() for line in without_colours(shown).splitlines()]


def order(folder: Path) -> str:
    """Orders a video that takes long; gives its id."""
    return completed(folder, "generate", CUT, "--simulate", "--no-wait").stdout.split()[1]


def test_a_list_is_a_coloured_table_that_fits_and_plain_lines_elsewhere(tmp_path: Path) -> None:
    task_id = order(tmp_path)
    shown = on_a_terminal(tmp_path, "tasks", "list", "--simulate")
    grey = on_a_terminal(tmp_path, "tasks", "list", "--simulate", NO_COLOR="1")
    elsewhere = completed(tmp_path, "tasks", "list", "--simulate").stdout

    head, row = lines_of(shown)
    assert head.split() == ["ID", "STATUS", "ORDERED", "VIDEO", "PROMPT"]
    assert re.fullmatch(rf"{task_id} generating \d\d [A-Z][a-z]{{2}} \d\d:\d\d +A kitten playing in .*…", row)
    assert len(row) <= 80
    assert "\x1b[33mgenerating" in shown
    assert lines_of(grey) == [head, row]
    assert "\x1b[33m" not in grey
    assert re.fullmatch(rf'{task_id} · generating · [\d-]+ [\d:]+ UTC · landscape, standard · "[^"]+"\n', elsewhere)


def test_times_on_a_terminal_are_this_machines(tmp_path: Path) -> None:
    order(tmp_path)
    row = lines_of(on_a_terminal(tmp_path, "tasks", "list", "--simulate", TZ="Asia/Tokyo"))[1]
    elsewhere = completed(tmp_path, "tasks", "list", "--simulate").stdout

    (there,), (here,) = (re.findall(r"(\d\d):\d\d", text.split("A kitten")[0]) for text in (row, elsewhere))
    assert (int(here) + 9) % 24 == int(there)


def test_advice_and_errors_fit_a_terminal_too(tmp_path: Path) -> None:
    advice = lines_of(on_a_terminal(tmp_path, "client-config", "claude-desktop", "--simulate", columns=60))
    wrong = lines_of(on_a_terminal(tmp_path, "genrate", "A kitten", columns=60, code=2))
    missing = lines_of(on_a_terminal(tmp_path, "generate", "A kitten", columns=60, code=2))

    assert max(len(line) for line in advice if "/" not in line) <= 60
    assert max(map(len, [*wrong, *missing])) <= 60
    assert " ".join(wrong).endswith("did you mean generate? See: sora2-mcp --help")
    assert " ".join(missing).endswith("add --simulate. That makes no real video.")


def test_sentences_fit_a_terminal_and_what_is_to_be_copied_stays_whole(tmp_path: Path) -> None:
    task_id = order(tmp_path)
    lines = lines_of(on_a_terminal(tmp_path, "tasks", "show", task_id, "--simulate", columns=60))

    *sentences, command = lines
    assert " ".join(sentences).startswith(f"Still generating: {task_id}, ")
    assert max(map(len, sentences)) <= 60
    assert command == f"Wait for it with: sora2-mcp tasks wait {task_id} --simulate"
