"""Rows that break one rule need not be asked about the others: in whatever order, the answer is the same."""

from __future__ import annotations

import numpy as np
import pytest

from flowmint.rules import check
from flowmint.rules.check import judge_rows, valid_rows
from flowmint.rules.evaluate import Columns
from flowmint.rules.language import Rule
from flowmint.rules.parse import parse_condition

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


def test_rules_of_other_classes_are_not_asked(monkeypatch):
    monkeypatch.setattr(check, "PIECE", 3)
    columns = Columns({"a": np.arange(10.0) - 5})
    own = Rule(name="own", condition=parse_condition("a >= 0"), classes=("attack",))
    classes = {"attack": np.arange(10) % 2 == 0}
    assert valid_rows([own], columns, classes).tolist() == [n >= 5 or n % 2 == 1 for n in range(10)]
    assert valid_rows([own], columns, None).all()
