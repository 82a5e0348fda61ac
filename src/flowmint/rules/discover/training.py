"""The training rows as the searches see them: columns of numbers and of texts, without copies of rows, by class."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from flowmint.flows.schema import split_label
from flowmint.rules.evaluate import Columns, TextColumn
from flowmint.rules.language import DEFAULT

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    from flowmint.rules.evaluate import Booleans, Floats

    Codes = npt.NDArray[np.int64]

SEED = 20_230_601
"""Seed of the permutations and samples: the same table always has the same rules."""

FLOAT_ERROR = 1e-6
"""How far values that a file holds in float32 may be off after a few operations, as a share of themselves."""

MOST_ROWS = 200_000
"""Rows that the searches see; what they find is counted in all."""

MOST_DECIMALS = 6
"""Columns with more decimals than this are taken for unrounded."""


@dataclass(frozen=True)
class Training:
    """Training rows without copies, their columns in the order of their names.

    The order of the columns in the table must not matter, so every search goes by name.

    Attributes:
        columns: All columns.
        names: Columns of numbers that are not constant.
        texts: Columns of text that are not constant.
        matrix: The columns of ``names`` [rows, names]; NaN where a value is not finite.
        classes: Number of each row's class [rows]; zeros where there is no label.
    """

    columns: Columns
    names: tuple[str, ...]
    texts: tuple[str, ...]
    matrix: Floats
    classes: Codes

    @classmethod
    def of(cls, table: pl.DataFrame, *, label: str | None) -> Training:
        """Read the training rows.

        Args:
            table: Feature columns, and the label column if there is one.
            label: Its name.

        Returns:
            The rows.

        Raises:
            LabelError: There is no such label column, or labels are empty.
        """
        if label is not None:
            split_label(table, label)
        rows = _without_copies(_fewer(table, label))
        classes = np.zeros(rows.height, dtype=np.int64)
        if label is not None:
            classes = np.unique(rows[label].cast(pl.String).to_numpy().astype(str), return_inverse=True)[1]
        features = rows.select(sorted(name for name in table.columns if name != label))
        columns = to_columns(features)
        names = tuple(name for name, values in columns.numbers.items() if _varies(values))
        texts = tuple(name for name, text in columns.texts.items() if len(np.unique(text.codes[text.codes >= 0])) > 1)
        matrix = np.column_stack([columns.numbers[name] for name in names]) if names else np.empty((rows.height, 0))
        matrix = np.where(np.isfinite(matrix), matrix, np.nan)
        return cls(columns, names, texts, matrix, classes.astype(np.int64))

    @property
    def rows(self) -> int:
        """How many rows there are."""
        return self.columns.rows

    @cached_property
    def within_classes(self) -> Codes:
        """A random order of the rows that keeps every row's class [rows]."""
        return _shuffled(self.classes)

    @cached_property
    def overall(self) -> Codes:
        """A random order of the rows [rows]."""
        return _shuffled(np.zeros_like(self.classes))

    @cached_property
    def unit(self) -> Floats:
        """The unit to which each column of ``names`` is rounded [names]; 0 where it is not rounded."""
        return np.array([_unit(self.matrix[:, index]) for index in range(len(self.names))])

    def at(self, name: str) -> Floats:
        """Give a column of numbers by name [rows]; NaN where a value is not finite."""
        return self.matrix[:, self.names.index(name)]

    def unit_of(self, name: str) -> float:
        """Give the unit to which a column is rounded; 0 where it is not."""
        return float(self.unit[self.names.index(name)])

    def taken(self, names: Sequence[str]) -> Floats:
        """Give columns of numbers by name [rows, names]; NaN where a value is not finite."""
        return self.matrix[:, np.array([self.names.index(name) for name in names], dtype=np.int64)]

    def permuted(self, name: str, order: Codes) -> Columns:
        """Give the columns with one of them in another order."""
        numbers, texts = dict(self.columns.numbers), dict(self.columns.texts)
        if name in numbers:
            numbers[name] = numbers[name][order]
        else:
            texts[name] = TextColumn(texts[name].codes[order], texts[name].names)
        return Columns(numbers, texts, self.rows)

    def per_class(self, flags: Booleans) -> Floats:
        """Count rows by class.

        Args:
            flags: What to count [rows, columns].

        Returns:
            Counts [classes, columns].
        """
        order, starts = self._by_class
        return np.add.reduceat(flags[order].astype(np.float64), starts, axis=0)

    @property
    def class_count(self) -> int:
        """How many classes there are."""
        return len(self._by_class[1])

    @cached_property
    def _by_class(self) -> tuple[Codes, Codes]:
        """The rows in the order of their classes, and where each class starts."""
        order = np.argsort(self.classes, kind="stable")
        return order, np.unique(self.classes[order], return_index=True)[1]


