"""Fidelity: how far the distribution of minted rows is from that of real rows, column by column and whole.

Missing, NaN and infinite values are values like others: they stand in order (−∞ first, +∞, NaN and
empty cells last) and count towards every distance.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import polars as pl
from scipy.spatial.distance import cdist, pdist

from flowmint.evaluate.embed import to_floats
from flowmint.evaluate.scores import Definition, need_rows
from flowmint.flows.schema import kind_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    import numpy.typing as npt

    from flowmint.evaluate.scores import Score
    from flowmint.evaluate.tables import Comparison

    Matrix = npt.NDArray[np.float64]
    Codes = npt.NDArray[np.int64]
    Parts = dict[tuple[str, ...], float]

CELLS = 20
"""Cells of equal share into which columns of numbers are cut where a divergence needs cells."""

LEAST_ROWS = 2
LEAST_ROWS_OF_MMD = 10
MOST_ROWS_OF_MMD = 2_000

COLUMN_ERROR = Definition(
    name="column_error",
    title="Column error",
    family="distribution",
    lowest=0.0,
    highest=1.0,
    better="lower",
    description="How far each column's distribution is off: KS distance of numbers, total variation of categories.",
    source="Kolmogorov–Smirnov two-sample statistic; total variation distance",
)
KS_COMPLEMENT = Definition(
    name="ks_complement",
    title="KS complement",
    family="distribution",
    lowest=0.0,
    highest=1.0,
    better="higher",
    description="1 − the largest gap between distribution functions, over columns of numbers.",
    source="Kolmogorov–Smirnov two-sample statistic",
)
TV_COMPLEMENT = Definition(
    name="tv_complement",
    title="Total-variation complement",
    family="distribution",
    lowest=0.0,
    highest=1.0,
    better="higher",
    description="1 − half the sum of differences between shares, over columns of categories.",
    source="total variation distance",
)
WASSERSTEIN = Definition(
    name="wasserstein",
    title="Wasserstein distance of quantiles",
    family="distribution",
    lowest=0.0,
    highest=1.0,
    better="lower",
    description="How far values must be moved, in quantiles of the real rows, over columns of numbers.",
    source="1-Wasserstein distance, ∫|F − G| du, on the scale u of the real rows' mid-distribution function",
)
JENSEN_SHANNON = Definition(
    name="jensen_shannon",
    title="Jensen–Shannon divergence",
    family="distribution",
    lowest=0.0,
    highest=1.0,
    better="lower",
    description="Divergence in bits between the shares of each column's cells or categories.",
    source="Lin 1991, with base 2; numbers in 20 cells of equal share of the real rows",
)
MMD = Definition(
    name="mmd",
    title="Maximum mean discrepancy",
    family="distribution",
    lowest=-2.0,
    highest=2.0,
    better="lower",
    description="Squared kernel distance between whole rows; around 0, and so below it too, where they agree.",
    source="Gretton et al. 2012, eq. 3 (unbiased), Gaussian kernel of the median distance between real rows",
)

DEFINITIONS = (COLUMN_ERROR, KS_COMPLEMENT, TV_COMPLEMENT, WASSERSTEIN, JENSEN_SHANNON, MMD)


@dataclass(frozen=True)
class Shares:
    """What two columns hold: the shares of their common values, in order.

    Attributes:
        first: Share of each value in the first column [values].
        second: Share of each value in the second column [values].
    """

    first: Matrix
    second: Matrix

    @classmethod
    def of(cls, first: pl.Series, second: pl.Series) -> Shares:
        """Count the values of two columns of one dtype."""
        code = _text_codes if kind_of(first.dtype) == "categorical" else _number_codes
        codes, size = code(first, second)
        counts = [np.bincount(part, minlength=size) for part in (codes[: len(first)], codes[len(first) :])]
        return cls(*(count / count.sum() for count in counts))


def _number_codes(first: pl.Series, second: pl.Series) -> tuple[Codes, int]:
    """Number the values of two columns in order; NaN and then the empty cell come last."""
    both = pl.concat([first, second])
    values, codes = np.unique(to_floats(both), return_inverse=True)
    return np.where(both.is_null().to_numpy(), len(values), codes), len(values) + 1


def _text_codes(first: pl.Series, second: pl.Series) -> tuple[Codes, int]:
    text = pl.concat([first.cast(pl.String), second.cast(pl.String)])
    codes = text.rank("dense").fill_null(0).to_numpy().astype(np.int64)
    return codes, int(codes.max()) + 1


def ks_distances(real: pl.DataFrame, other: pl.DataFrame) -> Parts:
    """Measure the largest gap between distribution functions, for every column of numbers, dates or times.

    Args:
        real: Real rows [rows, columns].
        other: Other rows with the same columns and dtypes.

    Returns:
        Distances from 0 to 1 by column.

    Raises:
        ScoreError: There are too few rows.
    """
    return {
        name: float(np.abs(np.cumsum(shares.first - shares.second)).max())
        for name, shares in _columns(real, other, numbers=True)
    }


def total_variations(real: pl.DataFrame, other: pl.DataFrame) -> Parts:
    """Measure half the sum of differences between shares, for every column of categories or booleans.

    Args:
        real: Real rows [rows, columns].
        other: Other rows with the same columns and dtypes.

    Returns:
        Distances from 0 to 1 by column.

    Raises:
        ScoreError: There are too few rows.
    """
    return {
        name: float(np.abs(shares.first - shares.second).sum() / 2)
        for name, shares in _columns(real, other, numbers=False)
    }


def column_errors(real: pl.DataFrame, other: pl.DataFrame) -> Parts:
    """Measure every column, by `ks_distances` or `total_variations` as its kind asks.

    Args:
        real: Real rows [rows, columns].
        other: Other rows with the same columns and dtypes.

    Returns:
        Distances from 0 to 1 by column, in the table's order.

    Raises:
        ScoreError: There are too few rows.
    """
    errors = ks_distances(real, other) | total_variations(real, other)
    return {(name,): errors[name,] for name in real.columns}


def wasserstein_distances(real: pl.DataFrame, other: pl.DataFrame) -> Parts:
    """Measure how far values must be moved on the quantile scale of the real rows, for columns of numbers.

    Args:
        real: Real rows [rows, columns].
        other: Other rows with the same columns and dtypes.

    Returns:
        Distances from 0 to 1 by column.

    Raises:
        ScoreError: There are too few rows.
    """
    distances: Parts = {}
    for name, shares in _columns(real, other, numbers=True):
        places = np.cumsum(shares.first) - shares.first / 2
        gaps = np.abs(np.cumsum(shares.first - shares.second))
        distances[name] = float((gaps[:-1] * np.diff(places)).sum())
    return distances


def jensen_shannon_divergences(real: pl.DataFrame, other: pl.DataFrame) -> Parts:
    """Measure the Jensen–Shannon divergence of every column.

    Args:
        real: Real rows [rows, columns]; their quantiles cut columns of numbers into `CELLS` cells.
        other: Other rows with the same columns and dtypes.

    Returns:
        Divergences in bits, from 0 to 1, by column.

    Raises:
        ScoreError: There are too few rows.
    """
    found = {}
    for numbers in (True, False):
        for name, shares in _columns(real, other, numbers=numbers):
            first, second = _cells(shares) if numbers else (shares.first, shares.second)
            middle = _entropy((first + second) / 2)
            found[name] = max(middle - (_entropy(first) + _entropy(second)) / 2, 0.0)
    return {(name,): found[name,] for name in real.columns}


def _cells(shares: Shares) -> tuple[Matrix, Matrix]:
    """Join values into cells of about equal share of the first column."""
    places = np.cumsum(shares.first) - shares.first / 2
    cells = np.minimum((places * CELLS).astype(np.int64), CELLS - 1)
    grouped = np.zeros((2, CELLS))
    for row, part in zip(grouped, (shares.first, shares.second), strict=True):
        np.add.at(row, cells, part)
    return grouped[0], grouped[1]


def _entropy(shares: Matrix) -> float:
    positive = shares[shares > 0]
    return float(-(positive * np.log2(positive)).sum())


def _columns(real: pl.DataFrame, other: pl.DataFrame, *, numbers: bool) -> Iterator[tuple[tuple[str], Shares]]:
    need_rows(min(real.height, other.height), LEAST_ROWS)
    for column in real.iter_columns():
        if (kind_of(column.dtype) in {"numeric", "integer"}) == numbers:
            yield (column.name,), Shares.of(column, other[column.name])


def mmd(real: Matrix, other: Matrix) -> float:
    """Measure the squared maximum mean discrepancy, unbiased (Gretton et al. 2012, eq. 3).

    Args:
        real: Real rows as points [n, dimensions]; the median distance between them is the kernel's width.
        other: Other rows as points [m, dimensions].

    Returns:
        The estimate; it may be a little below 0.

    Raises:
        ScoreError: There are too few rows.
    """
    need_rows(min(len(real), len(other)), LEAST_ROWS_OF_MMD)
    real, other = real[:MOST_ROWS_OF_MMD], other[:MOST_ROWS_OF_MMD]
    within, within_other = (pdist(points, "sqeuclidean") for points in (real, other))
    positive = within[within > 0]
    width = float(np.median(positive)) if len(positive) else 1.0  # rows that are all alike have no scale
    between = cdist(real, other, "sqeuclidean")
    means = [float(np.exp(-squares / (2 * width)).mean()) for squares in (within, within_other, between)]
    return means[0] + means[1] - 2 * means[2]


def distribution_scores(rows: Comparison) -> tuple[Score, ...]:
    """Compute every score of the family.

    Args:
        rows: The rows to compare.

    Returns:
        The scores, column by column where they have such parts.
    """
    return (
        rows.on_tables(COLUMN_ERROR, column_errors),
        rows.on_tables(KS_COMPLEMENT, _ks_complements),
        rows.on_tables(TV_COMPLEMENT, _tv_complements),
        rows.on_tables(WASSERSTEIN, wasserstein_distances),
        rows.on_tables(JENSEN_SHANNON, jensen_shannon_divergences),
        rows.on_points(MMD, mmd),
    )


def _ks_complements(real: pl.DataFrame, other: pl.DataFrame) -> Parts:
    return {name: 1 - distance for name, distance in ks_distances(real, other).items()}


def _tv_complements(real: pl.DataFrame, other: pl.DataFrame) -> Parts:
    return {name: 1 - distance for name, distance in total_variations(real, other).items()}
