"""Diversity: whether minted rows fill the space that real rows fill, no more and no less, and are new.

Rows are points as `flowmint.evaluate.embed` places them. A row's ball reaches to its k-th nearest
neighbour among its own; a point on the ball's surface counts as inside, so that rows that equal each
other are neighbours.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from scipy.spatial.distance import cdist

from flowmint.evaluate.neighbours import kth_distances, nearest_others
from flowmint.evaluate.scores import Definition, need_rows

if TYPE_CHECKING:
    from collections.abc import Callable

    import numpy.typing as npt
    import polars as pl

    from flowmint.evaluate.scores import Score
    from flowmint.evaluate.tables import Comparison, Rows

    Matrix = npt.NDArray[np.float64]

NEIGHBOURS = 5
"""k: how far a row's ball reaches. With fresh real rows a ball then holds at least one in 97 % of cases."""

MOST_ROWS = 2_000
MOST_TRAIN_ROWS = 10_000
"""Training rows among which near copies are looked for."""

MOST_ROWS_OF_VENDI = 1_000
LEAST_ROWS = 10
LEVELS = 30
"""Steps in which α and β are integrated."""

PRECISION = Definition(
    name="precision",
    title="Precision",
    family="diversity",
    lowest=0.0,
    highest=1.0,
    better="reference",
    description="Share of minted rows that lie in the ball of any real row.",
    source="Kynkäänniemi et al. 2019, eq. 2, k = 5",
)
RECALL = Definition(
    name="recall",
    title="Recall",
    family="diversity",
    lowest=0.0,
    highest=1.0,
    better="reference",
    description="Share of real rows that lie in the ball of any minted row.",
    source="Kynkäänniemi et al. 2019, eq. 2, k = 5",
)
DENSITY = Definition(
    name="density",
    title="Density",
    family="diversity",
    lowest=0.0,
    highest=np.inf,
    better="reference",
    description="In how many balls of real rows a minted row lies, against the k expected of real ones.",
    source="Naeem et al. 2020, density, k = 5",
)
COVERAGE = Definition(
    name="coverage",
    title="Coverage",
    family="diversity",
    lowest=0.0,
    highest=1.0,
    better="reference",
    description="Share of real rows whose ball holds a minted row.",
    source="Naeem et al. 2020, coverage, k = 5",
)
ALPHA_PRECISION = Definition(
    name="alpha_precision",
    title="α-precision",
    family="diversity",
    lowest=0.0,
    highest=1.0,
    better="higher",
    description="How well the shares of minted rows within the central α of the real rows follow α.",
    source="Alaa et al. 2022, IPα = 1 − 2 ∫|Pα − α| dα, balls around the mean",
)
BETA_RECALL = Definition(
    name="beta_recall",
    title="β-recall",
    family="diversity",
    lowest=0.0,
    highest=1.0,
    better="reference",
    description="How well the shares of real rows that the central β of the minted rows reach follow β.",
    source="Alaa et al. 2022, IRβ = 1 − 2 ∫|Rβ − β| dβ, balls around the mean, k = 5",
)
AUTHENTICITY = Definition(
    name="authenticity",
    title="Authenticity",
    family="diversity",
    lowest=0.0,
    highest=1.0,
    better="reference",
    description="Share of minted rows further from their nearest training row than that is from the next one.",
    source="Alaa et al. 2022; a low one means that training rows were copied",
)
VENDI = Definition(
    name="vendi",
    title="Vendi score",
    family="diversity",
    lowest=1.0,
    highest=np.inf,
    better="reference",
    description="How many rows that share nothing would be as diverse; the reference is that of real rows.",
    source="Friedman and Dieng 2023, definition 3.1, Gaussian kernel of the median distance between real rows",
)
COPIES = Definition(
    name="copies",
    title="Copies of training rows",
    family="diversity",
    lowest=0.0,
    highest=1.0,
    better="reference",
    description="Share of minted rows that equal a training row in every column.",
    source="counted; the reference is the share of held-out rows that do",
)
DUPLICATES = Definition(
    name="duplicates",
    title="Duplicates",
    family="diversity",
    lowest=0.0,
    highest=1.0,
    better="reference",
    description="Share of minted rows that repeat another one; the reference is that among as many real rows.",
    source="counted",
)

DEFINITIONS = (
    PRECISION,
    RECALL,
    DENSITY,
    COVERAGE,
    ALPHA_PRECISION,
    BETA_RECALL,
    AUTHENTICITY,
    VENDI,
    COPIES,
    DUPLICATES,
)


