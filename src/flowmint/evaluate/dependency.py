"""Dependency: how far the relations between columns of minted rows are from those of real rows.

Correlations are about pairs of columns of numbers, over the rows in which both are finite. Mutual
information and contingency are about all pairs: columns of numbers are cut into cells by the real
rows' quantiles, rare categories are joined, and missing cells are a value of their own.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from scipy.stats import rankdata

from flowmint.evaluate.embed import to_floats
from flowmint.evaluate.scores import Definition, need_rows
from flowmint.flows.schema import kind_of

if TYPE_CHECKING:
    import numpy.typing as npt

    from flowmint.evaluate.scores import Score
    from flowmint.evaluate.tables import Comparison

    Matrix = npt.NDArray[np.float64]
    Cells = npt.NDArray[np.float32]
    Codes = npt.NDArray[np.int64]
    Parts = dict[tuple[str, ...], float]

CELLS = 10
"""Cells of equal share into which a column of numbers is cut."""

MOST_CATEGORIES = 20
"""Categories that count by themselves; the rarer ones are joined."""

MOST_COLUMNS = 150
"""Columns whose pairs are looked at; of wider tables so many are drawn."""

LEAST_ROWS = 10

PEARSON = Definition(
    name="pearson_error",
    title="Correlation error (Pearson)",
    family="dependency",
    lowest=0.0,
    highest=1.0,
    better="lower",
    description="Half the difference between the linear correlations of real and other rows, over pairs of numbers.",
    source="Pearson's r; |r − r′| / 2",
)
SPEARMAN = Definition(
    name="spearman_error",
    title="Correlation error (Spearman)",
    family="dependency",
    lowest=0.0,
    highest=1.0,
    better="lower",
    description="Half the difference between the rank correlations of real and other rows, over pairs of numbers.",
    source="Spearman's ρ; |ρ − ρ′| / 2",
)
MUTUAL_INFORMATION = Definition(
    name="mutual_information_error",
    title="Mutual information error",
    family="dependency",
    lowest=0.0,
    highest=1.0,
    better="lower",
    description="Difference between the normalised mutual information of real and other rows, over all pairs.",
    source="Strehl and Ghosh 2002, eq. 2: I(a, b) / √(H(a) H(b)), on 10 cells of equal share",
)
CONTINGENCY = Definition(
    name="contingency_error",
    title="Contingency error",
    family="dependency",
    lowest=0.0,
    highest=1.0,
    better="lower",
    description="Total variation between the two-way tables of real and other rows, over all pairs.",
    source="total variation distance of contingency tables, on 10 cells of equal share",
)

DEFINITIONS = (PEARSON, SPEARMAN, MUTUAL_INFORMATION, CONTINGENCY)


def numeric_columns(table: pl.DataFrame) -> list[str]:
    """Name the columns of numbers, dates or times, which have correlations."""
    return [name for name, dtype in table.schema.items() if kind_of(dtype) in {"numeric", "integer"}]


def pearson_matrix(table: pl.DataFrame) -> Matrix:
    """Correlate the columns of numbers over the rows in which both are finite.

    Args:
        table: Rows [rows, columns].

    Returns:
        r [numeric columns, numeric columns]; NaN where a column does not vary.
    """
    return _correlate(_finite(table))


def spearman_matrix(table: pl.DataFrame) -> Matrix:
    """Correlate the ranks of the columns of numbers, infinite values included as first and last.

    Args:
        table: Rows [rows, columns].

    Returns:
        ρ [numeric columns, numeric columns]; NaN where a column does not vary.
    """
    columns = [to_floats(table[name]) for name in numeric_columns(table)]
    ranks = [rankdata(column, nan_policy="omit") for column in columns]
    return _correlate(np.column_stack(ranks) if ranks else np.empty((table.height, 0)))


def _finite(table: pl.DataFrame) -> Matrix:
    """Columns of numbers on their own scale; what is not finite is NaN."""
    scaled = []
    for name in numeric_columns(table):
        column = to_floats(table[name])
        finite = np.isfinite(column)
        column = np.where(finite, column, np.nan)
        size = np.abs(column[finite]).max(initial=0.0)
        column /= size or 1.0  # the squares of huge numbers would be infinite
        scaled.append(column)
    return np.column_stack(scaled) if scaled else np.empty((table.height, 0))


def _correlate(matrix: Matrix) -> Matrix:
    """Pearson's r of columns with gaps, each pair over the rows that have both."""
    there = np.isfinite(matrix)
    counts = np.maximum(there.sum(axis=0), 1)
    filled = np.where(there, matrix, 0.0)
    centred = np.where(there, filled - filled.sum(axis=0) / counts, 0.0)
    spread = np.sqrt((centred**2).sum(axis=0) / counts)
    varies = spread > 1e-12 * np.maximum(np.abs(filled).max(axis=0, initial=0.0), 1e-300)
    scaled = centred / np.where(varies, spread, 1.0)
    mask = there.astype(np.float64)
    pairs = np.maximum(mask.T @ mask, 1.0)
    sums, squares = scaled.T @ mask, (scaled**2).T @ mask
    covariance = scaled.T @ scaled - sums * sums.T / pairs
    variance = np.maximum(squares - sums**2 / pairs, 0.0)
    product = np.sqrt(variance * variance.T)
    ok = (product > 1e-9 * pairs) & np.outer(varies, varies)
    return np.where(ok, np.clip(covariance / np.where(ok, product, 1.0), -1.0, 1.0), np.nan)


