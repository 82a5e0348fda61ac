"""Tables are brought to the same columns, and to as many rows of each class."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmint.errors import TableError
from flowmint.evaluate.tables import Rows, align_tables, level_counts, match_rows, scale_counts, varying_columns

COUNTS = st.dictionaries(st.text(min_size=1, max_size=3), st.integers(1, 1000), min_size=1, max_size=8)


def rows_of(**counts):
    classes = pl.Series([name for name, count in counts.items() for _ in range(count)], dtype=pl.String)
    return Rows(table=pl.DataFrame({"id": np.arange(len(classes))}), classes=classes)


def test_columns_take_the_order_of_the_first_table():
    one = pl.DataFrame({"a": [1], "b": ["x"]})
    aligned = align_tables({"real": one, "minted": one.select("b", "a")})
    assert aligned["minted"].columns == ["a", "b"]


@pytest.mark.parametrize(
    ("first", "second", "common"),
    [
        (pl.Int64, pl.Float64, pl.Float64),
        (pl.Float32, pl.Float64, pl.Float32),
        (pl.Int8, pl.UInt32, pl.Int64),
        (pl.Int64, pl.UInt64, pl.Float64),
        (pl.String, pl.Categorical, pl.String),
        (pl.Null, pl.Int16, pl.Int16),
        (pl.Null, pl.Null, pl.String),
        (pl.Boolean, pl.Boolean, pl.Boolean),
        (pl.Date, pl.Date, pl.Date),
    ],
    ids=str,
)
def test_loose_dtypes_are_brought_to_one(first, second, common):
    tables = {
        name: pl.DataFrame({"a": pl.Series([None], dtype=dtype)}) for name, dtype in (("x", first), ("y", second))
    }
    assert [table.schema["a"] for table in align_tables(tables).values()] == [common, common]


def test_single_precision_finds_the_copy_that_was_written_in_double():
    single = pl.DataFrame({"a": pl.Series([0.1], dtype=pl.Float32)})
    aligned = align_tables({"real": single, "minted": pl.DataFrame({"a": [0.1]})})
    assert aligned["real"].equals(aligned["minted"])


@pytest.mark.parametrize(
    ("given", "told"),
    [
        ({"a": [1]}, "missing 'b'"),
        ({"a": [1], "b": ["x"], "origin": ["minted"]}, "unexpected 'origin'"),
        ({"a": ["1"], "b": ["x"]}, "'a' is String instead of Int64"),
        ({"a": [True], "b": ["x"]}, "'a' is Boolean instead of Int64"),
    ],
)
def test_other_columns_are_refused_with_their_difference(given, told):
    with pytest.raises(TableError, match=told) as error:
        align_tables({"real rows": pl.DataFrame({"a": [1], "b": ["x"]}), "minted rows": pl.DataFrame(given)})
    assert "minted rows are not those of the real rows" in str(error.value)


def test_an_empty_table_is_refused():
    with pytest.raises(TableError, match="minted: 0 rows"):
        align_tables({"real": pl.DataFrame({"a": [1]}), "minted": pl.DataFrame({"a": []}, schema={"a": pl.Int64})})


def test_a_column_of_lists_is_refused_by_name():
    table = pl.DataFrame({"a": [[1]]})
    with pytest.raises(TableError, match="column 'a'"):
        align_tables({"real": table, "minted": table})


def test_only_columns_with_one_value_everywhere_are_constant():
    one = pl.DataFrame({"same": [1, 1], "differs": [1, 1], "empty": [None, None], "nan": [np.nan, np.nan]})
    two = one.with_columns(differs=pl.lit(2, dtype=pl.Int64))
    assert varying_columns([one, two]) == (["differs"], ["same", "empty", "nan"])


@given(COUNTS, st.integers(1, 3000))
def test_levelled_counts_cut_the_largest_alone(counts, most):
    levelled = level_counts(counts, most)
    assert sum(levelled.values()) <= max(most, len(counts))
    assert all(1 <= levelled[name] <= counts[name] for name in counts)
    cut = [levelled[name] for name in counts if levelled[name] < counts[name]]
    assert len(set(cut)) <= 1
    assert all(levelled[name] <= cut[0] for name in counts) if cut else sum(counts.values()) <= max(most, len(counts))


@given(COUNTS, st.integers(1, 3000))
def test_scaled_counts_shrink_alike(counts, most):
    scaled = scale_counts(counts, most)
    assert sum(scaled.values()) <= max(most, 0) + len(counts)
    assert all(1 <= scaled[name] <= counts[name] for name in counts)


def test_every_table_gets_as_many_rows_of_each_class():
    real, minted, train = rows_of(a=50, b=30), rows_of(a=40, b=100, c=9), rows_of(a=100, b=25)
    comparison, by_train = match_rows(real, minted, train, most=1000, seed=0)
    assert by_train
    for drawn, source in ((comparison.real, real), (comparison.minted, minted), (comparison.fresh, train)):
        classes = source.classes[drawn["id"].to_numpy()]
        assert dict(classes.value_counts().iter_rows()) == {"a": 40, "b": 25}
        assert drawn["id"].n_unique() == drawn.height


def test_few_training_rows_leave_the_reference_to_the_other_half():
    real = rows_of(a=100)
    comparison, by_train = match_rows(real, rows_of(a=90), rows_of(a=5), most=1000, seed=0)
    assert not by_train
    assert comparison.real.height == comparison.minted.height == comparison.fresh.height == 50
    assert not set(comparison.real["id"]) & set(comparison.fresh["id"])


def test_one_held_out_row_is_compared_without_a_reference():
    comparison, _ = match_rows(rows_of(a=1), rows_of(a=9), None, most=10, seed=0)
    assert comparison.fresh is None
    assert comparison.real.height == 1


def test_the_same_seed_draws_the_same_rows():
    tables = rows_of(a=100), rows_of(a=100), rows_of(a=100)
    one, two, other = (match_rows(*tables, most=20, seed=seed)[0].minted for seed in (0, 0, 1))
    assert one.equals(two)
    assert not one.equals(other)
