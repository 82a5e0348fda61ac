"""The spread form: names are zeros and a one, and the way back gives the same rows."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flowmint.encode.encoder import Encoder
from flowmint.encode.spread import MOST_SPREAD, dimensions, spread, uniform, width
from flowmint.flows.schema import Schema


def make_table(names: int = 5) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    return pl.DataFrame(
        {
            "service": [f"s{i % names}" for i in range(400)],
            "flag": rng.choice(["yes", "no"], 400),
            "bytes": rng.integers(0, 20, 400),
            "rate": np.where(rng.random(400) < 0.1, np.nan, rng.gamma(2, 3, 400)),
            "constant": ["x"] * 400,
        }
    )


def fit(table: pl.DataFrame) -> Encoder:
    return Encoder.fit(table, Schema.infer(table))


@pytest.mark.parametrize("seed", [None, 0, 7])
def test_the_way_back_gives_the_same_rows(seed):
    table = make_table()
    encoder = fit(table)
    assert_frame_equal(encoder.decode_uniform(uniform(encoder, spread(encoder, table, seed=seed))), table)


def test_only_columns_of_several_names_are_spread():
    encoder = fit(make_table())
    assert [width(support) for support in encoder.modelled] == [5, 1, 1, 1]  # two values are told by one number
    assert dimensions(encoder) == 8
    points = spread(encoder, make_table(), seed=0)
    assert points.shape == (400, 8)
    assert (points[:, :5].sum(axis=1) == 1).all()
    assert np.isin(points[:, :5], (0, 1)).all()


def test_columns_of_very_many_names_stay_one_number():
    table = pl.DataFrame({"host": [f"h{i}" for i in range(MOST_SPREAD + 1)] * 2})
    encoder = fit(table)
    assert dimensions(encoder) == 1
    assert_frame_equal(encoder.decode_uniform(uniform(encoder, spread(encoder, table, seed=3))), table)


def test_without_a_seed_a_value_has_one_place_and_with_one_it_is_drawn():
    table = make_table()
    encoder = fit(table)
    column = 6  # bytes: of each of its 20 values there are several
    exact, drawn = (spread(encoder, table, seed=seed)[:, column] for seed in (None, 0))
    assert len(np.unique(exact)) == 20
    assert len(np.unique(drawn)) > 300
    assert np.array_equal(exact, spread(encoder, table, seed=None)[:, column])
