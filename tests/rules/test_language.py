from __future__ import annotations

import sys
from pathlib import Path

import pytest
from hypothesis import given, settings

sys.path.insert(0, str(Path(__file__).parent))
from strategies import any_names, conditions, expressions, numbers

from flowmint.errors import RuleError
from flowmint.rules.language import Call, Column, Number, OneOf, Rule, Tolerance, columns_of, text_columns_of, text_of
from flowmint.rules.parse import parse_condition, parse_expression


@settings(max_examples=60)
@given(conditions(any_names, numbers))
def test_what_is_written_is_read_back_to_the_same_condition(condition):
    assert parse_condition(text_of(condition)) == condition


@settings(max_examples=60)
@given(expressions(any_names, numbers))
def test_what_is_written_is_read_back_to_the_same_expression(expression):
    assert parse_expression(text_of(expression)) == expression


@pytest.mark.parametrize(
    ("given", "canonical"),
    [
        ("Min<=AVG<=Max", "Min <= AVG and AVG <= Max"),
        ("`Tot sum` == (AVG)*Number", "`Tot sum` = AVG * Number"),
        ("Std ** 2 = Variance", "Std^2 = Variance"),
        ("Min ≤ 3 × Max − 1", "Min <= 3 * Max - 1"),
        ("X is a multiple of 1", "X is an integer"),
        ("proto is one of 'tcp'", 'proto is "tcp"'),
        ("not (X is finite)", "X is not finite"),
        ("A = B within 0.5 and C = D", "A = B within 0.5 and C = D"),
        ("A = B within 0.5 and 0.01 relative and C = D", "A = B within 0.5 and 0.01 relative and C = D"),
        ("(A = B or C = D) and E = F", "(A = B or C = D) and E = F"),
        ("-2^2 = (-2)^2 - -3", "-(2^2) = (-2)^2 - -3"),
        ("2^3^2 = (2^3)^2", "2^3^2 = (2^3)^2"),
        ("a - (b - c) = a - b - c", "a - (b - c) = a - b - c"),
    ],
)
def test_one_thing_is_written_in_one_way(given, canonical):
    assert text_of(parse_condition(given)) == canonical or parse_condition(canonical) == parse_condition(given)
    assert text_of(parse_condition(canonical)) == text_of(parse_condition(given))


def test_a_rule_tells_its_columns_and_text():
    rule = Rule(name="r", condition=parse_condition('when proto is "tcp" then `Tot sum` >= 20 * Number'))
    assert rule.columns == ("proto", "Tot sum", "Number")
    assert text_columns_of(rule.condition) == {"proto"}
    assert rule.text == 'when proto is "tcp" then `Tot sum` >= 20 * Number'
    assert columns_of(Number(1)) == ()


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
def test_numbers_are_finite(value):
    with pytest.raises(RuleError, match="finite"):
        Number(value)
    with pytest.raises(RuleError, match="tolerance"):
        Tolerance(value)


def test_a_list_holds_values_of_one_kind():
    with pytest.raises(RuleError, match="one or more numbers"):
        OneOf(Column("a"), (1.0, "x"))
    with pytest.raises(RuleError, match="one or more numbers"):
        OneOf(Column("a"), ())
    with pytest.raises(RuleError, match="only a column"):
        OneOf(Number(1), ("x",))


def test_functions_take_their_number_of_arguments():
    with pytest.raises(RuleError, match=r"sqrt\(...\) has 2 arguments; it takes 1"):
        Call("sqrt", (Number(1), Number(2)))
