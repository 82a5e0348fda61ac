"""Scores of validity: shares of rows that satisfy every rule."""

from __future__ import annotations

import polars as pl
import pytest

from flowmint import Rules, evaluate_tables
from flowmint.rules.language import Rule
from flowmint.rules.parse import parse_condition

RULES = Rules((Rule(name="order", condition=parse_condition("low <= high")),))


def rows(broken: int, *, of: int = 40) -> pl.DataFrame:
    """Rows of which the first ``broken`` break the rule."""
    low = pl.int_range(of, eager=True).cast(pl.Float64)
    return pl.DataFrame({"low": low, "high": low + 1 - 2 * (pl.int_range(of, eager=True) < broken).cast(pl.Float64)})


def scores(real: pl.DataFrame, minted: pl.DataFrame, **given: object):
    return evaluate_tables(real, minted, families=("validity",), **given)


def test_shares_of_valid_rows_are_counted_beside_those_of_real_rows():
    found = scores(rows(2), rows(0), rules=RULES, unrepaired=rows(30))
    valid, before = found.score("valid_rows"), found.score("valid_rows_before_repair")
    assert (valid.value, valid.reference) == (1.0, 0.95)
    assert before.value == pytest.approx(0.25)


def test_the_rules_that_rows_break_are_named():
    (part,) = scores(rows(0), rows(10), rules=RULES).score("valid_rows").per_column
    assert part.columns == ("order",)
    assert part.value == pytest.approx(0.75)


def test_without_rules_validity_is_not_available():
    for rules in (None, Rules(())):
        score = scores(rows(0), rows(0), rules=rules).score("valid_rows")
        assert score.value is None
        assert "no rules" in score.reason


def test_without_rows_from_before_repair_that_share_is_not_available():
    score = scores(rows(0), rows(0), rules=RULES).score("valid_rows_before_repair")
    assert score.value is None
    assert "before repair" in score.reason


def test_rows_are_judged_class_by_class():
    real = rows(0).with_columns(Label=pl.Series(["a", "b"] * 20))
    minted = rows(10).with_columns(Label=pl.Series(["a"] * 10 + ["b"] * 30))
    found = scores(real, minted, rules=RULES, label="Label")
    assert {own.name: next(s.value for s in own.scores if s.name == "valid_rows") for own in found.classes} == {
        "a": 0.0,
        "b": 1.0,
    }
