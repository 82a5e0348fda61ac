"""Forest: it says what scikit-learn's says, and a damaged one is refused."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.ensemble import RandomForestClassifier

from flowmint.errors import ModelError
from flowmint.generators.forest import TREES, Forest


def grown(seed: int = 0) -> tuple[Forest, np.ndarray, np.ndarray]:
    rng = np.random.default_rng(seed)
    codes = np.repeat([0, 1, 2], [200, 60, 15])
    points = rng.normal(size=(275, 6)).astype(np.float32) + codes[:, None].astype(np.float32)
    points[:, 5] = rng.integers(0, 2, 275)
    return Forest.fit(points, codes, seed=seed)[0], points, codes


def test_it_gives_the_probabilities_of_the_forest_that_it_was_made_from():
    forest, points, codes = grown()
    known = RandomForestClassifier(TREES, class_weight="balanced_subsample", random_state=0).fit(points, codes)
    fresh = np.random.default_rng(9).normal(size=(700, 6)).astype(np.float32)
    for rows in (fresh, points):  # training rows lie on both sides of thresholds, as near as can be
        for code in range(3):
            np.testing.assert_allclose(forest.likely(rows, code), known.predict_proba(rows)[:, code], atol=1e-6)


def test_rows_that_were_not_learnt_are_told_by_the_trees_that_lacked_them():
    rng = np.random.default_rng(3)
    points, codes = rng.normal(size=(300, 10)), rng.integers(0, 2, 300)
    forest, given = Forest.fit(points, codes, seed=0)
    assert forest.likely(points.astype(np.float32), 1)[codes == 1].mean() > 0.7
    assert given[codes == 1, 1].mean() < 0.6


def test_no_rows_are_no_answers():
    forest, points, _ = grown()
    assert forest.likely(points[:0], 0).shape == (0,)


def test_arrays_give_the_same_forest():
    forest, points, _ = grown()
    again = Forest.from_arrays(forest.to_arrays("forest"), "forest", columns=6, classes=3)
    assert np.array_equal(again.likely(points, 2), forest.likely(points, 2))


def damage(name: str, change) -> dict[str, np.ndarray]:
    arrays = {key: array.copy() for key, array in grown()[0].to_arrays("forest").items()}
    arrays[f"forest/{name}"] = change(arrays[f"forest/{name}"])
    return arrays


def put(value):
    def change(array):
        array.flat[0] = value
        return array

    return change


@pytest.mark.parametrize(
    ("name", "change"),
    [
        ("left", put(0)),  # a node that leads to itself: the walk would never end
        ("right", put(0)),
        ("left", put(-1)),
        ("right", put(2**30)),
        ("columns", put(6)),
        ("roots", put(2**30)),
        ("roots", put(-1)),
        ("roots", lambda array: array[:0]),
        ("shares", put(np.nan)),
        ("shares", lambda array: array[:, :2]),
        ("shares", lambda array: array.astype(np.float64)),
        ("thresholds", lambda array: array[:-1]),
        ("left", lambda array: array.astype(np.int64)),
    ],
    ids=map(str, range(13)),
)
def test_a_damaged_forest_is_refused(name, change):
    with pytest.raises(ModelError, match="forest is damaged"):
        Forest.from_arrays(damage(name, change), "forest", columns=6, classes=3)


def test_a_forest_that_lacks_an_array_is_refused():
    arrays = grown()[0].to_arrays("forest")
    del arrays["forest/right"]
    with pytest.raises(ModelError, match="forest/right is missing"):
        Forest.from_arrays(arrays, "forest", columns=6, classes=3)
