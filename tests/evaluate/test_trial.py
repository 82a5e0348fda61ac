"""A trial tells on held-out rows whether balancing helps, in the form of a comparison."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from flowmint.errors import SettingError, TableError
from flowmint.evaluate.compare import NONE, Comparison
from flowmint.evaluate.trial import scale_target, try_balance


def make_table(rare: int = 30, many: int = 200) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    centre = np.repeat([0.0, 2.0, 4.0], [many, rare, 1])
    noise = rng.normal(size=(2, len(centre)))
    labels = np.repeat(["Benign", "Scan", "Once"], [many, rare, 1])
    return pl.DataFrame({"x": centre + noise[0], "y": centre + noise[1], "Label": labels})


@pytest.fixture(scope="module")
def run():
    return try_balance(make_table(), label="Label", generator="smote", seeds=(0, 1))


def test_each_class_that_can_be_judged_is_a_task(run):
    found = run.comparison
    assert [(task.name, task.benign) for task in found.tasks] == [("Scan", "all other classes")]
    assert {(c.generator, c.seed) for c in found.cells} == {(g, s) for g in (NONE, "smote") for s in (0, 1)}


def test_nothing_that_is_held_out_is_learnt_from(run):
    cell = next(c for c in run.comparison.cells if c.generator == "smote")
    assert (cell.attack_rows, cell.benign_rows, cell.minted_rows) == (21, 141, 119)
    (shown,) = run.shown
    assert shown.real.join(shown.train, on=["x", "y"], how="semi").is_empty()


def test_the_gain_is_that_of_minting(run):
    minted = next(s for s in run.comparison.summaries if s.generator == "smote")
    none = next(s for s in run.comparison.summaries if s.generator == NONE)
    assert minted.gain.mean == pytest.approx(minted.metrics["f1"].mean - none.metrics["f1"].mean)
    assert "column_error" in minted.scores


def test_rows_are_counted_valid_as_delivered_and_before_repair():
    whole = make_table(many=60).with_columns(z=pl.col("x") + pl.col("y"), n=(10 * pl.col("x")).round())
    found = try_balance(whole, label="Label", generator="smote", seeds=(0,)).comparison
    (cell,) = (cell for cell in found.cells if cell.generator == "smote")
    scores = {score.name: score for score in cell.scores}
    assert scores["valid_rows"].value == 1.0
    assert scores["valid_rows_before_repair"].value < 1.0
    assert 0 < scores["valid_rows"].reference <= 1.0


def test_without_rules_no_row_is_counted_valid():
    found = try_balance(make_table(many=60), label="Label", generator="smote", seeds=(0,), rules="none").comparison
    (cell,) = (cell for cell in found.cells if cell.generator == "smote")
    assert {score.name: score.reason for score in cell.scores}["valid_rows"].startswith("there are no rules")


def test_a_trial_survives_json(run):
    assert Comparison.from_json(json.loads(json.dumps(run.comparison.to_json()))) == run.comparison


def test_targets_shrink_with_the_rows_that_are_left():
    counts, left = {"a": 100, "b": 10}, {"a": 70, "b": 7}
    assert scale_target(None, counts, left) is None
    assert scale_target(100, counts, left) == {"b": 70}
    assert scale_target({"b": 50}, counts, left) == {"b": 35}
    assert scale_target({"b": 10}, counts, left) == {}


def test_nothing_to_mint_is_refused():
    with pytest.raises(TableError, match="nothing is minted"):
        try_balance(make_table(), label="Label", generator="smote", target={"Scan": 30})


def test_classes_without_rows_to_hold_out_are_refused():
    with pytest.raises(TableError, match="rows to hold out"):
        try_balance(make_table(), label="Label", generator="smote", target={"Once": 50}, seeds=(0,))


def test_an_unknown_generator_is_refused():
    with pytest.raises(SettingError, match="did you mean 'smote'"):
        try_balance(make_table(), label="Label", generator="smotee")
