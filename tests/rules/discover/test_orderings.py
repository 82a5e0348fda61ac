"""Orderings, proportions, and where two columns meet."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(0)
ROWS = 1000
LOW = RNG.integers(40, 300, ROWS).astype(float)
GAP = RNG.integers(0, 2, ROWS) * RNG.exponential(100, ROWS)
HIGH = LOW + GAP


def test_an_ordering_with_ties_is_found(found):
    assert found({"low": LOW, "high": HIGH}) == {"low <= high"}


def test_an_ordering_without_ties_but_with_rows_near_it_is_found(found):
    rng = np.random.default_rng(1)
    low = rng.uniform(0, 100, 5000)
    assert found({"low": low, "high": low + rng.exponential(10, 5000)}) == {"low <= high"}


def test_columns_of_different_size_are_not_ordered(found):
    assert not found({"small": RNG.uniform(0, 1, ROWS), "large": RNG.uniform(10, 20, ROWS)})


def test_columns_that_seldom_come_near_are_not_ordered(found):
    rng = np.random.default_rng(2)
    assert not found({"small": rng.exponential(1, 5000), "large": 3 + rng.exponential(100, 5000)})


def test_orderings_that_follow_are_left_out(found):
    rules = found({"least": LOW, "middle": HIGH, "most": HIGH + np.roll(GAP, 1)})
    assert {"least <= middle", "middle <= most"} <= rules
    assert "least <= most" not in rules


def test_a_part_is_at_most_its_sum_by_arithmetic(found):
    x, y = RNG.integers(0, 9, (2, ROWS))
    assert found({"x": x, "y": y, "total": x + y}) == {"total = x + y"}


def test_too_many_exceptions_refute_an_ordering(found):
    low = LOW.copy()
    low[:20] = HIGH[:20] + 1
    assert "low <= high" not in found({"low": low, "high": HIGH})


def test_an_exception_makes_an_ordering_particular(found):
    low, high = np.concatenate([LOW] * 5), np.concatenate([HIGH] * 5)
    low[0] = high[0] + 50
    columns = {"low": low, "high": high, "other": RNG.normal(size=5000)}
    assert "low <= high" in found(columns)
    assert "low <= high" not in found(columns, general=True)


def test_where_two_columns_meet_is_found(found):
    rules = found({"low": LOW, "high": HIGH, "spread": np.sqrt(GAP * (1 + RNG.random(ROWS)))})
    assert "spread = 0 exactly when high = low" in rules


def test_a_proportion_is_found_and_particular(found):
    tcp = RNG.integers(0, 11, ROWS) / 10
    header = 20 * tcp + RNG.integers(0, 2, ROWS) * RNG.random(ROWS) * 12
    assert "20 * tcp <= header" in found({"tcp": tcp, "header": header})
    assert "20 * tcp <= header" not in found({"tcp": tcp, "header": header}, general=True)


def test_a_product_that_never_falls_below_one_is_found(found):
    rate = RNG.exponential(100, ROWS) + 0.01
    gap = (1 + RNG.exponential(0.1, ROWS)) / rate
    assert "gap * rate >= 1" in found({"rate": rate, "gap": gap})


@given(seed=st.integers(0, 1000), rows=st.sampled_from([25, 60, 300]))
@settings(max_examples=10)
def test_two_columns_by_chance_are_never_ordered(seed, rows):
    import polars as pl

    from flowmint.rules.discover import discover

    rng = np.random.default_rng(seed)
    table = pl.DataFrame({"x": rng.poisson(1, rows), "y": rng.poisson(6, rows), "z": rng.exponential(size=rows)})
    assert all(len(rule.columns) == 1 for rule in discover(table))


@pytest.mark.parametrize("general", [True, False])
def test_an_ordering_in_one_class_is_particular(found, general):
    group = np.repeat([0, 1, 2, 3], ROWS // 4)
    rng = np.random.default_rng(3)
    low = np.where(group == 0, LOW, rng.integers(0, 5, ROWS))
    high = np.where(group == 0, HIGH, rng.integers(500, 900, ROWS))
    rules = found({"low": low, "high": high, "class": group.astype(str)}, "class", general=general)
    assert ("low <= high" in rules) is not general
