"""The leakage audit: what gives classes away by how rows were captured rather than by what they do.

Four things are looked for. *Tells*, columns that alone separate a class from the others: the area
under the ROC curve of the column, and the balanced accuracy of the best decision stump on it, which
is (1 + D) / 2 with D the Kolmogorov–Smirnov distance between class and others (for names, the total
variation distance, measured on other rows than those that chose the names). *Constants*, columns with
one value for each whole class. *Counters*, row numbers, times and identifiers. And rows that would
stand on both sides of a random split. A column may tell a class because the attack is like that: an ICMP
flood is made of ICMP. Nobody can see that in a table, so results belong on the table with and without them.
"""

from __future__ import annotations

from collections.abc import Mapping  # noqa: TC003 - msgspec reads annotations at run time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import msgspec
import numpy as np
import polars as pl

from flowmint.errors import LabelError, SettingError, nearest
from flowmint.flows.frames import Native, to_polars
from flowmint.flows.schema import Classes, has_value, kind_of, split_label
from flowmint.progress import SILENT, Progress

if TYPE_CHECKING:
    import numpy.typing as npt

    Codes = npt.NDArray[np.int64]
    Counts = npt.NDArray[np.float64]

FEW_ROWS = 10
"""Of classes with fewer rows nothing is said: a few rows stand apart by chance."""

SEPARATES = 0.99
"""A column whose stump has this balanced accuracy separates a class from the others."""

CONSTANT = 0.99
"""A class in which this share of rows has one value is constant there; the rest are trailing windows and the like."""

ORDERED = 0.99
"""A column that follows the order of rows this closely (Spearman's correlation) is a number or a time of rows."""

MANY = 0.5
"""A column that follows the order of rows is a counter if at least this share of its values are distinct."""


@dataclass(frozen=True, kw_only=True)
class Tell:
    """A column that alone separates a class from the others.

    Attributes:
        column: The column.
        class_name: The class.
        auc: Area under the ROC curve of the column alone, whichever way it points (0.5 to 1).
        balanced_accuracy: Balanced accuracy of the best decision stump on the column (0.5 to 1).
    """

    column: str
    class_name: str
    auc: float
    balanced_accuracy: float


@dataclass(frozen=True, kw_only=True)
class Constant:
    """A column with one value for each whole class, where classes differ.

    Attributes:
        column: The column.
        values: The value of each class of `FEW_ROWS` rows or more.
    """

    column: str
    values: Mapping[str, str]


@dataclass(frozen=True, kw_only=True)
class Leakage:
    """What gives classes away.

    Attributes:
        label: The label column.
        against: What each class was told from: the benign class, or None for all other rows.
        rows: Rows that were looked at.
        tells: For each class and column, how well the column alone separates them; the strongest first.
        separates: Balanced accuracy from which a tell counts as a shortcut.
        constants: Columns with one value for each whole class.
        counters: Why a column is taken for a row number, a time or an identifier, by its name.
        shared: Share of rows on one side of a random split in halves whose features also stand on the other.
        small: Classes with too few rows to say anything.
        shortcuts: The columns to leave out where shortcuts are dropped, in the table's order.
    """

    label: str
    against: str | None
    rows: int
    tells: tuple[Tell, ...]
    separates: float
    constants: tuple[Constant, ...]
    counters: Mapping[str, str]
    shared: float
    small: tuple[str, ...]
    shortcuts: tuple[str, ...]

    @property
    def strong(self) -> tuple[Tell, ...]:
        """The tells that count as shortcuts."""
        return tuple(tell for tell in self.tells if tell.balanced_accuracy >= self.separates)

    @property
    def remarks(self) -> tuple[str, ...]:
        """What was found in plain words: what it means and what to try."""
        return tuple(_remarks(self))

    def to_json(self) -> dict[str, Any]:
        """Describe the audit in JSON."""
        described: dict[str, Any] = msgspec.to_builtins(self)
        return described


