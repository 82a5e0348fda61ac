"""Rows that break one rule need not be asked about the others: in whatever order, the answer is the same."""

from __future__ import annotations

import itertools

import numpy as np
import polars as pl
import pytest

from flowmint.rules import check
from flowmint.rules.check import Tally, judge_rows, valid_rows
from flowmint.rules.evaluate import Columns
from flowmint.rules.language import Rule
from flowmint.rules.parse import parse_condition
from flowmint.rules.ruleset import Rules

RULES = [
    Rule(name=f"rule {number}", condition=parse_condition(text))
    for number, text in enumerate(["a >= 0", "b >= 0", "a + b <= 1", "a is a multiple of 0.5", "a != b"])
]


@pytest.mark.parametrize("piece", [1, 7, 100, 1000])
def test_valid_rows_are_those_that_break_no_rule(monkeypatch, piece):
    monkeypatch.setattr(check, "PIECE", piece)
    rng = np.random.default_rng(0)
    numbers = {name: rng.integers(-1, 3, size=500) / 2 for name in "ab"}
    numbers["a"][:100] = -1  # the first pieces break another rule than the later ones
    columns = Columns(numbers)
    valid = valid_rows(RULES, columns, None)
    assert 0 < valid.sum() < 500
    assert valid.tolist() == judge_rows(RULES, columns, None).all(axis=1).tolist()


def told_of(tally):
    return tally.rows, tally.invalid, [(each.rule, each.rows, each.broken, each.examples) for each in tally.broken]


@pytest.mark.parametrize("cuts", [[], [0], [40], [7, 7, 60], [1, 2, 3]])
def test_tallies_of_pieces_merge_to_that_of_all_rows(cuts):
    rng = np.random.default_rng(1)
    table = pl.DataFrame({name: rng.integers(-1, 3, size=80) / 2 for name in "ab"})
    rules, merged = Rules(tuple(RULES)), Tally()
    for first, last in itertools.pairwise([0, *cuts, 80]):
        part = Tally()
        if first < last:
            part.add(rules.check(table[first:last]))
        merged.merge(part)
    whole = Tally()
    whole.add(rules.check(table))
    assert len(whole.broken) == 4  # halves are multiples of a half
    assert told_of(merged) == told_of(whole)


def test_rules_of_other_classes_are_not_asked(monkeypatch):
    monkeypatch.setattr(check, "PIECE", 3)
    columns = Columns({"a": np.arange(10.0) - 5})
    own = Rule(name="own", condition=parse_condition("a >= 0"), classes=("attack",))
    classes = {"attack": np.arange(10) % 2 == 0}
    assert valid_rows([own], columns, classes).tolist() == [n >= 5 or n % 2 == 1 for n in range(10)]
    assert valid_rows([own], columns, None).all()
