"""Markdown, one piece at a time."""

from collections.abc import Iterable, Sequence


def table(heads: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    """A table; a bar in a cell is kept from ending it."""
    return "\n".join([_row(heads), _row(["---"] * len(heads)), *map(_row, rows)])


def block(text: str, language: str = "text") -> str:
    """A fenced block."""
    return f"```{language}\n{text}\n```"


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cell.replace('|', chr(92) + '|') for cell in cells)} |"
