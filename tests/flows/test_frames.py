"""Frames come back as they went in."""

from __future__ import annotations

import datetime as dt
import json
from decimal import Decimal
from typing import Any

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal, assert_series_equal

from flowmint.errors import FlowmintError, ModelError, TableError
from flowmint.flows.frames import FrameFormat, restore_series, to_polars, to_series
from flowmint.flows.schema import Schema

DAYS = ["2024-02-29 12:00:00.123456", None]
PANDAS_COLUMNS: dict[str, Any] = {
    "float64": pd.Series([1.5, np.nan]),
    "float32": pd.Series([np.inf, -0.0], dtype="float32"),
    "int8": pd.Series([-128, 127], dtype="int8"),
    "uint64": pd.Series([0, 2**64 - 1], dtype="uint64"),
    "bool": pd.Series([True, False]),
    "Int64": pd.Series([2**53 + 1, None], dtype="Int64"),
    "Float64": pd.Series([0.1, None], dtype="Float64"),
    "boolean": pd.Series([True, None], dtype="boolean"),
    "str": pd.Series(["tcp", None], dtype="str"),
    "string": pd.Series(["tcp", None], dtype="string"),
    "string[python]": pd.Series(["tcp", None], dtype="string[python]"),
    "object text": pd.Series(["tcp", None], dtype=object),
    "object integers": pd.Series([1, 2], dtype=object),
    "object booleans": pd.Series([True, None], dtype=object),
    "object dates": pd.Series([dt.date(2024, 2, 29), None], dtype=object),
    "category": pd.Series(pd.Categorical(["b", None], categories=["b", "a", "never seen"])),
    "category of integers": pd.Series(pd.Categorical([17, 6], categories=[17, 6], ordered=True)),
    "category of decimals": pd.Series(pd.Categorical([0.5, None], categories=[0.5, 1.5])),
    "category of booleans": pd.Series(pd.Categorical([True, None])),
    "datetime64[us]": pd.to_datetime(pd.Series(DAYS)),
    "datetime64[ns]": pd.to_datetime(pd.Series(DAYS)).astype("datetime64[ns]"),
    "datetime64[s]": pd.to_datetime(pd.Series(["2024-02-29", None])).astype("datetime64[s]"),
    "datetime zoned": pd.to_datetime(pd.Series(DAYS)).dt.tz_localize("Europe/Berlin"),
    "timedelta64[us]": pd.to_timedelta(pd.Series([1, None]), unit="us"),
    "int64[pyarrow]": pd.Series([1, None], dtype="int64[pyarrow]"),
    "string[pyarrow]": pd.Series(["a", None], dtype=pd.ArrowDtype(pa.string())),
    "dictionary[pyarrow]": pd.Series(["a", None], dtype=pd.ArrowDtype(pa.dictionary(pa.int32(), pa.string()))),
    "timestamp[pyarrow]": pd.Series([1, None], dtype=pd.ArrowDtype(pa.timestamp("ns", "UTC"))),
}
ARROW_COLUMNS: dict[str, Any] = {
    "double": pa.array([1.5, float("nan"), None]),
    "float": pa.array([float("inf"), None], pa.float32()),
    "int64": pa.array([2**63 - 1, None]),
    "uint8": pa.array([255], pa.uint8()),
    "bool": pa.array([True, None]),
    "string": pa.array(["", None, "=1"]),
    "large_string": pa.array(["a"], pa.large_string()),
    "string_view": pa.array(["a"], pa.string_view()),
    "date32": pa.array([dt.date(2024, 2, 29)]),
    "date64": pa.array([dt.date(2024, 2, 29)], pa.date64()),
    "time": pa.array([dt.time(1, 2, 3)], pa.time64("us")),
    "timestamp": pa.array([1, None], pa.timestamp("ns")),
    "timestamp zoned": pa.array([1, None], pa.timestamp("ms", "Europe/Berlin")),
    "timestamp seconds": pa.array([1, None], pa.timestamp("s")),
    "duration": pa.array([1], pa.duration("us")),
    "dictionary": pa.array(["a", None, "b"]).dictionary_encode(),
    "small dictionary": pa.array(["a", None]).cast(pa.dictionary(pa.int8(), pa.large_string())),
    "dictionary of integers": pa.array([7, None]).dictionary_encode(),
}
POLARS_COLUMNS = [
    pl.Series("f", [1.5, float("nan"), None]),
    pl.Series("i", [2**64 - 1, 0, None], dtype=pl.UInt64),
    pl.Series("e", ["a", None, "c"], dtype=pl.Enum(["c", "b", "a"])),
    pl.Series("c", ["x", None, "y"], dtype=pl.Categorical),
    pl.Series("d", [dt.datetime(2024, 2, 29, tzinfo=dt.UTC), None, None], dtype=pl.Datetime("ms", "UTC")),
    pl.Series("s", ["", None, "-"]),
    pl.Series("b", [True, False, None]),
]


