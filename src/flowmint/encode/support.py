"""One column's support: its distinct values in order, and the share of rows that each holds.

The support turns a value into an interval of the unit line and a point of that line back into
the value that owns it (the randomised probability integral transform, Rüschendorf 2009, eq. 2):
value ``i`` owns ``[edges[i], edges[i + 1])``, as wide as its share of the rows. Spikes are wide
intervals, rare values narrow ones; NaN, infinities and empty cells are values like any other.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from flowmint.errors import ModelError, TableError, nearest

if TYPE_CHECKING:
    import numpy.typing as npt

    from flowmint.flows.schema import Column

    Values = npt.NDArray[Any]
    Codes = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Support:
    """The ordered distinct values of one column and the intervals that they own.

    Attributes:
        column: Name, kind and dtype of the column.
        values: Distinct values [values] without the empty cell: ascending numbers (``-inf``
            first, ``inf`` and NaN last), or categories, most frequent first.
        has_empty: Whether empty cells (nulls) occur; they come after all values.
        edges: Bounds of the intervals [states + 1], from 0 to 1.
    """

    column: Column
    values: Values
    has_empty: bool
    edges: npt.NDArray[np.float64]

    @property
    def states(self) -> int:
        """How many distinct states the column has, the empty cell included."""
        return len(self.values) + int(self.has_empty)

    @property
    def is_categorical(self) -> bool:
        """Whether the order of the states means nothing."""
        return self.column.kind == "categorical"

    @classmethod
    def fit(cls, column: Column, series: pl.Series, weights: npt.NDArray[np.float64]) -> Support:
        """Find the distinct values of a column and their weighted shares.

        Args:
            column: What the column is.
            series: Its values [rows].
            weights: Weight of each row [rows], positive.

        Returns:
            The support; every value of ``series`` is in it.
        """
        present = series.is_not_null().to_numpy()
        numbers = to_values(series.drop_nulls(), column)
        values, codes = np.unique(numbers, return_inverse=True)
        mass = np.bincount(codes, weights=weights[present], minlength=len(values)).astype(np.float64)
        empty = None if present.all() else float(weights[~present].sum())
        return cls.of(column, values, mass, empty=empty)

    @classmethod
    def of(cls, column: Column, values: Values, mass: npt.NDArray[np.float64], *, empty: float | None) -> Support:
        """Give each value its interval.

        Args:
            column: What the column is.
            values: Its distinct values, ascending.
            mass: How much each of them weighs.
            empty: How much empty cells weigh; None where there are none.

        Returns:
            The support.
        """
        if column.kind == "categorical":
            order = np.argsort(-mass, kind="stable")
            values, mass = values[order], mass[order]
        if empty is not None:
            mass = np.append(mass, empty)
        edges = np.concatenate([[0.0], np.cumsum(mass) / mass.sum()])
        edges[-1] = 1.0
        return cls(column=column, values=values, has_empty=empty is not None, edges=edges)

    @classmethod
    def restore(cls, column: Column, values: Values, edges: npt.NDArray[np.float64], *, has_empty: object) -> Support:
        """Rebuild a support that was saved.

        Args:
            column: What the column is.
            values: Its distinct values.
            edges: Bounds of their intervals, one more than there are states.
            has_empty: Whether empty cells occur.

        Returns:
            The support.

        Raises:
            ModelError: The arrays cannot be a support of this column.
        """
        kinds = {"categorical": "O", "numeric": "f", "integer": "iu", "boolean": "iu"}
        shaped = (
            isinstance(has_empty, bool)
            and values.ndim == 1
            and edges.ndim == 1
            and len(edges) == len(values) + has_empty + 1 > 1
        )
        fits = shaped and values.dtype.kind in kinds[column.kind] and edges.dtype == np.float64
        rising = fits and edges[0] == 0 and edges[-1] == 1 and bool((np.diff(edges) >= 0).all())
        if column.kind == "categorical":
            sound = rising and all(isinstance(value, str) for value in values)
            sound = sound and len(set(values.tolist())) == len(values)
        else:
            sound = rising and bool((np.diff(np.nan_to_num(values.astype(np.float64), nan=np.inf)) >= 0).all())
        if not sound:
            message = f"the model's values of column {column.name!r} are damaged"
            raise ModelError(message)
        return cls(column=column, values=values, has_empty=bool(has_empty), edges=edges)

    def codes(self, series: pl.Series) -> Codes:
        """Number the states of a column's values.

        Args:
            series: Values [rows] of this column; a number between two known ones counts as the
                nearer of them.

        Returns:
            State of each row [rows], from 0 to ``states - 1``.

        Raises:
            TableError: A category, or an empty cell, that fitting never saw.
        """
        codes = np.full(len(series), len(self.values), dtype=np.int64)
        present = series.is_not_null().to_numpy()
        if not present.all() and not self.has_empty:
            message = f"column {self.column.name!r} has empty cells, but had none when fitted"
            raise TableError(message)
        find = self._category_codes if self.is_categorical else self._number_codes
        codes[present] = find(to_values(series.drop_nulls(), self.column))
        return codes

    def take(self, codes: Codes) -> pl.Series:
        """Give the values of numbered states, in the column's own dtype.

        Args:
            codes: States [rows].

        Returns:
            The values [rows].
        """
        empty = codes >= len(self.values)
        if not len(self.values):
            return pl.Series(self.column.name, [None] * len(codes), dtype=self.column.polars_dtype)
        values = self.values[np.where(empty, 0, codes)]
        series = from_values(values, self.column)
        if empty.any():
            keep = pl.Series(~empty)
            series = pl.select(pl.when(keep).then(series).alias(self.column.name)).to_series()
        return series

    def _number_codes(self, numbers: Values) -> Codes:
        above = np.clip(np.searchsorted(self.values, numbers), 0, len(self.values) - 1)
        below = np.maximum(above - 1, 0)
        known = self.values[above] == numbers
        if numbers.dtype.kind == "f":
            known |= np.isnan(numbers) & np.isnan(self.values[above])
        if known.all():
            return above
        low, high = self.values[below], self.values[above]
        with np.errstate(invalid="ignore", over="ignore"):
            to_low = numbers.astype(np.float64) - low.astype(np.float64)
            to_high = high.astype(np.float64) - numbers.astype(np.float64)
            nearer = np.where(to_low < to_high, below, above)
        return np.where(known, above, nearer)

    def _category_codes(self, names: Values) -> Codes:
        order = np.argsort(self.values)
        ranked = self.values[order]
        found = np.clip(np.searchsorted(ranked, names), 0, len(ranked) - 1)
        unknown = names[ranked[found] != names]
        if len(unknown):
            message = (
                f"column {self.column.name!r} holds {unknown[0]!r}, which fitting never saw; "
                f"{nearest(str(unknown[0]), [str(value) for value in self.values])}"
            )
            raise TableError(message)
        return order[found]


def to_values(series: pl.Series, column: Column) -> Values:
    """Turn a column without empty cells into numbers or text that can be sorted.

    Args:
        series: Values [rows], no nulls.
        column: What the column is.

    Returns:
        float32 or float64 for numeric columns, int64 or uint64 for integers, dates, times and
        booleans, Python strings (object) for categories.
    """
    if column.kind == "categorical":
        return series.cast(pl.String).to_numpy().astype(object)
    if column.kind == "numeric":
        return series.to_numpy() + 0.0  # -0.0 and 0.0 are one value
    physical = series.cast(pl.UInt8) if column.kind == "boolean" else series.to_physical()
    return physical.to_numpy().astype(np.uint64 if physical.dtype == pl.UInt64 else np.int64)


def from_values(values: Values, column: Column) -> pl.Series:
    """Turn sorted-form values back into a column; the inverse of `to_values`."""
    dtype = column.polars_dtype
    if column.kind == "categorical":
        return pl.Series(column.name, values.tolist(), dtype=pl.String).cast(dtype)
    series = pl.Series(column.name, values)
    if column.kind == "integer" and dtype.is_temporal():
        series = series.cast(pl.Int32) if dtype == pl.Date else series
    return series.cast(dtype)


def special(values: Values) -> npt.NDArray[np.bool_]:
    """Tell which values are NaN or infinite [values]; text and integers never are."""
    if values.dtype.kind != "f":
        return np.zeros(len(values), dtype=bool)
    return ~np.isfinite(values)
