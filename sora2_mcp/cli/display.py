"""What people see: bars on a terminal, plain lines elsewhere."""

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, DownloadColumn, Progress, SpinnerColumn, TextColumn, TimeElapsedColumn
from rich.text import Text

Advance = Callable[[float, float | None], None]
"""Called with how much is done, and of how much where that is known."""


class Display:
    """Writes to stdout; progress only where somebody watches."""

    def __init__(self) -> None:
        self._console = Console(highlight=False, soft_wrap=True)

    @property
    def _watched(self) -> bool:
        return self._console.is_terminal

    def title(self, text: str) -> None:
        """A heading."""
        self._console.print(text, style="bold", markup=False)

    def step(self, name: str, text: str) -> None:
        """One thing that is being done."""
        if self._watched:
            self._console.print(Text.assemble((f"{name:<10}", "cyan"), text))
        else:
            self.line(f"{name}: {text}")

    def answer(self, text: str) -> None:
        """What came back, indented below its step."""
        for line in text.splitlines():
            self._console.print(f"{'':<10}{line}", style="dim", markup=False)

    def line(self, text: str) -> None:
        """A line as it is: never wrapped, coloured or shortened."""
        sys.stdout.write(f"{text}\n")
        sys.stdout.flush()

    @contextmanager
    def waiting(self, text: str) -> Iterator[None]:
        """A moving bar of unknown length with the seconds so far."""
        if not self._watched:
            yield
            return
        columns = (TextColumn(f"{'':<10}{{task.description}}"), SpinnerColumn(), BarColumn(30), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            progress.add_task(text, total=None)
            yield

    @contextmanager
    def downloading(self, text: str) -> Iterator[Advance]:
        """A bar of bytes."""
        if not self._watched:
            yield lambda _done, _total: None
            return
        columns = (TextColumn("{task.description}"), BarColumn(30), DownloadColumn(), TimeElapsedColumn())
        with Progress(*columns, console=self._console, transient=True) as progress:
            bar = progress.add_task(text, total=None)
            yield lambda done, total: progress.update(bar, completed=done, total=total)
