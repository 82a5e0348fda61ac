"""An evaluation has every score, its reference and its reason, whatever the tables."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from flowmint import Rules
from flowmint.errors import LabelError, SettingError, TableError
from flowmint.evaluate import gain
from flowmint.evaluate.evaluation import MEASURED, evaluate_tables
from flowmint.evaluate.scores import Evaluation
from flowmint.rules.language import Rule
from flowmint.rules.parse import parse_condition

QUICK = ("distribution", "dependency", "diversity", "privacy")


@pytest.fixture
def quick_detectors(monkeypatch):
    monkeypatch.setattr(gain.measure_gains, "__kwdefaults__", {"detectors": ("random forest",)})


@pytest.fixture(scope="module")
def found(draw):
    """Fresh real rows in the place of minted ones."""
    return evaluate_tables(draw(300, 0), draw(200, 1), train=draw(300, 2), label="Label", families=QUICK)


def test_every_family_is_computed_with_references(draw, quick_detectors, watch):
    minted = draw(150, 1)
    number = next(name for name, dtype in minted.schema.items() if dtype.is_float())
    found = evaluate_tables(
        draw(150, 0),
        minted,
        train=draw(150, 2),
        all_real=draw(150, 3),
        label="Label",
        rules=Rules((Rule(name="least", condition=parse_condition(f"`{number}` >= -1000000")),)),
        unrepaired=minted,
        progress=watch,
    )
    assert {score.family for score in found.scores} == set(MEASURED)
    absent = {score.name for score in found.scores if not score.available}
    assert absent <= {"gap_closed", "closest_record_ratio"}
    assert all(s.reference is not None for s in found.scores if s.available and s.name != "gap_closed")
    assert {own.name for own in found.classes} == {"scan", "benign"}
    ((_, total, _),) = watch.stages
    assert sum(watch.done) == total


def test_fresh_real_rows_score_as_their_reference(found):
    near = {"column_error": 0.03, "pearson_error": 0.05, "coverage": 0.1, "precision": 0.1, "duplicates": 0.01}
    for name, tolerance in near.items():
        score = found.score(name)
        assert score.value == pytest.approx(score.reference, abs=tolerance)


def test_values_stay_within_their_bounds(found):
    for scores in (found.scores, *(own.scores for own in found.classes)):
        for score in scores:
            for number in (score.value, score.reference):
                assert number is None or score.lowest <= number <= score.highest


def test_counts_are_those_of_the_tables(found):
    assert (found.real_rows, found.minted_rows, found.train_rows) == (300, 200, 300)
    assert sum(own.minted_rows for own in found.classes) == 200
    assert found.columns == ("Size", "Rate", "Count", "Protocol", "Flag")


def test_json_holds_all_of_it(found):
    assert Evaluation.from_json(json.loads(json.dumps(found.to_json(), allow_nan=False))) == found


def test_the_same_seed_gives_the_same_scores(found, draw):
    again = evaluate_tables(draw(300, 0), draw(200, 1), train=draw(300, 2), label="Label", families=QUICK)
    assert again == found


def test_the_tables_are_left_as_they_were(draw):
    tables = draw(60, 0), draw(60, 1), draw(60, 2)
    copies = [table.clone() for table in tables]
    evaluate_tables(tables[0], tables[1], train=tables[2], label="Label", families=("distribution",))
    assert all(table.equals(copy) for table, copy in zip(tables, copies, strict=True))


def test_classes_are_compared_in_equal_numbers(draw):
    real, minted = draw(600, 0, attack_share=0.2), draw(600, 1, attack_share=0.8)
    found = evaluate_tables(real, minted, label="Label", families=("distribution",))
    assert found.score("column_error").value < 0.08
    features = real.drop("Label"), minted.drop("Label")
    assert evaluate_tables(*features, families=("distribution",)).score("column_error").value > 0.15


def test_swapped_classes_are_found_out_even_together(draw):
    real, minted = draw(500, 0), draw(500, 1)
    swapped = minted.with_columns(Label=pl.col("Label").replace({"scan": "benign", "benign": "scan"}))
    scores = [
        evaluate_tables(real, rows, train=draw(500, 2), label="Label", families=("dependency",))
        for rows in (minted, swapped)
    ]
    right, wrong = (found.score("contingency_error") for found in scores)
    assert wrong.value > 2 * right.value
    assert any("class" in part.columns for part in wrong.worst_columns(2))


def test_without_training_rows_the_other_half_is_the_reference(draw):
    found = evaluate_tables(
        draw(200, 0), draw(200, 1), label="Label", families=("distribution", "diversity", "privacy")
    )
    assert found.train_rows is None
    assert found.score("column_error").reference is not None
    for name in ("authenticity", "copies", "membership_inference"):
        assert found.score(name).reason == "there are no training rows to compare with; give them"
    assert any("other half" in note for note in found.notes)


def test_without_a_label_there_are_no_classes(draw):
    tables = [draw(80, seed).drop("Label") for seed in range(3)]
    found = evaluate_tables(tables[0], tables[1], train=tables[2], families=("distribution", "utility"))
    assert (found.classes, found.label) == ((), None)
    assert found.score("f1_added").reason == "there is no label that a detector could learn; give its column"


def test_a_single_class_is_scored_once(draw):
    attack = pl.col("Label") == "scan"
    real, minted, train = (draw(120, seed).filter(attack) for seed in range(3))
    found = evaluate_tables(real, minted, train=train, label="Label", families=("distribution",))
    assert found.of_class("scan").scores == found.scores


def test_copies_of_training_rows_are_found_out(draw):
    train = draw(200, 2)
    found = evaluate_tables(draw(200, 0), train, train=train, label="Label", families=("diversity", "privacy"))
    assert found.score("copies").value == 1
    assert found.score("authenticity").value == 0
    assert found.score("closer_to_training").value > 0.6
    assert found.score("membership_inference").value > 0.6


def test_few_rows_make_scores_unavailable_and_never_zero(draw):
    found = evaluate_tables(
        draw(6, 0), draw(6, 1), train=draw(6, 2), families=("distribution", "dependency", "diversity", "detectability")
    )
    assert found.score("column_error").available
    for name in ("mmd", "pearson_error", "coverage", "detection_boosted_trees", "vendi"):
        score = found.score(name)
        assert score.value is None
        assert "at least" in score.reason


@pytest.mark.parametrize("rows", [1, 2, 3, 11, 25])
def test_any_number_of_rows_can_be_evaluated(draw, rows, quick_detectors):
    found = evaluate_tables(draw(rows, 0), draw(rows, 1), train=draw(rows, 2))
    assert all(score.available or score.reason for score in found.scores)


def test_constant_columns_are_left_out_and_told(draw):
    tables = [draw(60, seed).with_columns(Same=pl.lit(1), Empty=pl.lit(None, dtype=pl.Float64)) for seed in range(2)]
    found = evaluate_tables(*tables, label="Label", families=("distribution",))
    assert "Same" not in found.columns
    assert "left out, one value throughout: 'Same', 'Empty'" in found.notes


def test_nothing_that_varies_is_nothing_to_compare():
    table = pl.DataFrame({"x": [1, 1], "Label": ["a", "b"]})
    with pytest.raises(TableError, match="nothing to compare"):
        evaluate_tables(table, table, label="Label")


def test_classes_on_one_side_alone_are_left_out_and_told(draw, quick_detectors):
    real = draw(120, 0).with_columns(Label=pl.when(pl.int_range(pl.len()) < 20).then(pl.lit("dos")).otherwise("Label"))
    minted = draw(120, 1).with_columns(
        Label=pl.when(pl.int_range(pl.len()) < 20).then(pl.lit("mitm")).otherwise("Label")
    )
    found = evaluate_tables(real, minted, train=draw(120, 2), label="Label", families=("distribution", "utility"))
    assert "minted classes without held-out rows, not compared: 'mitm'" in found.notes
    assert "held-out classes of which nothing was minted, not compared: 'dos'" in found.notes
    assert {own.name for own in found.classes} == {"scan", "benign"}
    assert found.score("macro_f1_added").available


def test_no_class_in_common_is_refused_with_both_lists(draw):
    strange = draw(50, 1).with_columns(Label=pl.lit("new"))
    with pytest.raises(LabelError, match="minted are 'new', held out are 'benign', 'scan'"):
        evaluate_tables(draw(50, 0), strange, label="Label")


def test_other_columns_are_refused_with_their_difference(draw):
    with pytest.raises(TableError, match="missing 'Rate'; unexpected 'rate'"):
        evaluate_tables(draw(50, 0), draw(50, 1).rename({"Rate": "rate"}), label="Label")


def test_an_empty_label_is_refused_with_its_table(draw):
    gaps = draw(50, 1).with_columns(Label=pl.lit(None, dtype=pl.String))
    with pytest.raises(LabelError, match=r"minted rows: the label 'Label' is empty in 50"):
        evaluate_tables(draw(50, 0), gaps, label="Label")


@pytest.mark.parametrize(
    ("options", "told"),
    [
        ({"families": ["privcy"]}, "did you mean 'privacy'"),
        ({"families": ["cost"]}, "known: distribution"),
        ({"seed": -1}, "seed is -1"),
        ({"seed": True}, "seed is True"),
    ],
    ids=str,
)
def test_unknown_settings_are_refused(draw, options, told):
    with pytest.raises(SettingError, match=told):
        evaluate_tables(draw(20, 0), draw(20, 1), **options)


@pytest.mark.parametrize("kind", ["pandas", "arrow"])
def test_other_frames_are_taken(draw, kind):
    tables = [draw(40, seed) for seed in range(2)]
    native = [table.to_pandas() if kind == "pandas" else table.to_arrow() for table in tables]
    ours, theirs = (evaluate_tables(*t, label="Label", families=("distribution",)) for t in (tables, native))
    assert theirs.score("ks_complement") == ours.score("ks_complement")


def test_numbered_classes_are_classes(draw):
    tables = [draw(80, seed).with_columns(Label=(pl.col("Label") == "scan").cast(pl.Int8)) for seed in range(2)]
    found = evaluate_tables(*tables, label="Label", families=("distribution",))
    assert [own.name for own in found.classes] == ["0", "1"]


def test_huge_and_tiny_numbers_are_scored():
    rng = np.random.default_rng(0)
    tables = [
        pl.DataFrame(
            {
                "huge": pl.Series(rng.integers(0, 2**63, 60), dtype=pl.UInt64) + 2**63,
                "far": rng.normal(size=60) * 1e307,
                "tiny": rng.normal(size=60) * 1e-310,
            }
        )
        for _ in range(3)
    ]
    found = evaluate_tables(tables[0], tables[1], train=tables[2])
    assert all(
        score.available
        for score in found.scores
        if score.family in {"distribution", "dependency"} and score.name != "tv_complement"
    )


def test_real_rows_of_the_lab_score_as_their_reference(real_data):
    table = pl.read_parquet(real_data / "flows" / "ciciomt2024.parquet").sample(9000, seed=0, shuffle=True)
    real, minted, train = table[:3000], table[3000:6000], table[6000:]
    found = evaluate_tables(
        real.drop("Label"), minted.drop("Label"), train=train.drop("Label"), families=("distribution", "dependency")
    )
    for score in found.scores:
        if score.available and score.name != "mmd":
            assert score.value == pytest.approx(score.reference, abs=0.01)
