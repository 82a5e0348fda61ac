"""Distances between distributions agree with their definitions and with SciPy."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.spatial.distance import jensenshannon
from scipy.stats import ks_2samp

from flowmint.errors import ScoreError
from flowmint.evaluate.fidelity import (
    column_errors,
    jensen_shannon_divergences,
    ks_distances,
    mmd,
    total_variations,
    wasserstein_distances,
)

NUMBERS = st.lists(st.floats(allow_nan=False, width=32) | st.integers(-3, 3).map(float), min_size=2, max_size=30)
CELLS = st.lists(st.none() | st.floats(width=32) | st.integers(-3, 3).map(float), min_size=2, max_size=30)
FUNCTIONS = (column_errors, jensen_shannon_divergences)


def column(values, dtype=None):
    return pl.DataFrame({"x": pl.Series(values, dtype=dtype)})


@given(NUMBERS, NUMBERS)
def test_ks_is_that_of_scipy(first, second):
    ours = ks_distances(column(first, pl.Float64), column(second, pl.Float64))["x",]
    assert ours == pytest.approx(ks_2samp(first, second, method="asymp").statistic)


@given(CELLS, CELLS)
def test_distances_keep_their_bounds_and_are_none_between_equals(first, second):
    one, two = column(first, pl.Float64), column(second, pl.Float64)
    for function in (*FUNCTIONS, wasserstein_distances):
        assert -1e-12 <= function(one, two)["x",] <= 1 + 1e-12
        assert function(one, one.reverse())["x",] == pytest.approx(0)
    assert ks_distances(one, two)["x",] == pytest.approx(ks_distances(two, one)["x",])


def test_total_variation_is_half_the_sum_of_differences():
    first, second = column(["a", "a", "b", None]), column(["a", "c", "c", None])
    assert total_variations(first, second) == {("x",): pytest.approx(0.5)}


@pytest.mark.parametrize("odd", [None, math.nan, math.inf, -math.inf])
def test_missing_and_infinite_cells_count(odd):
    assert ks_distances(column([1.0, 2.0, 3.0, 4.0]), column([1.0, 2.0, 3.0, odd]))["x",] == pytest.approx(0.25)
    assert ks_distances(column([odd, 1.0]), column([1.0, odd]))["x",] == 0


def test_an_empty_cell_is_no_nan():
    assert ks_distances(column([1.0, None]), column([1.0, math.nan]))["x",] == 0.5


def test_every_kind_of_column_has_an_error(draw):
    real, minted = draw(400, 0), draw(400, 1)
    for function in FUNCTIONS:
        assert list(function(real, minted)) == [(name,) for name in real.columns]
    assert set(ks_distances(real, minted)) == {("Size",), ("Rate",), ("Count",)}
    assert set(total_variations(real, minted)) == {("Protocol",), ("Flag",), ("Label",)}


def test_wasserstein_tells_how_far_where_ks_tells_only_that():
    real = column(np.arange(1000.0))
    near, far = real.with_columns(pl.col("x") + 100), real.with_columns(pl.col("x") + 500)
    assert wasserstein_distances(real, near)["x",] == pytest.approx(0.1, abs=0.01)  # minus what lies beyond the end
    assert wasserstein_distances(real, far)["x",] > 3 * wasserstein_distances(real, near)["x",]


def test_wasserstein_knows_no_units():
    first, second = column(np.arange(50.0)), column(np.arange(10.0, 40.0))
    bent = [table.select((pl.col("x") / 5).exp()) for table in (first, second)]
    assert wasserstein_distances(*bent)["x",] == pytest.approx(wasserstein_distances(first, second)["x",])


def test_jensen_shannon_is_that_of_scipy():
    rng = np.random.default_rng(0)
    first, second = rng.choice(list("abc"), 500, p=[0.5, 0.3, 0.2]), rng.choice(list("abc"), 500)
    shares = [[np.mean(part == name) for name in "abc"] for part in (first, second)]
    ours = jensen_shannon_divergences(column(first), column(second))["x",]
    assert ours == pytest.approx(jensenshannon(*shares, base=2) ** 2)


def test_what_shares_nothing_is_one_bit_apart():
    assert jensen_shannon_divergences(column(["a", "a"]), column(["b", "b"]))["x",] == pytest.approx(1)
    assert total_variations(column(["a", "a"]), column(["b", "b"]))["x",] == 1


def test_huge_whole_numbers_and_dates_are_compared():
    huge = column([2**63 - 1, 0], pl.UInt64)
    assert ks_distances(huge, huge.reverse())["x",] == 0
    assert ks_distances(column([1, 2]).cast(pl.Date), column([1, 9]).cast(pl.Date))["x",] == 0.5


def test_mmd_is_around_zero_for_one_distribution_and_above_for_two():
    rng = np.random.default_rng(0)
    same = [mmd(rng.normal(size=(200, 3)), rng.normal(size=(200, 3))) for _ in range(20)]
    assert abs(np.mean(same)) < 0.002
    assert min(same) < 0 < max(same)
    assert mmd(rng.normal(size=(200, 3)), 1 + rng.normal(size=(200, 3))) > 0.1


def test_mmd_is_the_mean_of_kernels():
    rng = np.random.default_rng(1)
    x, y = rng.normal(size=(12, 2)), rng.normal(size=(15, 2)) + 0.5
    distances = [math.dist(a, b) for i, a in enumerate(x) for b in x[:i]]
    width = np.median(distances)

    def kernel(a, b):
        return math.exp(-(math.dist(a, b) ** 2) / (2 * width**2))

    within = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    other = np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    between = np.mean([kernel(a, b) for a in x for b in y])
    assert mmd(x, y) == pytest.approx(within + other - 2 * between, rel=0.02)


def test_rows_that_are_all_alike_have_a_discrepancy_too():
    assert mmd(np.zeros((20, 2)), np.zeros((20, 2))) == 0
    assert mmd(np.zeros((20, 2)), np.ones((20, 2))) > 0


def test_too_few_rows_are_no_score():
    with pytest.raises(ScoreError, match="at least 2"):
        column_errors(column([1.0]), column([1.0, 2.0]))
    with pytest.raises(ScoreError, match="at least 10"):
        mmd(np.zeros((9, 2)), np.zeros((20, 2)))
