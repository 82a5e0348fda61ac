"""The schema: the columns of a flow table, their kinds and dtypes, and the classes of its label."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import TYPE_CHECKING, Any, Literal

import numpy as np
import polars as pl

from flowmint.errors import LabelError, ModelError, TableError, nearest

if TYPE_CHECKING:
    from collections.abc import Collection, Mapping, Sequence

    import numpy.typing as npt

Kind = Literal["numeric", "integer", "categorical", "boolean"]
ClassValue = str | int | bool | float
DtypeJson = str | list[Any]

SIMPLE: dict[str, pl.DataType] = {
    str(dtype): dtype
    for dtype in (
        pl.Int8(),
        pl.Int16(),
        pl.Int32(),
        pl.Int64(),
        pl.UInt8(),
        pl.UInt16(),
        pl.UInt32(),
        pl.UInt64(),
        pl.Float32(),
        pl.Float64(),
        pl.Boolean(),
        pl.String(),
        pl.Date(),
        pl.Time(),
    )
}
"""Dtypes without parameters, by the name that model folders use."""


def dtype_to_json(dtype: pl.DataType) -> DtypeJson:
    """Describe a column's dtype in JSON.

    Args:
        dtype: A Polars dtype that `Schema.infer` accepts.

    Returns:
        A name, or a list of a name and its parameters.

    Raises:
        TableError: Flow tables have no such dtype.
    """
    if str(dtype) in SIMPLE:
        return str(dtype)
    if isinstance(dtype, pl.Datetime):
        return ["Datetime", dtype.time_unit, dtype.time_zone]
    if isinstance(dtype, pl.Duration):
        return ["Duration", dtype.time_unit]
    if isinstance(dtype, pl.Enum):
        return ["Enum", dtype.categories.to_list()]
    if isinstance(dtype, pl.Categorical):
        return ["Categorical"]
    message = f"dtype {dtype} is not supported; use numbers, text, categories, booleans, dates or times"
    raise TableError(message)


def dtype_from_json(obj: object) -> pl.DataType:
    """Rebuild a dtype from `dtype_to_json`'s answer.

    Raises:
        ModelError: It is no such answer.
    """
    match obj:
        case str() if obj in SIMPLE:
            return SIMPLE[obj]
        case ["Datetime", "ns" | "us" | "ms" as unit, None | str() as zone] if is_zone(zone):
            return pl.Datetime(unit, zone)
        case ["Duration", "ns" | "us" | "ms" as unit]:
            return pl.Duration(unit)
        case ["Categorical"]:
            return pl.Categorical()
        case ["Enum", list() as names] if all(isinstance(name, str) for name in names):
            if len(set(names)) == len(names):
                return pl.Enum(names)
    message = f"unknown column dtype {str(obj)[:80]!r}"
    raise ModelError(message)


def is_zone(zone: str | None) -> bool:
    """Tell whether a time zone is known, or none."""
    try:
        pl.Series([0], dtype=pl.Int64).cast(pl.Datetime("us", zone))
    except pl.exceptions.PolarsError:
        return False
    return True


def kind_of(dtype: pl.DataType) -> Kind:
    """Tell what kind of column a dtype makes: dates and times count as integers."""
    if dtype.is_float():
        return "numeric"
    if dtype.is_integer() or dtype.is_temporal():
        return "integer"
    return "boolean" if dtype == pl.Boolean else "categorical"


@dataclass(frozen=True)
class Column:
    """One column.

    Attributes:
        name: Its name.
        kind: What its values are.
        polars_dtype: Its dtype.
    """

    name: str
    kind: Kind
    polars_dtype: pl.DataType


@dataclass(frozen=True)
class Schema:
    """The columns of a flow table, the label apart.

    Attributes:
        columns: The columns in order.
    """

    columns: tuple[Column, ...]

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names in order."""
        return tuple(column.name for column in self.columns)

    @classmethod
    def infer(cls, table: pl.DataFrame) -> Schema:
        """Read a table's schema off its dtypes.

        Args:
            table: Feature columns [rows, columns].

        Returns:
            The schema.

        Raises:
            TableError: No rows or columns, a column without any value, or an unsupported dtype.
        """
        filled = {series.name for series in table.iter_columns() if has_value(series)}
        return cls.of(table.schema, rows=table.height, filled=filled)

    @classmethod
    def of(cls, dtypes: Mapping[str, pl.DataType], *, rows: int, filled: Collection[str]) -> Schema:
        """Make the schema of feature columns, of which it is known whether they hold anything.

        Args:
            dtypes: The columns in order.
            rows: How many rows there are.
            filled: The columns that hold anything but empty cells and NaN.

        Returns:
            The schema.

        Raises:
            TableError: As for `infer`.
        """
        if not dtypes or not rows:
            message = f"the table has {rows} rows and {len(dtypes)} feature columns; both must be at least 1"
            raise TableError(message)
        columns = []
        for name, dtype in dtypes.items():
            if name not in filled:
                message = f"column {name!r} holds no value in any of its {rows} rows; leave it out (--drop {name!r})"
                raise TableError(message)
            check_dtype(pl.Series(name, [], dtype=dtype))
            columns.append(Column(name, kind_of(dtype), dtype))
        return cls(tuple(columns))

    def check(self, table: pl.DataFrame) -> None:
        """Check that a table has these columns.

        Args:
            table: Feature columns, in any order.

        Raises:
            TableError: Columns are missing, extra or of another dtype; the message lists them.
        """
        known = {column.name: column.polars_dtype for column in self.columns}
        parts = compare_columns(known, table.schema)
        if parts:
            message = f"the table's columns are not those that were fitted: {parts}"
            raise TableError(message)

    def to_json(self) -> list[dict[str, Any]]:
        """Describe the schema in JSON."""
        return [{"name": c.name, "dtype": dtype_to_json(c.polars_dtype)} for c in self.columns]

    @classmethod
    def from_json(cls, obj: object) -> Schema:
        """Rebuild a schema from `to_json`'s answer.

        Raises:
            ModelError: It is no such answer.
        """
        columns = []
        for entry in obj if isinstance(obj, list) else []:
            if not isinstance(entry, dict) or set(entry) != {"name", "dtype"} or not isinstance(entry["name"], str):
                message = f"damaged column entry {str(entry)[:80]!r}"
                raise ModelError(message)
            dtype = dtype_from_json(entry["dtype"])
            columns.append(Column(entry["name"], kind_of(dtype), dtype))
        if not columns or len({column.name for column in columns}) < len(columns):
            message = "the model's columns are missing or duplicated"
            raise ModelError(message)
        return cls(tuple(columns))


