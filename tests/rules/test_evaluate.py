from __future__ import annotations

import numpy as np
import pytest

from flowmint.rules.evaluate import Columns, TextColumn, evaluate, judge
from flowmint.rules.parse import parse_condition, parse_expression

NAN, INF = np.nan, np.inf


def verdicts(text, **columns):
    """Tell of each row: 1 for true, 0 for broken, -1 for not applicable."""
    arrays = {name: np.array(values, dtype=float) for name, values in columns.items() if name != "proto"}
    texts = {"proto": TextColumn(np.array(columns["proto"]), ("tcp", "udp"))} if "proto" in columns else {}
    verdict = judge(parse_condition(text), Columns(arrays, texts))
    known = np.ones(len(verdict.true), bool) if verdict.applicable is None else verdict.applicable
    assert (verdict.broken == (known & ~verdict.true)).all()
    return np.where(known, verdict.true, -1).astype(int).tolist()


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("a + 2 * b", [5.0, 8.0]),
        ("a - b - 1", [-2.0, -2.0]),
        ("2^a^2", [2.0, 16.0]),
        ("sum(a, b, 1)", [4.0, 6.0]),
        ("min(a, b) + max(a, b) + abs(-a)", [4.0, 7.0]),
        ("sqrt(4 * a^2)", [2.0, 4.0]),
        ("floor(a / 2) + round(b / 2)", [1.0, 3.0]),
        ("bit_or(a, b, 8)", [11.0, 11.0]),
        ("7", [7.0, 7.0]),
    ],
)
def test_expressions_are_computed(text, expected):
    columns = Columns({"a": np.array([1.0, 2.0]), "b": np.array([2.0, 3.0])})
    assert evaluate(parse_expression(text), columns).tolist() == expected


def test_division_by_zero_makes_a_rule_not_applicable():
    assert verdicts("a / b >= 1", a=[1, 0, 2], b=[0, 0, 1]) == [-1, -1, 1]


def test_rules_do_not_apply_to_missing_and_infinite_values():
    assert verdicts("IAT * Rate >= 1", IAT=[0, 1, NAN, 0.5], Rate=[INF, INF, 3, 1]) == [-1, -1, -1, 0]
    assert verdicts("a is an integer", a=[1, 1.5, NAN, INF]) == [1, 0, -1, -1]
    assert verdicts("a is one of 1, 2", a=[1, 1.5, NAN, INF]) == [1, 0, -1, -1]
    assert verdicts("a is a multiple of b", a=[1, 1, 1, 1], b=[0, NAN, INF, 0.5]) == [-1, -1, -1, 1]


def test_states_speak_of_missing_and_infinite_values():
    values = [1, NAN, INF, -INF]
    assert verdicts("a is finite", a=values) == [1, 0, 0, 0]
    assert verdicts("a is not missing", a=values) == [1, 0, 1, 1]
    assert verdicts("a is infinite", a=values) == [0, 0, 1, 1]


def test_logic_has_three_values():
    assert verdicts("when a = 1 then b = 1", a=[1, 1, 0, NAN, NAN], b=[1, 0, 0, 0, 1]) == [1, 0, 1, -1, 1]
    assert verdicts("a = 1 and b = 1", a=[1, 0, NAN, NAN], b=[1, NAN, 0, 1]) == [1, 0, 0, -1]
    assert verdicts("a = 1 or b = 1", a=[NAN, NAN, 0], b=[1, 0, 0]) == [1, -1, 0]
    assert verdicts("a = 0 exactly when b = 0", a=[0, 0, 1, 1, NAN], b=[0, 1, 0, 1, 0]) == [1, 0, 0, 1, -1]
    assert verdicts("not a = 1", a=[1, 0, NAN]) == [0, 1, -1]


def test_comparisons_have_the_tolerance_of_float32():
    third = float(np.float32(1 / 3))
    assert verdicts("a = b / 3", a=[third, 0.3334], b=[1, 1]) == [1, 0]
    assert verdicts("a <= 1", a=[1 + 1e-7, 1.001]) == [1, 0]
    assert verdicts("a < 1", a=[1 - 1e-12, 1.0]) == [1, 0]
    assert verdicts("a = 1 within 0.5", a=[1.5, 1.6]) == [1, 0]
    assert verdicts("a = 100 within 0.01 relative", a=[101, 102]) == [1, 0]


def test_a_lattice_allows_the_rounding_of_float32_but_a_hundredth_of_a_step_at_most():
    assert verdicts("a is a multiple of 4", a=[8, 8.000001, 8.001, -4]) == [1, 1, 0, 1]
    assert verdicts("a is an integer", a=[1e6 + 0.009, 1e6 + 0.02]) == [1, 0]
    assert verdicts("a is a multiple of 1 / n", a=[float(np.float32(254.97))], n=[100]) == [1]
    assert verdicts("a is a multiple of 1 / n", a=[0.3, 0.35, 0.35], n=[10, 10, 100]) == [1, 0, 1]
    assert verdicts("a is a multiple of 2 within 0.02 and 6e-8 relative", a=[1e9 + 1, 11, 10.01]) == [1, 0, 1]


def test_texts_are_compared_by_name():
    assert verdicts('proto is "tcp"', proto=[0, 1, -1]) == [1, 0, -1]
    assert verdicts('proto is not one of "tcp", "icmp"', proto=[0, 1, -1]) == [0, 1, -1]
    assert verdicts("proto is missing", proto=[0, 1, -1]) == [0, 0, 1]


def test_no_rows_are_no_trouble():
    assert verdicts("a = 1 and a is an integer or a is one of 1, 2", a=[]) == []
