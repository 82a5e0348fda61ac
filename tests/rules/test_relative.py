"""Columns that are told by their bounds come back exactly, and cannot leave what their bounds allow."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from flowmint import Rules
from flowmint.errors import ModelError
from flowmint.rules.language import Rule, text_of
from flowmint.rules.parse import parse_condition
from flowmint.rules.relative import (
    Bounds,
    Relative,
    bounds_in,
    choose_relative,
    relative_to_json,
    restore_relative,
)

ROWS = 400


def plan(*texts):
    return Rules(tuple(Rule(name=f"r{i}", condition=parse_condition(text)) for i, text in enumerate(texts))).plan


def close_to_its_bound(*, spread=0.02, seed=0):
    """A mean rate, and a mean interval that is hardly more than one over it."""
    rng = np.random.default_rng(seed)
    rate = np.exp(rng.normal(0, 2, ROWS))
    return {"rate": rate, "gap": (1 + rng.exponential(spread, ROWS)) / rate}


def bounds(least, most):
    left = tuple(parse_condition(f"x >= {text}").right for text in least)
    right = tuple(parse_condition(f"x <= {text}").right for text in most)
    return Bounds("x", left, right)


CASES = {
    "share": (bounds(["a"], ["a + b"]), lambda a, b, u: a + u * b),
    "times": (bounds(["a"], []), lambda a, b, u: a * (1 + b * u)),
    "above": (bounds(["a"], []), lambda a, b, u: a + b * u),
    "part": (bounds([], ["b"]), lambda _, b, u: b * u),
    "below": (bounds([], ["b"]), lambda a, b, u: b - a * u),
}

positive = arrays(np.float64, 20, elements=st.floats(0.01, 1e6))
unit = arrays(np.float64, 20, elements=st.floats(0, 1))


@pytest.mark.parametrize("form", CASES)
@settings(max_examples=30)
@given(a=positive, b=positive, u=unit)
def test_what_is_told_comes_back(form, a, b, u):
    own, value = CASES[form]
    numbers, values = {"a": a, "b": b}, value(a, b, u)
    relative = Relative(own, form, whole=False)
    back = relative.value(relative.tell(values, numbers), numbers)
    np.testing.assert_allclose(back, values, rtol=2e-6, atol=2e-6 * np.max(a + b))


@pytest.mark.parametrize("whole", [False, True])
@pytest.mark.parametrize("form", CASES)
@settings(max_examples=30)
@given(a=positive, b=positive, minted=arrays(np.float64, 20, elements=st.floats(-2, 3)))
def test_no_minted_value_leaves_its_bounds(form, whole, a, b, minted):
    numbers = {"a": np.rint(a) + 1, "b": np.rint(b) + 1}
    relative = Relative(CASES[form][0], form, whole=whole)
    values = relative.value(minted, numbers)
    low, high = relative.bounds.of(numbers)
    assert (values >= low).all()
    assert (values <= high).all()
    assert not whole or (values == np.rint(values)).all()


def test_real_values_beyond_their_bounds_count_as_on_them():
    relative = Relative(CASES["share"][0], "share", whole=False)
    numbers = {"a": np.array([1.0, 1.0, 1.0]), "b": np.array([2.0, 2.0, 0.0])}
    np.testing.assert_array_equal(relative.tell(np.array([0.0, 9.0, 5.0]), numbers), [0.0, 1.0, 0.0])


def test_a_bound_that_cannot_be_computed_leaves_what_was_minted():
    relative = Relative(bounds(["1 / a"], []), "times", whole=False)
    assert relative.value(np.array([1.5, 1.5]), {"a": np.array([0.0, 0.5])}).tolist() == [1.5, 3.0]


def test_a_column_that_hugs_its_bound_is_told_by_it():
    [gap] = choose_relative(plan("gap >= 1 / rate"), close_to_its_bound())
    assert (gap.column, gap.form, gap.whole) == ("gap", "times", False)


def test_a_column_far_from_its_bound_is_told_by_its_own_values():
    numbers = close_to_its_bound()
    numbers["gap"] = 1000 / numbers["rate"].min() + np.arange(ROWS)
    assert choose_relative(plan("gap >= 1 / rate"), numbers) == ()


def test_values_that_repeat_are_told_as_they_are():
    rng = np.random.default_rng(0)
    least = rng.choice([60.0, 66.0, 74.0], ROWS)
    most = np.maximum(least, rng.choice([60.0, 74.0, 590.0, 1514.0], ROWS))
    assert choose_relative(plan("Min <= Max"), {"Min": least, "Max": most}) == ()


@pytest.mark.parametrize("column", ["rate", "gap"])
def test_a_column_with_an_infinite_value_is_not_told_by_bounds_and_bounds_nothing(column):
    numbers = close_to_its_bound()
    numbers[column] = np.append(numbers[column][1:], np.inf)
    assert choose_relative(plan("gap >= 1 / rate"), numbers) == ()


def test_whole_numbers_stay_whole():
    rng = np.random.default_rng(0)
    most = rng.integers(1000, 100_000, ROWS).astype(float)
    numbers = {"most": most, "x": np.rint(most * (1 - 0.1 * rng.random(ROWS) ** 3))}
    [relative] = choose_relative(plan("most >= x"), numbers)
    assert (relative.form, relative.whole) == ("part", True)
    assert (relative.value(relative.tell(numbers["x"], numbers), numbers) == numbers["x"]).all()


def test_derived_columns_are_written_out():
    [found] = bounds_in(plan("mean = total / n", "x <= mean * 2"), ["n", "total", "x"])
    assert [text_of(each) for each in found.most] == ["total / n * 2"]


def test_a_column_is_bound_by_columns_before_it_only():
    found = bounds_in(plan("a <= b", "b <= a * 2"), ["a", "b"])
    assert len(found) == 1


def test_conditional_rules_and_rules_of_one_class_bound_nothing():
    conditional = Rules(
        (
            Rule(name="when", condition=parse_condition("when a > 1 then b <= a")),
            Rule(name="class", condition=parse_condition("c <= a"), classes=("x",)),
        )
    )
    assert bounds_in(conditional.plan, ["a", "b", "c"]) == ()


def test_a_table_without_rows_to_spare_is_told_as_it_is():
    assert choose_relative(plan("gap >= 1 / rate"), {"rate": np.ones(1), "gap": np.ones(1)}) == ()


def test_what_is_written_to_json_comes_back():
    rules = plan("gap >= 1 / rate", "gap >= 2 / odd")
    numbers = close_to_its_bound() | {"odd": np.full(ROWS, np.nan)}
    relative = choose_relative(rules, numbers)
    assert len(relative) == 1
    assert restore_relative(relative_to_json(relative), rules, list(numbers)) == relative


@pytest.mark.parametrize(
    "damaged",
    [
        None,
        "gap",
        ["gap"],
        [["gap"]],
        [["gap", "times", False]],
        [["rate", "times", False, ["gap"]]],
        [["gap", "power", False, ["rate"]]],
        [["gap", "times", 0, ["rate"]]],
        [["gap", "times", False, "rate"]],
        [["gap", "times", False, [3]]],
        [["gap", "share", False, ["rate"]]],
        [["gap", "times", False, []]],
        [["gap", "times", False, ["rate"]], ["gap", "times", False, ["rate"]]],
    ],
)
def test_damaged_descriptions_are_refused(damaged):
    with pytest.raises(ModelError, match="told by their bounds"):
        restore_relative(damaged, plan("gap >= 1 / rate"), ["rate", "gap"])
