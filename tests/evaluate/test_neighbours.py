"""Neighbours are those of all distances, however they are cut into pieces."""

from __future__ import annotations

import numpy as np
import pytest
from scipy.spatial.distance import cdist

from flowmint.evaluate import neighbours
from flowmint.evaluate.neighbours import kth_distances, nearest_others


@pytest.mark.parametrize("piece", [1, 100, 4_000_000])
def test_neighbours_are_those_of_all_distances(monkeypatch, piece):
    monkeypatch.setattr(neighbours, "PIECE", piece)
    rng = np.random.default_rng(0)
    points, others = rng.normal(size=(23, 4)), rng.normal(size=(37, 4))
    distances = cdist(points, others)
    np.testing.assert_array_equal(kth_distances(points, others, 3), np.sort(distances, axis=1)[:, :3])
    which, how_far = nearest_others(points, others)
    np.testing.assert_array_equal(which, distances.argmin(axis=1))
    np.testing.assert_array_equal(how_far, distances.min(axis=1))


def test_rows_that_equal_each_other_are_no_distance_apart():
    points = 1e3 + np.random.default_rng(0).normal(size=(50, 60))
    assert (nearest_others(points, points.copy())[1] == 0).all()