def is_zero(values: Floats) -> Booleans:
    """Tell where values are 0 to the tolerance of the rule language [as given]; NaN is not."""
    return np.asarray(np.abs(values) <= DEFAULT.absolute)


def to_columns(table: pl.DataFrame) -> Columns:
    """Turn a table into the columns that rules speak of.

    Args:
        table: Rows; dates and times are left aside.

    Returns:
        Numbers and booleans as float64, everything else as text.
    """
    numbers, texts = {}, {}
    for series in table.iter_columns():
        if series.dtype.is_numeric() or series.dtype == pl.Boolean:
            numbers[series.name] = series.cast(pl.Float64).fill_null(float("nan")).to_numpy().copy()
        elif not series.dtype.is_temporal() and series.dtype != pl.Null:
            text = series.cast(pl.String)
            names = tuple(sorted(text.drop_nulls().unique().to_list()))
            numbered = text.replace_strict(list(names), list(range(len(names))), default=-1, return_dtype=pl.Int64)
            texts[series.name] = TextColumn(numbered.fill_null(-1).to_numpy().copy(), names)
    return Columns(numbers, texts, table.height)


def _fewer(table: pl.DataFrame, label: str | None) -> pl.DataFrame:
    """Keep at most `MOST_ROWS` rows in their order, of the small classes all: as many as possible of each class."""
    if table.height <= MOST_ROWS:
        return table
    groups = table[label].cast(pl.String).rank("dense").to_numpy() if label else np.ones(table.height)
    shuffled = np.random.default_rng(SEED).permutation(table.height)
    place = np.empty(table.height, dtype=np.int64)
    for group in np.unique(groups):
        members = shuffled[groups[shuffled] == group]
        place[members] = np.arange(len(members))
    kept = np.lexsort((shuffled, place))[:MOST_ROWS]
    return table[np.sort(kept)]


def _without_copies(table: pl.DataFrame) -> pl.DataFrame:
    """Keep one of each set of equal rows; in a narrow table equal rows are no copies, and all stay.

    Were the columns independent, two rows would be equal with the product of the columns' chances of a coincidence. If
    fewer than one pair of all rows would then be equal, those that are come from the same event, recorded again.
    """
    coincidence = 0.5 * table.height**2
    for series in table.iter_columns():
        counts = series.value_counts(name=f"{series.name} count").to_series(1).to_numpy()
        coincidence *= float(((counts / table.height) ** 2).sum())
    if not table.width or coincidence >= 1:
        return table
    return table.unique(maintain_order=True)


def _varies(values: Floats) -> bool:
    finite = values[np.isfinite(values)]
    return len(finite) > 0 and bool(finite.min() < finite.max())


def _shuffled(groups: Codes) -> Codes:
    rng = np.random.default_rng(SEED)
    order = np.empty(len(groups), dtype=np.int64)
    order[np.argsort(groups, kind="stable")] = np.lexsort((rng.random(len(groups)), groups))
    return order


def _unit(values: Floats) -> float:
    """Find the coarsest power of ten of which all values are multiples; 0 if they have many decimals."""
    finite = np.unique(values[np.isfinite(values)])
    for decimals in range(MOST_DECIMALS + 1):
        scaled = finite * 10.0**decimals
        if np.abs(scaled - np.rint(scaled)).max(initial=0.0) <= 1e-6 * max(
            1.0, float(np.abs(scaled).max(initial=0.0)) * 1e-6
        ):
            return float(10.0**-decimals)
    return 0.0
