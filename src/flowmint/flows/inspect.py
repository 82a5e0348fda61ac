"""Inspection: what is in a flow table, and which columns look suspicious."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl

from flowmint.flows.frames import Native, to_polars
from flowmint.flows.schema import Classes, has_value, kind_of, split_label

if TYPE_CHECKING:
    from collections.abc import Mapping

    import numpy.typing as npt

    from flowmint.flows.schema import Kind

FEW_ROWS = 10
"""Classes with fewer rows teach little."""

MANY_CATEGORIES = 1000
"""A column of names with more of them is hardly one of categories."""


@dataclass(frozen=True)
class ColumnInspection:
    """What one column holds.

    Attributes:
        name: The column.
        kind: What its values are; None where it holds no value at all.
        dtype: Its dtype.
        distinct: Distinct values, NaN and infinities included, empty cells not.
        empty: Empty cells.
        nan: NaN values.
        infinite: Infinite values.
        low: Lowest finite value of a column of numbers.
        high: Highest finite value of a column of numbers.
        top: Most frequent value.
        top_share: Share of rows that hold it.
        remarks: What looks suspicious, and what to do about it.
    """

    name: str
    kind: Kind | None
    dtype: str
    distinct: int
    empty: int
    nan: int
    infinite: int
    low: float | int | None
    high: float | int | None
    top: str
    top_share: float
    remarks: tuple[str, ...]


@dataclass(frozen=True)
class Inspection:
    """What a table holds.

    Attributes:
        rows: Number of rows.
        label: The label column.
        classes: Rows of each class, the largest class first.
        duplicates: Rows that repeat an earlier row, label included.
        contradictions: Rows whose features also stand under another class.
        columns: Every feature column.
        remarks: What concerns the table as a whole.
    """

    rows: int
    label: str
    classes: Mapping[str, int]
    duplicates: int
    contradictions: int
    columns: tuple[ColumnInspection, ...]
    remarks: tuple[str, ...]

    def to_json(self) -> dict[str, Any]:
        """Describe the inspection in JSON."""
        return dataclasses.asdict(self)


def inspect_table(table: Native, *, label: str) -> Inspection:
    """Find out what a table holds and what in it may mislead a detector or a generator.

    Args:
        table: Rows with the label column: a pandas, Polars or Arrow frame.
        label: Name of the label column.

    Returns:
        Counts of classes, duplicates and values, and remarks on suspicious columns.

    Raises:
        TableError: It is no usable frame.
        LabelError: The label column is absent or has empty cells.
    """
    rows, labels = split_label(to_polars(table), label)
    classes = Classes.of(labels)
    codes = classes.codes(labels)
    counts = dict(zip(classes.names, np.bincount(codes, minlength=len(classes.names)).tolist(), strict=True))
    twins = _equal_columns(rows)
    columns = tuple(_inspect_column(series, codes, classes, twins.get(series.name)) for series in rows.iter_columns())
    features = rows.with_columns(pl.Series("", codes).alias(_free(rows)))
    return Inspection(
        rows=rows.height,
        label=label,
        classes=dict(sorted(counts.items(), key=lambda pair: -pair[1])),
        duplicates=rows.height - features.unique().height,
        contradictions=_contradictions(rows, codes),
        columns=columns,
        remarks=_remarks(counts),
    )


def _free(rows: pl.DataFrame) -> str:
    name = "class"
    while name in rows.columns:
        name += "_"
    return name


def _contradictions(rows: pl.DataFrame, codes: npt.NDArray[np.int64]) -> int:
    """Count rows whose features occur under more than one class."""
    if not rows.width:
        return 0
    name = _free(rows)
    grouped = (
        rows.with_columns(pl.Series(name, codes))
        .group_by(rows.columns)
        .agg(pl.col(name).n_unique().alias(name), pl.len().alias(f"{name}#"))
    )
    return int(grouped.filter(pl.col(name) > 1)[f"{name}#"].sum())


def _remarks(counts: Mapping[str, int]) -> tuple[str, ...]:
    remarks = [
        f"class {name!r} has {'a single row, which is all that can be minted from' if n == 1 else f'only {n} rows'}"
        for name, n in counts.items()
        if n < FEW_ROWS
    ]
    if len(counts) == 1:
        remarks.append("there is a single class; balancing needs another beside it")
    return tuple(remarks)


def _equal_columns(rows: pl.DataFrame) -> dict[str, str]:
    """Find columns that repeat an earlier one value by value, as {later: earlier}."""
    seen: dict[tuple[str, int], list[pl.Series]] = {}
    twins = {}
    for series in rows.iter_columns():
        key = (str(series.dtype), int(series.hash(seed=0).sum()))
        same = next((s for s in seen.get(key, []) if s.alias("").equals(series.alias(""))), None)
        if same is not None and series.n_unique() > 1:
            twins[series.name] = same.name
        seen.setdefault(key, []).append(series)
    return twins


def _inspect_column(
    series: pl.Series, codes: npt.NDArray[np.int64], classes: Classes, twin: str | None
) -> ColumnInspection:
    floats = series.dtype.is_float()
    counts = series.drop_nulls().value_counts(sort=True, name="count#")
    finite = series.filter(series.is_finite().fill_null(value=False)) if floats else series.drop_nulls()
    numeric = series.dtype.is_numeric() and len(finite) > 0
    return ColumnInspection(
        name=series.name,
        kind=kind_of(series.dtype) if has_value(series) else None,
        dtype=str(series.dtype) if not isinstance(series.dtype, pl.Enum) else "Enum",
        distinct=counts.height,
        empty=series.null_count(),
        nan=int(series.is_nan().sum() or 0) if floats else 0,
        infinite=int(series.is_infinite().sum() or 0) if floats else 0,
        low=finite.min() if numeric else None,  # type: ignore[arg-type]  # a number's minimum is one
        high=finite.max() if numeric else None,  # type: ignore[arg-type]
        top=str(counts[0, 0]) if counts.height else "",
        top_share=counts[0, 1] / len(series) if counts.height else 0.0,
        remarks=tuple(_column_remarks(series, counts.height, codes, classes, twin)),
    )


def _column_remarks(
    series: pl.Series, distinct: int, codes: npt.NDArray[np.int64], classes: Classes, twin: str | None
) -> list[str]:
    if not has_value(series):
        return ["holds no value; leave it out (--drop)"]
    if distinct + (series.null_count() > 0) == 1:
        return ["constant; it is kept and costs nothing"]
    remarks = [f"equals {twin!r} in every row"] if twin else []
    if _is_counter(series, distinct):
        remarks.append("a different value in every row, in order: a row number or a time; leave it out (--drop)")
    elif distinct == len(series) > FEW_ROWS and kind_of(series.dtype) == "categorical":
        remarks.append("a different name in every row: an identifier; leave it out (--drop)")
    elif kind_of(series.dtype) == "categorical" and distinct > MANY_CATEGORIES:
        remarks.append(f"{distinct:,} different names; are these addresses or times? leave them out (--drop)")
    if tells := _tells(series, codes, classes):
        remarks.append(tells)
    return remarks


def _is_counter(series: pl.Series, distinct: int) -> bool:
    ordered = series.dtype.is_numeric() or series.dtype.is_temporal()
    return (
        ordered and distinct == len(series) > FEW_ROWS and bool(series.is_sorted() or series.is_sorted(descending=True))
    )


def _tells(series: pl.Series, codes: npt.NDArray[np.int64], classes: Classes) -> str | None:
    """Tell whether the column alone gives classes away: each class has one value, and classes differ."""
    if len(classes.values) < 2:
        return None
    groups = (
        pl.DataFrame({"value": series, "class": codes})
        .group_by("class")
        .agg(pl.col("value").n_unique().alias("distinct"), pl.col("value").first(), pl.len())
    )
    large = groups.filter(pl.col("len") >= FEW_ROWS)
    if large.height < 2 or large["distinct"].max() != 1 or large["value"].n_unique() < 2:
        return None
    return "one value for each whole class: it gives classes away by how they were captured; consider --drop"
