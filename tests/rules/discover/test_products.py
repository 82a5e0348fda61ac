"""Products, ratios and squares."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

RNG = np.random.default_rng(0)
A, B = RNG.exponential(size=(2, 300)) + 0.1


@pytest.mark.parametrize("rows", [25, 300])
def test_products_are_found_in_few_rows(found, rows):
    rules = found({"x": A[:rows], "y": B[:rows], "p": A[:rows] * B[:rows]})
    assert "p = x * y" in rules


def test_a_ratio_is_told_as_the_product_that_it_is(found):
    rules = found({"x": A, "y": B, "r": A / B})
    assert "x = r * y" in rules
    assert not any("/" in rule for rule in rules)


def test_a_ratio_by_zero_is_told_as_a_ratio(found):
    duration = np.where(np.arange(300) % 10 == 0, 0.0, B)
    rate = np.where(duration == 0, 0.0, A / np.maximum(duration, 1e-9))
    rules = found({"bytes": A, "duration": duration, "rate": rate})
    assert rules & {"rate = bytes / duration", "duration = bytes / rate"}


def test_a_square_is_found(found):
    rules = found({"deviation": A, "variance": A**2})
    assert "variance = deviation^2" in rules


def test_a_square_of_float32_is_found(found):
    rules = found({"deviation": A.astype(np.float32), "variance": (A**2).astype(np.float32)})
    assert "variance = deviation^2" in rules


def test_a_constant_product_is_found(found):
    assert "x * y = 7" in found({"x": A, "y": 7 / A})


@given(factor=st.sampled_from([0.5, 8.0, 1000.0, 1 / 3]))
@settings(max_examples=4)
def test_factors_are_found(factor):
    import polars as pl

    from flowmint.rules.discover import discover

    table = pl.DataFrame({"x": A, "y": B, "p": factor * A * B})
    (rule,) = [rule for rule in discover(table) if len(rule.columns) == 3]
    assert rule.text.startswith("p = ")


def test_a_mean_that_is_rounded_to_whole_numbers_is_found(found):
    packets = RNG.integers(1, 60, 1000)
    size = packets * 40 + RNG.integers(0, 30_000, 1000)
    rules = found({"packets": packets, "size": size, "mean": np.rint(size / packets)})
    assert "mean = size / packets within 0.51" in rules


def test_a_product_that_follows_from_others_is_left_out(found):
    rules = found({"x": A, "y": B, "ab": A * B, "aab": A * A * B})
    assert sum(" = " in rule for rule in rules) == 2


def test_independent_factors_feign_no_product(found):
    n = RNG.integers(1, 4, 2000)
    assert not found({"x": n, "y": RNG.integers(1, 4, 2000), "z": RNG.integers(1, 10, 2000)})
