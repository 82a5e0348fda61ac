"""Few-shot splits keep test rows out of training, and are the same for the same seed."""

from __future__ import annotations

import polars as pl
import pytest

from flowmint.errors import LabelError, SettingError
from flowmint.flows.split import few_shot

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
