"""Scores of validity: shares of rows that satisfy every rule."""

from __future__ import annotations

import polars as pl
import pytest

from flowmint import Rules, evaluate_tables
from flowmint.errors import RuleError
from flowmint.flows.simulate import simulate
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


@pytest.fixture(scope="module")
def windows() -> pl.DataFrame:
    """Simulated windows of packets, with the 39 features of a known extractor."""
    return simulate({"Benign": 120, "MITM-ArpSpoofing": 120}, seed=0)


def test_rules_of_the_extractor_are_known_by_the_header(windows):
    real = windows[::2]
    minted = windows[1::2].with_columns(AVG=pl.col("AVG") + 1)
    found = scores(real, minted, rules="auto", label="Label")
    valid = found.score("valid_rows")
    assert (valid.value, valid.reference) == (0.0, 1.0)
    assert any("of ciciot2023" in note and "found" not in note for note in found.notes)


def test_rules_are_found_in_the_training_rows():
    train, broken = rows(0, of=60), rows(30, of=60)
    found = scores(rows(0), broken, train=train, rules="auto")
    valid = found.score("valid_rows")
    assert (valid.value, valid.reference) == (0.5, 1.0)
    assert any("found in the training rows" in note for note in found.notes)


def test_rules_are_never_found_in_the_rows_that_are_judged():
    score = scores(rows(0, of=60), rows(0, of=60), rules="auto").score("valid_rows")
    assert score.value is None
    assert "no training rows to find rules in" in score.reason


def test_training_rows_that_show_no_rule_leave_nothing_to_check():
    few = rows(0, of=5)
    assert "show no rules" in scores(few, few, train=few, rules="auto").score("valid_rows").reason


@pytest.mark.parametrize("given", ["ciciot2023", "file"])
def test_rules_may_be_named(windows, tmp_path, given):
    if given == "file":
        given = str(tmp_path / "rules.toml")
        Rules.profile("ciciot2023").write(given)
    found = scores(windows, windows, rules=given, label="Label")
    assert found.score("valid_rows").value == 1.0
    assert f"valid rows satisfy every one of these rules: 102 of {given}" in found.notes


def test_none_is_no_rules(windows):
    assert "no rules" in scores(windows, windows, rules="none", label="Label").score("valid_rows").reason


def test_unknown_rules_are_refused():
    with pytest.raises(RuleError, match="ciciot2024"):
        scores(rows(0), rows(0), rules="ciciot2024")


def test_rules_are_not_sought_where_validity_is_not_asked_for():
    found = evaluate_tables(rows(0), rows(9), rules="ciciot2024", families=("distribution",))
    assert {score.family for score in found.scores} == {"distribution"}
