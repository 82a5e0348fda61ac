"""What goes through the encoder comes back exactly."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from polars.testing import assert_frame_equal
from scipy.stats import kstest

from flowmint.encode.encoder import Encoder
from flowmint.errors import ModelError, TableError
from flowmint.flows.read import read_table
from flowmint.flows.schema import Schema

if TYPE_CHECKING:
    from pathlib import Path

FLOWS = ("ciciomt2024", "ciciot2023_sample", "nsl_kdd_train20", "nsl_kdd_test", "unsw_nb15")

VALUES = {
    pl.Float64: st.floats(),
    pl.Float32: st.floats(width=32),
    pl.Int64: st.integers(-(2**63), 2**63 - 1),
    pl.UInt64: st.integers(0, 2**64 - 1),
    pl.Int8: st.integers(-128, 127),
    pl.Boolean: st.booleans(),
    pl.String: st.text(max_size=5),
}


def fit(table: pl.DataFrame, **options: Any) -> Encoder:
    return Encoder.fit(table, Schema.infer(table), **options)


def assert_comes_back(table: pl.DataFrame) -> None:
    encoder = fit(table)
    back = encoder.decode(encoder.encode(table, seed=0))
    assert back.schema == table.schema
    assert_frame_equal(back, table, check_exact=True)


@st.composite
def any_column(draw):
    dtype = draw(st.sampled_from(list(VALUES)))
    values = draw(st.lists(st.none() | VALUES[dtype], min_size=1, max_size=30))
    return pl.Series("x", values, dtype=dtype, strict=True)


@given(any_column())
def test_any_column_comes_back_exactly(column):
    table = column.to_frame()
    try:
        Schema.infer(table)
    except TableError:
        return  # no value at all
    assert_comes_back(table)


@given(any_column(), st.integers(0, 10))
@settings(max_examples=30)
def test_encoded_columns_are_finite(column, seed):
    table = column.to_frame()
    try:
        encoder = fit(table)
    except TableError:
        return
    tensor = encoder.encode(table, seed=seed)
    assert tensor.dtype == np.float32
    assert tensor.shape == (len(column), int(encoder.supports[0].states > 1))
    assert np.isfinite(tensor).all()


@pytest.mark.parametrize("name", FLOWS)
def test_every_value_of_every_real_table_comes_back_exactly(real_data: Path, name):
    assert_comes_back(pl.read_parquet(real_data / "flows" / f"{name}.parquet"))


def test_every_value_of_every_real_capture_comes_back_exactly(real_data: Path):
    assert_comes_back(read_table(real_data / "captures" / "ciciot2023", label_from_name=True))


@pytest.mark.parametrize(
    ("values", "named"),
    [([1.5, 2.5, 3.5], False), ([True, False, True], False), (["a", "b", "a"], False), (["a", "b", "c"], True)],
)
def test_a_table_is_named_where_a_column_has_more_than_two_categories(values, named):
    assert fit(pl.DataFrame({"column": values, "number": [1.0, 2.0, 3.0]})).named == named


def test_missing_and_infinite_values_are_states_of_their_own():
    column = pl.Series("x", [1.0, None, float("nan"), float("inf"), float("-inf"), 1.0])
    encoder = fit(column.to_frame())
    assert encoder.supports[0].states == 5
    assert_comes_back(column.to_frame())


def test_a_constant_column_takes_no_place_and_comes_back():
    table = pl.DataFrame({"constant": [7, 7, 7], "text": ["a", "a", "a"], "x": [1.5, 2.5, 3.5]})
    assert fit(table).encode(table, seed=0).shape == (3, 1)
    assert_comes_back(table)


@pytest.mark.parametrize(
    "column",
    [
        np.random.default_rng(0).pareto(1.0, 4000),
        np.random.default_rng(0).poisson(0.1, 4000),
        np.where(np.arange(4000) % 9 == 0, np.nan, np.random.default_rng(0).random(4000)),
        np.random.default_rng(0).choice(["tcp", "udp", "icmp"], 4000),
    ],
    ids=["heavy tail", "mostly zero", "missing values", "categories"],
)
def test_encoded_columns_are_standard_normal_whatever_their_shape(column):
    table = pl.DataFrame({"x": column})
    tensor = fit(table).encode(table, seed=1)[:, 0]
    assert kstest(tensor, "norm").pvalue > 1e-3


def test_the_same_seed_gives_the_same_tensor_and_another_another():
    table = pl.DataFrame({"x": [1, 1, 2, 2, 3]})
    encoder = fit(table)
    one, two, other = (encoder.encode(table, seed=seed) for seed in (3, 3, 4))
    assert (one == two).all()
    assert (one != other).any()


def test_any_normal_number_decodes_to_a_value_that_was_seen():
    table = pl.DataFrame({"x": [1.5, 2.5, 400.0], "c": ["a", "b", None]})
    decoded = fit(table).decode(np.random.default_rng(0).normal(0, 9, (500, 2)))
    assert set(decoded["x"]) == {1.5, 2.5, 400.0}
    assert set(decoded["c"]) == {"a", "b", None}


def test_frequent_values_are_decoded_as_often_as_they_were_seen():
    table = pl.DataFrame({"x": [0] * 90 + [1] * 9 + [2]})
    decoded = fit(table).decode(np.random.default_rng(0).normal(size=(20_000, 1)))
    shares = np.bincount(decoded["x"].to_numpy()) / 20_000
    assert shares == pytest.approx([0.90, 0.09, 0.01], abs=0.01)


def test_weights_widen_the_intervals_of_their_rows():
    table = pl.DataFrame({"x": [0, 0, 1]})
    encoder = fit(table, weights=np.array([1.0, 1.0, 2.0]))
    assert encoder.supports[0].edges.tolist() == [0.0, 0.5, 1.0]


def test_columns_in_another_order_are_encoded_alike():
    table = pl.DataFrame({"a": [1, 2, 3], "b": [0.5, 0.25, 0.125]})
    encoder = fit(table)
    assert (encoder.encode(table, seed=0) == encoder.encode(table.select("b", "a"), seed=0)).all()


@pytest.mark.parametrize(
    ("other", "fragment"),
    [
        (pl.DataFrame({"a": [1]}), "missing 'c'"),
        (pl.DataFrame({"a": [1], "c": ["x"], "d": [1]}), "unexpected 'd'"),
        (pl.DataFrame({"a": [1.0], "c": ["x"]}), "'a' is Float64 instead of Int64"),
        (pl.DataFrame({"a": [1], "c": ["xy"]}), "'xy'"),
        (pl.DataFrame({"a": [None], "c": ["x"]}, schema={"a": pl.Int64, "c": pl.String}), "empty cells"),
    ],
)
def test_a_table_that_was_not_fitted_is_refused(other, fragment):
    encoder = fit(pl.DataFrame({"a": [1, 2], "c": ["x", "y"]}))
    with pytest.raises(TableError, match=fragment):
        encoder.encode(other, seed=0)


def test_a_number_that_was_not_seen_counts_as_the_nearest():
    encoder = fit(pl.DataFrame({"a": [1.0, 10.0]}))
    assert encoder.states(pl.DataFrame({"a": [-5.0, 2.0, 9.0, 99.0]}))[:, 0].tolist() == [0, 0, 1, 1]


@given(any_column())
def test_the_state_rebuilds_the_encoder(column):
    table = column.to_frame()
    try:
        encoder = fit(table)
    except TableError:
        return
    arrays, columns = encoder.to_state()
    again = Encoder.from_state(encoder.schema, arrays, columns)
    assert (again.encode(table, seed=0) == encoder.encode(table, seed=0)).all()


DAMAGES = {
    "falling edges": lambda arrays, _: arrays.update({"encoder/0/edges": np.array([0.0, 2.0, 1.0])}),
    "too few edges": lambda arrays, _: arrays.update({"encoder/0/edges": np.array([0.0])}),
    "falling values": lambda arrays, _: arrays.update({"encoder/0/values": np.array([2, 1])}),
    "values of another kind": lambda arrays, _: arrays.update({"encoder/0/values": np.array([1.0, 2.0])}),
    "too few columns": lambda _, columns: columns.pop(),
    "a category that is no text": lambda _, columns: columns[1]["categories"].__setitem__(0, 7),
    "a category twice": lambda _, columns: columns[1].update(categories=["x", "x"]),
}


@pytest.mark.parametrize("damage", DAMAGES.values(), ids=DAMAGES.keys())
def test_a_damaged_state_is_refused(damage):
    encoder = fit(pl.DataFrame({"a": [1, 2], "c": ["x", "y"]}))
    arrays, columns = encoder.to_state()
    damage(arrays, columns)
    with pytest.raises(ModelError):
        Encoder.from_state(encoder.schema, arrays, columns)
