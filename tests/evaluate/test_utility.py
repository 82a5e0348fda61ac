"""Detectors are scored on rows that they never saw, with what training alone teaches."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from flowmint.evaluate.utility import available_detectors, detector_f1, to_matrices


def make(rows: int, seed: int) -> tuple[pl.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    attack = rng.random(rows) < 0.5
    return pl.DataFrame({"x": rng.normal(size=rows) + 3 * attack, "proto": rng.choice(["tcp", "udp"], rows)}), attack


def test_every_detector_finds_an_obvious_attack():
    (train, y), (test, z) = make(400, 0), make(400, 1)
    scores = detector_f1(train, y, test, z, seed=0)
    assert list(scores) == available_detectors()
    assert all(0.8 < score <= 1 for score in scores.values())


def test_a_detector_that_learnt_nothing_scores_nothing():
    (train, y), (test, z) = make(300, 0), make(300, 1)
    noise = np.random.default_rng(2).permutation(y)
    good, bad = (detector_f1(train, labels, test, z, seed=0) for labels in (y, noise))
    assert all(bad[name] < good[name] for name in good)


def test_the_same_seed_gives_the_same_scores():
    (train, y), (test, z) = make(200, 0), make(200, 1)
    assert detector_f1(train, y, test, z, seed=3) == detector_f1(train, y, test, z, seed=3)


def test_matrices_are_finite_and_learn_from_training_alone():
    train = pl.DataFrame({"x": [1.0, 3.0, None, float("inf")], "c": ["a", "b", None, "a"], "i": [1, 2, 3, 4]})
    test = pl.DataFrame({"x": [float("nan"), float("-inf"), 9.0], "c": ["b", "new", None], "i": [5, 6, None]})
    first, second = to_matrices(train, test)
    assert first[:, 0].tolist() == [1.0, 3.0, 2.0, 3.0]
    assert second[:, 0].tolist() == [2.0, 1.0, 9.0]
    assert first[:, 1:3].tolist() == [[1, 0], [0, 1], [0, 0], [1, 0]]
    assert second[:, 1:3].tolist() == [[0, 1], [0, 0], [0, 0]]
    assert np.isfinite(first).all()
    assert np.isfinite(second).all()


@pytest.mark.parametrize("dtype", [pl.Categorical, pl.Enum(["a", "b"])], ids=str)
def test_categories_of_any_dtype_become_zeros_and_ones(dtype):
    train = pl.DataFrame({"c": pl.Series(["a", "b"], dtype=dtype)})
    first, second = to_matrices(train, train)
    assert first.tolist() == second.tolist() == [[1, 0], [0, 1]]
