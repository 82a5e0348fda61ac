"""Scores keep their bounds and reasons, and come back from JSON as they were."""

from __future__ import annotations

import json
import math
from dataclasses import replace

import pytest

from flowmint.errors import LabelError, ReadError, ScoreError, SettingError
from flowmint.evaluate.scores import ClassScores, ColumnValue, Definition, Evaluation, Score, need_rows

DEFINITION = Definition(
    name="gap",
    title="Gap",
    family="distribution",
    lowest=0.0,
    highest=math.inf,
    better="lower",
    description="How wide it is.",
    source="nobody",
)
SCORE = DEFINITION.of(0.25, 0.1, per_column=(ColumnValue(("a", "b"), 0.3, 0.1), ColumnValue(("c",), 0.2)))
EVALUATION = Evaluation(
    scores=(SCORE, replace(SCORE, name="other", value=None, reason="too few")),
    classes=(ClassScores(name="scän", real_rows=3, minted_rows=4, train_rows=None, scores=(SCORE,)),),
    label="Label",
    columns=("a", "b", "c"),
    real_rows=5,
    minted_rows=6,
    train_rows=7,
    seed=8,
    notes=("one",),
)


def fail():
    raise ScoreError("no luck")


def test_an_evaluation_comes_back_from_json_as_it_was():
    text = json.dumps(EVALUATION.to_json(), allow_nan=False)
    assert Evaluation.from_json(json.loads(text)) == EVALUATION


@pytest.mark.parametrize(
    "change",
    [
        {"label": 3},
        {"columns": "abc"},
        {"columns": [1]},
        {"real_rows": -1},
        {"real_rows": True},
        {"minted_rows": None},
        {"seed": "0"},
        {"notes": None},
        {"classes": None},
        {"classes": [{"name": 1}]},
        {"scores": None},
        {"scores": [None]},
    ],
    ids=str,
)
def test_a_damaged_evaluation_is_refused(change):
    with pytest.raises(ReadError, match="damaged"):
        Evaluation.from_json({**EVALUATION.to_json(), **change})


@pytest.mark.parametrize(
    "change",
    [
        {"name": None},
        {"family": "beauty"},
        {"better": "sideways"},
        {"value": "0.5"},
        {"value": True},
        {"value": math.nan},
        {"value": None},
        {"reason": 1},
        {"per_column": [[["a"], "x", None]]},
        {"per_column": [[[], 1.0, None]]},
        {"per_column": {}},
    ],
    ids=str,
)
def test_a_damaged_score_is_refused(change):
    with pytest.raises(ReadError, match="damaged"):
        Score.from_json({**SCORE.to_json(), **change})


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_value_that_is_no_number_is_refused(value):
    with pytest.raises(SettingError, match="finite"):
        replace(SCORE, value=value)


def test_an_absent_value_needs_a_reason():
    with pytest.raises(SettingError, match="neither a value nor a reason"):
        replace(SCORE, value=None)
    absent = DEFINITION.absent("too few rows")
    assert (absent.available, absent.value, absent.reason) == (False, None, "too few rows")


def test_rounding_stays_within_the_bounds():
    assert DEFINITION.of(-1e-17).value == 0


def test_what_cannot_be_computed_is_not_available_and_says_why():
    score = DEFINITION.measure(fail, lambda: 1.0)
    assert (score.value, score.reason) == (None, "no luck")
    assert DEFINITION.measure(dict, None).reason == "no column is of the kind that this score is about"


def test_an_absent_reference_leaves_the_value():
    score = DEFINITION.measure(lambda: {("a",): 0.5, ("b",): 0.1}, fail)
    assert (score.value, score.reference) == (pytest.approx(0.3), None)
    assert score.per_column == (ColumnValue(("a",), 0.5), ColumnValue(("b",), 0.1))


@pytest.mark.parametrize(("better", "worst"), [("lower", "b"), ("higher", "a"), ("reference", "a")])
def test_the_worst_column_is_the_one_that_falls_furthest_short(better, worst):
    parts = (ColumnValue(("a",), 0.1, 0.6), ColumnValue(("b",), 0.9, 0.8))
    score = replace(SCORE, better=better, per_column=parts)
    assert score.worst_columns(1)[0].columns == (worst,)
    assert score.best_columns(1)[0].columns != (worst,)


def test_unknown_names_are_refused_with_the_nearest():
    with pytest.raises(SettingError, match="did you mean 'gap'"):
        EVALUATION.score("gapp")
    with pytest.raises(LabelError, match="did you mean 'scän'"):
        EVALUATION.of_class("scan")
    assert EVALUATION.of_class("scän").score("gap") == SCORE
    assert EVALUATION.of_family("privacy") == ()


def test_too_few_rows_are_told_with_both_numbers():
    with pytest.raises(ScoreError, match="3 rows to compare, and at least 10"):
        need_rows(3, 10)
