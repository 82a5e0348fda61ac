"""Frames: pandas, Polars and Arrow tables in, Polars inside, the same kind with the same dtypes out."""

from __future__ import annotations

import re
from dataclasses import dataclass
from math import isnan
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, cast

import narwhals as nw
import numpy as np
import polars as pl
import pyarrow as pa

from flowmint.errors import ModelError, TableError
from flowmint.flows.schema import check_dtype

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import numpy.typing as npt
    import pandas as pd

Native: TypeAlias = Any
"""A pandas, Polars or Arrow frame, or a NumPy array [rows, columns]."""

FrameKind = Literal["polars", "pandas", "pyarrow", "numpy"]
DtypeText = str | dict[str, Any]

FOREIGN_ERRORS = (pl.exceptions.PolarsError, pa.ArrowException, TypeError, ValueError, OverflowError, LookupError)
"""What the libraries raise for values that they cannot take."""

PANDAS_DTYPE = re.compile(
    r"u?int(8|16|32|64)|float(32|64)|bool|object|U?Int(8|16|32|64)|Float(32|64)|boolean"
    r"|(datetime|timedelta)64\[(s|ms|us|ns)(, [^\]]+)?\]"
)
"""Names of the pandas dtypes that need no further description."""

ARROW_DICTIONARY = re.compile(r"dictionary<values=(\w+), indices=(u?int\d+), ordered=([01])>")
ARROW_ZONED = re.compile(r"timestamp\[(s|ms|us|ns), tz=([^\]]+)\]")
ARROW_NAMES = {"double": "float64", "float": "float32", "date32[day]": "date32", "date64[ms]": "date64"}


def to_polars(frame: Native) -> pl.DataFrame:
    """Turn a frame into a Polars frame with columns that Flowmint understands.

    Args:
        frame: A pandas, Polars or Arrow frame [rows, columns], or a NumPy array of numbers, whose columns
            are then named ``x0``, ``x1`` and so on. A pandas index is left aside.

    Returns:
        The same columns and values. NaN stays NaN and differs from the empty cell; a pandas categorical
        becomes an Enum of its categories' text.

    Raises:
        TableError: It is no frame, or a column's name, dtype or mixture of values is not usable.
    """
    kind = _kind(frame)
    _check_names(list(frame.column_names if kind == "pyarrow" else [] if kind == "numpy" else frame.columns))
    if kind == "numpy":
        table = _from_array(frame)
    elif kind == "pandas":
        table = pl.DataFrame([_from_pandas(frame[name], name) for name in frame.columns])
    elif kind == "pyarrow":
        table = pl.DataFrame([_from_arrow(frame[name], name) for name in frame.column_names])
    else:
        table = cast("pl.DataFrame", frame)
    for series in table.iter_columns():
        check_dtype(series)
    return table


def to_series(values: Any, name: str) -> pl.Series:  # noqa: ANN401 - any kind of column
    """Turn labels into a Polars series.

    Args:
        values: A list, tuple, NumPy array, or pandas, Polars or Arrow column [rows].
        name: Name of the result where the values carry none.

    Returns:
        The labels [rows].

    Raises:
        TableError: They are no column of text, numbers or booleans.
    """
    if isinstance(values, pl.Series):
        series = values
    elif isinstance(values, pa.ChunkedArray | pa.Array):
        series = _from_arrow(values, name)
    elif nw.dependencies.is_pandas_series(values):
        series = _from_pandas(values, values.name if isinstance(values.name, str) else name)
    elif isinstance(values, np.ndarray):
        if values.ndim != 1:
            message = f"{name} has shape {list(values.shape)}; give one label for each row"
            raise TableError(message)
        series = _from_objects(values.tolist(), name) if values.dtype.kind in "OUS" else _from_numbers(values, name)
    elif isinstance(values, list | tuple):
        series = _from_objects(values, name)
    else:
        message = f"{name} is a {type(values).__name__}; give a list, an array or one column of a frame"
        raise TableError(message)
    check_dtype(series)
    return series


