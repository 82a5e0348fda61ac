"""The flat form keeps real rows, and interpolated ones become values of the column's kind."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from flowmint.encode.encoder import Encoder
from flowmint.encode.flat import Flat
from flowmint.flows.schema import Schema

TABLE = pl.DataFrame(
    {
        "rate": [1.5, float("inf"), 2.5, float("nan"), None],
        "count": [1, 2, 2**60 + 1, -5, 0],
        "proto": ["tcp", "udp", None, "tcp", "icmp"],
        "flag": [True, False, True, None, True],
        "constant": [3, 3, 3, 3, 3],
    }
)


def flat_of(table: pl.DataFrame, *, spread: bool) -> tuple[Encoder, Flat]:
    encoder = Encoder.fit(table, Schema.infer(table))
    return encoder, Flat.of(encoder, spread=spread)


@pytest.mark.parametrize("spread", [True, False])
def test_real_rows_come_back_exactly(spread):
    encoder, flat = flat_of(TABLE, spread=spread)
    matrix = flat.flatten(encoder.states(TABLE))
    assert np.isfinite(matrix).all()
    assert_frame_equal(flat.unflatten(matrix), TABLE)


@pytest.mark.parametrize("spread", [True, False])
@given(weights=st.lists(st.floats(0, 1), min_size=5, max_size=5))
def test_mixtures_of_rows_are_of_the_columns_kinds(spread, weights):
    encoder, flat = flat_of(TABLE, spread=spread)
    matrix = flat.flatten(encoder.states(TABLE))
    mixed = flat.unflatten(matrix * np.array(weights)[:, None] + matrix[::-1] * (1 - np.array(weights)[:, None]))
    assert mixed.schema == TABLE.schema
    assert set(mixed["proto"]) <= set(TABLE["proto"])
    assert mixed["constant"].to_list() == [3] * 5
    assert (mixed["count"].to_numpy() >= -5).all()


def test_categories_stay_one_column_for_smotenc():
    _, flat = flat_of(TABLE.select("count", "proto"), spread=False)
    assert flat.categorical == [1]
    _, flat = flat_of(TABLE.select("count", "proto"), spread=True)
    assert flat.categorical == [1, 2, 3, 4]
