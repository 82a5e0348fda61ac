"""Pictures of rows: marginals, correlations and projections of real rows beside minted ones.

All of it is seen in the ranks or quantiles of the values, because flow features have heavy tails: one
row of a flood would press all others into a point.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import polars as pl
from scipy.special import ndtri
from scipy.stats import rankdata
from sklearn.decomposition import PCA
from sklearn.manifold import TSNE
from threadpoolctl import threadpool_limits

from flowmint.errors import TableError
from flowmint.evaluate.utility import to_matrices
from flowmint.flows.schema import compare_columns, kind_of
from flowmint.report.document import Group, HistogramPanel, MatrixPanel
from flowmint.report.plots import LEARNT_STYLE, MINTED_STYLE, REAL_STYLE
from flowmint.report.words import share, show_number, show_tick

if TYPE_CHECKING:
    from collections.abc import Sequence

    import numpy.typing as npt

    Numbers = npt.NDArray[np.float64]

MOST_ROWS = 5_000
"""Rows of each table that are looked at."""

MOST_POINTS = 400
"""Rows of each table that are drawn as points; more would hide one another."""

MOST_TRAIN_POINTS = 200
"""Training rows are drawn one by one where they are few."""

BINS = 24
"""Bars of a histogram."""

FEW_VALUES = 12
"""A column with as few distinct numbers gets a bar for each."""

MOST_NAMES = 6
"""Names that get a bar; the others share one."""

LARGEST, SMALLEST = 1e300, 1e-15
"""Numbers beyond the first, and sizes below this share of a column's largest, are taken for these: floats end there."""

SKEWED = 30.0
"""A column that reaches this many times its typical size is drawn on a bent axis."""


@dataclass(frozen=True, kw_only=True)
class Picture:
    """Rows to look at: of one class and one generator, or of whole tables.

    Attributes:
        title: What rows they are.
        real: Real held-out rows [rows, columns], without the label.
        minted: Minted rows with the same columns.
        train: The real rows that the generator learnt from, with the same columns; None where unknown.
        seed: Seed of the subsamples and of t-SNE.
    """

    title: str
    real: pl.DataFrame
    minted: pl.DataFrame
    train: pl.DataFrame | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        """Refuse tables that do not have the same columns, or nothing in them.

        Raises:
            TableError: They differ; the message lists how.
        """
        for what, rows in (("minted", self.minted), ("training", self.train)):
            difference = "" if rows is None else compare_columns(self.real.schema, rows.schema)
            if difference:
                message = f"the {what} rows of the picture {self.title!r} have other columns than the real rows: "
                raise TableError(message + difference)
        if not self.real.height or not self.minted.height or not self.real.width:
            message = (
                f"the picture {self.title!r} has {self.real.height} real rows, {self.minted.height} minted rows and "
                f"{self.real.width} columns; give at least one of each"
            )
            raise TableError(message)

    @cached_property
    def seen(self) -> tuple[pl.DataFrame, pl.DataFrame]:
        """The real and the minted rows that are looked at, in the same order of columns."""
        rng = np.random.default_rng(self.seed)
        return _some(self.real, MOST_ROWS, rng), _some(self.minted.select(self.real.columns), MOST_ROWS, rng)


class Gap(NamedTuple):
    """How far the minted values of a column are from the real ones, from 0 to 1."""

    column: str
    distance: float


def _some(rows: pl.DataFrame, most: int, rng: np.random.Generator) -> pl.DataFrame:
    if rows.height <= most:
        return rows
    return rows[np.sort(rng.choice(rows.height, most, replace=False))]


def column_gaps(picture: Picture) -> list[Gap]:
    """Measure every column, the worst first.

    Args:
        picture: The rows.

    Returns:
        The Kolmogorov–Smirnov distance of numbers, the total variation distance of names; missing
        and infinite values count as values of their own.
    """
    real, minted = picture.seen
    gaps = [Gap(name, _distance(real[name], minted[name])) for name in real.columns]
    return sorted(gaps, key=lambda gap: -gap.distance)


def top_share(picture: Picture, name: str) -> float:
    """Tell which share of real and minted rows together hold a column's most frequent value."""
    values = pl.concat([_plain(rows[name]) for rows in picture.seen])
    return int(values.value_counts()["count"].max()) / len(values)  # type: ignore[arg-type]


