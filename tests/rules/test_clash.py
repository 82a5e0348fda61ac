from __future__ import annotations

import pytest

from flowmint import Rules
from flowmint.errors import RuleError
from flowmint.rules.clash import find_clash
from flowmint.rules.language import Rule
from flowmint.rules.parse import parse_condition


def named(**texts):
    return [Rule(name=name, condition=parse_condition(text)) for name, text in texts.items()]


@pytest.mark.parametrize(
    ("texts", "clashing"),
    [
        ({"a": "x >= 2", "b": "y >= 0", "c": "x <= 1"}, {"a", "c"}),
        ({"a": "x = y + 1", "b": "y >= 5", "c": "x <= 3", "d": "z = 1"}, {"a", "b", "c"}),
        ({"a": "x is an integer", "b": "x > 0.2", "c": "x < 0.8", "d": "x >= -5"}, {"a", "b", "c"}),
        ({"a": "x is one of 10, 100", "b": "x <= 9"}, {"a", "b"}),
        ({"a": "x = 1", "b": "when x = 1 then y = 2", "c": "y = 3"}, {"a", "b", "c"}),
        ({"a": "x^2 <= -1"}, {"a"}),
        ({"a": "x >= 1", "b": "x <= 1"}, set()),
        ({"a": "x = y", "b": "y = x + 0"}, set()),
        ({"a": "x / 0 = 1"}, set()),
        ({"a": 'p is "tcp"', "b": "x = 1"}, set()),
    ],
)
def test_the_fewest_rules_that_clash_are_found(texts, clashing):
    assert {rule.name for rule in find_clash(named(**texts))} == clashing


def test_rules_of_different_classes_do_not_clash():
    low = Rule(name="low", condition=parse_condition("n = 10"), classes=("a",))
    high = Rule(name="high", condition=parse_condition("n = 100"), classes=("b",))
    most = Rule(name="most", condition=parse_condition("n <= 50"))
    assert find_clash([low, high]) == ()
    assert {rule.name for rule in find_clash([low, high, most])} == {"high", "most"}


def test_contradictory_rules_are_named():
    with pytest.raises(RuleError, match=r"no row can satisfy these rules together: 'a' \(x >= 2\); 'c' \(x <= 1\)"):
        Rules(tuple(named(a="x >= 2", b="y >= 0", c="x <= 1")))