def through(frame: Any) -> Any:
    """Go in and out, the format by way of JSON."""
    frame_format = FrameFormat.from_json(json.loads(json.dumps(FrameFormat.of(frame).to_json())))
    return frame_format.restore(to_polars(frame))


@pytest.mark.parametrize("name", PANDAS_COLUMNS)
def test_a_pandas_column_comes_back_with_its_dtype(name: str) -> None:
    frame = pd.DataFrame({"column": PANDAS_COLUMNS[name]})
    pd.testing.assert_frame_equal(through(frame), frame, check_exact=True)


@pytest.mark.parametrize("name", ARROW_COLUMNS)
def test_an_arrow_column_comes_back_with_its_type(name: str) -> None:
    frame = pa.table({"column": ARROW_COLUMNS[name]})
    back = through(frame)
    assert back.schema.equals(frame.schema)
    assert back.equals(frame) or name == "double"  # NaN differs from itself
    assert str(back) == str(frame)


def test_a_polars_frame_comes_back_as_it_is() -> None:
    frame = pl.DataFrame(POLARS_COLUMNS)
    assert_frame_equal(through(frame), frame, check_exact=True)


@pytest.mark.parametrize("dtype", ["float64", "float32", "int64", "uint8", "bool"])
def test_an_array_comes_back_with_its_dtype(dtype: str) -> None:
    array = np.array([[1, 0], [0, 1], [1, 1]]).astype(dtype)
    assert to_polars(array).columns == ["x0", "x1"]
    back = through(array)
    assert back.dtype == array.dtype
    assert np.array_equal(back, array)


@given(st.lists(st.floats(width=64) | st.none(), min_size=1))
def test_nan_and_empty_cells_stay_apart(values: list[float | None]) -> None:
    series = pl.Series("x", values, dtype=pl.Float64)
    for frame in (pl.DataFrame(series), pa.table({"x": pa.array(values, pa.float64())})):
        assert_series_equal(to_polars(frame)["x"], series, check_exact=True)


def test_columns_of_all_kinds_keep_their_order_and_the_input_is_unchanged() -> None:
    frame = pd.DataFrame(dict(reversed(PANDAS_COLUMNS.items())))
    before = frame.copy(deep=True)
    assert list(through(frame).columns) == list(frame.columns)
    pd.testing.assert_frame_equal(frame, before)


def test_a_pandas_index_is_left_aside() -> None:
    frame = pd.DataFrame({"x": [1, 2]}, index=["a", "b"])
    assert list(through(frame).index) == [0, 1]


def test_a_format_restores_rows_that_were_never_there() -> None:
    frame = pd.DataFrame(PANDAS_COLUMNS)
    none = FrameFormat.of(frame).restore(to_polars(frame).clear())
    assert (none.dtypes == frame.dtypes).all()
    assert not len(none)


def test_categories_without_a_row_are_kept() -> None:
    frame = pd.DataFrame({"c": pd.Categorical(["a"], categories=["z", "a"])})
    assert to_polars(frame).schema["c"] == pl.Enum(["z", "a"])


@pytest.mark.parametrize(
    ("frame", "said"),
    [
        (pd.DataFrame([[1, 2]], columns=["a", "a"]), "'a' is there 2 times"),
        (pa.Table.from_arrays([pa.array([1]), pa.array([2])], names=["a", "a"]), "'a' is there 2 times"),
        (pd.DataFrame([[1, 2]]), "column name 0 is no text"),
        (pl.LazyFrame({"a": [1]}), "collect()"),
        ([[1, 2]], "is a list"),
        (np.zeros(3), "shape [3]"),
        (np.array([["a"]]), "dtype <U1"),
        (pd.DataFrame({"a": [1, "x"]}), "mixes int and str, such as 1 and 'x'"),
        (pd.DataFrame({"a": [True, 2]}, dtype=object), "mixes bool and int"),
        (pd.DataFrame({"a": [2**53 + 1, 0.5]}, dtype=object), "would lose digits"),
        (pd.DataFrame({"a": [2**70]}, dtype=object), "'a': dtype Int128"),
        (pd.DataFrame({"a": [np.zeros(2)]}), "column 'a'"),
        (pd.DataFrame({"a": [Decimal(1)]}), "column 'a'"),
        (pd.DataFrame({"a": [1j]}), "'a' is of dtype complex128"),
        (pd.DataFrame({"a": np.zeros(1, dtype="float16")}), "column 'a'"),
        (pd.DataFrame({"a": pd.cut([1, 2], 2)}), "make them text"),
        (pd.DataFrame({"a": pd.Categorical([1, "1"])}), "make them text"),
        (pd.DataFrame({"a": pd.arrays.SparseArray([0, 1])}), "Sparse"),
        (pd.DataFrame({"a": pd.period_range("2024", periods=1, freq="D")}), "column 'a'"),
        (pa.table({"a": pa.array([[1]])}), "column 'a': dtype List(Int64)"),
        (pa.table({"a": pa.array([b"x"])}), "column 'a': dtype Binary"),
        (pa.table({"a": pa.array([Decimal("1.5")])}), "column 'a': dtype Decimal"),
        (pl.DataFrame({"a": [{"b": 1}]}), "column 'a': dtype Struct"),
        (pl.DataFrame({"a": [object()]}), "column 'a': dtype Object"),
    ],
)
def test_what_is_no_flow_table_is_refused(frame: Any, said: str) -> None:
    with pytest.raises(TableError) as caught:
        FrameFormat.of(frame).restore(to_polars(frame))
    assert said in str(caught.value)


