from __future__ import annotations

import doctest

import pytest

from flowmint.report import render, words
from flowmint.report.svg import log_ticks, nice_ticks, shorten
from flowmint.report.words import listed, show_cell, show_tick


@pytest.mark.parametrize("module", [words, render])
def test_examples_in_docstrings_hold(module):
    assert doctest.testmod(module) == (0, doctest.testmod(module).attempted)
    assert doctest.testmod(module).attempted


@pytest.mark.parametrize(
    ("value", "shown"),
    [(0.0, "0"), (0.25, "0.25"), (-1.0, "−1"), (1000.0, "1,000"), (1e6, "10⁶"), (2.5e-7, "2.5·10⁻⁷"), (-3e9, "−3·10⁹")],
)
def test_ticks_are_short(value, shown):
    assert show_tick(value) == shown


def test_a_cell_that_is_missing_says_why():
    assert show_cell({"missing": "too few rows"}) == "not available: too few rows"


def test_an_interval_shows_its_ends_where_it_has_them():
    assert show_cell({"mean": 0.5, "low": -0.25, "high": 0.75, "best": False}) == "0.500 [−0.250, 0.750]"
    assert show_cell({"mean": 0.5, "low": None, "high": None, "best": False}) == "0.500"


def test_lists_end_in_and():
    assert listed(["a"]) == "a"
    assert listed(["a", "b", "c"]) == "a, b and c"
    assert listed(list("abcdefgh"), most=2) == "a, b and 6 more"


@pytest.mark.parametrize(("low", "high"), [(0, 1), (-0.3, 0.31), (0.8412, 0.8419), (-5e6, 1e7), (1e-12, 2e-12)])
def test_ticks_are_few_and_inside(low, high):
    ticks = nice_ticks(low, high)
    assert 2 <= len(ticks) <= 7
    assert all(low - 1e-9 * abs(low) <= tick <= high + 1e-9 * abs(high) for tick in ticks)


@pytest.mark.parametrize(("low", "high"), [(0.3, 0.9), (1, 10), (0.002, 5000), (1e-9, 1e9)])
def test_logarithmic_ticks_are_few_and_inside(low, high):
    ticks = log_ticks(low, high)
    assert 1 <= len(ticks) <= 7
    assert all(low <= tick <= high for tick in ticks)


def test_long_names_keep_both_ends():
    short = shorten("DDoS-UDP_Fragmentation_of_a_long_name", 100)
    assert short.startswith("DDoS")
    assert short.endswith("name")
    assert len(short) * 6.6 <= 100
