"""Output for people: bars on a terminal, plain lines elsewhere."""

import json
import sys
from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import Any

from rich.console import Console
from rich.padding import Padding
from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    ProgressColumn,
    SpinnerColumn,
    TextColumn,
    TimeElapsedColumn,
)
from rich.table import Table
from rich.text import Text

from sora2_mcp.cli.terminal import folded_to

Advance = Callable[[float, float | None], None]
"""Takes how much is done, and of how much where that is known."""


@dataclass(frozen=True, slots=True)
class Cell:
    """A text in a row; ``width`` where it is fixed, else it takes what is left."""

    text: str
    style: str = ""
    width: int | None = field(default=None, kw_only=True)


class Display:
    """Writes to stdout; progress only on a terminal. With ``for_machines`` stdout is for records, stderr for words."""

    def __init__(self, *, for_machines: bool = False) -> None:
        self._console = Console(highlight=False)
        self._is_terminal = self._console.is_terminal and not for_machines
        self._words = sys.stderr if for_machines else sys.stdout

    @property
    def columns(self) -> int:
        """The width of the terminal; 0 elsewhere."""
        return self._console.width if self._is_terminal else 0

    def table(self, table: Table) -> None:
        """A table, on a terminal."""
        self._console.print(table)

    def record(self, content: Mapping[str, Any]) -> None:
        """An object of JSON on a line of its own, in letters that every encoding has."""
        sys.stdout.write(f"{json.dumps(content)}\n")
        sys.stdout.flush()

    def title(self, text: str, style: str = "bold") -> None:
        """A heading."""
        if self._is_terminal:
            self._console.print(Text(text, style=style))
        else:
            self.line(text)

    def heading(self, text: str) -> None:
        """A heading of a part, after an empty line."""
        self.line("")
        self.title(text)

    def row(self, *cells: Cell, plain: str) -> None:
        """Texts side by side, each folded within its own column; elsewhere than on a terminal the line ``plain``."""
        if not self._is_terminal:
            self.line(plain)
            return
        grid = Table.grid(padding=(0, 1, 0, 0), expand=True)
        for cell in cells:
            grid.add_column(width=cell.width, ratio=None if cell.width else 1, style=cell.style, overflow="fold")
        grid.add_row(*(Text(cell.text) for cell in cells))
        self._console.print(grid)

    def step(self, name: str, text: str) -> None:
        """One step of a job."""
        if self._is_terminal:
            grid = Table.grid(padding=(0, 1, 0, 0))
            grid.add_column(width=9, style="cyan")
            grid.add_row(name, Text(text))
            self._console.print(grid)
        else:
            self.line(f"{name}: {text}")

    def answer(self, text: str) -> None:
        """What came back, indented below its step."""
        if self._is_terminal:
            self._console.print(Padding.indent(Text(text, style="dim"), 10))
            return
        for line in text.splitlines():
            self.line(f"{'':<10}{line}")

    def line(self, text: str) -> None:
        """A line as it is: never wrapped, coloured or shortened; above the bars, if there are any."""
        if self._is_terminal:
            self._console.print(Text(text), soft_wrap=True)
            return
        # Without rich, which would wrap the line at 80 characters: scripts read it.
        self._words.write(f"{text}\n")
        self._words.flush()

    def words(self, text: str) -> None:
        """Sentences, which a terminal gets in lines of its width; elsewhere as they are."""
        for line in folded_to(self.columns, text).splitlines():
            self.line(line)

    @contextmanager
    def waiting(self, text: str, *, indent: int = 0) -> Iterator[None]:
        """A moving bar of unknown length with the seconds so far, so many columns from the left."""
        if not self._is_terminal:
            yield
            return
        indented = TextColumn(f"{' ' * indent}{{task.description}}")
        with self._progress(indented, SpinnerColumn(), BarColumn(30)) as progress:
            progress.add_task(text, total=None)
            yield

    @contextmanager
    def downloading(self, text: str) -> Iterator[Advance]:
        """A bar of bytes."""
        if not self._is_terminal:
            yield lambda _done, _total: None
            return
        with self._progress(*_byte_columns()) as progress:
            bar = progress.add_task(text, total=None)
            yield lambda done, total: progress.update(bar, completed=done, total=total)

    @contextmanager
    def downloading_many(self) -> Iterator[Callable[[str], AbstractContextManager[Advance]]]:
        """Bars of bytes, each with a name and for as long as its block lasts."""
        if not self._is_terminal:
            yield lambda _name: nullcontext(lambda _done, _total: None)
            return
        with self._progress(*_byte_columns()) as progress:

            @contextmanager
            def bar(name: str) -> Iterator[Advance]:
                number = progress.add_task(name, total=None)
                try:
                    yield lambda done, total: progress.update(number, completed=done, total=total)
                finally:
                    # A screen has room for few bars, and there may be hundreds of downloads.
                    progress.remove_task(number)

            yield bar

    def _progress(self, *columns: ProgressColumn) -> Progress:
        # Transient, so that the lines above and below stand together once the work is done.
        return Progress(*columns, TimeElapsedColumn(), console=self._console, transient=True)


def _byte_columns() -> tuple[ProgressColumn, ...]:
    return TextColumn("{task.description}"), BarColumn(30), DownloadColumn()
