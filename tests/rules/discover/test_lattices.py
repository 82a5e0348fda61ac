"""Integers, fixed steps, and steps that another column scales."""

from __future__ import annotations

import numpy as np

RNG = np.random.default_rng(0)
N = RNG.choice([10, 100], 1000)


def test_integers_stored_as_decimals_are_found(found):
    assert "x is an integer" in found({"x": RNG.poisson(9, 200).astype(np.float32)}, single=True)


def test_decimals_are_no_integers(found):
    assert not any("integer" in rule for rule in found({"x": RNG.normal(size=200)}, single=True))


def test_a_column_that_is_nearly_always_zero_is_judged_by_the_rest(found):
    values = np.where(np.arange(30_000) % 1000 == 0, 0.5, 0.0)
    assert "x is an integer" not in found({"x": values, "y": np.arange(30_000)}, single=True)


def test_a_share_of_a_count_is_found(found):
    rules = found({"n": N, "share": RNG.binomial(N, 0.3) / N}, general=True)
    assert rules == {"n * share is an integer"}


def test_shares_in_float32_are_found(found):
    share = (RNG.binomial(N, 0.3) / N).astype(np.float32)
    assert "n * share is an integer" in found({"n": N, "share": share})


def test_a_step_of_a_scaled_column_is_found(found):
    rules = found({"n": N, "header": 4 * RNG.integers(0, 15 * N) / N})
    assert "n * header is a multiple of 4" in rules


def test_a_fixed_step_needs_many_values(found):
    few = {"x": RNG.choice([0, 4, 8], 1000)}
    many = {"x": 4 * RNG.integers(0, 50, 1000)}
    assert "x is an integer" in found(few, single=True)
    assert "x is a multiple of 4" in found(many, single=True)
    assert "x is a multiple of 4" not in found(many, single=True, general=True)


def test_hundredths_are_found(found):
    assert "x is a multiple of 0.01" in found({"x": RNG.random(500).round(2)}, single=True)


def test_the_scale_of_many_shares_is_believed_of_a_rare_one(found):
    shares = {f"s{i}": RNG.binomial(N, 0.3) / N for i in range(4)}
    rare = np.where(np.arange(1000) % 40 == 0, 1 / N, 0.0)
    assert "n * rare is an integer" in found({"n": N, **shares, "rare": rare})
    assert "n * rare is an integer" not in found({"n": N, "rare": rare})


def test_a_scaled_integer_that_a_product_tells_is_left_out(found):
    share = RNG.binomial(N, 0.3) / N
    rules = found({"n": N, "share": share, "count": np.rint(share * N)}, single=True)
    assert "count = n * share" in rules
    assert "count is an integer" in rules
    assert "n * share is an integer" not in rules


def test_an_exception_makes_a_lattice_particular(found):
    share = RNG.binomial(N, 0.3) / N
    share = np.concatenate([share] * 5)
    share[3] += 0.0037
    columns = {"n": np.concatenate([N] * 5), "share": share, "x": np.arange(5000)}
    assert "n * share is an integer" in found(columns)
    assert "n * share is an integer" not in found(columns, general=True)
