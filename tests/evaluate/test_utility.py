"""Detectors are scored on rows that they never saw, with what training alone teaches."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from flowmint.errors import ScoreError, SettingError
from flowmint.evaluate.utility import (
    FOUR,
    available_detectors,
    detector_f1,
    detector_scores,
    multiclass_scores,
    to_matrices,
)


def make(rows: int, seed: int) -> tuple[pl.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    attack = rng.random(rows) < 0.5
    return pl.DataFrame({"x": rng.normal(size=rows) + 3 * attack, "proto": rng.choice(["tcp", "udp"], rows)}), attack


def test_every_detector_finds_an_obvious_attack():
    (train, y), (test, z) = make(400, 0), make(400, 1)
    scores = detector_f1(train, y, test, z, seed=0)
    assert list(scores) == available_detectors(FOUR)
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


def test_lightgbm_joins_no_mean_that_was_published_over_four():
    assert "LightGBM" in available_detectors()
    (train, y), (test, z) = make(200, 0), make(200, 1)
    assert list(detector_f1(train, y, test, z, seed=0)) == list(FOUR)


def test_an_unknown_detector_is_refused():
    with pytest.raises(SettingError, match="did you mean 'XGBoost'"):
        available_detectors(["XGBost"])


def test_scores_of_an_attack_agree_with_its_f1():
    (train, y), (test, z) = make(300, 0), make(300, 1)
    rich = detector_scores(train, y, test, z, seed=0)
    assert list(rich) == available_detectors()
    for name, f1 in detector_f1(train, y, test, z, seed=0, detectors=tuple(rich)).items():
        assert rich[name].f1 == pytest.approx(f1)
        assert rich[name].f1 == pytest.approx(
            2 * rich[name].precision * rich[name].recall / (rich[name].precision + rich[name].recall)
        )
        assert 0 <= rich[name].false_positive_rate < 0.2
        assert rich[name].pr_auc > 0.9


def test_no_attack_to_find_is_no_score():
    (train, y), (test, z) = make(60, 0), make(60, 1)
    with pytest.raises(ScoreError, match="no test row"):
        detector_scores(train, y, test, np.zeros_like(z), seed=0, detectors=["random forest"])
    with pytest.raises(ScoreError, match="single class"):
        detector_scores(train, np.ones_like(y), test, z, seed=0, detectors=["random forest"])


def test_two_classes_score_as_an_attack_does():
    (train, y), (test, z) = make(300, 0), make(300, 1)
    labels, test_labels = (pl.Series(np.where(attack, "x attack", "benign")) for attack in (y, z))
    one = detector_scores(train, y, test, z, seed=0)
    all_classes = multiclass_scores(train, labels, test, test_labels, seed=0)
    for name, scores in all_classes.items():
        assert scores.classes["x attack"].f1 == pytest.approx(one[name].f1, abs=0.03)
        assert scores.macro_f1 == pytest.approx(np.mean([s.f1 for s in scores.classes.values()]))


def test_test_rows_of_an_unseen_class_cost_precision_and_nothing_else():
    (train, y), (test, z) = make(300, 0), make(300, 1)
    labels, test_labels = (pl.Series(np.where(attack, "attack", "benign")) for attack in (y, z))
    options = {"seed": 0, "detectors": ["random forest"]}
    before = multiclass_scores(train, labels, test, test_labels, **options)["random forest"]
    strange = pl.concat([test, test.head(50)]), pl.concat([test_labels, pl.Series(["new"] * 50)])
    after = multiclass_scores(train, labels, *strange, **options)["random forest"]
    assert list(after.classes) == ["attack", "benign"]
    for name, scores in after.classes.items():
        assert scores.recall == before.classes[name].recall
        assert scores.precision <= before.classes[name].precision
    asked = multiclass_scores(train, labels, *strange, classes=["new"], **options)["random forest"]
    assert (asked.classes["new"].f1, asked.classes["new"].recall) == (0, 0)
    assert asked.classes["new"].pr_auc == pytest.approx(50 / 350)


def test_no_class_in_common_is_no_score():
    train, y = make(60, 0)
    labels = pl.Series(np.where(y, "attack", "benign"))
    with pytest.raises(ScoreError, match="share no class"):
        multiclass_scores(train, labels, train, pl.Series(["other"] * 60), seed=0)


def test_an_interruption_ends_training_in_whatever_detector(monkeypatch):
    from sklearn.neural_network import MLPClassifier

    from flowmint.evaluate.utility import DETECTORS, fit_quietly

    def interrupt(*_, **__):
        raise KeyboardInterrupt

    monkeypatch.setattr(MLPClassifier, "_backprop", interrupt)
    train, attack = make(60, 0)
    matrix, _ = to_matrices(train, train)
    with pytest.raises(KeyboardInterrupt):
        fit_quietly(DETECTORS["MLP"](rows=60, seed=0), matrix, attack)


def test_numbers_beyond_single_precision_are_learnt_from():
    (train, y), (test, z) = make(80, 0), make(80, 1)
    train, test = (table.with_columns(huge=pl.col("x") * 1e307) for table in (train, test))
    assert all(score > 0.7 for score in detector_f1(train, y, test, z, seed=0).values())
