"""One task of a comparison, as the sections of a report see it."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

from flowmint.evaluate.compare.plan import ALL_REAL, NONE
from flowmint.report import document as doc
from flowmint.report.document import DotRow

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowmint.evaluate.compare.result import Comparison, Estimate, Summary, TaskAbout
    from flowmint.report.document import Cell


@dataclass(frozen=True)
class View:
    """One task with shortcuts kept or dropped, seen through a comparison's summaries.

    Attributes:
        comparison: The whole comparison.
        task: The task.
        shortcuts: ``kept`` or ``dropped``.
    """

    comparison: Comparison
    task: TaskAbout
    shortcuts: str

    @property
    def title(self) -> str:
        """Name the task, and whether shortcuts were dropped where that matters."""
        many = len(self.comparison.plan.shortcuts) > 1 or self.shortcuts == "dropped"
        return f"{self.task.name}, shortcuts {self.shortcuts}" if many else self.task.name

    @cached_property
    def found(self) -> dict[tuple[str, int | None], Summary]:
        """Summaries by generator and number of rows."""
        own = [s for s in self.comparison.summaries if (s.task, s.shortcuts) == (self.task.name, self.shortcuts)]
        return {(summary.generator, summary.rows): summary for summary in own}

    @property
    def generators(self) -> list[str]:
        """What stood in the comparison, in its order: ``none`` first, real rows apart."""
        names = dict.fromkeys(name for name, _ in self.found if name != ALL_REAL)
        ordered = [name for name in (NONE, *self.comparison.plan.generators) if name in names]
        return list(dict.fromkeys([*ordered, *names]))

    @property
    def counts(self) -> list[int]:
        """Numbers of real attack rows, in rising order."""
        return sorted({rows for name, rows in self.found if rows is not None and name != ALL_REAL})

    @property
    def all_real(self) -> Summary | None:
        """The summary with all real rows."""
        own = [summary for (name, _), summary in self.found.items() if name == ALL_REAL and "f1" in summary.metrics]
        return own[0] if own else None

    def head(self, generator: str) -> Summary | None:
        """Give a generator's summary over the few-shot numbers of rows."""
        return self.found.get((generator, None)) or (
            self.found.get((generator, self.counts[0])) if len(self.counts) == 1 else None
        )

    @property
    def best(self) -> str | None:
        """The generator that the report is about: the plan's own, else the one with the best mean F1."""
        ours = self.comparison.plan.ours
        if ours is not None and self.head(ours) is not None:
            return ours
        ranked = {name: head.metrics["f1"].mean for name in self.generators if (head := with_f1(self, name))}
        ranked.pop(NONE, None)
        return max(ranked, key=lambda name: ranked[name]) if ranked else None

    @property
    def span(self) -> str:
        """Say over which numbers of rows the headline is a mean."""
        few = [count for count in self.counts if count <= self.comparison.plan.headline] or self.counts
        if not few:
            return "no real rows"
        return f"{few[0]:,} real rows" if len(few) == 1 else f"{few[0]:,} to {few[-1]:,} real rows"


def with_f1(view: View, name: str) -> Summary | None:
    """Give a generator's overall summary if any of its cells succeeded."""
    head = view.head(name)
    return head if head is not None and "f1" in head.metrics else None


def style_of(view: View) -> dict[str, int]:
    """Give each generator its style; the first is grey."""
    return {name: index for index, name in enumerate(view.generators)}


def main_views(views: Sequence[View]) -> list[View]:
    """Take each task once: as it is, or with shortcuts dropped where it was measured only so."""
    first: dict[str, View] = {}
    for view in views:
        if view.shortcuts == "kept" or view.task.name not in first:
            first[view.task.name] = view
    return list(first.values())


def minting(view: View) -> list[tuple[str, Summary]]:
    """Give the overall summary of everything that mints, in order."""
    return [(name, head) for name in view.generators if name != NONE and (head := view.head(name))]


def estimated(estimate: Estimate | None) -> Cell:
    """Make a table's cell of an estimate."""
    return None if estimate is None else doc.interval(estimate.mean, estimate.low, estimate.high)


def dot_row(name: str, style: int, estimate: Estimate | None, *, missing: str = "") -> DotRow:
    """Make a row of a panel of dots; ``missing`` says why there is no estimate."""
    if estimate is None:
        return DotRow(name=name, style=style, value=None, low=None, high=None, missing=missing)
    ends = (doc.number(estimate.low), doc.number(estimate.high))
    return DotRow(name=name, style=style, value=doc.number(estimate.mean), low=ends[0], high=ends[1], missing="")