@dataclass(frozen=True)
class Classes:
    """The classes of a label column, numbered in sorted order.

    Attributes:
        values: The distinct class values.
    """

    values: tuple[ClassValue, ...]

    @classmethod
    def of(cls, labels: pl.Series) -> Classes:
        """Find the classes of a label column.

        Args:
            labels: Class of each row [rows].

        Returns:
            The classes.

        Raises:
            LabelError: A label is empty or NaN, or labels are no text, numbers or booleans.
        """
        labels = _plain(labels)
        refuse_empty(labels.name, empty=count_empty(labels), rows=len(labels))
        if str(labels.dtype) not in SIMPLE or labels.dtype.is_temporal():
            message = f"the label {labels.name!r} is of dtype {labels.dtype}; use text, numbers or booleans"
            raise LabelError(message)
        return cls(tuple(labels.unique().sort().to_list()))

    @property
    def names(self) -> tuple[str, ...]:
        """The classes' names: their values as text."""
        return tuple(str(value) for value in self.values)

    def codes(self, labels: pl.Series) -> npt.NDArray[np.int64]:
        """Number the classes of rows.

        Args:
            labels: Class of each row [rows], all of them known.

        Returns:
            Numbers [rows].

        Raises:
            LabelError: A label is no known class.
        """
        if labels.is_empty():
            return np.zeros(0, dtype=np.int64)  # Polars gives no column of numbers then
        distinct = _plain(labels).unique()
        numbers = {value: self.code(value) for value in distinct.to_list()}
        old, new = pl.Series(distinct), pl.Series(list(numbers.values()), dtype=pl.Int64)
        coded = _plain(labels).replace_strict(old, new, return_dtype=pl.Int64)
        return coded.to_numpy()

    def code(self, label: object) -> int:
        """Give the number of one class, by its value or its name.

        Args:
            label: The class.

        Returns:
            Its number.

        Raises:
            LabelError: There is no such class.
        """
        value = label.item() if isinstance(label, np.generic) else label
        name = str(value)
        if name in self.names:
            return self.names.index(name)
        if isinstance(value, int | float) and value in self.values:  # 1.0 for the class 1
            return self.values.index(value)
        message = f"unknown class {name!r}; {nearest(name, self.names)}"
        raise LabelError(message)

    def to_json(self) -> list[ClassValue]:
        """Describe the classes in JSON."""
        return list(self.values)

    @classmethod
    def from_json(cls, obj: object) -> Classes:
        """Rebuild the classes from `to_json`'s answer.

        Raises:
            ModelError: It is no such answer.
        """
        if isinstance(obj, list) and obj and {type(value) for value in obj} in ({str}, {int}, {bool}, {float}):
            if all(before < after for before, after in pairwise(obj)):
                return cls(tuple(obj))
            message = "the model's classes are duplicated or out of order"
            raise ModelError(message)
        message = "the model's classes are damaged"
        raise ModelError(message)