def _distance(real: pl.Series, minted: pl.Series) -> float:
    both = pl.concat([_plain(real), _plain(minted)])
    codes = both.rank("dense").cast(pl.Int64).fill_null(0).to_numpy()
    shares = [np.bincount(part, minlength=codes.max() + 1) / len(part) for part in np.split(codes, [len(real)])]
    difference = shares[0] - shares[1]
    if kind_of(real.dtype) in {"categorical", "boolean"}:
        return float(np.abs(difference).sum() / 2)
    return float(np.abs(np.cumsum(difference)).max())


def _plain(values: pl.Series) -> pl.Series:
    """Take names for text and everything else for numbers."""
    if kind_of(values.dtype) == "categorical":
        return values.cast(pl.String)
    return values.to_physical().cast(pl.Float64)


def histogram(picture: Picture, gap: Gap) -> HistogramPanel:
    """Count a column's values in bins.

    Args:
        picture: The rows.
        gap: The column.

    Returns:
        The panel to draw.
    """
    real, minted = (_plain(rows[gap.column]) for rows in picture.seen)
    if kind_of(picture.real[gap.column].dtype) in {"categorical", "boolean"}:
        return _named_bars(gap, [values.cast(pl.String).fill_null("(empty)") for values in (real, minted)])
    finite = [values.drop_nulls().to_numpy() for values in (real, minted)]
    finite = [np.clip(values[np.isfinite(values)], -LARGEST, LARGEST) for values in finite]
    other = [1 - len(kept) / len(values) for kept, values in zip(finite, (real, minted), strict=True)]
    note = f"distance {show_number(gap.distance)}"
    note += f"; not finite: real {share(other[0])}, minted {share(other[1])}" if max(other) > 0 else ""
    if not all(len(values) for values in finite):
        return _panel(gap.column, note, edges=[0.0, 1.0], shares=[[0.0], [0.0]])
    distinct = np.unique(np.concatenate(finite))
    if len(distinct) <= FEW_VALUES:
        labels = [show_tick(float(f"{value:.4g}")) for value in distinct]
        parts = [[float((values == value).mean()) for value in distinct] for values in finite]
        return _labelled(gap.column, note, labels, parts)
    return _binned(gap.column, note, finite)


def _named_bars(gap: Gap, values: Sequence[pl.Series]) -> HistogramPanel:
    counted = values[0].value_counts(sort=False).sort(["count", values[0].name], descending=[True, False])
    names = counted[values[0].name].head(MOST_NAMES).to_list()
    parts = [[float((column == name).mean() or 0.0) for name in names] for column in values]
    rest = [max(1 - sum(part), 0.0) for part in parts]
    if max(rest) > 1e-9:
        names = [*names, "(others)"]
        parts = [[*part, other] for part, other in zip(parts, rest, strict=True)]
    return _labelled(gap.column, f"distance {show_number(gap.distance)}", names, parts)


