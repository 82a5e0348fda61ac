from __future__ import annotations

from contextlib import suppress

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmint.errors import RuleError
from flowmint.rules.parse import DEEPEST, LONGEST, MOST_PARTS, parse_condition


@pytest.mark.parametrize(
    ("text", "complaint"),
    [
        ("", "is empty"),
        ("   ", "is empty"),
        ("A", "character 1: this is a value"),
        ("A = ", "character 5: the end stands where a value is needed"),
        ("sm(A) = 1", "no function 'sm'; did you mean 'sum'"),
        ("sqrt(A, B) = 1", "takes 1"),
        ("when A then B = 1", "character 6: this is a value"),
        ("when A = 1", "'then' is needed"),
        ("A is", "stands after 'is'"),
        ("A is a number", "'multiple' is needed"),
        ("A = 'x'", "texts are compared by 'is'"),
        ("(A = B", "'[)]' is needed"),
        ("A ? B", r"character 3: the character '\?'"),
        ("`x = 1", "a quote that is not closed"),
        ("A = B exactly when C", "this is a value"),
        ("and = 3", "stands between backquotes"),
        ("A + (B = C) = 2", "this is a condition"),
        ("A is one of 1, 'x'", "one or more numbers, or one or more texts"),
        ("A + 1 is 'x'", "only a column"),
        ("A = 1e999", "finite"),
        ("A = B within -1", "where a number is needed"),
        ("A = B C", "'C' was not expected"),
        ("A = B within 1 within 2", "'within' was not expected"),
    ],
)
def test_an_error_tells_what_is_wrong_and_where(text, complaint):
    with pytest.raises(RuleError, match=complaint):
        parse_condition(text)


def test_what_is_no_text_is_refused():
    with pytest.raises(RuleError, match="a rule is a int"):
        parse_condition(3)


def test_length_parts_and_depth_are_bounded():
    with pytest.raises(RuleError, match="write several rules"):
        parse_condition("A" * (LONGEST + 1))
    with pytest.raises(RuleError, match=f"more than {MOST_PARTS} parts"):
        parse_condition("A = 1" + " + 1" * (MOST_PARTS + 1))
    for nested in (
        "(" * (DEEPEST + 1) + "A = 1",
        "A = " + "-" * (DEEPEST + 1) + "B",
        "A = " + "2^" * (DEEPEST + 1) + "B",
    ):
        with pytest.raises(RuleError, match=f"more than {DEEPEST}"):
            parse_condition(nested)
    with pytest.raises(RuleError, match=f"more than {DEEPEST}"):
        parse_condition("not " * (DEEPEST + 1) + "A = 1")


def test_what_the_bounds_allow_is_read():
    assert parse_condition("A = 1" + " + 1" * (MOST_PARTS - 5))
    assert parse_condition("(" * (DEEPEST - 1) + "A = 1" + ")" * (DEEPEST - 1))


@settings(max_examples=60)
@given(
    st.lists(
        st.sampled_from(
            ["A", "`B c`", "1", "+", "-", "^", "(", ")", "=", "<=", "is", "an", "integer", "when", "then", "and"]
        )
        | st.text(max_size=3),
        max_size=12,
    ).map(" ".join)
)
def test_any_text_is_read_or_refused(text):
    with suppress(RuleError):
        parse_condition(text)
