"""Rows become points by what real rows teach, whatever is in the cells."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmint.evaluate.embed import FAR, MOST_CATEGORIES, Embedding

CELLS = st.lists(st.none() | st.floats(width=64), min_size=1, max_size=20)


@given(CELLS, CELLS)
def test_points_are_finite_whatever_the_numbers(seen, placed):
    embedding = Embedding.fit(pl.DataFrame({"x": pl.Series(seen, dtype=pl.Float64)}))
    points = embedding.transform(pl.DataFrame({"x": pl.Series(placed, dtype=pl.Float64)}))
    assert np.isfinite(points).all()


@given(st.lists(st.integers(-1000, 1000), min_size=2, max_size=30))
def test_neither_units_nor_tails_change_the_points(values):
    plain = pl.DataFrame({"x": pl.Series(values, dtype=pl.Float64)})
    bent = plain.select((pl.col("x") / 100).exp())
    points = [Embedding.fit(table).transform(table) for table in (plain, bent)]
    np.testing.assert_allclose(*points)


def test_numbers_become_standard_normal():
    table = pl.DataFrame({"x": np.random.default_rng(0).lognormal(0, 3, 5000)})
    points = Embedding.fit(table).transform(table)
    assert points.mean() == pytest.approx(0, abs=1e-6)
    assert points.std() == pytest.approx(1, abs=0.01)


def test_two_categories_are_as_far_apart_as_two_numbers():
    table = pl.DataFrame({"c": ["a", "b"]})
    points = Embedding.fit(table).transform(table)
    assert np.linalg.norm(points[0] - points[1]) == pytest.approx(math.sqrt(2))


def test_missing_cells_lie_apart_and_unknown_ones_outside():
    with_gaps = Embedding.fit(pl.DataFrame({"x": [1.0, 2.0, None]}))
    assert with_gaps.transform(pl.DataFrame({"x": [None]}, schema={"x": pl.Float64})).tolist() == [[0.0, 1.0]]
    without = Embedding.fit(pl.DataFrame({"x": [1.0, 2.0]}))
    assert without.transform(pl.DataFrame({"x": [math.nan]})).tolist() == [[FAR]]
    names = Embedding.fit(pl.DataFrame({"c": ["a", "b"]}))
    assert names.transform(pl.DataFrame({"c": ["new", None]})).tolist() == [[0, 0], [0, 0]]


def test_infinity_stands_above_every_number():
    table = pl.DataFrame({"x": [1.0, 2.0, math.inf, math.inf, -math.inf]})
    points = Embedding.fit(table).transform(table)[:, 0]
    assert points[4] < points[0] < points[1] < points[2] == points[3]


def test_rare_categories_share_a_coordinate():
    names = [f"c{index:03}" for index in range(MOST_CATEGORIES + 5)]
    table = pl.DataFrame({"c": names})
    points = Embedding.fit(table).transform(table)
    assert points.shape == (len(names), MOST_CATEGORIES + 1)
    assert points.sum() == len(names)


def test_dates_and_booleans_are_numbers():
    table = pl.DataFrame({"d": pl.Series([1, 2, 3]).cast(pl.Date), "b": [True, False, None]})
    assert Embedding.fit(table).transform(table).shape == (3, 3)
