"""The flat form of a table: plain float columns, for methods that interpolate rows.

A number stays as it is. Each special state of a column (NaN, an infinity, the empty cell) gets a
column of zeros and ones, and the number beneath it is the column's median. A category becomes one
column of zeros and ones for each of its values (or one column of numbers, for SMOTENC). The way
back takes the likeliest category and state, rounds integers and keeps them inside what was seen.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from flowmint.encode.support import from_values, special

if TYPE_CHECKING:
    import numpy.typing as npt

    from flowmint.encode.encoder import Encoder
    from flowmint.encode.support import Codes, Support

    Matrix = npt.NDArray[np.float64]


@dataclass(frozen=True)
class FlatColumn:
    """One column's flat form.

    Attributes:
        support: The column's values.
        spread: Whether categories become one column each.
    """

    support: Support
    spread: bool

    @property
    def specials(self) -> Codes:
        """States that are no number: NaN, infinities, the empty cell [specials]."""
        states = np.append(special(self.support.values), self.support.has_empty)
        return np.flatnonzero(states)

    @property
    def width(self) -> int:
        """How many flat columns there are."""
        if self.support.is_categorical:
            return self.support.states if self.spread else 1
        return 1 + len(self.specials)

    def flatten(self, codes: Codes) -> Matrix:
        """Turn states [rows] into flat columns [rows, width]."""
        if self.support.is_categorical:
            if not self.spread:
                return codes[:, None].astype(np.float64)
            return np.eye(self.support.states)[codes]
        numbers = np.append(self.support.values.astype(np.float64), np.nan)[codes]
        usual = ~np.isin(codes, self.specials)
        numbers[~usual] = np.median(numbers[usual]) if usual.any() else 0.0
        marks = codes[:, None] == self.specials[None, :]
        return np.column_stack([numbers, marks.astype(np.float64)])

    def unflatten(self, flat: Matrix) -> pl.Series:
        """Turn flat columns [rows, width] back into values [rows]."""
        support = self.support
        if support.is_categorical:
            likeliest = flat.argmax(axis=1) if self.spread else np.rint(flat[:, 0]).astype(np.int64)
            return support.take(np.clip(likeliest, 0, support.states - 1))
        series = self._numbers(flat[:, 0])
        if not len(self.specials):
            return series
        marks = flat[:, 1:]
        states = self.specials[marks.argmax(axis=1)]
        marked = pl.Series(marks.max(axis=1) > 0.5)
        other = support.take(states)
        chosen = pl.when(marked).then(other).otherwise(series).alias(support.column.name)
        return pl.select(chosen).to_series()

    def _numbers(self, numbers: Matrix) -> pl.Series:
        """Give plain numbers the column's own dtype; those that were seen come back exactly."""
        support = self.support
        usual = np.flatnonzero(~special(support.values))
        if not len(usual):
            return support.take(np.zeros(len(numbers), dtype=np.int64))
        seen = support.values[usual]
        low, high = float(seen[0]), float(seen[-1])
        numbers = np.clip(numbers, low, high)
        index = np.clip(np.searchsorted(seen.astype(np.float64), numbers), 0, len(seen) - 1)
        whole = support.column.kind != "numeric"
        numbers = np.rint(numbers) if whole else numbers
        known = seen[index].astype(np.float64) == numbers
        values = np.where(known, seen[index], _cast(numbers, seen.dtype))
        return from_values(values.astype(seen.dtype), support.column)


def _cast(numbers: Matrix, dtype: np.dtype[Any]) -> npt.NDArray[Any]:
    if dtype.kind in "iu":
        bounds = np.iinfo(dtype)
        numbers = np.clip(numbers, float(bounds.min), np.nextafter(float(bounds.max), 0))
    return numbers.astype(dtype)


@dataclass(frozen=True)
class Flat:
    """Table ↔ plain float matrix.

    Attributes:
        columns: The flat form of each column, in the table's order.
    """

    columns: tuple[FlatColumn, ...]

    @classmethod
    def of(cls, encoder: Encoder, *, spread: bool) -> Flat:
        """Make the flat form of an encoder's tables.

        Args:
            encoder: A fitted encoder.
            spread: Whether categories become one column for each value.

        Returns:
            The flat form.
        """
        return cls(tuple(FlatColumn(support, spread) for support in encoder.supports))

    @property
    def categorical(self) -> list[int]:
        """Positions of the flat columns that are whole categories or marks."""
        positions: list[int] = []
        start = 0
        for column in self.columns:
            first = start if column.support.is_categorical else start + 1
            positions += range(first, start + column.width)
            start += column.width
        return positions

    def flatten(self, states: npt.NDArray[np.int64]) -> Matrix:
        """Turn numbered states [rows, columns] into a matrix [rows, flat columns]."""
        parts = [column.flatten(states[:, index]) for index, column in enumerate(self.columns)]
        return np.column_stack(parts)

    def unflatten(self, matrix: Matrix) -> pl.DataFrame:
        """Turn a matrix [rows, flat columns] into a table."""
        bounds = np.cumsum([column.width for column in self.columns])[:-1]
        parts = np.split(matrix, bounds, axis=1)
        return pl.DataFrame([c.unflatten(part) for c, part in zip(self.columns, parts, strict=True)])