def audit_leakage(
    table: Native,
    *,
    label: str,
    benign: str | None = None,
    separates: float = SEPARATES,
    seed: int = 0,
    progress: Progress = SILENT,
) -> Leakage:
    """Find what gives classes away by how they were captured.

    Args:
        table: Rows in the order in which they were captured, label column included: a pandas, Polars or
            Arrow frame.
        label: Name of the label column.
        benign: The class from which each attack is told apart; all other rows if absent.
        separates: Balanced accuracy of a single column's stump from which it counts as a shortcut.
        seed: Seed of the halves that names are judged on, and of the split in which twins are counted.
        progress: Shows how far the audit is.

    Returns:
        What was found.

    Raises:
        TableError: It is no usable frame.
        LabelError: The label column is absent or has empty cells, there is one class, or no class ``benign``.
        SettingError: ``separates`` is not between 0.5 and 1.
    """
    if not 0.5 < separates <= 1:
        message = f"separates is {separates!r}; give a balanced accuracy above 0.5, at most 1"
        raise SettingError(message)
    rows, labels = split_label(to_polars(table), label, at_least=2)
    classes = Classes.of(labels)
    if benign is not None and benign not in classes.names:
        message = f"there is no class {benign!r}; {nearest(benign, classes.names)}"
        raise LabelError(message)
    codes = classes.codes(labels)
    rng = np.random.default_rng(seed)
    halves = rng.random(rows.height) < 0.5
    tells: list[Tell] = []
    constants: list[Constant] = []
    counters: dict[str, str] = {}
    with progress.stage("leakage", total=rows.width, unit="columns") as stage:
        for series in rows.iter_columns():
            if has_value(series):
                tells += _tells(series, codes, classes, halves=halves, benign=benign)
                constants += _constants(series, codes, classes)
                counters |= _counter(series, codes)
            stage.advance(1)
    tells.sort(key=lambda tell: (-tell.balanced_accuracy, -tell.auc))
    found = {c.column for c in constants} | set(counters)
    found |= {tell.column for tell in tells if tell.balanced_accuracy >= separates}
    sizes = np.bincount(codes, minlength=len(classes.names))
    return Leakage(
        label=label,
        against=benign,
        rows=rows.height,
        tells=tuple(tells),
        separates=separates,
        constants=tuple(constants),
        counters=counters,
        shared=_shared(rows, rng),
        small=tuple(name for name, size in zip(classes.names, sizes, strict=True) if size < FEW_ROWS),
        shortcuts=tuple(name for name in rows.columns if name in found),
    )


def _tells(
    series: pl.Series, codes: Codes, classes: Classes, *, halves: npt.NDArray[np.bool_], benign: str | None
) -> list[Tell]:
    """Measure how well one column tells each class."""
    values = _ranks(series)
    if values.max() == 0:
        return []
    shape = (2, len(classes.names), int(values.max()) + 1)
    named = kind_of(series.dtype) == "categorical"
    flat = np.ravel_multi_index((halves.astype(np.int64) if named else np.zeros_like(codes), codes, values), shape)
    counts = np.bincount(flat, minlength=int(np.prod(shape))).reshape(shape).astype(np.float64)
    tells = []
    for code, name in enumerate(classes.names):
        own = counts[:, code]
        rest = counts[:, classes.code(benign)] if benign is not None else counts.sum(axis=1) - own
        if name == benign or own.sum() < FEW_ROWS or rest.sum() < FEW_ROWS:
            continue
        auc, accuracy = _names(own, rest) if named else _numbers(own.sum(axis=0), rest.sum(axis=0))
        tells.append(Tell(column=series.name, class_name=name, auc=auc, balanced_accuracy=accuracy))
    return tells


def _ranks(series: pl.Series) -> Codes:
    """Number the distinct values in their order [rows]; an empty cell comes first, NaN last."""
    if kind_of(series.dtype) == "categorical":
        series = series.cast(pl.String)
    ranks = series.rank("dense").cast(pl.Int64).fill_null(0).to_numpy()
    return np.asarray(ranks - ranks.min(), dtype=np.int64)


def _numbers(own: Counts, rest: Counts) -> tuple[float, float]:
    """AUC and stump of numbers, from how often the class and the others have each value [values]."""
    mine, theirs = own / own.sum(), rest / rest.sum()
    below = np.cumsum(theirs) - theirs
    auc = float((mine * (below + theirs / 2)).sum())
    distance = float(np.abs(np.cumsum(mine) - np.cumsum(theirs)).max())
    return min(max(auc, 1 - auc), 1.0), min((1 + distance) / 2, 1.0)


def _names(own: Counts, rest: Counts) -> tuple[float, float]:
    """AUC and stump of names [halves, names]: one half chooses those that tell the class, the other judges."""
    aucs, accuracies = [], []
    for teacher in (0, 1):
        mine, theirs = own[teacher], rest[teacher]
        judged, others = own[1 - teacher], rest[1 - teacher]
        if not (mine.sum() and theirs.sum() and judged.sum() and others.sum()):
            return 0.5, 0.5
        share = mine / mine.sum() - theirs / theirs.sum()
        order = np.argsort(share, kind="stable")
        chosen = share > 0
        aucs.append(_ordered_auc(judged[order] / judged.sum(), others[order] / others.sum()))
        found = judged[chosen].sum() / judged.sum() - others[chosen].sum() / others.sum()
        accuracies.append((1 + float(found)) / 2)
    return max(float(np.mean(aucs)), 0.5), max(float(np.mean(accuracies)), 0.5)


def _ordered_auc(mine: Counts, theirs: Counts) -> float:
    return float((mine * (np.cumsum(theirs) - theirs / 2)).sum())