def restore_series(series: pl.Series, like: Any) -> Any:  # noqa: ANN401 - the kind that came in
    """Give a series the kind and dtype of another column of labels.

    Args:
        series: Labels [rows].
        like: The labels as the caller gave them.

    Returns:
        The same labels: a NumPy array for an array, a pandas series for a pandas series, and so on.
    """
    if isinstance(like, pl.Series):
        return series.alias(like.name).cast(like.dtype)
    if isinstance(like, pa.ChunkedArray | pa.Array):
        return pa.chunked_array([_to_arrow(series, str(like.type))])
    if nw.dependencies.is_pandas_series(like):
        restored = _to_pandas(series, _describe(like.dtype, str(like.name)))
        restored.name = like.name
        return restored
    if isinstance(like, np.ndarray):
        return np.array(series.to_list(), dtype=like.dtype)
    return type(like)(series.to_list())


@dataclass(frozen=True)
class FrameFormat:
    """The kind of a frame and the dtypes of its columns, so that the same kind can be given back.

    Attributes:
        kind: The library.
        dtypes: For pandas and Arrow, a description of each column's dtype; for NumPy, the array's; empty for
            Polars, whose dtypes are the schema's.
    """

    kind: FrameKind
    dtypes: tuple[DtypeText, ...] = ()

    @classmethod
    def of(cls, frame: Native) -> FrameFormat:
        """Describe a frame's kind and dtypes.

        Args:
            frame: What `to_polars` takes.

        Returns:
            The description.

        Raises:
            TableError: It is no frame, or a dtype is not usable.
        """
        kind = _kind(frame)
        if kind == "pandas":
            return cls(kind, tuple(_describe(dtype, str(name)) for name, dtype in frame.dtypes.items()))
        if kind == "pyarrow":
            return cls(kind, tuple(str(field.type) for field in frame.schema))
        return cls(kind, (str(frame.dtype),)) if kind == "numpy" else cls(kind)

    def restore(self, table: pl.DataFrame) -> Native:
        """Turn a Polars table into a frame of this kind.

        Args:
            table: Columns in the described frame's order.

        Returns:
            A frame with the described kind and dtypes.

        Raises:
            ModelError: The description, or a missing library, does not allow it.
        """
        if self.kind == "polars":
            return table
        try:
            if self.kind == "numpy":
                return table.to_numpy().astype(np.dtype(cast("str", self.dtypes[0])))
            pairs = list(zip(table.iter_columns(), self.dtypes, strict=True))
            if self.kind == "pyarrow":
                arrays = [_to_arrow(series, str(dtype)) for series, dtype in pairs]
                return pa.Table.from_arrays(arrays, names=table.columns)
            import pandas as pd  # noqa: PLC0415 - an extra, and slow to load

            return pd.DataFrame({s.name: _to_pandas(s, d) for s, d in pairs}, index=range(table.height))
        except ImportError as error:
            message = "the model was fitted on a pandas frame; install pandas, or use sample_table for a Polars frame"
            raise ModelError(message) from error
        except FOREIGN_ERRORS as error:
            message = f"the model's frame format does not fit its columns: {error}"
            raise ModelError(message) from error

    def to_json(self) -> dict[str, Any]:
        """Describe the format in JSON."""
        return {"kind": self.kind, "dtypes": list(self.dtypes)}

    @classmethod
    def from_json(cls, obj: object) -> FrameFormat:
        """Rebuild a format from `to_json`'s answer.

        Raises:
            ModelError: It is no such answer.
        """
        match obj:
            case {"kind": "pandas", "dtypes": list() as dtypes} if all(map(_is_pandas_description, dtypes)):
                return cls("pandas", tuple(dtypes))
            case {"kind": "pyarrow", "dtypes": list() as dtypes} if all(isinstance(d, str) for d in dtypes):
                return cls("pyarrow", tuple(dtypes))
            case {"kind": "numpy", "dtypes": [str() as dtype]} if PANDAS_DTYPE.fullmatch(dtype):
                return cls("numpy", (dtype,))
            case {"kind": "polars", "dtypes": []}:
                return cls("polars")
        message = "the model's frame format is damaged"
        raise ModelError(message)


def _kind(frame: Native) -> FrameKind:
    if isinstance(frame, pl.LazyFrame):
        message = "the table is a LazyFrame; call collect() first"
        raise TableError(message)
    if isinstance(frame, pl.DataFrame):
        return "polars"
    if isinstance(frame, pa.Table):
        return "pyarrow"
    if nw.dependencies.is_pandas_dataframe(frame):
        return "pandas"
    if isinstance(frame, np.ndarray):
        return "numpy"
    message = f"the table is a {type(frame).__name__}; give a pandas, Polars or Arrow frame"
    raise TableError(message)


