"""Progress bars on stderr: one for each stage, with count, rate, time spent and time left."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich import filesize
from rich.console import Console
from rich.progress import BarColumn, ProgressColumn, Task, TextColumn, TimeElapsedColumn, TimeRemainingColumn
from rich.progress import Progress as Display
from rich.table import Column
from rich.text import Text

from flowmint.progress import SILENT

if TYPE_CHECKING:
    from rich.progress import TaskID

    from flowmint.progress import Progress


@contextmanager
def bars(*, quiet: bool) -> Iterator[Progress]:
    """Show stages as bars for the length of a ``with`` block.

    Args:
        quiet: Show nothing; nothing is shown either where stderr is no terminal.

    Yields:
        What the library reports its stages to.
    """
    console = Console(stderr=True)
    if quiet or not sys.stderr.isatty() or console.is_dumb_terminal:
        yield SILENT
        return
    with Display(
        TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
        BarColumn(bar_width=None, table_column=Column(ratio=1, min_width=4)),
        _Count(table_column=Column(no_wrap=True)),
        _Rate(table_column=Column(no_wrap=True)),
        TimeElapsedColumn(table_column=Column(no_wrap=True)),
        TimeRemainingColumn(table_column=Column(no_wrap=True)),
        TextColumn("left", table_column=Column(no_wrap=True)),
        console=console,
        expand=True,
        redirect_stdout=False,
    ) as display:
        yield _Bars(display)


class _Bars:
    def __init__(self, display: Display) -> None:
        self.display = display

    @contextmanager
    def stage(self, name: str, *, total: int, unit: str) -> Iterator[_Bar]:
        """Open a bar."""
        yield _Bar(self.display, self.display.add_task(name, total=total, unit=unit))


class _Bar:
    def __init__(self, display: Display, task: TaskID) -> None:
        self.display = display
        self.task = task

    def advance(self, amount: int) -> None:
        """Move the bar on."""
        self.display.advance(self.task, amount)


class _Count(ProgressColumn):
    """How many of how many units are done."""

    def render(self, task: Task) -> Text:
        done, total = int(task.completed), int(task.total or 0)
        if task.fields["unit"] == "bytes":
            return Text(f"{filesize.decimal(done)}/{filesize.decimal(total)}", justify="right")
        return Text(f"{done:,}/{total:,}", justify="right")


class _Rate(ProgressColumn):
    """Units a second."""

    def render(self, task: Task) -> Text:
        speed = task.speed
        if speed is None or task.finished:
            speed = task.completed / task.elapsed if task.elapsed else 0.0
        if task.fields["unit"] == "bytes":
            return Text(f"{filesize.decimal(int(speed))}/s", justify="right")
        if 0 < speed < 1:  # work of minutes, such as the cells of a comparison
            return Text(f"{60 * speed:,.1f} {task.fields['unit']}/min", justify="right")
        return Text(f"{speed:,.0f} {task.fields['unit']}/s", justify="right")
