"""Tables seen by rules: columns of numbers and of text, and how new numbers go back into columns of their dtype."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from flowmint.errors import RuleError, nearest
from flowmint.rules.evaluate import Columns, TextColumn
from flowmint.rules.language import Column, OneOf, walk

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt

    from flowmint.rules.evaluate import Floats
    from flowmint.rules.language import Rule


def uses_of(rules: Iterable[Rule]) -> tuple[dict[str, str], dict[str, str]]:
    """Tell which columns rules compute with and which they compare with texts.

    Args:
        rules: The rules.

    Returns:
        For both kinds, each column with the name of the first rule that uses it so.
    """
    numbers: dict[str, str] = {}
    texts: dict[str, str] = {}
    for rule in rules:
        compared = {
            id(n.operand) for n in walk(rule.condition) if isinstance(n, OneOf) and isinstance(n.values[0], str)
        }
        for node in walk(rule.condition):
            if isinstance(node, Column):
                (texts if id(node) in compared else numbers).setdefault(node.name, rule.name)
    return numbers, texts


def columns_for(rules: Sequence[Rule], table: pl.DataFrame) -> Columns:
    """Give the columns that rules speak of.

    Args:
        rules: The rules.
        table: The rows [rows, columns].

    Returns:
        The columns; empty cells and NaN are NaN. Whole numbers past 2^53 are rounded.

    Raises:
        RuleError: A column is not there, or holds text where numbers are needed or the other way round.
    """
    numbers, texts = uses_of(rules)
    _check_names({**texts, **numbers}, table.columns)
    for name, rule in texts.items():
        if not _is_text(table[name]):
            message = (
                f"the rule {rule!r} compares the column {name!r} with texts, but it is {table[name].dtype}; "
                "compare it with numbers, or read it as names (--categorical)"
            )
            raise RuleError(message)
    both = {name for name in numbers if name in texts}  # `is missing` asks nothing about the kind
    return Columns(
        {name: numbers_of(table[name], rule) for name, rule in numbers.items() if name not in both},
        {name: _text_of(table[name], _texts_in(rules, name)) for name in texts},
        table.height,
    )


def _texts_in(rules: Sequence[Rule], column: str) -> list[str]:
    """List the texts that rules compare a column with: repair may write them."""
    lists = (n for rule in rules for n in walk(rule.condition) if isinstance(n, OneOf) and n.operand == Column(column))
    return [value for each in lists for value in each.values if isinstance(value, str)]


def _check_names(wanted: dict[str, str], names: Sequence[str]) -> None:
    missing = [name for name in wanted if name not in names]
    if not missing:
        return
    first = missing[0]
    more = f" and {len(missing) - 1} more columns" if len(missing) > 1 else ""
    raise RuleError(
        f"the rule {wanted[first]!r} speaks of the column {first!r}{more}, which the table lacks; "
        f"{nearest(first, names)}; use rules for this table, or keep those that fit it (Rules.fitting)"
    )


def _is_text(series: pl.Series) -> bool:
    return isinstance(series.dtype, pl.String | pl.Categorical | pl.Enum)


def is_number(dtype: pl.DataType) -> bool:
    """Tell whether rules can compute with a dtype."""
    return dtype.is_numeric() or dtype in (pl.Boolean, pl.Null)


def numbers_of(series: pl.Series, rule: str) -> Floats:
    """Give a column's values as float64, empty cells as NaN [rows].

    Raises:
        RuleError: The column holds no numbers.
    """
    if not is_number(series.dtype):
        message = f"the rule {rule!r} computes with the column {series.name!r}, but it is {series.dtype}, not numbers"
        raise RuleError(message)
    values = series.cast(pl.Float64)
    return (values.fill_null(np.nan) if values.null_count() else values).to_numpy()


def _text_of(series: pl.Series, more: list[str]) -> TextColumn:
    if isinstance(series.dtype, pl.Enum):
        more = [text for text in more if text in set(series.dtype.categories)]
    text = series.cast(pl.String)
    names = pl.concat([text, pl.Series(more, dtype=pl.String)]).unique(maintain_order=True).drop_nulls()
    if not len(names):
        return TextColumn(np.full(len(text), -1, dtype=np.int64), ())
    codes = text.cast(pl.Enum(names)).to_physical().cast(pl.Int64).fill_null(-1).to_numpy()
    return TextColumn(codes, tuple(names.to_list()))


def fit_dtype(values: Floats, dtype: pl.DataType) -> Floats:
    """Round values to what a dtype can hold, so that what follows from them is computed from what is written."""
    if dtype == pl.Null:
        return np.full_like(values, np.nan)
    if dtype == pl.Float32:
        with np.errstate(over="ignore"):
            return values.astype(np.float32).astype(np.float64)
    if dtype.is_integer() or dtype == pl.Boolean:
        low, high = (0, 1) if dtype == pl.Boolean else _limits(dtype)
        return np.clip(np.rint(values), low, high)
    return values


def _limits(dtype: pl.DataType) -> tuple[float, float]:
    """Give the least and greatest whole number of a dtype that a float64 can hold too."""
    name = str(dtype)
    bits = int(name.removeprefix("U").removeprefix("Int"))
    least, most = (0, 2**bits - 1) if name.startswith("U") else (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
    high = float(most)
    return float(least), high if int(high) <= most else float(np.nextafter(high, 0))


def replace_numbers(series: pl.Series, before: Floats, after: Floats) -> pl.Series:
    """Put new values into a column where they differ from the old; its dtype, and every other cell, stay.

    Args:
        series: The column.
        before: Its values, as `numbers_of` gives them [rows].
        after: The new values, which its dtype can hold [rows].

    Returns:
        The column with the new values.
    """
    if series.dtype.is_float() and not series.null_count():
        return pl.Series(series.name, after).cast(series.dtype)
    rows = np.flatnonzero(~((before == after) | (np.isnan(before) & np.isnan(after))))
    return with_numbers(series, rows, after[rows]) if len(rows) else series


def with_numbers(series: pl.Series, rows: npt.NDArray[np.int64], values: Floats) -> pl.Series:
    """Put new values into some rows of a column; its dtype, and every other cell, stay.

    Args:
        series: The column.
        rows: Positions of the rows.
        values: Their new values; NaN becomes an empty cell where the dtype has no NaN.

    Returns:
        The column with the new values.
    """
    new = pl.Series(series.name, values)
    dtype = series.dtype
    if not dtype.is_float():
        new = new.fill_nan(None)
        new = (new != 0) if dtype == pl.Boolean else new.cast(dtype)
    else:
        old = series.gather(pl.Series(rows, dtype=pl.UInt32))
        empty = old.is_null() & new.is_nan()
        new = pl.select(pl.when(empty).then(None).otherwise(new).cast(dtype).alias(series.name)).to_series()
    return series.clone().scatter(pl.Series(rows, dtype=pl.UInt32), new)


def with_texts(series: pl.Series, rows: npt.NDArray[np.int64], text: TextColumn) -> pl.Series:
    """Put new texts into some rows of a column; its dtype, and every other cell, stay.

    Args:
        series: The column.
        rows: Positions of the rows.
        text: Their new texts, all of which the dtype can hold.

    Returns:
        The column with the new texts.
    """
    names = [*text.names, None]
    new = pl.Series([names[code] for code in text.codes], dtype=pl.String).cast(series.dtype)
    return series.clone().scatter(pl.Series(rows, dtype=pl.UInt32), new)
