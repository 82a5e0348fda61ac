"""How long work tells that it advances: stages with a total, without knowing who shows them."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from collections.abc import Iterator


class Stage(Protocol):
    """One running stage, such as training the autoencoder."""

    def advance(self, amount: int) -> None:
        """Report that ``amount`` more units (steps, rows, bytes) are done."""


class Progress(Protocol):
    """Shows stages; the command line draws bars, the library by default shows nothing.

    Two stages may be open at once, each told from a thread of its own.
    """

    @contextmanager
    def stage(self, name: str, *, total: int, unit: str) -> Iterator[Stage]:
        """Open a stage of ``total`` units for the length of a ``with`` block."""
        ...


class _SilentStage:
    def advance(self, amount: int) -> None:
        """Ignore the report."""


class Silent:
    """A progress that shows nothing."""

    @contextmanager
    def stage(self, name: str, *, total: int, unit: str) -> Iterator[Stage]:
        """Open a stage that nobody sees."""
        yield _SilentStage()


SILENT = Silent()


class Within:
    """A progress whose stages advance one stage that is open already: the same work, done part by part."""

    def __init__(self, stage: Stage, *, name: str, most: int) -> None:
        """Forward what stages of a name report.

        Args:
            stage: The open stage.
            name: The stages that count; others are not shown.
            most: How many units they may report together, however often work is done anew.
        """
        self._stage, self._name, self._left = stage, name, most

    @contextmanager
    def stage(self, name: str, *, total: int, unit: str) -> Iterator[Stage]:
        """Open a stage within the open one."""
        yield self if name == self._name else _SilentStage()

    def advance(self, amount: int) -> None:
        """Report units that are done, none twice."""
        amount = min(amount, self._left)
        self._left -= amount
        self._stage.advance(amount)
