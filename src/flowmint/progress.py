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
    """Shows stages; the command line draws bars, the library by default shows nothing."""

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