def _check_names(names: Sequence[object]) -> None:
    seen = set()
    for name in names:
        if not isinstance(name, str):
            message = (
                f"column name {name!r} is no text; rename it, in pandas by frame.columns = frame.columns.astype(str)"
            )
            raise TableError(message)
        if name in seen:
            message = f"the column {name!r} is there {names.count(name)} times; rename or drop the others"
            raise TableError(message)
        seen.add(name)


def _from_array(array: npt.NDArray[Any]) -> pl.DataFrame:
    if array.ndim != 2 or not PANDAS_DTYPE.fullmatch(str(array.dtype)) or array.dtype.kind not in "biuf":
        message = (
            f"the table is an array of shape {list(array.shape)} and dtype {array.dtype}; "
            "give a frame, or an array of numbers [rows, columns]"
        )
        raise TableError(message)
    return pl.DataFrame([_from_numbers(array[:, index], f"x{index}") for index in range(array.shape[1])])


def _from_numbers(array: npt.NDArray[Any], name: str) -> pl.Series:
    try:
        return pl.Series(name, array, nan_to_null=False)
    except FOREIGN_ERRORS as error:
        raise _unsupported(name, array.dtype) from error


def _from_arrow(column: Any, name: str) -> pl.Series:  # noqa: ANN401 - pyarrow has no types
    try:
        return cast("pl.Series", pl.from_arrow(column)).alias(name)
    except FOREIGN_ERRORS as error:
        raise _unsupported(name, column.type) from error


def _from_pandas(column: pd.Series[Any], name: str) -> pl.Series:
    dtype = column.dtype
    if str(dtype) == "object":
        return _from_objects(list(column), name)
    if str(dtype) == "category":
        categories = [str(category) for category in _categories(dtype, name)]
        codes = pl.Series(name, column.cat.codes.to_numpy().astype(np.int64))
        codes = codes.set(codes == -1, None)
        return pl.Series(name, categories, dtype=pl.Enum(categories)).gather(codes)
    if isinstance(dtype, np.dtype) and dtype.kind == "f":
        return _from_numbers(column.to_numpy(), name)
    try:
        array = pa.Array.from_pandas(column)
    except FOREIGN_ERRORS as error:
        raise _unsupported(name, dtype) from error
    return _from_arrow(array, name)


def _from_objects(given: Iterable[Any], name: str) -> pl.Series:
    """Turn Python values of one type into a series; None, NaN and NA among text or booleans are empty cells."""
    values = [value.item() if isinstance(value, np.generic) else value for value in given]
    numbers = all(type(value) in {int, float} for value in values if value is not None)
    if not numbers:
        values = [None if _is_absent(value) else value for value in values]
        _check_one_type(values, name)
    try:
        series = pl.Series(name, values, strict=not numbers, nan_to_null=False)
    except FOREIGN_ERRORS as error:
        raise _unsupported(name, "object") from error
    if numbers and series.dtype.is_float():
        _check_exact(values, name)
    return series


def _is_absent(value: object) -> bool:
    return value is None or (isinstance(value, float) and isnan(value)) or type(value).__name__ in {"NAType", "NaTType"}


def _check_one_type(values: Sequence[object], name: str) -> None:
    first = next((value for value in values if value is not None), None)
    for value in values:
        if value is not None and type(value) is not type(first):
            message = (
                f"column {name!r} mixes {type(first).__name__} and {type(value).__name__}, such as {first!r:.40} and "
                f"{value!r:.40}; make all of them one type"
            )
            raise TableError(message)


def _check_exact(values: Sequence[Any], name: str) -> None:
    for value in values:
        if isinstance(value, int) and int(float(value)) != value:
            message = f"column {name!r} has decimals beside {value}, which would lose digits; make all of them one type"
            raise TableError(message)


def _unsupported(name: str, dtype: object) -> TableError:
    message = f"column {name!r} is of dtype {dtype}; use text, numbers, booleans, categories, dates or times"
    return TableError(message)


def _categories(dtype: Any, name: str) -> list[Any]:  # noqa: ANN401 - a pandas dtype
    """List a categorical's categories as Python values whose text tells them apart."""
    categories = [value.item() if isinstance(value, np.generic) else value for value in dtype.categories]
    plain = all(isinstance(value, str | int | float) for value in categories)
    if not plain or len({str(value) for value in categories}) < len(categories):
        message = f"column {name!r} has categories such as {categories[0]!r:.40}; make them text by astype(str)"
        raise TableError(message)
    return categories


