"""Separability: how well classes are told apart is judged by rows that were not learnt."""

from __future__ import annotations

import numpy as np
import pytest

from flowmint.generators.separability import MANY_ROWS, Separability, rare_classes


def test_classes_are_judged_by_rows_that_were_not_learnt():
    rng = np.random.default_rng(1)
    points, codes = rng.normal(size=(400, 30)), np.repeat([0, 1], [200, 200])
    found = Separability.measure(points, codes, classes=2, seed=0)
    # a forest knows its own rows by heart: of them it would say almost 1
    assert found.own == pytest.approx([0.5, 0.5], abs=0.05)
    assert found.precision == pytest.approx([0.5, 0.5], abs=0.1)


def test_a_class_that_lies_apart_is_found_with_precision():
    rng = np.random.default_rng(2)
    codes = np.repeat([0, 1, 2], [300, 300, 25])
    points = rng.normal(size=(625, 5))
    points[codes == 2] += 5
    found = Separability.measure(points, codes, classes=3, seed=0)
    assert found.precision[2] > 0.95
    assert found.precision[0] < 0.7
    assert found.mistaken[0] == 1


def test_a_class_of_one_row_is_not_found():
    points, codes = np.eye(51)[:, :40], np.append(np.zeros(50, dtype=np.int64), 1)
    found = Separability.measure(points, codes, classes=2, seed=0)
    assert found.precision[1] < 0.6


def test_rare_classes_are_those_of_few_rows_but_the_largest():
    assert rare_classes(np.array([MANY_ROWS + 1, MANY_ROWS, 1])).tolist() == [False, True, True]
    assert rare_classes(np.array([40, 30])).tolist() == [False, True]
