"""Copies give training rows away; fresh rows do not."""

from __future__ import annotations

import numpy as np
import pytest

from flowmint.errors import ScoreError
from flowmint.evaluate.privacy import (
    closer_to_training,
    closest_record_ratio,
    membership_inference,
    nearest_neighbour_distance_ratio,
    privacy_scores,
)
from flowmint.evaluate.tables import Rows, match_rows


def cloud(rows, seed):
    return np.random.default_rng(seed).normal(size=(rows, 4))


TRAIN, HELD, USUAL, FRESH = (cloud(400, seed) for seed in range(4))
NEAR = TRAIN + 0.01 * cloud(400, 9)


def test_near_copies_are_closer_to_training():
    assert closer_to_training(NEAR, TRAIN, HELD) > 0.99
    assert closer_to_training(FRESH, TRAIN, HELD) == pytest.approx(0.5, abs=0.08)
    assert closer_to_training(HELD, TRAIN, HELD) == 0


def test_rows_as_near_to_both_count_half():
    assert closer_to_training(HELD, TRAIN, TRAIN) == 0.5


def test_near_copies_are_nearer_than_held_out_rows():
    assert closest_record_ratio(NEAR, TRAIN, HELD) < 0.2
    assert closest_record_ratio(FRESH, TRAIN, HELD) == pytest.approx(1, abs=0.4)


def test_real_rows_that_repeat_leave_no_distance_to_compare():
    with pytest.raises(ScoreError, match="equal training rows"):
        closest_record_ratio(FRESH, TRAIN, TRAIN)


def test_near_copies_single_rows_out():
    assert nearest_neighbour_distance_ratio(NEAR, TRAIN) < 0.2
    assert nearest_neighbour_distance_ratio(FRESH, TRAIN) > 0.6
    assert nearest_neighbour_distance_ratio(TRAIN, np.repeat(TRAIN, 2, axis=0)) == 1


def test_membership_shows_where_rows_were_copied():
    assert membership_inference(NEAR, TRAIN, HELD, USUAL) > 0.95
    assert membership_inference(FRESH, TRAIN, HELD, USUAL) == pytest.approx(0.5, abs=0.08)
    assert membership_inference(TRAIN, TRAIN, HELD, USUAL) > 0.95


def test_a_rare_kind_of_row_is_no_member_for_being_rare():
    outliers = HELD.copy()
    outliers[:100] += 30
    fresh, usual = (np.concatenate([part[100:], part[:100] + 30]) for part in (FRESH, USUAL))
    assert membership_inference(fresh, TRAIN, outliers, usual) == pytest.approx(0.5, abs=0.1)


@pytest.mark.parametrize(
    "function",
    [lambda few: closer_to_training(few, TRAIN, HELD), lambda few: closest_record_ratio(FRESH, few, HELD)],
    ids=["minted", "train"],
)
def test_too_few_rows_are_no_score(function):
    with pytest.raises(ScoreError, match="at least 10"):
        function(cloud(9, 0))


def rows_of(table):
    return Rows(table=table.drop("Label"), classes=table["Label"])


def test_classes_in_other_proportions_give_nothing_away(draw):
    real, minted, train = (
        rows_of(draw(900, seed, attack_share=share)) for seed, share in ((0, 0.5), (1, 0.9), (2, 0.1))
    )
    comparison, _ = match_rows(real, minted, train, most=900, seed=0)
    scores = privacy_scores(comparison.embedding, real=real, minted=minted, train=train, seed=0)
    by_name = {score.name: score for score in scores}
    assert by_name["closer_to_training"].value == pytest.approx(0.5, abs=0.1)
    assert by_name["membership_inference"].value == pytest.approx(0.5, abs=0.12)


def test_few_held_out_rows_are_not_available_with_both_numbers(draw):
    real, train = rows_of(draw(24, 0)), rows_of(draw(300, 1))
    comparison, _ = match_rows(real, train, train, most=900, seed=0)
    for score in privacy_scores(comparison.embedding, real=real, minted=train, train=train, seed=0):
        assert score.value is None
        assert "24 held-out" in score.reason
