"""A sketch counts exactly while it can, and beyond that ranks are off by no more than it says."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmint.encode import sketch as module
from flowmint.encode.sketch import Sketch, Summary
from flowmint.encode.support import Support
from flowmint.errors import TableError
from flowmint.flows.schema import Column, kind_of

NUMBERS = st.lists(
    st.one_of(st.none(), st.integers(-5, 5).map(float), st.floats(width=32)), min_size=1, max_size=60
).map(lambda values: pl.Series("x", values, dtype=pl.Float64))


def sketch_of(series: pl.Series, *, batch: int, most: int = module.MOST_VALUES) -> Sketch:
    """Count a column in batches."""
    made = Sketch(Column(series.name, kind_of(series.dtype), series.dtype), most_values=most)
    for start in range(0, len(series), batch):
        made.add(series[start : start + batch])
    return made


def assert_same(one: Support, other: Support) -> None:
    """Two supports agree to the last bit."""
    assert one.values.dtype == other.values.dtype
    np.testing.assert_array_equal(one.values, other.values)
    np.testing.assert_array_equal(one.edges, other.edges)
    assert one.has_empty == other.has_empty


def rank_error(sketch: Sketch, values: np.ndarray) -> int:
    """By how many rows the rank of any number is off, at worst."""
    summary = sketch._finite()
    known, through = summary.values, np.concatenate([[0], np.cumsum(summary.counts)])
    points = np.unique(values)
    ordered = np.sort(values)
    told = through[np.searchsorted(known, points, side="right")]
    return int(np.abs(told - np.searchsorted(ordered, points, side="right")).max())


@given(series=NUMBERS, batch=st.integers(1, 7))
def test_few_values_are_counted_as_fitting_counts_them(series, batch):
    fitted = Support.fit(Column("x", "numeric", pl.Float64()), series, np.ones(len(series)))
    assert_same(sketch_of(series, batch=batch).support(), fitted)


@pytest.mark.parametrize(
    "series",
    [
        pl.Series("x", ["tcp", "udp", None, "tcp", "-"], dtype=pl.String),
        pl.Series("x", ["b", "a", "b"], dtype=pl.Enum(["b", "a", "c"])),
        pl.Series("x", [True, None, False, True]),
        pl.Series("x", [2**63, 2**64 - 1, 0, None], dtype=pl.UInt64),
        pl.Series("x", [1, -(2**63), 5], dtype=pl.Int64),
        pl.Series("x", [19000, 19001, None]).cast(pl.Date),
        pl.Series("x", [1.5, float("nan"), -0.0, 0.0], dtype=pl.Float32),
        pl.Series("x", [float("nan"), float("inf"), float("-inf")], dtype=pl.Float32),
        pl.Series("x", [None, float("nan")], dtype=pl.Float64),
    ],
    ids=["text", "enum", "booleans", "large", "negative", "days", "floats", "no number", "no value"],
)
@pytest.mark.parametrize("batch", [1, 2, 100])
def test_columns_of_every_kind_are_counted_as_fitting_counts_them(series, batch):
    column = Column("x", kind_of(series.dtype), series.dtype)
    assert_same(sketch_of(series, batch=batch).support(), Support.fit(column, series, np.ones(len(series))))


@given(
    seed=st.integers(0, 50),
    batches=st.lists(st.integers(1, 700), min_size=1, max_size=12),
    spikes=st.floats(0, 1),
)
def test_ranks_are_off_by_no_more_than_the_sketch_says(seed, batches, spikes):
    rng = np.random.default_rng(seed)
    values = rng.lognormal(0, 3, sum(batches))
    values[rng.random(len(values)) < spikes] = rng.choice([0.0, 7.0])
    made = Sketch(Column("x", "numeric", pl.Float64()), most_values=96)
    for part in np.split(values, np.cumsum(batches)[:-1]):
        made.add(pl.Series("x", part))
    assert made.rows == len(values)
    assert rank_error(made, values) <= made.error
    support = made.support()
    assert len(support.values) <= 96
    assert set(support.values) <= set(values)
    assert support.values[0] == values.min()
    assert support.values[-1] == values.max()


@pytest.mark.parametrize("order", ["random", "ascending", "descending"])
def test_the_error_stays_small_however_many_rows_there_are(order):
    values = np.random.default_rng(0).normal(size=200_000)
    if order != "random":
        values = np.sort(values)[:: 1 if order == "ascending" else -1]
    made = sketch_of(pl.Series("x", values), batch=4_000, most=3_000)
    assert rank_error(made, values) <= made.error
    levels = np.ceil(np.log2(200_000 / 4_000)) + 2  # one of the batches, and one of what is merged at the end
    assert made.error <= len(values) * levels * 6 / 3_000  # a step of weight for each


def test_what_weighs_much_is_counted_alone():
    rng = np.random.default_rng(0)
    values = np.where(rng.random(50_000) < 0.3, 5.0, rng.normal(5, 1, 50_000))
    support = sketch_of(pl.Series("x", values), batch=1_000, most=600).support()
    share = np.diff(support.edges)[support.values == 5.0]
    assert abs(share - (values == 5.0).mean()) <= 0.01


@given(seed=st.integers(0, 20), sizes=st.lists(st.integers(1, 300), min_size=3, max_size=3))
def test_merging_in_any_order_stays_within_the_bound(seed, sizes):
    rng = np.random.default_rng(seed)
    parts = [rng.normal(size=size) for size in sizes]
    column = Column("x", "numeric", pl.Float64())

    def one(part: np.ndarray) -> Sketch:
        made = Sketch(column, most_values=64)
        made.add(pl.Series("x", part))
        return made

    left, right = one(parts[0]), one(parts[1])
    left.merge(one(parts[1]))
    left.merge(one(parts[2]))
    right.merge(one(parts[2]))
    other = one(parts[0])
    other.merge(right)
    values = np.concatenate(parts)
    for made in (left, other):
        assert made.rows == len(values)
        assert rank_error(made, values) <= made.error


@given(series=NUMBERS, cut=st.integers(0, 60))
def test_merging_few_values_is_counting_them_together(series, cut):
    one, other = sketch_of(series[:cut], batch=9), sketch_of(series[cut:], batch=9)
    one.merge(other)
    assert_same(one.support(), sketch_of(series, batch=100).support())


@given(
    batches=st.lists(st.lists(st.one_of(st.none(), st.integers(0, 200)), max_size=60), min_size=1, max_size=20),
    piece=st.sampled_from([1, 2, 4, 8]),
)
def test_pieces_of_a_power_of_two_batches_merge_to_what_all_rows_make(batches, piece):
    column = Column("x", "integer", pl.Int64())
    whole, merged = Sketch(column, most_values=12), Sketch(column, most_values=12)
    for first in range(0, len(batches), piece):
        part = Sketch(column, most_values=12)
        for values in batches[first : first + piece]:
            for made in (whole, part):
                made.add(pl.Series("x", values, dtype=pl.Int64))
        merged.merge(part)
    assert (merged.rows, merged.error) == (whole.rows, whole.error)
    if whole.rows:
        assert_same(merged.support(), whole.support())


def test_a_summary_of_few_values_stays_as_it_is():
    few = Summary.of(np.arange(10.0))
    assert few.reduced(10) is few


def test_too_many_names_are_refused(monkeypatch):
    monkeypatch.setattr(module, "MOST_NAMES", 3)
    with pytest.raises(TableError, match=r"more than 3 different names.*--drop 'x'"):
        sketch_of(pl.Series("x", ["a", "b", "c", "d"]), batch=2)
