"""Linear equalities: between two columns and between several."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmint.rules.discover.express import is_simple, simplify, weighted
from flowmint.rules.language import text_of

ROWS = 300
RNG = np.random.default_rng(0)
A, B, C = RNG.normal(size=(3, ROWS))


def test_equal_columns_are_told_by_a_chain_of_equalities(found):
    assert found({"x": A, "y": A, "z": A}) == {"y = x", "z = x"}


def test_columns_that_sum_to_a_constant_are_found(found):
    assert found({"x": A, "y": 1 - A}) == {"y = 1 - x"}


def test_of_equal_columns_and_a_sum_only_what_is_needed_is_told(found):
    assert found({"arp": A, "ip": 1 - A, "llc": 1 - A}) == {"arp = 1 - ip", "llc = ip"}


@pytest.mark.parametrize("factor", [2.0, 0.001, -8.0, 255.0, 1 / 3600, 3.14159])
def test_multiples_are_found(found, factor):
    (rule,) = found({"x": A, "y": factor * A})
    assert " = " in rule


def test_a_factor_that_another_column_usually_has_is_particular(found):
    columns = {"packets": np.where(np.arange(ROWS) == 5, 3, 10), "mean": A, "bytes": 10 * A}
    assert "bytes = 10 * mean" in found(columns)
    assert "bytes = 10 * mean" not in found(columns, general=True)


def test_unit_conversions_read_well(found):
    assert found({"ms": 1000 * A, "s": A}) == {"ms = 1000 * s"}


def test_an_offset_is_found(found):
    assert found({"x": A, "y": 3 + 2 * A}) == {"y = 2 * x + 3"}


@given(weights=st.lists(st.sampled_from([1, -1, 2]), min_size=2, max_size=5))
@settings(max_examples=15)
def test_sums_are_found(found_texts, weights):
    rng = np.random.default_rng(len(weights))
    parts = {f"p{i}": rng.normal(size=200) for i in range(len(weights))}
    total = sum(weight * part for weight, part in zip(weights, parts.values(), strict=True))
    rules = found_texts({**parts, "total": total})
    assert len(rules) == 1


@pytest.fixture(scope="module")
def found_texts():
    import polars as pl

    from flowmint.rules.discover import discover

    return lambda columns: [rule.text for rule in discover(pl.DataFrame(columns)) if len(rule.columns) > 1]


def test_a_sum_reads_as_a_total_of_its_parts(found):
    assert found({"x": A, "y": B, "z": C, "all": A + B + C}) == {"all = sum(x, y, z)"}


def test_shares_that_sum_to_one_are_found(found):
    shares = np.random.default_rng(1).dirichlet([1, 1, 1], size=ROWS)
    rules = found({"tcp": shares[:, 0], "udp": shares[:, 1], "icmp": shares[:, 2]})
    assert "icmp = 1 - (tcp + udp)" in rules


def test_a_sum_of_rounded_columns_has_room_for_rounding(found):
    a, b = np.random.default_rng(2).exponential(size=(2, ROWS))
    rules = found({"x": a.round(2), "y": b.round(2), "total": (a + b).round(2)})
    assert "total = x + y within 0.016" in rules


def test_a_sum_that_a_row_exceeds_becomes_an_inequality(found):
    rng = np.random.default_rng(3)
    a, b, rest = rng.exponential(size=(3, 5000))
    total = a + b + rest * (rng.random(5000) < 0.0005)
    rules = found({"x": a, "y": b, "total": total}, general=True)
    assert "x + y <= total" in rules
    assert "total = x + y" not in rules


def test_an_equality_with_a_damaged_row_is_particular(found):
    columns = {"x": np.arange(5000.0) ** 0.5, "y": np.arange(5000.0) ** 0.5}
    columns["y"][17] = 99.0
    assert "y = x" in found(columns)
    assert "y = x" not in found(columns, general=True)


def test_flags_that_are_equal_by_chance_are_not_related(found):
    flag = np.zeros(25, dtype=int)
    flag[3] = 1
    assert not found({"x": flag, "y": flag, "z": np.arange(25)})


def test_flags_that_only_the_class_decides_are_particular(found):
    group = np.repeat([0, 1, 2, 3], 100)
    columns = {"x": (group < 2) * 1, "y": (group < 2) * 1, "other": np.arange(400) % 37, "class": group.astype(str)}
    assert "y = x" in found(columns, "class")
    assert "y = x" not in found(columns, "class", general=True)


@given(st.integers(-1000, 1000).filter(bool), st.sampled_from([1, 2, 3, 8, 60, 1000]))
def test_simple_numbers_are_recognised(numerator, denominator):
    value = numerator / denominator
    assert simplify(value * (1 + 1e-9)) == pytest.approx(value, rel=1e-12)
    assert is_simple(simplify(value * (1 + 1e-9)))


def test_a_number_that_is_not_simple_keeps_its_digits():
    assert simplify(0.123456789) == 0.123456789


@pytest.mark.parametrize(
    ("weights", "constant", "text"),
    [
        ({"x": 1.0, "y": 1.0, "z": 1.0}, 0.0, "sum(x, y, z)"),
        ({"x": -1.0, "y": 2.0}, 0.0, "2 * y - x"),
        ({"x": -1.0}, 0.0, "0 - x"),
        ({"x": 0.5, "y": 1.0}, -3.0, "x / 2 + y - 3"),
    ],
)
def test_weighted_sums_read_well(weights, constant, text):
    assert text_of(weighted(weights, constant)) == text