@dataclass(frozen=True)
class Distances:
    """How far rows are from each other.

    Attributes:
        real: Distances between real rows [n, n].
        other: Distances between the other rows [m, m].
        between: Distances from real to other rows [n, m].
        from_centre: Distance of each real row from the real rows' mean [n].
        other_from_centre: Distance of each other row from the real rows' mean [m].
        other_from_own: Distance of each other row from the other rows' mean [m].
    """

    real: Matrix
    other: Matrix
    between: Matrix
    from_centre: Matrix
    other_from_centre: Matrix
    other_from_own: Matrix

    @classmethod
    def of(cls, real: Matrix, other: Matrix) -> Distances:
        """Measure.

        Args:
            real: Real rows as points [n, dimensions].
            other: Other rows as points [m, dimensions].

        Returns:
            The distances.

        Raises:
            ScoreError: There are too few rows.
        """
        need_rows(min(len(real), len(other)), LEAST_ROWS)
        centre, own = real.mean(axis=0), other.mean(axis=0)
        return cls(
            real=cdist(real, real),
            other=cdist(other, other),
            between=cdist(real, other),
            from_centre=np.linalg.norm(real - centre, axis=1),
            other_from_centre=np.linalg.norm(other - centre, axis=1),
            other_from_own=np.linalg.norm(other - own, axis=1),
        )


def radii(distances: Matrix, k: int = NEIGHBOURS) -> Matrix:
    """Give the distance of each row to its k-th nearest neighbour, itself apart.

    Args:
        distances: Distances between rows [n, n], n > k.
        k: Which neighbour.

    Returns:
        Distances [n].
    """
    return np.asarray(np.partition(distances, k, axis=1)[:, k])


def precision(distances: Distances, *, k: int = NEIGHBOURS) -> float:
    """Share of other rows inside the ball of any real row (Kynkäänniemi et al. 2019, eq. 2)."""
    return float((distances.between <= radii(distances.real, k)[:, None]).any(axis=0).mean())


def recall(distances: Distances, *, k: int = NEIGHBOURS) -> float:
    """Share of real rows inside the ball of any other row (Kynkäänniemi et al. 2019, eq. 2)."""
    return float((distances.between <= radii(distances.other, k)[None, :]).any(axis=1).mean())


def density(distances: Distances, *, k: int = NEIGHBOURS) -> float:
    """Mean number of real balls that hold an other row, by k (Naeem et al. 2020)."""
    inside = distances.between <= radii(distances.real, k)[:, None]
    return float(inside.sum(axis=0).mean() / k)


def coverage(distances: Distances, *, k: int = NEIGHBOURS) -> float:
    """Share of real rows whose ball holds an other row (Naeem et al. 2020)."""
    return float((distances.between.min(axis=1) <= radii(distances.real, k)).mean())


def alpha_precision(distances: Distances) -> float:
    """Follow the share of other rows in the real rows' α-support (Alaa et al. 2022).

    The support is the ball around the real rows' mean that holds a share α of them.

    Args:
        distances: Distances between rows.

    Returns:
        1 − 2 ∫|Pα − α| dα.
    """
    levels = np.linspace(0.0, 1.0, LEVELS)
    reach = np.quantile(distances.from_centre, levels)
    shares = (distances.other_from_centre[None, :] <= reach[:, None]).mean(axis=1)
    return _follows(shares, levels)


def beta_recall(distances: Distances, *, k: int = NEIGHBOURS) -> float:
    """Follow the share of real rows that the other rows' β-support reaches (Alaa et al. 2022).

    The support holds the share β of the other rows that lie nearest to their mean. It reaches a real
    row if its row nearest to that one lies in the real row's ball.

    Args:
        distances: Distances between rows.
        k: How far a real row's ball reaches.

    Returns:
        1 − 2 ∫|Rβ − β| dβ.
    """
    levels = np.linspace(0.0, 1.0, LEVELS)
    order = np.argsort(distances.other_from_own, kind="stable")
    nearest = np.minimum.accumulate(distances.between[:, order], axis=1)
    sizes = np.rint(levels * len(order)).astype(np.int64)
    reached = nearest <= radii(distances.real, k)[:, None]
    shares = np.array([reached[:, size - 1].mean() if size else 0.0 for size in sizes])
    return _follows(shares, levels)


def _follows(shares: Matrix, levels: Matrix) -> float:
    return float(1 - np.abs(shares - levels).sum() / levels.sum())


def authenticity(train: Matrix, other: Matrix) -> float:
    """Share of rows that are no near copy of a training row (Alaa et al. 2022).

    A row is a near copy if it lies nearer to its nearest training row than that one's own nearest
    neighbour among the training rows does.

    Args:
        train: Training rows as points [n, dimensions].
        other: Other rows as points [m, dimensions].

    Returns:
        The share from 0 to 1.

    Raises:
        ScoreError: There are too few rows.
    """
    need_rows(min(len(train), len(other)), LEAST_ROWS, what="training or minted rows")
    nearest, distances = nearest_others(other, train)
    asked, back = np.unique(nearest, return_inverse=True)
    own = kth_distances(train[asked], train, 2)[:, 1]  # the first is the row itself
    return float((distances > own[back]).mean())