def _constants(series: pl.Series, codes: Codes, classes: Classes) -> list[Constant]:
    """Find out whether each class has one value of this column, and classes differ."""
    counted = (
        pl.DataFrame({"value": series, "class": codes})
        .group_by("class", "value")
        .len()
        .sort("len", "value", descending=True, nulls_last=True)
    )
    tops = counted.group_by("class", maintain_order=True).agg(
        pl.col("value").first(), pl.col("len").first(), pl.col("len").sum().alias("all")
    )
    large = tops.filter(pl.col("all") >= FEW_ROWS).sort("class")
    constant = (large["len"] / large["all"] >= CONSTANT).all()
    if large.height < 2 or not constant or large["value"].n_unique() < 2:
        return []
    names = (classes.names[code] for code in large["class"])
    values = ("empty" if value is None else str(value) for value in large["value"])
    return [Constant(column=series.name, values=dict(zip(names, values, strict=True)))]


def _counter(series: pl.Series, codes: Codes) -> dict[str, str]:
    """Tell why a column is taken for a row number, a time or an identifier; nothing if it is none."""
    rows, distinct = len(series), series.n_unique()
    why = None
    if isinstance(series.dtype, pl.Datetime | pl.Date | pl.Time):
        why = "is a time"
    elif kind_of(series.dtype) == "categorical":
        why = "has a different name in every row" if distinct == rows else None
    elif distinct >= MANY * rows and series.dtype != pl.Boolean:
        why = _order(series, codes)
    return {series.name: why} if why is not None and rows >= FEW_ROWS else {}


def _order(series: pl.Series, codes: Codes) -> str | None:
    """Tell whether numbers follow the order of rows."""
    numbers = series.to_physical().cast(pl.Float64).fill_null(np.nan).to_numpy()
    if _follows(numbers, np.arange(len(numbers))):
        return "follows the order of rows"
    parts = [np.flatnonzero(codes == code) for code in np.unique(codes)]
    large = [part for part in parts if len(part) >= FEW_ROWS]
    if large and all(_follows(numbers[part], part) for part in large):
        return "follows the order of rows inside each class"
    return None


def _follows(numbers: npt.NDArray[np.float64], order: Codes) -> bool:
    """Tell whether finite numbers rise or fall with the order of rows, in Spearman's sense."""
    finite = np.isfinite(numbers)
    if finite.sum() < max(FEW_ROWS, 0.9 * len(numbers)):
        return False
    ranks = pl.Series(numbers[finite]).rank("average").to_numpy()
    if ranks.std() == 0:
        return False
    return bool(abs(np.corrcoef(ranks, order[finite].argsort().argsort())[0, 1]) >= ORDERED)


def _shared(rows: pl.DataFrame, rng: np.random.Generator) -> float:
    """Share of rows in one random half whose features also stand in the other."""
    if rows.height < 2 or not rows.width:
        return 0.0
    shuffled = rows[rng.permutation(rows.height)]
    half = rows.height // 2
    twins = shuffled.head(half).join(shuffled.tail(rows.height - half), on=rows.columns, how="semi", nulls_equal=True)
    return twins.height / half


def _remarks(found: Leakage) -> list[str]:
    versus = f"from {found.against!r}" if found.against is not None else "from all other rows"
    remarks = []
    by_column: dict[str, list[Tell]] = {}
    whole = {constant.column for constant in found.constants}
    for tell in (tell for tell in found.strong if tell.column not in whole):
        by_column.setdefault(tell.column, []).append(tell)
    for column, tells in by_column.items():
        named = ", ".join(f"{tell.class_name!r} ({tell.balanced_accuracy:.1%})" for tell in tells[:3])
        more = f" and {len(tells) - 3} more classes" if len(tells) > 3 else ""
        remarks.append(
            f"{column!r} alone separates {named}{more} {versus}: is that the attack, or how it was captured? "
            "compare results with and without it (--drop-shortcuts)"
        )
    for constant in found.constants:
        values = ", ".join(f"{value} in {name!r}" for name, value in list(constant.values.items())[:3])
        remarks.append(
            f"{constant.column!r} has one value for each whole class ({values}): it names the class by how it was "
            f"captured; leave it out (--drop {constant.column!r})"
        )
    remarks += [
        f"{column!r} {why}: it tells when or where a row was captured; leave it out (--drop {column!r})"
        for column, why in found.counters.items()
    ]
    if found.shared > 0:
        remarks.append(
            f"{found.shared:.1%} of rows would also stand on the other side of a random split: a detector that "
            "remembers them looks better than it is; remove them from the test rows, as flowmint compare does"
        )
    if found.small:
        named = ", ".join(map(repr, found.small[:5])) + (" and more" if len(found.small) > 5 else "")
        remarks.append(f"too few rows to tell anything of {named} (fewer than {FEW_ROWS})")
    return remarks or ["nothing was found that gives classes away by itself"]