def _describe(dtype: Any, name: str) -> DtypeText:  # noqa: ANN401 - a pandas dtype
    """Describe a pandas dtype in JSON."""
    if PANDAS_DTYPE.fullmatch(str(dtype)):
        return str(dtype)
    if str(dtype) == "category":
        categories = _categories(dtype, name)
        of = _describe(dtype.categories.dtype, name)
        return {"categories": categories, "of": of, "ordered": bool(dtype.ordered)}
    if hasattr(dtype, "pyarrow_dtype"):
        return {"arrow": str(dtype.pyarrow_dtype)}
    if type(dtype).__name__ == "StringDtype":
        return {"string": dtype.storage, "nan": isinstance(dtype.na_value, float)}
    raise _unsupported(name, dtype)


def _is_pandas_description(dtype: object) -> bool:
    match dtype:
        case str():
            return PANDAS_DTYPE.fullmatch(dtype) is not None
        case {"categories": list() as categories, "of": of, "ordered": bool()}:
            plain = all(isinstance(value, str | int | float) for value in categories)
            return plain and not (isinstance(of, dict) and "categories" in of) and _is_pandas_description(of)
        case {"arrow": str()} | {"string": "python" | "pyarrow", "nan": bool()}:
            return True
    return False


def _pandas_dtype(described: DtypeText) -> Any:  # noqa: ANN401 - a pandas dtype
    """Rebuild a pandas dtype from `_describe`'s answer."""
    import pandas as pd  # noqa: PLC0415 - an extra, and slow to load

    match described:
        case {"categories": list() as categories, "of": of, "ordered": ordered}:
            return pd.CategoricalDtype(pd.Index(categories, dtype=_pandas_dtype(of)), ordered=bool(ordered))
        case {"arrow": arrow}:
            return pd.ArrowDtype(_arrow_type(str(arrow)))
        case {"string": storage, "nan": nan}:
            return pd.StringDtype(storage, na_value=np.nan if nan else pd.NA)
    return pd.api.types.pandas_dtype(described)


def _to_pandas(series: pl.Series, described: DtypeText) -> pd.Series[Any]:
    import pandas as pd  # noqa: PLC0415 - an extra, and slow to load

    dtype = _pandas_dtype(described)
    if isinstance(dtype, pd.CategoricalDtype):
        names = {str(category): code for code, category in enumerate(dtype.categories)}
        codes = [-1 if name is None else names[name] for name in series.cast(pl.String).to_list()]
        return pd.Series(pd.Categorical.from_codes(codes, dtype=dtype), name=series.name)
    if str(dtype) == "object":
        return pd.Series(series.to_list(), name=series.name, dtype=object)
    if hasattr(dtype, "__from_arrow__"):
        text = series.cast(pl.String) if isinstance(series.dtype, pl.Enum | pl.Categorical) else series
        target = dtype.pyarrow_dtype if isinstance(dtype, pd.ArrowDtype) else None
        array = text.to_arrow() if target is None else _to_arrow(text, str(target))
        return pd.Series(dtype.__from_arrow__(array), name=series.name)
    return pd.Series(series.to_numpy(), name=series.name).astype(dtype)


def _to_arrow(series: pl.Series, dtype: str) -> pa.Array:
    """Turn a series into an Arrow array of the type that reads like ``dtype``."""
    if isinstance(series.dtype, pl.Enum | pl.Categorical):
        series = series.cast(pl.String)
    if found := ARROW_DICTIONARY.fullmatch(dtype):
        encoded = series.to_arrow().cast(_arrow_type(found[1])).dictionary_encode()
        indices = encoded.indices.cast(_arrow_type(found[2]))
        return pa.DictionaryArray.from_arrays(indices, encoded.dictionary, ordered=found[3] == "1")
    return series.to_arrow().cast(_arrow_type(dtype))


def _arrow_type(name: str) -> pa.DataType:
    """Read a type's own text back: ``int64``, ``timestamp[us, tz=UTC]``, ``large_string`` and the like."""
    if found := ARROW_ZONED.fullmatch(name):
        return pa.timestamp(found[1], tz=found[2])
    if found := ARROW_DICTIONARY.fullmatch(name):
        return pa.dictionary(_arrow_type(found[2]), _arrow_type(found[1]), ordered=found[3] == "1")
    return pa.string_view() if name == "string_view" else pa.type_for_alias(ARROW_NAMES.get(name, name))
