"""Relations between columns are those of NumPy, SciPy and scikit-learn, gaps and infinities apart."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import spearmanr
from sklearn.metrics import normalized_mutual_info_score

from flowmint.errors import ScoreError
from flowmint.evaluate.dependency import (
    contingency_errors,
    mutual_information_errors,
    mutual_information_matrix,
    pearson_errors,
    pearson_matrix,
    spearman_errors,
    spearman_matrix,
)

FUNCTIONS = (pearson_errors, spearman_errors, mutual_information_errors, contingency_errors)
CELLS = st.lists(
    st.tuples(st.none() | st.floats(width=64), st.integers(-(2**60), 2**60), st.sampled_from([None, "a", "b"])),
    min_size=10,
    max_size=25,
)


def table(rows):
    return pl.DataFrame(rows, schema={"x": pl.Float64, "n": pl.Int64, "c": pl.String}, orient="row")


def normal(rows, seed, correlation):
    rng = np.random.default_rng(seed)
    x = rng.normal(size=rows)
    return pl.DataFrame({"x": x, "y": correlation * x + math.sqrt(1 - correlation**2) * rng.normal(size=rows)})


def test_correlations_are_those_of_numpy_and_scipy():
    rows = normal(300, 0, 0.6).with_columns(z=pl.col("x").exp() * 1e9 + 1e12)
    np.testing.assert_allclose(pearson_matrix(rows), np.corrcoef(rows.to_numpy().T), atol=1e-8)
    np.testing.assert_allclose(spearman_matrix(rows), spearmanr(rows.to_numpy()).statistic, atol=1e-12)


def test_gaps_leave_each_pair_its_common_rows():
    rows = normal(300, 0, 0.6).with_columns(z=pl.col("y") ** 2)
    gaps = rows.with_columns(
        x=pl.when(pl.int_range(pl.len()) % 7 == 0).then(None).otherwise("x"),
        z=pl.when(pl.int_range(pl.len()) % 5 == 0).then(math.inf).otherwise("z"),
    )
    matrix = pearson_matrix(gaps)
    for first, second in (("x", "y"), ("x", "z"), ("y", "z")):
        both = gaps.select(first, second).filter(pl.all_horizontal(pl.all().is_finite()))
        index = gaps.columns.index(first), gaps.columns.index(second)
        assert matrix[index] == pytest.approx(both.select(pl.corr(first, second)).item())


@given(CELLS, CELLS)
def test_errors_keep_their_bounds_whatever_the_cells(first, second):
    for function in FUNCTIONS:
        assert all(0 <= error <= 1 for error in function(table(first), table(second)).values())
        assert all(error == pytest.approx(0) for error in function(table(first), table(first)).values())


@pytest.mark.parametrize("function", FUNCTIONS)
def test_a_lost_relation_costs_more_than_another_sample(function):
    real, fresh, lost = normal(2000, 0, 0.9), normal(2000, 1, 0.9), normal(2000, 2, 0.0)
    assert function(real, lost)["x", "y"] > 4 * function(real, fresh)["x", "y"]


def test_the_error_is_half_the_difference():
    real, minted = normal(500, 0, 0.9), normal(500, 1, -0.9)
    difference = pearson_matrix(real)[0, 1] - pearson_matrix(minted)[0, 1]
    assert pearson_errors(real, minted) == {("x", "y"): pytest.approx(difference / 2)}


def test_categories_are_related_to_numbers_and_to_each_other(draw):
    real, minted = draw(500, 0), draw(500, 1)
    pairs = mutual_information_errors(real, minted)
    assert len(pairs) == len(contingency_errors(real, minted)) == 6 * 5 // 2
    assert ("Count", "Label") in pairs
    assert all("Label" not in pair for pair in pearson_errors(real, minted))


def test_mutual_information_is_that_of_scikit_learn():
    rng = np.random.default_rng(0)
    a = rng.choice(list("abcd"), 400)
    b = np.where(rng.random(400) < 0.6, a, rng.choice(list("wxyz"), 400))
    ours = mutual_information_matrix(pl.DataFrame({"a": a, "b": b}))[0, 1]
    assert ours == pytest.approx(normalized_mutual_info_score(a, b, average_method="geometric"))


def test_contingency_is_the_total_variation_of_two_way_tables():
    first = pl.DataFrame({"a": list("xxyy") * 5, "b": list("ppqq") * 5})
    second = pl.DataFrame({"a": list("xxyy") * 5, "b": list("pqpq") * 5})
    assert contingency_errors(first, second) == {("a", "b"): pytest.approx(0.5)}


def test_a_column_that_became_constant_counts_as_unrelated():
    real = normal(400, 0, 0.8)
    flat = real.with_columns(y=pl.lit(0.0))
    assert pearson_errors(real, flat)["x", "y"] == pytest.approx(pearson_matrix(real)[0, 1] / 2)
    assert mutual_information_errors(real, flat)["x", "y"] == pytest.approx(mutual_information_matrix(real)[0, 1])
    assert pearson_errors(flat, real) == {}
    assert mutual_information_errors(flat, real) == {}


def test_too_few_rows_are_no_score():
    rows = normal(9, 0, 0.5)
    for function in FUNCTIONS:
        with pytest.raises(ScoreError, match="at least 10"):
            function(rows, rows)
