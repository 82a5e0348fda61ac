"""Tables made comparable: the same columns, the same dtypes, the same classes, as many rows of each."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from flowmint.errors import TableError
from flowmint.evaluate.embed import Embedding
from flowmint.flows.schema import Classes, check_dtype, compare_columns, has_value

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Iterable, Mapping, Sequence

    import numpy.typing as npt

    from flowmint.evaluate.scores import Definition, Measured, Score

    Matrix = npt.NDArray[np.float64]
    Indices = npt.NDArray[np.int64]


def align_tables(tables: Mapping[str, pl.DataFrame]) -> dict[str, pl.DataFrame]:
    """Give tables the same columns in the same order and dtypes.

    Files tell dtypes loosely: whole numbers in one CSV are decimal in another, categories are text.
    Such columns are brought to one dtype; text against numbers is refused.

    Args:
        tables: Tables by what they are called in messages; the first one's columns are what all must have.

    Returns:
        The tables, in the first one's order of columns.

    Raises:
        TableError: A table has no rows, other columns or columns of another kind; the message lists them.
    """
    (first, wanted), *others = tables.items()
    for name, table in tables.items():
        if not table.height or not table.width:
            message = f"{name}: {table.height} rows and {table.width} columns; both must be at least 1"
            raise TableError(message)
    for name, table in others:
        same = dict.fromkeys(table.columns, pl.Null())
        parts = compare_columns(dict.fromkeys(wanted.columns, pl.Null()), same) or _kinds_differ(wanted, table)
        if parts:
            message = f"the columns of the {name} are not those of the {first}: {parts}; --drop leaves columns out"
            raise TableError(message)
    selected = [table.select(wanted.columns) for table in tables.values()]
    columns = {name: _alike([table[name] for table in selected]) for name in wanted.columns}
    return {
        name: pl.DataFrame([columns[column][index] for column in wanted.columns]) for index, name in enumerate(tables)
    }


def _kinds_differ(wanted: pl.DataFrame, given: pl.DataFrame) -> str:
    known = {c: t for c, t in wanted.schema.items() if _group(t) != _group(given.schema[c])}
    known = {c: t for c, t in known.items() if pl.Null() not in {t, given.schema[c]}}
    return compare_columns(known, {c: given.schema[c] for c in known})


def _group(dtype: pl.DataType) -> str:
    """What dtypes can be brought to one: text, numbers, or the dtype alone."""
    if dtype.is_numeric():
        return "number"
    return "text" if isinstance(dtype, pl.Enum | pl.Categorical | pl.String) else str(dtype)


def _alike(columns: Sequence[pl.Series]) -> list[pl.Series]:
    for column in columns:
        check_dtype(column)
    dtypes = {column.dtype for column in columns if column.dtype != pl.Null()}
    if not dtypes:
        return [column.cast(pl.String) for column in columns]
    if all(_group(dtype) == "text" for dtype in dtypes):
        return [column.cast(pl.String) for column in columns]
    if len(dtypes) == 1:
        (dtype,) = dtypes
        return [column.cast(dtype) for column in columns]
    return [column.cast(_common(dtypes)) for column in columns]


def _common(dtypes: set[pl.DataType]) -> pl.DataType:
    """One dtype for numbers: single precision wins over double, so that rounded copies are found out."""
    if all(dtype.is_float() for dtype in dtypes):
        return pl.Float32()
    whole = all(dtype.is_integer() for dtype in dtypes) and pl.UInt64() not in dtypes
    return pl.Int64() if whole else pl.Float64()


def varying_columns(tables: Sequence[pl.DataFrame]) -> tuple[list[str], list[str]]:
    """Part the columns into those that vary and those that hold one value throughout all the tables."""
    names = tables[0].columns
    constant = []
    for name in names:
        together = pl.concat([table[name] for table in tables])
        if not has_value(together) or together.n_unique() == 1:
            constant.append(name)
    return [name for name in names if name not in constant], constant


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """Rows to compare, as many of each table and of each class.

    Attributes:
        real: Real held-out rows [n, columns].
        minted: Minted rows [n, columns].
        fresh: Real rows in the place of the minted ones [n, columns]; None if there are too few.
        basis: Real rows that tell how far apart values are, see `Embedding`.
        seed: Seed of what is drawn at random.
    """

    real: pl.DataFrame
    minted: pl.DataFrame
    fresh: pl.DataFrame | None
    basis: pl.DataFrame
    seed: int

    def on_tables(self, definition: Definition, function: Callable[[pl.DataFrame, pl.DataFrame], Measured]) -> Score:
        """Compute a score of two tables, of which the first holds the real held-out rows."""
        fresh = None if self.fresh is None else partial(function, self.real, self.fresh)
        return definition.measure(partial(function, self.real, self.minted), fresh)

    def on_points(self, definition: Definition, function: Callable[[Matrix, Matrix], float]) -> Score:
        """Compute a score of two sets of points, of which the first holds the real held-out rows."""
        points = self.fresh_points
        fresh = None if points is None else partial(function, self.real_points, points)
        return definition.measure(partial(function, self.real_points, self.minted_points), fresh)

    def select(self, columns: Sequence[str]) -> Comparison:
        """Keep some columns."""
        fresh = None if self.fresh is None else self.fresh.select(columns)
        real, minted, basis = (table.select(columns) for table in (self.real, self.minted, self.basis))
        return replace(self, real=real, minted=minted, fresh=fresh, basis=basis)

    def head(self, most: int) -> Comparison:
        """Keep at most so many rows of each table; their order is random already."""
        if self.real.height <= most:
            return self
        fresh = None if self.fresh is None else self.fresh.head(most)
        return replace(self, real=self.real.head(most), minted=self.minted.head(most), fresh=fresh)

    @cached_property
    def embedding(self) -> Embedding:
        """Rows as points, by what the real rows teach."""
        return Embedding.fit(self.basis)

    @cached_property
    def real_points(self) -> Matrix:
        """The real rows as points [n, dimensions]."""
        return self.embedding.transform(self.real)

    @cached_property
    def minted_points(self) -> Matrix:
        """The minted rows as points [n, dimensions]."""
        return self.embedding.transform(self.minted)

    @cached_property
    def fresh_points(self) -> Matrix | None:
        """The real rows in the place of the minted ones as points [n, dimensions]."""
        return None if self.fresh is None else self.embedding.transform(self.fresh)


@dataclass(frozen=True, kw_only=True)
class Rows:
    """Feature rows and their classes.

    Attributes:
        table: Feature columns [rows, columns].
        classes: The class of each row as text [rows]; one and the same without a label.
    """

    table: pl.DataFrame
    classes: pl.Series

    def of_classes(self, names: Collection[str]) -> Rows:
        """Keep the rows of some classes."""
        own = self.classes.is_in(list(names))
        return Rows(table=self.table.filter(own), classes=self.classes.filter(own))

    def counts(self) -> dict[str, int]:
        """Count the rows of each class."""
        return dict(sorted(self.classes.value_counts().iter_rows()))

    def draw(self, counts: Mapping[str, int], rng: np.random.Generator) -> dict[str, Indices]:
        """Draw row numbers of each class, without putting back."""
        classes = self.classes.to_numpy()
        return {name: rng.permutation(np.flatnonzero(classes == name))[:count] for name, count in counts.items()}

    def capped(self, most: int, *, seed: int) -> Rows:
        """Keep at most so many rows, those of rare classes first, in their order."""
        if self.table.height <= most:
            return self
        order = np.concatenate(list(self.draw(level_counts(self.counts(), most), np.random.default_rng(seed)).values()))
        order.sort()
        return Rows(table=self.table[order], classes=self.classes[order])

    def mixed(self, parts: Iterable[Indices], rng: np.random.Generator) -> pl.DataFrame:
        """Give the rows of some numbers in random order."""
        return self.table[rng.permutation(np.concatenate(list(parts)))]


def class_names(labels: pl.Series) -> pl.Series:
    """Give the class of each row by its name.

    Args:
        labels: Labels [rows].

    Returns:
        Names [rows].

    Raises:
        LabelError: A label is empty, or they are no text, numbers or booleans.
    """
    classes = Classes.of(labels)
    return pl.Series(classes.names, dtype=pl.String)[classes.codes(labels)]


def level_counts(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """Cut the largest classes to one level, so that the sum is at most ``most``; one row of each at least.

    Examples:
        >>> level_counts({"benign": 900, "flood": 300, "scan": 10}, 410)
        {'benign': 200, 'flood': 200, 'scan': 10}
    """
    level, left, waiting = 0, most, sorted(counts.values())
    while waiting:
        level = max(left // len(waiting), 1)
        if waiting[0] > level:
            break
        left -= waiting.pop(0)
    return {name: min(count, level) if waiting else count for name, count in counts.items()}


def scale_counts(counts: Mapping[str, int], most: int) -> dict[str, int]:
    """Shrink all classes alike, so that the sum is about ``most``; one row of each at least."""
    total = sum(counts.values())
    if total <= most:
        return dict(counts)
    return {name: max(count * most // total, 1) for name, count in counts.items()}


def match_rows(real: Rows, minted: Rows, train: Rows | None, *, most: int, seed: int) -> tuple[Comparison, bool]:
    """Draw as many rows of each table and class, so that differences are never due to how many there are.

    The place of the minted rows is also taken by real training rows or, if there are so few of these
    that it would leave less to compare, by the other half of the held-out rows.

    Args:
        real: Real held-out rows.
        minted: Minted rows, of classes that the held-out rows share.
        train: Real training rows, if any.
        most: Most rows to draw of each table.
        seed: Seed of the draw.

    Returns:
        The rows, in random order, and whether the training rows are the reference.
    """
    by_train = matched_counts([real, minted, *([] if train is None else [train])], parts_of_first=1)
    by_halves = matched_counts([real, minted], parts_of_first=2)
    trained = train is not None and sum(by_train.values()) >= sum(by_halves.values())
    halved = not trained and sum(by_halves.values()) >= 1
    counts = by_train if trained else by_halves if halved else matched_counts([real, minted], parts_of_first=1)
    counts = scale_counts(counts, most)
    rng = np.random.default_rng(seed)
    held = real.draw({name: count * (1 + halved) for name, count in counts.items()}, rng)
    fresh = None
    if train is not None and trained:
        fresh = train.mixed(train.draw(counts, rng).values(), rng)
    elif halved:
        fresh = real.mixed([rows[counts[name] :] for name, rows in held.items()], rng)
    basis = real.table if train is None else pl.concat([real.table, train.table])
    comparison = Comparison(
        real=real.mixed([rows[: counts[name]] for name, rows in held.items()], rng),
        minted=minted.mixed(minted.draw(counts, rng).values(), rng),
        fresh=fresh,
        basis=basis[rng.permutation(basis.height)[: 2 * most]],
        seed=seed,
    )
    return comparison, trained


def matched_counts(tables: Sequence[Rows], *, parts_of_first: int) -> dict[str, int]:
    """Tell how many rows of each class every table has, when the first one is cut into so many parts.

    Args:
        tables: The rows.
        parts_of_first: Into how many parts of one size the first table is cut.

    Returns:
        Rows by class; classes without any are left out.
    """
    first, *others = (rows.counts() for rows in tables)
    least = {name: min([count // parts_of_first, *(o.get(name, 0) for o in others)]) for name, count in first.items()}
    return {name: count for name, count in least.items() if count}