def _labelled(title: str, note: str, labels: Sequence[str], shares: Sequence[Sequence[float]]) -> HistogramPanel:
    stride = max(1, -(-len(labels) // 7))
    ticks: list[list[float | str]] = [[i + 0.5, label] for i, label in enumerate(labels) if i % stride == 0]
    edges = [float(i) for i in range(len(labels) + 1)]
    return _panel(title, note, edges=edges, shares=shares, labels=labels, ticks=ticks)


def _binned(title: str, note: str, values: Sequence[Numbers]) -> HistogramPanel:
    """Count numbers in bins of equal width on a straight or, where they are skewed, a bent axis."""
    pooled = np.concatenate(values)
    low, high = np.quantile(pooled, [0.005, 0.995])
    if low == high:
        low, high = pooled.min(), pooled.max()
    size = np.abs(pooled[pooled != 0])
    typical = max(float(np.median(size)), float(size.max()) * SMALLEST)
    bent = max(abs(low), abs(high)) > SKEWED * typical
    bend = (lambda x: np.arcsinh(x / typical)) if bent else (lambda x: np.asarray(x, dtype=np.float64))
    edges = np.linspace(bend(low), bend(high), BINS + 1)
    shares = [
        (np.histogram(np.clip(bend(part), edges[0], edges[-1]), bins=edges)[0] / len(part)).tolist() for part in values
    ]
    ticks = _bent_ticks(low, high, typical) if bent else np.linspace(low, high, 3)
    places: list[list[float | str]] = [[float(bend(tick)), show_tick(float(f"{tick:.2g}"))] for tick in ticks]
    return _panel(title, note, edges=edges.tolist(), shares=shares, ticks=places)


def _bent_ticks(low: float, high: float, typical: float) -> Numbers:
    """Choose zero and powers of ten that stand apart on a bent axis."""
    first = int(np.floor(np.log10(typical)))
    powers = 10.0 ** np.arange(first, int(np.floor(np.log10(max(abs(low), abs(high))))) + 1)
    candidates = np.concatenate([-powers[::-1], [0.0], powers])
    inside = candidates[(candidates >= low) & (candidates <= high)]
    apart = (np.arcsinh(high / typical) - np.arcsinh(low / typical)) / 5
    kept: list[float] = []
    for tick in inside[::-1]:
        if not kept or np.arcsinh(kept[-1] / typical) - np.arcsinh(tick / typical) >= apart:
            kept.append(float(tick))
    return np.array(kept[::-1])


def _panel(
    title: str,
    note: str,
    *,
    edges: Sequence[float],
    shares: Sequence[Sequence[float]],
    labels: Sequence[str] = (),
    ticks: Sequence[list[float | str]] = (),
) -> HistogramPanel:
    real, minted = ([round(part, 5) for part in parts] for parts in shares)
    tallest = max([*real, *minted])
    return HistogramPanel(
        panel="histogram",
        title=title,
        note=f"{note}; tallest bar {share(tallest)}",
        edges=[float(f"{edge:.6g}") for edge in edges],
        labels=list(labels),
        ticks=list(ticks),
        real=real,
        minted=minted,
    )


def correlations(picture: Picture) -> list[MatrixPanel]:
    """Correlate the columns of numbers by their ranks (Spearman): real, minted, and the difference.

    Args:
        picture: The rows; columns of names and those constant in the real rows are left out.

    Returns:
        Three panels; none where fewer than two columns vary. None in a matrix: constant there.
    """
    real, minted = picture.seen
    names = [n for n in real.columns if kind_of(real[n].dtype) != "categorical" and real[n].n_unique() > 1]
    if len(names) < 2 or min(real.height, minted.height) < 3:
        return []
    matrices = [_spearman(rows.select(names)) for rows in (real, minted)]
    difference = np.clip(matrices[1] - matrices[0], -1, 1)
    panels = []
    for title, matrix in zip(("real", "minted", "minted − real"), (*matrices, difference), strict=True):
        values = [[None if np.isnan(v) else round(float(v), 4) + 0.0 for v in row] for row in matrix]
        panels.append(MatrixPanel(panel="matrix", title=title, names=names, values=values))
    return panels


def _spearman(rows: pl.DataFrame) -> Numbers:
    """Correlate ranks; missing values take the middle rank, constant columns give NaN."""
    ranks = np.stack([_ranks(series) for series in rows.iter_columns()], axis=1)
    ranks -= ranks.mean(axis=0)
    spread = np.sqrt((ranks**2).sum(axis=0))
    with np.errstate(invalid="ignore", divide="ignore"):
        matrix = (ranks.T @ ranks) / np.outer(spread, spread)
    return np.asarray(np.clip(matrix, -1, 1), dtype=np.float64)


def _ranks(series: pl.Series) -> Numbers:
    values = series.to_physical().cast(pl.Float64).fill_null(np.nan).to_numpy()
    known = ~np.isnan(values)
    ranks = np.full(len(values), (known.sum() + 1) / 2)
    ranks[known] = rankdata(values[known])
    return ranks


class Projection(NamedTuple):
    """Rows in a plane.

    Attributes:
        title: How they were put there.
        note: What that means.
        groups: Real held-out rows, minted rows, and training rows where they are few.
    """

    title: str
    note: str
    groups: list[Group]


def projections(picture: Picture) -> list[Projection]:
    """Put rows into a plane, by principal components and by t-SNE (van der Maaten & Hinton 2008).

    Args:
        picture: The rows. Columns become normal scores of the real rows first; principal components
            are those of the real rows; t-SNE sees real and minted rows together.

    Returns:
        Both, or what could be made of the rows.
    """
    tables = _drawn(picture)
    matrices = _normal_scores(list(tables.values()))
    cuts = np.cumsum([len(matrix) for matrix in matrices])[:-1]
    pooled = np.concatenate(matrices)
    made = []
    if pooled.shape[1] >= 2 and len(matrices[0]) >= 3 and pooled.var() > 0:
        made.append(_principal(matrices, list(tables)))
    if pooled.shape[1] >= 2 and len(pooled) >= 12 and pooled.var() > 0:
        # one thread: sums in another order would move every point
        with threadpool_limits(1):
            perplexity = min(30.0, (len(pooled) - 1) / 3)
            plane = TSNE(perplexity=perplexity, init="pca", random_state=picture.seed).fit_transform(pooled)
        note = f"neighbours stay neighbours, distances between groups mean little; perplexity {perplexity:g}"
        made.append(Projection("t-SNE", note, _groups(np.split(plane, cuts), list(tables))))
    return made


def _principal(matrices: Sequence[Numbers], names: list[str]) -> Projection:
    components = PCA(2, svd_solver="full").fit(matrices[0])
    # the signs of components are arbitrary: the largest weight of each shall be positive
    signs = [np.sign(axis[np.abs(axis).argmax()]) or 1.0 for axis in components.components_]
    kept = components.explained_variance_ratio_
    note = f"the axes hold {share(float(kept[0]))} and {share(float(kept[1]))} of the real rows’ variance"
    return Projection("Principal components", note, _groups([components.transform(m) * signs for m in matrices], names))


def _drawn(picture: Picture) -> dict[str, pl.DataFrame]:
    """Choose the rows that are drawn, by the name of their group."""
    rng = np.random.default_rng(picture.seed)
    real, minted = picture.seen
    tables = {"real, held out": _some(real, MOST_POINTS, rng), "minted": _some(minted, MOST_POINTS, rng)}
    if picture.train is not None and 0 < picture.train.height <= MOST_TRAIN_POINTS:
        tables["real, learnt from"] = picture.train.select(picture.real.columns)
    return tables


def _normal_scores(tables: Sequence[pl.DataFrame]) -> list[Numbers]:
    """Turn tables into normal scores of the first one's columns."""
    pairs = [to_matrices(tables[0], rows) for rows in tables]
    real = np.sort(pairs[0][0], axis=0)
    return [np.stack([_normal(matrix[:, i], real[:, i]) for i in range(real.shape[1])], axis=1) for _, matrix in pairs]


def _normal(values: Numbers, known: Numbers) -> Numbers:
    """Give each value the normal score of its middle rank among sorted known ones (van der Waerden)."""
    middle = (np.searchsorted(known, values, side="left") + np.searchsorted(known, values, side="right")) / 2
    return np.asarray(ndtri((middle + 0.5) / (len(known) + 1)), dtype=np.float64)


def _groups(planes: Sequence[Numbers], names: list[str]) -> list[Group]:
    styles = (REAL_STYLE, MINTED_STYLE, LEARNT_STYLE)
    return [
        Group(name=name, style=style, points=np.round(plane, 3).astype(float).tolist())
        for plane, name, style in zip(planes, names, styles, strict=False)
    ]


def mixing(groups: Sequence[Group]) -> list[tuple[str, float, float]]:
    """Tell of each of the first two groups how often a row's nearest neighbour is of the other.

    Args:
        groups: Real and minted rows in a plane.

    Returns:
        Name, share, and the share that is expected where both are of one kind.
    """
    first, second = (np.asarray(group["points"]) for group in groups[:2])
    points = np.concatenate([first, second])
    distances = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    np.fill_diagonal(distances, np.inf)
    nearest_is_second = distances.argmin(axis=1) >= len(first)
    own = np.arange(len(points)) >= len(first)
    crossed = nearest_is_second != own
    expected = (len(second) / (len(points) - 1), len(first) / (len(points) - 1))
    return [(group["name"], float(crossed[own == bool(i)].mean()), expected[i]) for i, group in enumerate(groups[:2])]
