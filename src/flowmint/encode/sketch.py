"""The sketch of a column: the shares of its values over any number of rows, in bounded memory and mergeable.

Up to `MOST_VALUES` distinct numbers every value is counted exactly, and so are NaN, infinities, empty cells and names,
however many rows there are. Beyond that a summary keeps about half as many of the values, each with the weight of the
run of neighbours that it stands for; what weighs more than a run stays alone, and so do the least and the greatest.
Runs are cut at equal steps of weight, so that the rank of any number is off by less than a run's weight.

Summaries of equal size merge in pairs, as the digits of a binary counter carry (Munro & Paterson 1980; Agarwal et al.
2012, section 3). The errors of one level together are at most those of one reduction of all rows, so the error grows
with the logarithm of the rows: 20 million are 8 levels. What it is at most is counted along: see `Sketch.error`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from flowmint.encode.support import Support, special, to_values
from flowmint.errors import TableError

if TYPE_CHECKING:
    import numpy.typing as npt

    from flowmint.flows.schema import Column

    Values = npt.NDArray[Any]
    Counts = npt.NDArray[np.int64]

MOST_VALUES = 1 << 16
"""Distinct numbers of a column that are counted exactly."""

MOST_NAMES = 1 << 18
"""Distinct names that a column of categories may have."""

ODD = (-np.inf, np.inf, np.nan)
"""What a float may be beside a finite number."""


@dataclass(frozen=True)
class Summary:
    """Finite values and how many rows each stands for.

    Attributes:
        values: Distinct values, ascending [values].
        counts: Rows [values].
        error: By how many rows the rank of a number may be off.
        level: How often it was merged with one of its size.
    """

    values: Values
    counts: Counts
    error: int = 0
    level: int = 0

    @classmethod
    def of(cls, values: Values) -> Summary:
        """Count values [rows] without NaN, infinities and empty cells."""
        distinct, counts = np.unique(values, return_counts=True)
        return cls(distinct, counts.astype(np.int64))

    def merged(self, other: Summary) -> Summary:
        """Count both; nothing is left out yet."""
        values = np.concatenate([self.values, other.values])
        order = np.argsort(values, kind="stable")  # sorted runs merge in linear time
        values = values[order]
        first = np.ones(len(values), dtype=bool)
        first[1:] = values[1:] != values[:-1]
        counts = np.concatenate([self.counts, other.counts])[order]
        starts = np.flatnonzero(first)
        merged = np.add.reduceat(counts, starts) if len(starts) else counts
        return Summary(values[first], merged, self.error + other.error, max(self.level, other.level))

    def reduced(self, most: int) -> Summary:
        """Keep about ``most`` / 2 values at most if there are more than ``most``.

        Args:
            most: How many values may stay as they are.

        Returns:
            This, or a summary whose error is larger.
        """
        if len(self.values) <= most:
            return self
        starts = self._runs(most)
        ends = np.append(starts[1:], len(self.values))
        through = np.cumsum(self.counts)
        before = through[starts] - self.counts[starts]
        weights = through[ends - 1] - before
        middle = np.searchsorted(through, before + (weights + 1) // 2)
        below, above = through[middle] - self.counts[middle] - before, before + weights - through[middle]
        error = int(np.maximum(below, above).max())
        return Summary(self.values[middle], weights, self.error + error, self.level)

    def _runs(self, most: int) -> npt.NDArray[np.intp]:
        """Find where runs start: where a step of weight does, and around values that weigh as much as one."""
        total = int(self.counts.sum())
        step = -(-total // max(most // 6, 1))  # a value as heavy as a step may begin two runs, and its step a third
        begins = np.cumsum(self.counts) - self.counts
        bucket, heavy = begins // step, self.counts >= step
        cut = np.ones(len(bucket), dtype=bool)
        cut[1:] = (bucket[1:] != bucket[:-1]) | heavy[1:] | heavy[:-1]
        cut[1] = cut[-1] = True  # the least and the greatest value stay
        return np.flatnonzero(cut)


@dataclass
class Sketch:
    """Counts the values of one column, batch by batch.

    Attributes:
        column: What the column is.
        most_values: Distinct numbers that are counted exactly.
        summaries: Of the finite numbers, the largest first.
        odd: Rows of −∞, ∞ and NaN.
        names: Rows of each category.
        empty: Rows of empty cells.
    """

    column: Column
    most_values: int = MOST_VALUES
    summaries: list[Summary] = field(default_factory=list)
    odd: Counts = field(default_factory=lambda: np.zeros(len(ODD), dtype=np.int64))
    names: dict[str, int] = field(default_factory=dict)
    empty: int = 0

    @property
    def rows(self) -> int:
        """How many rows were counted."""
        finite = sum(int(summary.counts.sum()) for summary in self.summaries)
        return finite + int(self.odd.sum()) + sum(self.names.values()) + self.empty

    @property
    def error(self) -> int:
        """By how many rows the rank of a number in `support` may be off."""
        return self._finite().error

    def add(self, series: pl.Series) -> None:
        """Count a batch.

        Args:
            series: Values of the column [rows].

        Raises:
            TableError: There are more than `MOST_NAMES` names.
        """
        self.empty += series.null_count()
        if self.column.kind == "categorical":
            self._add_names(series)
            return
        values = to_values(series.drop_nulls(), self.column)
        odd = special(values)
        if odd.any():
            self.odd += [int((values == -np.inf).sum()), int((values == np.inf).sum()), int(np.isnan(values).sum())]
            values = values[~odd]
        self._push(Summary.of(values).reduced(self.most_values))  # of none too: which merge depends on batches alone

    def merge(self, other: Sketch) -> None:
        """Count what another sketch of the same column counted.

        Where each but the last counted the same power of two of batches, this is what one would be of all batches.

        Raises:
            TableError: There are more than `MOST_NAMES` names.
        """
        self.empty += other.empty
        self.odd += other.odd
        for name, rows in other.names.items():
            self.names[name] = self.names.get(name, 0) + rows
        self._check_names()
        for summary in other.summaries:
            self._push(summary)

    def support(self) -> Support:
        """Give each value its share of the rows.

        Returns:
            What `Support.fit` gives of all rows, as long as there are at most ``most_values`` distinct numbers.
        """
        empty = float(self.empty) if self.empty else None
        if self.column.kind == "categorical":
            names = np.array(sorted(self.names), dtype=object)
            counts = np.array([self.names[name] for name in names], dtype=np.float64)
            return Support.of(self.column, names, counts, empty=empty)
        finite = self._finite()
        kind = finite.values.dtype if len(finite.values) else to_values(_none(self.column), self.column).dtype
        values, counts = finite.values.astype(kind), finite.counts.astype(np.float64)
        for state, rows in zip(ODD, self.odd.tolist(), strict=True):
            if rows:
                first = 0 if state == -np.inf else len(values)
                values, counts = np.insert(values, first, state), np.insert(counts, first, rows)
        return Support.of(self.column, values, counts, empty=empty)

    def _add_names(self, series: pl.Series) -> None:
        counted = series.drop_nulls().cast(pl.String).alias("name").value_counts(name="rows")
        for name, rows in counted.iter_rows():
            self.names[name] = self.names.get(name, 0) + rows
        self._check_names()

    def _check_names(self) -> None:
        if len(self.names) > MOST_NAMES:
            message = (
                f"column {self.column.name!r} has more than {MOST_NAMES:,} different names, such as "
                f"{next(iter(self.names))!r:.60}, which cannot be learnt; leave it out (--drop {self.column.name!r})"
            )
            raise TableError(message)

    def _push(self, summary: Summary) -> None:
        """Add a summary; those of one level merge."""
        held = self.summaries
        held.append(summary)
        held.sort(key=lambda each: -each.level)
        while (place := _twins(held)) is not None:
            one, other = held[place], held.pop(place + 1)
            both = one.merged(other).reduced(self.most_values)
            held[place] = Summary(both.values, both.counts, both.error, one.level + 1)
            held.sort(key=lambda each: -each.level)

    def _finite(self) -> Summary:
        """Merge what was counted of finite numbers."""
        total = Summary(np.array([]), np.array([], dtype=np.int64))
        for place, summary in enumerate(reversed(self.summaries)):
            total = total.merged(summary) if place else summary
        return total.reduced(self.most_values)


def _twins(summaries: list[Summary]) -> int | None:
    """Find two neighbours of one level."""
    return next((i for i in range(len(summaries) - 1) if summaries[i].level == summaries[i + 1].level), None)


def _none(column: Column) -> pl.Series:
    return pl.Series(column.name, [], dtype=column.polars_dtype)