def pearson_errors(real: pl.DataFrame, other: pl.DataFrame) -> Parts:
    """Halve the differences between Pearson's correlations.

    Pairs that have no correlation among the real rows are left out; where the other rows alone have
    none, because a column became constant, it counts as 0.

    Args:
        real: Real rows [rows, columns].
        other: Other rows with the same columns.

    Returns:
        Differences from 0 to 1 by pair of columns.

    Raises:
        ScoreError: There are too few rows.
    """
    need_rows(min(real.height, other.height), LEAST_ROWS)
    return _differences(numeric_columns(real), pearson_matrix(real), pearson_matrix(other))


def spearman_errors(real: pl.DataFrame, other: pl.DataFrame) -> Parts:
    """Halve the differences between Spearman's correlations; otherwise as `pearson_errors`.

    Args:
        real: Real rows [rows, columns].
        other: Other rows with the same columns.

    Returns:
        Differences from 0 to 1 by pair of columns.

    Raises:
        ScoreError: There are too few rows.
    """
    need_rows(min(real.height, other.height), LEAST_ROWS)
    return _differences(numeric_columns(real), spearman_matrix(real), spearman_matrix(other))


def _differences(names: list[str], real: Matrix, other: Matrix) -> Parts:
    halves = np.abs(real - np.nan_to_num(other)) / 2
    return {
        (names[row], names[column]): float(halves[row, column])
        for row, column in zip(*np.triu_indices(len(names), 1), strict=True)
        if np.isfinite(halves[row, column])
    }


@dataclass(frozen=True)
class _Cells:
    """Rows of two tables as cells of each column.

    Attributes:
        names: The columns.
        starts: Where the cells of each begin.
        real: One coordinate for each cell, 1 in the one that holds the value [rows, cells].
        other: The same for the other table.
    """

    names: list[str]
    starts: list[int]
    real: Cells
    other: Cells

    @classmethod
    def of(cls, real: pl.DataFrame, other: pl.DataFrame) -> _Cells:
        starts, parts, width = [], [], 0
        for column in real.iter_columns():
            code = _category_cells if kind_of(column.dtype) in {"categorical", "boolean"} else _number_cells
            codes = code(column, other[column.name])
            used, codes = np.unique(codes, return_inverse=True)
            parts.append(codes[:, None] == np.arange(len(used))[None, :])
            starts.append(width)
            width += len(used)
        matrix = np.concatenate(parts, axis=1).astype(np.float32)
        return cls(real.columns, starts, matrix[: real.height], matrix[real.height :])

    def shares(self, matrix: Cells) -> Matrix:
        """Two-way tables of all pairs of columns, side by side [cells, cells]."""
        counts: Matrix = (matrix.T @ matrix).astype(np.float64)  # whole numbers up to 2²⁴ are exact in float32
        return counts / len(matrix)

    def over_blocks(self, values: Matrix) -> Matrix:
        """Sum over the cells of each pair of columns [columns, columns]."""
        rows = np.add.reduceat(values, self.starts, axis=0)
        return np.asarray(np.add.reduceat(rows, self.starts, axis=1))

    def pairs(self, values: Matrix) -> Parts:
        """Give the finite entries above the diagonal by their pairs."""
        return {
            (self.names[row], self.names[column]): float(values[row, column])
            for row, column in zip(*np.triu_indices(len(self.names), 1), strict=True)
            if np.isfinite(values[row, column])
        }