def test_a_column_of_nothing_passes_here_and_is_refused_by_the_schema() -> None:
    table = to_polars(pd.DataFrame({"a": [None, None]}, dtype=object))
    with pytest.raises(TableError, match="'a' holds no value"):
        Schema.infer(table)


LABELS: dict[str, Any] = {
    "list": ["b", "a"],
    "tuple": (1, 2),
    "list of NumPy's integers": [np.int64(3), np.int64(4)],
    "array of integers": np.array([1, 2], dtype=np.int32),
    "array of booleans": np.array([True, False]),
    "array of text": np.array(["benign", "attack"]),
    "array of objects": np.array(["benign", "attack"], dtype=object),
    "pandas": pd.Series(["b", "a"], name="Label", index=[7, 8]).reset_index(drop=True),
    "pandas without a name": pd.Series([1, 0], dtype="int8"),
    "pandas with a number for a name": pd.Series([1, 0], name=3),
    "pandas category": pd.Series(pd.Categorical(["b", "a"]), name="Label"),
    "polars": pl.Series("Label", ["b", "a"], dtype=pl.Categorical),
    "arrow": pa.chunked_array([["b"], ["a"]]),
    "arrow dictionary": pa.array(["b", "a"]).dictionary_encode(),
}


@pytest.mark.parametrize("name", LABELS)
def test_labels_come_back_as_they_went_in(name: str) -> None:
    labels = LABELS[name]
    series = to_series(labels, "label")
    back = restore_series(series, labels)
    if isinstance(labels, pd.Series):
        pd.testing.assert_series_equal(back, labels)
    elif isinstance(labels, np.ndarray):
        assert back.dtype == labels.dtype
        assert back.tolist() == labels.tolist()
    elif isinstance(labels, pl.Series):
        assert_series_equal(back, labels)
    elif isinstance(labels, pa.Array | pa.ChunkedArray):
        assert back.type == labels.type
        assert back.to_pylist() == labels.to_pylist()
    else:
        assert type(back) is type(labels)
        assert back == labels


def test_more_labels_come_back_than_went_in() -> None:
    assert restore_series(pl.Series(["a", "b", "a"]), np.array(["a", "b"])).tolist() == ["a", "b", "a"]


@pytest.mark.parametrize(
    ("labels", "said"),
    [
        ([1, "a"], "mixes int and str"),
        (np.array([1, "a"], dtype=object), "mixes int and str"),
        (np.zeros((2, 2)), "one label for each row"),
        ("Label", "is a str"),
        (pd.DataFrame({"y": [1]}), "is a DataFrame"),
        (np.array([1j]), "Object"),
        ([[1], [2]], "List"),
        ([object()], "Object"),
    ],
)
def test_what_is_no_column_of_labels_is_refused(labels: Any, said: str) -> None:
    with pytest.raises(TableError) as caught:
        to_series(labels, "label")
    assert said in str(caught.value)


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=6,
)
KINDS = st.sampled_from(["polars", "pandas", "pyarrow", "numpy"])
DTYPES = st.sampled_from(
    [
        "int64",
        "S9",
        "category",
        "datetime64[ns, Mars]",
        {"arrow": "list<item: int64>"},
        {"string": "python", "nan": True},
        {"categories": ["a"], "of": "object", "ordered": False},
        {"categories": [1, 1], "of": "int64", "ordered": False},
    ]
)


@given(JSON | st.fixed_dictionaries({"kind": KINDS, "dtypes": st.lists(JSON | DTYPES, max_size=2)}))
def test_a_hostile_format_is_refused_or_restores(obj: Any) -> None:
    try:
        FrameFormat.from_json(obj).restore(pl.DataFrame({"x": [1]}))
    except FlowmintError as error:
        assert isinstance(error, ModelError)
