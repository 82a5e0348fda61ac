"""Minted rows that are real help, noise hurts, and both stand beside real rows alone."""

from __future__ import annotations

import polars as pl
import pytest

from flowmint.evaluate.gain import DEFINITIONS, measure_gains
from flowmint.evaluate.tables import Rows

DETECTORS = ("random forest", "logistic regression")


def rows_of(table):
    return Rows(table=table.drop("Label"), classes=table["Label"])


@pytest.fixture
def tables(draw):
    """Held-out rows, many real rows, and few of the attack among them."""
    full = draw(600, 1)
    attack = pl.col("Label") == "scan"
    few = pl.concat([full.filter(~attack), full.filter(attack).head(6)])
    return draw(500, 0), full, few


def gains_of(real, minted, train, watch, full=None, **options):
    return measure_gains(
        real=rows_of(real),
        minted=rows_of(minted),
        train=rows_of(train),
        all_real=None if full is None else rows_of(full),
        seed=0,
        stage=watch,
        **{"detectors": DETECTORS, **options},
    )


def named(scores):
    return {score.name: score for score in scores}


def test_fresh_real_rows_help_a_rare_class(tables, draw, watch):
    real, full, few = tables
    minted = draw(600, 2).filter(pl.col("Label") == "scan")
    gains = gains_of(real, minted, few, watch, full)
    assert list(gains.classes) == ["scan"]
    scores = named(gains.classes["scan"])
    assert scores["f1_added"].value > scores["f1_added"].reference + 0.1
    assert scores["recall_added"].value > scores["recall_added"].reference
    assert scores["pr_auc_added"].value > scores["pr_auc_added"].reference
    assert 0.5 < scores["gap_closed"].value < 1.5
    assert sum(watch.done) == 4


def test_rows_of_another_class_hurt(tables, draw, watch):
    real, full, _ = tables
    wrong = draw(600, 2).filter(pl.col("Label") == "benign").with_columns(Label=pl.lit("scan"))
    scores = named(gains_of(real, wrong, full, watch).scores)
    assert scores["f1_added"].value < scores["f1_added"].reference
    assert scores["f1_alone"].value < scores["f1_added"].value
    assert scores["false_positive_rate_added"].value > scores["false_positive_rate_added"].reference


def test_minted_rows_alone_replace_the_real_ones_of_their_class(tables, draw, watch):
    real, full, few = tables
    minted = draw(600, 2).filter(pl.col("Label") == "scan")
    alone = named(gains_of(real, minted, few, watch).scores)["f1_alone"]
    same = named(gains_of(real, minted, full, watch).scores)["f1_alone"]
    assert alone.value == same.value  # whatever attack rows training had


def test_every_score_is_there_with_each_detector(tables, draw, watch):
    real, full, _ = tables
    gains = gains_of(real, draw(100, 3), full, watch)
    assert [score.name for score in gains.scores] == [definition.name for definition in DEFINITIONS]
    for score in gains.scores[:-1]:
        assert [part.columns for part in score.per_column] == [("logistic regression",), ("random forest",)][::-1]
    assert gains.scores[-1].reason == "the table of all real rows is not given"
    assert gains.notes == ("detectors: random forest, logistic regression",)


def test_no_gap_is_no_share_of_it(tables, draw, watch):
    real, full, _ = tables
    score = named(gains_of(real, draw(100, 3), full, watch, full).scores)["gap_closed"]
    assert score.value is None
    assert "no gap to close" in score.reason


def test_one_class_teaches_nothing(tables, draw, watch):
    real, full, _ = tables
    only = pl.col("Label") == "scan"
    gains = gains_of(real, draw(100, 3).filter(only), full.filter(only), watch)
    assert {score.reason for score in gains.scores} == {
        "the training rows are of a single class, which teaches a detector nothing; add rows of another"
    }
    assert gains.classes == {}


def test_what_was_cut_is_told(draw, watch, monkeypatch):
    monkeypatch.setattr("flowmint.evaluate.gain.LEAST_ROWS", 50)
    monkeypatch.setattr("flowmint.evaluate.gain.MOST_CELLS", 100)
    gains = gains_of(draw(100, 0), draw(100, 1), draw(60, 2), watch)
    assert "trained on 50 of 60 real and of 100 minted rows" in gains.notes[0]