def _plain(labels: pl.Series) -> pl.Series:
    """Take categories for their text."""
    return labels.cast(pl.String) if isinstance(labels.dtype, pl.Enum | pl.Categorical) else labels


def check_dtype(series: pl.Series) -> None:
    """Refuse a column whose dtype flow tables do not have; a column of nulls alone passes.

    Raises:
        TableError: It is such a column; the message names it.
    """
    if series.dtype == pl.Null:
        return
    try:
        dtype_to_json(series.dtype)
    except TableError as error:
        message = f"column {series.name!r}: {error}"
        raise TableError(message) from error


def compare_columns(wanted: Mapping[str, pl.DataType], given: Mapping[str, pl.DataType]) -> str:
    """Tell how columns differ, order aside.

    Args:
        wanted: Dtype by name as it should be.
        given: Dtype by name as it is.

    Returns:
        Text such as ``missing 'a'; unexpected 'b'; 'c' is String instead of Int64``, empty if they agree.
    """
    missing = [repr(name) for name in wanted if name not in given]
    extra = [repr(name) for name in given if name not in wanted]
    shared = [name for name in wanted if name in given and given[name] != wanted[name]]
    other = [f"{name!r} is {_short(given[name])} instead of {_short(wanted[name])}" for name in shared]
    parts = [f"missing {_some(missing)}"] if missing else []
    parts += [f"unexpected {_some(extra)}"] if extra else []
    parts += [_some(other)] if other else []
    return "; ".join(parts)


def _short(dtype: pl.DataType) -> str:
    return f"Enum of {len(dtype.categories)} categories" if isinstance(dtype, pl.Enum) else str(dtype)


def _some(parts: list[str], most: int = 8) -> str:
    more = f" and {len(parts) - most} more" if len(parts) > most else ""
    return ", ".join(parts[:most]) + more


def has_value(series: pl.Series) -> bool:
    """Tell whether a column holds anything but empty cells and NaN."""
    present = series.is_not_null()
    if series.dtype.is_float():
        present = present & series.is_not_nan().fill_null(value=False)
    return bool(present.any())


def split_label(table: pl.DataFrame, label: str, *, at_least: int = 1) -> tuple[pl.DataFrame, pl.Series]:
    """Part a table into features and label.

    Args:
        table: Rows with the label column.
        label: Its name.
        at_least: How many classes there must be.

    Returns:
        The feature columns and the labels.

    Raises:
        LabelError: There is no such column, a label is empty, or there are too few classes.
    """
    if label not in table.columns:
        message = f"there is no column {label!r} to take as label; {nearest(label, table.columns)}"
        raise LabelError(message)
    labels = table[label]
    check_classes(label, Classes.of(labels).names, at_least=at_least)
    return table.drop(label), labels


def check_classes(label: str, names: Sequence[str], *, at_least: int) -> None:
    """Refuse too few classes.

    Raises:
        LabelError: There are fewer than ``at_least``.
    """
    if len(names) < at_least:
        told = f"{len(names)} class{'es' * (len(names) != 1)}{f' ({names[0]!r})' if len(names) == 1 else ''}"
        message = f"the label {label!r} has {told}; at least {at_least} are needed, so add rows of another"
        raise LabelError(message)


def count_empty(labels: pl.Series) -> int:
    """Count labels that are empty or NaN."""
    return labels.null_count() + (int(labels.is_nan().sum()) if labels.dtype.is_float() else 0)


def refuse_empty(label: str, *, empty: int, rows: int) -> None:
    """Refuse labels some of which are empty.

    Raises:
        LabelError: They are.
    """
    if empty:
        message = f"the label {label!r} is empty in {empty:,} of {rows:,} rows; fill or remove them"
        raise LabelError(message)


def free_name(columns: Collection[str]) -> str:
    """Give a column name that is not taken."""
    name = "label"
    while name in columns:
        name += "_"
    return name
