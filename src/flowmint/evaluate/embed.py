"""Rows as points: what near and far mean where scores need distances.

A column of numbers becomes standard normal by the real rows' distribution function (ties at the
middle of their step), so that no unit and no heavy tail rules the distance; its missing cells stand
at 0 with a coordinate of their own. A category becomes a coordinate that is 1 where it holds and 0
elsewhere, so that two different ones are as far apart as two numbers drawn at random (√2). What the
real rows never hold lies outside of them: missing cells of a column that has none at `FAR`, unknown
categories at 0 in all coordinates. Only real rows teach it; minted rows are merely placed.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from scipy.special import ndtri

from flowmint.flows.schema import kind_of

if TYPE_CHECKING:
    import numpy.typing as npt

    Matrix = npt.NDArray[np.float64]

FAR = -6.0
"""Where missing cells lie that real rows never have, in standard deviations."""

MOST_CATEGORIES = 50
"""Categories with a coordinate of their own; the rarer ones share one."""


def to_floats(column: pl.Series) -> Matrix:
    """Turn numbers, booleans, dates or times into floats [rows]; empty cells become NaN."""
    floats = column.to_physical().cast(pl.Float64).fill_null(np.nan)
    return floats.to_numpy()


@dataclass(frozen=True)
class _Numbers:
    """One column of numbers.

    Attributes:
        values: Distinct present values in order, infinite ones included.
        scores: Their standard normal scores.
        has_missing: Whether there are missing cells.
    """

    values: Matrix
    scores: Matrix
    has_missing: bool

    @classmethod
    def fit(cls, column: pl.Series) -> _Numbers:
        floats = to_floats(column)
        present = floats[~np.isnan(floats)]
        values, counts = np.unique(present, return_counts=True)
        shares = counts / max(len(present), 1)
        scores = ndtri(np.cumsum(shares) - shares / 2)
        return cls(values, scores, len(present) < len(floats))

    def transform(self, column: pl.Series) -> Matrix:
        floats = to_floats(column)
        missing = np.isnan(floats)
        finite = np.isfinite(self.values)
        scores = np.zeros(len(floats))
        if finite.any():
            scores = _between(floats, self.values[finite], self.scores[finite])
        for infinity, index in ((-np.inf, 0), (np.inf, -1)):
            if len(self.values) and self.values[index] == infinity:
                scores[floats == infinity] = self.scores[index]
        scores[missing] = 0.0 if self.has_missing else FAR
        return np.column_stack([scores, missing]) if self.has_missing else scores[:, None]


def _between(floats: Matrix, values: Matrix, scores: Matrix) -> Matrix:
    """Interpolate, where NumPy's slopes would overflow between subnormal or between huge numbers."""
    size = np.abs(values).max() or 1.0
    places, known = np.clip(floats, values[0], values[-1]) / size, values / size
    right = np.clip(np.searchsorted(known, places), 1, max(len(known) - 1, 1))
    if len(known) == 1:
        return np.full(len(floats), scores[0])
    low, high = known[right - 1], known[right]
    share = np.where(high > low, (places - low) / np.where(high > low, high - low, 1.0), 0.0)
    return np.asarray(scores[right - 1] + np.clip(share, 0.0, 1.0) * (scores[right] - scores[right - 1]))


@dataclass(frozen=True)
class _Categories:
    """One column of categories.

    Attributes:
        known: Its frequent categories.
        rare: Its other ones.
        has_missing: Whether there are empty cells.
    """

    known: tuple[str, ...]
    rare: tuple[str, ...]
    has_missing: bool

    @classmethod
    def fit(cls, column: pl.Series) -> _Categories:
        text = column.cast(pl.String)
        counted = text.drop_nulls().value_counts(name="rows#").sort(["rows#", text.name], descending=[True, False])
        names = counted[text.name].to_list()
        return cls(tuple(names[:MOST_CATEGORIES]), tuple(names[MOST_CATEGORIES:]), text.null_count() > 0)

    def transform(self, column: pl.Series) -> Matrix:
        text = column.cast(pl.String)
        parts = [(text == name).fill_null(value=False).to_numpy() for name in self.known]
        if self.rare:
            parts.append(text.is_in(self.rare).fill_null(value=False).to_numpy())
        if self.has_missing:
            parts.append(text.is_null().to_numpy())
        return np.column_stack(parts).astype(np.float64)


@dataclass(frozen=True)
class Embedding:
    """Table → points [rows, dimensions].

    Attributes:
        columns: The place of each column, by its name.
    """

    columns: dict[str, _Numbers | _Categories]

    @classmethod
    def fit(cls, table: pl.DataFrame) -> Embedding:
        """Learn from real rows.

        Args:
            table: Real rows [rows, columns].

        Returns:
            The embedding.
        """
        columns: dict[str, _Numbers | _Categories] = {}
        for column in table.iter_columns():
            kind = _Categories if kind_of(column.dtype) == "categorical" else _Numbers
            columns[column.name] = kind.fit(column)
        return cls(columns)

    def transform(self, table: pl.DataFrame) -> Matrix:
        """Place rows.

        Args:
            table: Rows with the same columns.

        Returns:
            Points [rows, dimensions], finite throughout.
        """
        return np.concatenate([place.transform(table[name]) for name, place in self.columns.items()], axis=1)
