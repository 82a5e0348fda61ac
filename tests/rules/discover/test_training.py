"""The training rows as the searches see them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from flowmint.rules.discover.training import Training, to_columns


def test_copies_of_a_row_are_counted_once():
    rng = np.random.default_rng(0)
    table = pl.DataFrame({f"x{i}": rng.normal(size=30) for i in range(3)})
    training = Training.of(pl.concat([table, table.head(10)]), label=None)
    assert training.rows == 30


def test_equal_rows_of_a_narrow_table_are_no_copies():
    training = Training.of(pl.DataFrame({"x": [1, 2] * 50, "y": [0, 0, 3, 3] * 25}), label=None)
    assert training.rows == 100


def test_of_many_rows_the_searches_see_some_and_small_classes_whole(monkeypatch):
    monkeypatch.setattr("flowmint.rules.discover.training.MOST_ROWS", 500)
    table = pl.DataFrame({"x": np.random.default_rng(0).random(3000), "class": ["rare"] * 100 + ["common"] * 2900})
    training = Training.of(table, label="class")
    assert np.bincount(training.classes).tolist() == [400, 100]


def test_columns_are_in_the_order_of_their_names():
    training = Training.of(pl.DataFrame({"z": [1, 2], "x": [3, 4], "y": [5, 5]}), label=None)
    assert training.names == ("x", "z")


def test_values_that_are_not_finite_become_nan():
    training = Training.of(pl.DataFrame({"x": [1.0, float("inf"), 3.0, None]}), label=None)
    assert np.isnan(training.at("x")).sum() == 2


def test_an_order_within_classes_keeps_classes():
    table = pl.DataFrame({"x": np.arange(300), "class": ["a", "b", "c"] * 100})
    training = Training.of(table, label="class")
    order = training.within_classes
    assert (training.classes[order] == training.classes).all()
    assert sorted(order) == list(range(300))
    assert (order != np.arange(300)).sum() > 250


@pytest.mark.parametrize(
    ("values", "unit"),
    [([0.25, 0.5, 3.0], 0.01), ([1.0, 20.0, 3e9], 1.0), ([0.1, 0.123456789012, 2.0], 0.0), ([1e-6, 2e-6, 1.0], 1e-6)],
)
def test_the_unit_of_rounded_columns_is_found(values, unit):
    training = Training.of(pl.DataFrame({"x": values}), label=None)
    assert training.unit_of("x") == pytest.approx(unit)


def test_texts_are_numbered():
    columns = to_columns(pl.DataFrame({"t": ["b", None, "a", "b"]}, schema={"t": pl.Categorical}))
    assert columns.texts["t"].names == ("a", "b")
    assert columns.texts["t"].codes.tolist() == [1, -1, 0, 1]
