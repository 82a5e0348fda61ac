"""A classifier tells apart what differs, and nothing else."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from flowmint.errors import ScoreError
from flowmint.evaluate.detectability import MOST_CATEGORIES, boosted_trees_auc, linear_auc
from flowmint.evaluate.embed import Embedding


def points(*tables):
    embedding = Embedding.fit(tables[0])
    return [embedding.transform(table) for table in tables]


def test_rows_of_one_distribution_are_not_told_apart(draw):
    real, fresh = draw(600, 0), draw(600, 1)
    assert boosted_trees_auc(real, fresh) == pytest.approx(0.5, abs=0.06)
    assert linear_auc(*points(real, fresh)) == pytest.approx(0.5, abs=0.06)


def test_an_impossible_row_gives_all_away(draw):
    real, minted = draw(200, 0), draw(200, 1).with_columns(pl.col("Count") + 1000)
    assert boosted_trees_auc(real, minted) > 0.99


@pytest.mark.parametrize(
    "change",
    [
        pl.lit("quic").alias("Protocol"),
        pl.lit(None, dtype=pl.Boolean).alias("Flag"),
        pl.lit(float("inf")).alias("Rate"),
    ],
    ids=["category", "missing", "infinite"],
)
def test_categories_and_odd_cells_are_seen(draw, change):
    assert boosted_trees_auc(draw(200, 0), draw(200, 1).with_columns(change)) > 0.8


def test_a_lost_relation_is_seen_by_trees_and_not_by_a_line():
    rng = np.random.default_rng(0)
    x = rng.normal(size=800)
    real = pl.DataFrame({"x": x, "y": x + 0.1 * rng.normal(size=800)})
    lost = real.with_columns(y=pl.Series(rng.permutation(real["y"].to_numpy())))
    assert boosted_trees_auc(real, lost) > 0.85
    assert linear_auc(*points(real, lost)) < 0.6


def test_more_categories_than_trees_take_are_joined():
    names = [f"port{index}" for index in range(MOST_CATEGORIES + 100)]
    real = pl.DataFrame({"c": names})
    assert 0 <= boosted_trees_auc(real, real.reverse()) <= 1


def test_the_same_seed_gives_the_same_area(draw):
    real, minted = draw(100, 0), draw(100, 1)
    assert boosted_trees_auc(real, minted, seed=3) == boosted_trees_auc(real, minted, seed=3)


def test_too_few_rows_are_no_score(draw):
    with pytest.raises(ScoreError, match="at least 20"):
        boosted_trees_auc(draw(19, 0), draw(50, 1))