def vendi(points: Matrix, *, width: float) -> float:
    """Exponential of the entropy of the kernel matrix's eigenvalues (Friedman and Dieng 2023, definition 3.1).

    Args:
        points: Rows as points [n, dimensions].
        width: The Gaussian kernel's width, as a distance.

    Returns:
        The effective number of different rows, from 1 to n.

    Raises:
        ScoreError: There are too few rows.
    """
    need_rows(len(points), LEAST_ROWS)
    kernel = np.exp(-cdist(points, points, "sqeuclidean") / (2 * width**2)) / len(points)
    values = np.linalg.eigvalsh(kernel)
    positive = values[values > 1e-12]
    return float(np.exp(-(positive * np.log(positive)).sum()))


def median_distance(points: Matrix) -> float:
    """Median of the distances between rows that differ; 1 where none do."""
    distances = cdist(points, points)
    positive = distances[distances > 0]
    return float(np.median(positive)) if len(positive) else 1.0


def copies(train: pl.DataFrame, other: pl.DataFrame) -> float:
    """Share of rows that equal a training row in every column, missing cells included.

    Args:
        train: Training rows [n, columns].
        other: Other rows with the same columns and dtypes [m, columns].

    Returns:
        The share from 0 to 1.
    """
    need_rows(min(train.height, other.height), 1)
    copied = other.join(train.unique(), on=train.columns, how="semi", nulls_equal=True)
    return copied.height / other.height


def duplicates(table: pl.DataFrame) -> float:
    """Share of rows that repeat another row.

    Args:
        table: Rows [rows, columns].

    Returns:
        1 − distinct rows / rows.
    """
    need_rows(table.height, 2)
    return 1 - table.unique().height / table.height


def diversity_scores(rows: Comparison, *, train: Rows | None, real: Rows, minted: Rows) -> tuple[Score, ...]:
    """Compute every score of the family.

    Args:
        rows: The rows to compare.
        train: All real training rows; None if there are none.
        real: All real held-out rows.
        minted: All minted rows.

    Returns:
        The scores.
    """
    few = rows.head(MOST_ROWS)
    return (
        *_neighbour_scores(few),
        _authenticity_score(few, None if train is None else train.table),
        _vendi_score(rows.head(MOST_ROWS_OF_VENDI)),
        _copies_score(None if train is None else train.table, real=real.table, minted=minted.table),
        DUPLICATES.measure(
            lambda: duplicates(rows.minted), lambda: duplicates(rows.real if rows.fresh is None else rows.fresh)
        ),
    )


NEIGHBOUR_SCORES: dict[Definition, Callable[[Distances], float]] = {
    PRECISION: precision,
    RECALL: recall,
    DENSITY: density,
    COVERAGE: coverage,
    ALPHA_PRECISION: alpha_precision,
    BETA_RECALL: beta_recall,
}
"""What is computed from the distances between rows."""


def _neighbour_scores(rows: Comparison) -> list[Score]:
    count = len(rows.real_points)
    if count < LEAST_ROWS:
        reason = f"there are {count} rows to compare, and at least {LEAST_ROWS} are needed"
        return [definition.absent(reason) for definition in NEIGHBOUR_SCORES]
    minted = Distances.of(rows.real_points, rows.minted_points)
    values = [function(minted) for function in NEIGHBOUR_SCORES.values()]
    del minted  # each of them holds three square matrices
    references: list[float | None] = [None] * len(values)
    if rows.fresh_points is not None:
        fresh = Distances.of(rows.real_points, rows.fresh_points)
        references = [function(fresh) for function in NEIGHBOUR_SCORES.values()]
    return [d.of(value, own) for d, value, own in zip(NEIGHBOUR_SCORES, values, references, strict=True)]


def _authenticity_score(rows: Comparison, train: pl.DataFrame | None) -> Score:
    if train is None:
        return AUTHENTICITY.absent("there are no training rows to compare with; give them")
    order = np.random.default_rng(rows.seed).permutation(train.height)[:MOST_TRAIN_ROWS]
    points = rows.embedding.transform(train[order])
    return AUTHENTICITY.measure(
        lambda: authenticity(points, rows.minted_points), lambda: authenticity(points, rows.real_points)
    )


def _vendi_score(rows: Comparison) -> Score:
    width = median_distance(rows.real_points)
    return VENDI.measure(lambda: vendi(rows.minted_points, width=width), lambda: vendi(rows.real_points, width=width))


def _copies_score(train: pl.DataFrame | None, *, real: pl.DataFrame, minted: pl.DataFrame) -> Score:
    if train is None:
        return COPIES.absent("there are no training rows to compare with; give them")
    return COPIES.measure(lambda: copies(train, minted), lambda: copies(train, real))
