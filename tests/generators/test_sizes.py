"""Sizes follow the data."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmint.generators.sizes import Sizes

counts = st.integers(1, 10**9)


@given(rows=counts, classes=st.integers(1, 1000), columns=st.integers(0, 5000))
def test_sizes_are_in_sane_bounds(rows, classes, columns):
    sizes = Sizes.of(rows=rows, classes=classes, columns=columns)
    assert 8 <= sizes.dimensions <= 64
    assert 32 <= sizes.cells <= 128
    assert 192 <= sizes.width <= 512
    assert 700 <= sizes.steps <= 12_000
    assert 1_400 <= sizes.autoencoder_steps <= 12_000


@given(rows=counts, effort=st.floats(1e-3, 1000))
def test_effort_multiplies_the_steps_and_nothing_else(rows, effort):
    usual, more = (Sizes.of(rows=rows, classes=9, columns=30, effort=times) for times in (1.0, effort))
    assert more.steps == pytest.approx(max(effort * usual.steps, 1), rel=1e-3, abs=1)
    assert more.autoencoder_steps == pytest.approx(max(effort * usual.autoencoder_steps, 1), rel=1e-3, abs=1)
    assert more == usual.but(steps=more.steps, autoencoder_steps=more.autoencoder_steps)


@given(rows=counts, classes=st.integers(1, 1000))
def test_more_data_never_means_less_training(rows, classes):
    less, more = (Sizes.of(rows=rows * factor, classes=classes, columns=30) for factor in (1, 2))
    assert less.steps <= more.steps
    assert less.autoencoder_steps <= more.autoencoder_steps
    assert less.width <= more.width
    assert less.cells <= more.cells


def test_the_rule_is_the_documented_one():
    assert Sizes.of(rows=30, classes=2, columns=34) == Sizes(34, 32, 192, 1400, 700)
    assert Sizes.of(rows=2_525, classes=2, columns=34) == Sizes(34, 50, 192, 1400, 700)
    assert Sizes.of(rows=5_000, classes=2, columns=34) == Sizes(34, 64, 192, 1400, 700)
    assert Sizes.of(rows=20_000, classes=8, columns=34) == Sizes(34, 128, 256, 2222, 2800)


@pytest.mark.parametrize(("given_sizes", "expected"), [({}, 192), ({"width": None}, 192), ({"width": 7}, 7)])
def test_settings_replace_what_the_rule_gave(given_sizes, expected):
    assert Sizes.of(rows=30, classes=2, columns=5).but(**given_sizes).width == expected