def _number_cells(real: pl.Series, other: pl.Series) -> Codes:
    """Number the cells of values, by the real rows' quantiles; a value of a large share has its own."""
    first, second = to_floats(real), to_floats(other)
    present = first[~np.isnan(first)]
    values, counts = np.unique(present, return_counts=True)
    places = (np.cumsum(counts) - counts / 2) / max(len(present), 1)
    cells = np.minimum((places * CELLS).astype(np.int64), CELLS - 1)
    both = np.concatenate([first, second])
    if not len(values):
        return np.where(np.isnan(both), CELLS, 0)
    nearest = np.clip(np.searchsorted(values, both, side="right") - 1, 0, len(values) - 1)
    return np.where(np.isnan(both), CELLS, cells[nearest])


def _category_cells(real: pl.Series, other: pl.Series) -> Codes:
    text = pl.concat([real.cast(pl.String), other.cast(pl.String)])
    counted = text.head(len(real)).drop_nulls().value_counts(name="rows#").sort("rows#", text.name, descending=True)
    known = counted[text.name].head(MOST_CATEGORIES).to_list()
    old = pl.Series(known, dtype=pl.String)
    codes = text.replace_strict(old, pl.Series(range(len(known)), dtype=pl.Int64), default=MOST_CATEGORIES)
    return codes.set(text.is_null(), MOST_CATEGORIES + 1).to_numpy()


def contingency_errors(real: pl.DataFrame, other: pl.DataFrame) -> Parts:
    """Measure the total variation between two-way tables.

    Args:
        real: Real rows [rows, columns]; their quantiles cut columns of numbers into `CELLS` cells.
        other: Other rows with the same columns and dtypes.

    Returns:
        Distances from 0 to 1 by pair of columns.

    Raises:
        ScoreError: There are too few rows.
    """
    need_rows(min(real.height, other.height), LEAST_ROWS)
    cells = _Cells.of(real, other)
    gaps = np.abs(cells.shares(cells.real) - cells.shares(cells.other))
    return cells.pairs(cells.over_blocks(gaps) / 2)


def mutual_information_errors(real: pl.DataFrame, other: pl.DataFrame) -> Parts:
    """Compare the normalised mutual information of pairs of columns.

    Pairs with a column that is constant among the real rows are left out.

    Args:
        real: Real rows [rows, columns]; their quantiles cut columns of numbers into `CELLS` cells.
        other: Other rows with the same columns and dtypes.

    Returns:
        Differences from 0 to 1 by pair of columns.

    Raises:
        ScoreError: There are too few rows.
    """
    need_rows(min(real.height, other.height), LEAST_ROWS)
    cells = _Cells.of(real, other)
    own, others = (_normalised_information(cells, matrix) for matrix in (cells.real, cells.other))
    return cells.pairs(np.abs(own - np.nan_to_num(others)))


def _normalised_information(cells: _Cells, matrix: Cells) -> Matrix:
    """I(a, b) / √(H(a) H(b)) of all pairs [columns, columns]; NaN where a column does not vary."""
    shares = cells.shares(matrix)
    joint = -cells.over_blocks(shares * np.log(np.where(shares > 0, shares, 1.0)))
    single = np.diag(joint)
    scale = np.sqrt(np.outer(single, single))
    varies = scale > 1e-12
    information = np.maximum(single[:, None] + single[None, :] - joint, 0.0)
    return np.where(varies, np.minimum(information / np.where(varies, scale, 1.0), 1.0), np.nan)


def mutual_information_matrix(table: pl.DataFrame) -> Matrix:
    """Normalised mutual information of all pairs of columns.

    Args:
        table: Rows [rows, columns].

    Returns:
        From 0 to 1 [columns, columns]; NaN where a column does not vary.
    """
    cells = _Cells.of(table, table)
    return _normalised_information(cells, cells.real)


def dependency_scores(rows: Comparison) -> tuple[Score, ...]:
    """Compute every score of the family.

    Args:
        rows: The rows to compare.

    Returns:
        The scores, pair by pair.
    """
    rows = rows.select(_some_columns(rows.real, seed=rows.seed))
    return (
        rows.on_tables(PEARSON, pearson_errors),
        rows.on_tables(SPEARMAN, spearman_errors),
        rows.on_tables(MUTUAL_INFORMATION, mutual_information_errors),
        rows.on_tables(CONTINGENCY, contingency_errors),
    )


def _some_columns(table: pl.DataFrame, *, seed: int) -> list[str]:
    drawn = np.random.default_rng(seed).permutation(table.width)[:MOST_COLUMNS]
    return [table.columns[index] for index in sorted(drawn)]
