"""Neighbourhoods, supports and kernels agree with their definitions, and tell collapse and copies."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from flowmint.errors import ScoreError
from flowmint.evaluate import diversity
from flowmint.evaluate.diversity import Distances, authenticity, copies, duplicates, vendi

FUNCTIONS = diversity.NEIGHBOUR_SCORES


def cloud(rows, seed, *, shift=0.0, scale=1.0):
    return scale * np.random.default_rng(seed).normal(size=(rows, 3)) + shift


def by_hand(real, other, k):
    """Precision, recall, density and coverage, pair by pair."""

    def reach(points):
        return [sorted(math.dist(p, q) for q in points)[k] for p in points]

    real_reach, other_reach = reach(real), reach(other)
    inside = [[math.dist(r, o) <= reach for o in other] for r, reach in zip(real, real_reach, strict=True)]
    held = [[math.dist(r, o) <= reach for o, reach in zip(other, other_reach, strict=True)] for r in real]
    return (
        np.mean([any(row[index] for row in inside) for index in range(len(other))]),
        np.mean([any(row) for row in held]),
        np.mean([sum(row[index] for row in inside) for index in range(len(other))]) / k,
        np.mean([any(row) for row in inside]),
    )


def test_neighbourhoods_are_what_they_are_by_hand():
    real, other = cloud(25, 0), cloud(30, 1, shift=0.5)
    distances = Distances.of(real, other)
    functions = (diversity.precision, diversity.recall, diversity.density, diversity.coverage)
    for k in (1, 3, 5):
        np.testing.assert_allclose([function(distances, k=k) for function in functions], by_hand(real, other, k))


def test_fresh_rows_reach_what_theory_expects():
    distances = Distances.of(cloud(1000, 0), cloud(1000, 1))
    assert diversity.coverage(distances) == pytest.approx(1 - 2**-5, abs=0.02)  # as Naeem et al. 2020 derive
    assert diversity.density(distances) == pytest.approx(1, abs=0.1)
    assert diversity.alpha_precision(distances) > 0.95
    assert diversity.beta_recall(distances) > 0.8


def test_a_collapsed_generator_is_precise_and_covers_little():
    distances = Distances.of(cloud(500, 0), cloud(500, 1, scale=0.2))
    assert diversity.precision(distances) > 0.98
    for function in (diversity.recall, diversity.coverage, diversity.beta_recall, diversity.alpha_precision):
        assert function(distances) < 0.6


def test_far_rows_are_neither_precise_nor_cover():
    distances = Distances.of(cloud(200, 0), cloud(200, 1, shift=50.0))
    values = {definition.name: function(distances) for definition, function in FUNCTIONS.items()}
    assert values.pop("alpha_precision") == pytest.approx(0, abs=0.05)
    assert values == dict.fromkeys(values, pytest.approx(0, abs=0.01))


def test_rows_that_equal_each_other_are_neighbours():
    twins = np.repeat([[0.0, 0.0], [5.0, 5.0]], 20, axis=0)
    distances = Distances.of(twins, twins)
    assert diversity.coverage(distances) == diversity.precision(distances) == diversity.recall(distances) == 1


def test_alpha_precision_is_one_minus_twice_the_area_between():
    real = np.linspace(0.0, 1.0, 500)[:, None] * [[1.0, 0.0]]
    shrunk = (real - real.mean(axis=0)) / 2 + real.mean(axis=0)
    # P(α) = min(2 α, 1), so that the area between it and α is 1/4
    assert diversity.alpha_precision(Distances.of(real, shrunk)) == pytest.approx(0.5, abs=0.03)


def test_copies_are_not_authentic():
    train = cloud(300, 0)
    near = train + 1e-6
    assert authenticity(train, near) == 0
    assert authenticity(train, cloud(300, 1, shift=30.0)) == 1
    assert 0.3 < authenticity(train, cloud(300, 1)) < 0.7


def test_vendi_counts_rows_that_share_nothing():
    assert vendi(np.zeros((50, 2)), width=1.0) == pytest.approx(1)
    assert vendi(100.0 * np.arange(50)[:, None], width=1.0) == pytest.approx(50)
    two = np.repeat([[0.0], [100.0]], 20, axis=0)
    assert vendi(two, width=1.0) == pytest.approx(2)


def test_a_copy_equals_in_every_column():
    train = pl.DataFrame({"x": [1.0, math.nan, math.inf, 0.0], "c": ["a", None, "b", "a"]})
    other = pl.DataFrame({"x": [1.0, 1.0, math.nan, math.inf, -0.0, 5.0], "c": ["a", "b", None, "b", "a", None]})
    assert copies(train, other) == pytest.approx(4 / 6)
    assert copies(pl.concat([train, train]), train) == 1


def test_a_duplicate_is_each_repetition():
    assert duplicates(pl.DataFrame({"x": [1.0, 1.0, 1.0, 2.0]})) == 0.5
    assert duplicates(pl.DataFrame({"x": [math.nan, math.nan, None, None]})) == 0.5


def test_too_few_rows_are_no_score():
    with pytest.raises(ScoreError, match="at least 10"):
        Distances.of(cloud(9, 0), cloud(20, 1))
    with pytest.raises(ScoreError, match="training or minted rows"):
        authenticity(cloud(5, 0), cloud(20, 1))
    with pytest.raises(ScoreError, match="at least 10"):
        vendi(cloud(3, 0), width=1.0)
