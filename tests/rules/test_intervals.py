from __future__ import annotations

import sys
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

sys.path.insert(0, str(Path(__file__).parent))
from strategies import conditions, names, small

from flowmint.rules.algebra import plan_of
from flowmint.rules.evaluate import Columns, judge
from flowmint.rules.intervals import Box
from flowmint.rules.language import Rule
from flowmint.rules.parse import parse_condition
from flowmint.rules.solve import Solver


def solver_of(*conditions):
    rules = [Rule(name=f"r{i}", condition=condition) for i, condition in enumerate(conditions)]
    return Solver(plan_of(rules, ["a", "b", "c"]))


@settings(max_examples=80)
@given(
    conditions(names, small, st.none()),
    st.fixed_dictionaries({name: st.integers(-5, 5).map(float) for name in "abc"}),
    st.sets(st.sampled_from("abc")),
)
def test_propagation_keeps_every_row_that_satisfies_the_rule(condition, row, settled):
    columns = Columns({name: np.array([value]) for name, value in row.items()})
    if not judge(condition, columns).holds[0]:
        return
    solver = solver_of(condition)
    box = Box({name: (np.array([-5.0]), np.array([5.0])) for name in row})
    with np.errstate(all="ignore"):
        for name in settled:
            box.settle(name, columns.numbers[name])
        solver.propagate(box, set(range(len(solver.constraints))), None)
    for name, value in row.items():
        low, high = box.of(name)
        room = 1e-4 * (1 + abs(value))
        assert low[0] - room <= value <= high[0] + room


def bounds(text, name, **given):
    solver = solver_of(parse_condition(text))
    box = Box({})
    with np.errstate(all="ignore"):
        for column, value in given.items():
            box.settle(column, np.array([float(value)]))
        solver.propagate(box, set(range(len(solver.constraints))), None)
    return tuple(float(np.ravel(bound)[0]) for bound in box.of(name))


@pytest.mark.parametrize(
    ("text", "given", "expected"),
    [
        ("1 <= a <= 3", {}, (1, 3)),
        ("a = b + c", {"b": 1, "c": 2}, (3, 3)),
        ("b = a * c", {"b": 6, "c": 2}, (3, 3)),
        ("b = a * c", {"b": 6, "c": 0}, (-np.inf, np.inf)),
        ("b >= a^2", {"b": 9}, (-3, 3)),
        ("b >= sqrt(a)", {"b": 3}, (0, 9)),
        ("b = 2 - a / c", {"b": 1, "c": 4}, (4, 4)),
        ("abs(a) <= b", {"b": 2}, (-2, 2)),
        ("max(a, b) <= c", {"b": 1, "c": 2}, (-np.inf, 2)),
        ("max(a, b) >= c", {"b": 1, "c": 2}, (2, np.inf)),
        ("sum(a, b, c) = 1", {"b": 0.25, "c": 0.5}, (0.25, 0.25)),
        ("when b = 1 then a = 5", {"b": 1}, (5, 5)),
        ("when b = 1 then a = 5", {"b": 2}, (-np.inf, np.inf)),
        ("a = 0 exactly when b = c", {"b": 2, "c": 2}, (0, 0)),
        ("a is one of 3, 7", {}, (3, 7)),
        ("a^0.5 = b", {"b": 3}, (9, 9)),
        ("a^3 = b", {"b": -8}, (-2, -2)),
    ],
)
def test_a_rule_narrows_what_it_speaks_of(text, given, expected):
    assert bounds(text, "a", **given) == pytest.approx(expected)


def test_a_value_that_is_not_finite_narrows_nothing():
    assert bounds("a >= 1 / b", "a", b=np.inf) == (-np.inf, np.inf)
    assert bounds("a >= b", "a", b=np.nan) == (-np.inf, np.inf)
