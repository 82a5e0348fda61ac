"""Splits keep test rows out of training, and are the same for the same seed."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from flowmint.errors import LabelError, SettingError, TableError
from flowmint.flows.split import SplitRule, few_shot, folds_of, hold_out

TABLE = pl.DataFrame(
    {
        "x": [*range(100), *range(1000, 1040), *range(50)],
        "Label": ["Benign"] * 100 + ["Attack"] * 40 + ["Other"] * 50,
    }
)


def split(table: pl.DataFrame = TABLE, **options):
    usual = {"label": "Label", "attack": "Attack", "benign": "Benign", "rows": 5, "most": 30, "seed": 0}
    return few_shot(table, **{**usual, **options})


def test_counts_are_what_was_asked_for():
    parts = split()
    counts = [dict(part["Label"].value_counts().iter_rows()) for part in (parts.train, parts.test, parts.full)]
    assert counts == [
        {"Benign": 30, "Attack": 5},
        {"Benign": 30, "Attack": 20},
        {"Benign": 30, "Attack": 20},
    ]


@pytest.mark.parametrize("seed", range(5))
def test_no_test_row_stands_in_training(seed):
    parts = split(seed=seed)
    assert parts.test.join(parts.full, on=parts.test.columns, how="semi").is_empty()
    assert parts.train.join(parts.full, on=parts.test.columns, how="anti").is_empty()


def test_test_rows_that_repeat_training_rows_are_left_out():
    table = TABLE.with_columns(x=pl.col("x") % 7)
    parts = split(table, rows=20, most=1000)
    assert parts.test.join(parts.full, on=table.columns, how="semi").is_empty()


def test_the_same_seed_gives_the_same_split_and_another_another():
    assert split(seed=1).train.equals(split(seed=1).train)
    assert not split(seed=1).train.equals(split(seed=2).train)


def test_an_unknown_class_gets_the_nearest_name():
    with pytest.raises(LabelError, match="did you mean 'Attack'"):
        split(attack="attack")


def test_more_rows_than_there_are_is_refused():
    with pytest.raises(SettingError, match="20"):
        split(rows=21)


def test_the_random_protocol_is_what_benchmarks_were_measured_with():
    rng = np.random.default_rng(7)
    halves = {}
    for name in ("Benign", "Attack"):
        own = TABLE.filter(pl.col("Label") == name)
        shuffled = own[rng.permutation(own.height)]
        halves[name] = shuffled[own.height // 2 :], shuffled[: own.height // 2]
    parts = split(seed=7)
    assert parts.train.equals(pl.concat([halves["Benign"][0].head(30), halves["Attack"][0].head(5)]))
    assert parts.test.equals(pl.concat([halves["Benign"][1].head(30), halves["Attack"][1].head(30)]))


@pytest.mark.parametrize(("text", "kind"), [("random", "random"), ("block", "block"), ("group:Device: 1", "group")])
def test_a_rule_is_read_and_written(text, kind):
    rule = SplitRule.parse(text)
    assert (rule.kind, rule.text) == (kind, text)


@pytest.mark.parametrize("text", ["", "blocks", "group", "group:", "random:x", "capture:x"])
def test_an_unknown_rule_is_refused(text):
    with pytest.raises(SettingError, match="unknown split"):
        SplitRule.parse(text)


@pytest.mark.parametrize("seed", range(3))
def test_blocks_keep_runs_of_contiguous_rows_together(seed):
    parts = split(rows=20, most=1000, seed=seed, by=SplitRule("block"))
    benign = parts.test.filter(pl.col("Label") == "Benign")["x"].sort().to_numpy()
    runs = np.split(benign, np.flatnonzero(np.diff(benign) > 1) + 1)
    assert all(len(run) % 10 == 0 for run in runs)
    assert len(benign) == 50


@pytest.mark.parametrize("seed", range(5))
def test_groups_stand_on_one_side(seed):
    table = TABLE.with_columns(device=pl.col("x") % 7)
    parts = split(table, most=1000, seed=seed, by=SplitRule.parse("group:device"))
    assert parts.train.columns == ["x", "Label"]
    sides = [set((part["x"] % 7).to_list()) for part in (parts.full, parts.test)]
    assert not sides[0] & sides[1]
    for part in (parts.full, parts.test):
        assert set(part["Label"].unique()) == {"Benign", "Attack"}


def test_a_class_in_a_single_group_is_refused():
    table = TABLE.with_columns(day=pl.col("Label"))
    with pytest.raises(TableError, match="'Benign' stands in 1 value of 'day'"):
        split(table, by=SplitRule.parse("group:day"))


def test_an_absent_group_column_gets_the_nearest_name():
    with pytest.raises(TableError, match="did you mean 'Label'"):
        split(by=SplitRule.parse("group:label"))


def test_a_table_without_captures_is_refused():
    with pytest.raises(TableError, match="folder of captures"):
        split(by=SplitRule.parse("capture"))


@pytest.mark.parametrize("rule", ["random", "block", "group:device"])
def test_held_out_rows_stand_nowhere_in_training(rule):
    table = TABLE.with_columns(device=pl.col("x") % 10).with_columns(x=pl.col("x") % 77)
    parts = hold_out(table, label="Label", share=0.3, seed=1, by=SplitRule.parse(rule))
    assert parts.test.join(parts.train, on=[c for c in parts.test.columns if c != "Label"], how="semi").is_empty()
    assert set(parts.train["Label"].unique()) == {"Benign", "Attack", "Other"}


def test_a_share_of_each_class_is_held_out_and_rows_keep_their_order():
    parts = hold_out(TABLE.with_row_index(), label="Label", share=0.3, seed=0)
    counts = [dict(part["Label"].value_counts().iter_rows()) for part in (parts.train, parts.test)]
    assert counts == [{"Benign": 70, "Attack": 28, "Other": 35}, {"Benign": 30, "Attack": 12, "Other": 15}]
    assert parts.train["index"].is_sorted()
    assert parts.test["index"].is_sorted()


def test_nothing_to_hold_out_is_refused():
    table = pl.DataFrame({"x": [1] * 20, "Label": ["a", "b"] * 10})
    with pytest.raises(TableError, match="none of the 6 rows held out remain"):
        hold_out(table, label="Label")
    with pytest.raises(SettingError, match="between 0 and 1"):
        hold_out(TABLE, label="Label", share=1.0)


def test_folds_spread_every_class_evenly():
    folds = folds_of(TABLE["Label"], folds=5, seed=0)
    for name in ("Benign", "Attack", "Other"):
        counts = np.bincount(folds[(TABLE["Label"] == name).to_numpy()], minlength=5)
        assert counts.max() - counts.min() <= 1
    assert not np.array_equal(folds, folds_of(TABLE["Label"], folds=5, seed=1))
