"""Inspection counts what is there, and points at what looks suspicious."""

from __future__ import annotations

import json

import pandas as pd
import polars as pl
import pytest

from flowmint.errors import LabelError
from flowmint.flows.inspect import inspect_table

ROWS = 40
TABLE = pl.DataFrame(
    {
        "id": range(ROWS),
        "session": [f"s{i * 7 % ROWS}" for i in range(ROWS)],
        "rate": [float("inf"), float("nan"), None, -1.5] + [2.5] * (ROWS - 4),
        "constant": [3] * ROWS,
        "nothing": pl.Series([None] * ROWS, dtype=pl.Float64),
        "size": [i % 5 for i in range(ROWS)],
        "twin": [i % 5 for i in range(ROWS)],
        "number": [10] * 25 + [100] * 15,
        "Label": ["Benign"] * 25 + ["Mirai"] * 15,
    }
)


@pytest.fixture(scope="module")
def found():
    return inspect_table(TABLE, label="Label")


def column(found, name):
    return next(column for column in found.columns if column.name == name)


def test_classes_are_counted_largest_first(found):
    assert list(found.classes.items()) == [("Benign", 25), ("Mirai", 15)]
    assert (found.rows, found.label) == (ROWS, "Label")


def test_missing_and_infinite_values_are_counted_apart(found):
    rate = column(found, "rate")
    assert (rate.empty, rate.nan, rate.infinite) == (1, 1, 1)
    assert (rate.low, rate.high) == (-1.5, 2.5)
    assert (rate.top, rate.top_share) == ("2.5", 36 / 40)


@pytest.mark.parametrize(
    ("name", "remark"),
    [
        ("id", "row number or a time"),
        ("session", "identifier"),
        ("constant", "constant"),
        ("nothing", "no value"),
        ("twin", "equals 'size'"),
        ("number", "gives classes away"),
    ],
)
def test_suspicious_columns_are_remarked_on(found, name, remark):
    assert any(remark in text for text in column(found, name).remarks)


@pytest.mark.parametrize("name", ["rate", "size"])
def test_usual_columns_are_not(found, name):
    assert column(found, name).remarks == ()


def test_duplicates_and_contradictions_are_counted():
    table = pl.DataFrame({"x": [1, 1, 1, 2, 3, 3], "y": ["a", "a", "b", "a", "b", "b"]})
    found = inspect_table(table, label="y")
    assert found.duplicates == 2
    assert found.contradictions == 3


def test_small_classes_are_remarked_on():
    found = inspect_table(pl.DataFrame({"x": range(20), "y": ["a"] * 17 + ["b"] * 2 + ["c"]}), label="y")
    assert [text for text in found.remarks if "'b'" in text] == ["class 'b' has only 2 rows"]
    assert any("'c' has a single row" in text for text in found.remarks)


def test_a_single_class_is_remarked_on():
    found = inspect_table(pl.DataFrame({"x": range(20), "y": ["a"] * 20}), label="y")
    assert any("single class" in text for text in found.remarks)


def test_pandas_frames_are_inspected_alike(found):
    other = inspect_table(pd.DataFrame({"x": [1, 2], "Label": ["a", "b"]}), label="Label")
    assert other.classes == {"a": 1, "b": 1}


def test_it_can_be_written_as_json(found):
    assert json.loads(json.dumps(found.to_json(), allow_nan=False))["columns"][2]["infinite"] == 1


def test_an_unknown_label_gets_the_nearest_name():
    with pytest.raises(LabelError, match="did you mean 'Label'"):
        inspect_table(TABLE, label="Lable")


def test_the_real_tables_hold_what_is_known_of_them(real_data):
    found = inspect_table(pl.read_parquet(real_data / "flows" / "ciciomt2024.parquet"), label="Label")
    assert (found.rows, len(found.classes), found.classes["ARP_Spoofing"]) == (91_801, 19, 5_000)
    assert column(found, "Rate").infinite == 3_048
    assert sum(c.nan + c.empty for c in found.columns) == 2
    assert any("equals 'IPv'" in text for text in column(found, "LLC").remarks)
