"""How much evidence is enough."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmint.rules.discover.evidence import FALSE_RULES, accept, enough, slack_of, try_condition
from flowmint.rules.discover.training import Training, to_columns
from flowmint.rules.parse import parse_condition


@given(tried=st.integers(1, 10**6))
def test_rows_without_exception_must_be_as_many_as_the_logarithm_of_the_candidates(tried):
    least = np.log(tried / FALSE_RULES)
    assert enough(0, 10**6, least + 1e-6, tried=tried)
    assert not enough(0, 10**6, least - 1e-6, tried=tried)


@given(tried=st.integers(1, 10**6))
def test_what_was_counted_in_a_permutation_must_be_more(tried):
    least = np.ceil(np.log2(tried / FALSE_RULES) - 1e-9)
    assert enough(0, 10**6, least, tried=tried, drawn=True)
    assert not enough(0, 10**6, least - 1, tried=tried, drawn=True)


@pytest.mark.parametrize("broken", [11, 50])
def test_more_than_one_row_in_a_thousand_refutes_a_rule(broken):
    assert enough(10, 10_000, 5000, tried=100)
    assert not enough(broken, 10_000, 5000, tried=100)


def test_a_rule_that_is_broken_as_often_as_by_chance_is_none():
    assert not enough(77, 10**6, 77, tried=100)


def test_an_equality_may_be_broken_by_damaged_rows_alone():
    assert enough(4, 10**6, 500, tried=100)
    assert not enough(4, 10**6, 500, tried=100, exact=True)


def test_what_a_permutation_breaks_is_counted():
    rng = np.random.default_rng(0)
    x = rng.normal(size=500)
    training = Training.of(pl.DataFrame({"x": x, "y": x}), label=None)
    outcome = try_condition(parse_condition("y = x"), training, exact=True)
    assert (outcome.applicable, outcome.broken) == (500, 0)
    assert outcome.expected > 490


def test_permutations_within_classes_keep_what_classes_explain():
    group = np.repeat([0.0, 1.0], 200)
    table = pl.DataFrame({"x": group, "y": group + 1, "id": np.arange(400), "class": group.astype(str)})
    training = Training.of(table, label="class")
    assert try_condition(parse_condition("x <= y"), training, exact=False).expected == 0


def test_a_condition_that_nothing_could_break_is_not_accepted():
    table = pl.DataFrame({"x": np.arange(500), "y": np.arange(500) + 10_000})
    training = Training.of(table, label=None)
    assert accept("order", parse_condition("x <= y"), training, tried=1, exact=False) is None


def test_slack_is_the_distance_of_the_sides():
    columns = to_columns(pl.DataFrame({"x": [1.0, 2.0, 5.0], "y": [1.5, 4.0, 5.25]}))
    assert slack_of(parse_condition("x <= y"), columns) == 0.25
    assert slack_of(parse_condition("x = y within 2"), columns) == 2.0
    assert slack_of(parse_condition("x is an integer"), columns) is None
