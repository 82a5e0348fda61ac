"""Intervals hold the truth as often as they say, and verdicts follow from them."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy import stats

from flowmint.errors import ScoreError, SettingError
from flowmint.evaluate.statistics import bootstrap_interval, gap_closed, judge, paired_differences, t_interval

VALUES = [0.61, 0.55, 0.7, 0.58, 0.66]


def test_the_t_interval_is_that_of_scipy():
    ours = t_interval(VALUES)
    theirs = stats.ttest_1samp(VALUES, 0).confidence_interval(0.95)
    assert (ours.low, ours.high) == (pytest.approx(theirs.low), pytest.approx(theirs.high))
    assert (ours.mean, ours.count, ours.method) == (pytest.approx(0.62), 5, "t")


def test_a_single_value_has_no_interval():
    for interval in (t_interval([0.3]), bootstrap_interval([0.3], seed=0)):
        assert (interval.mean, interval.low, interval.high) == (0.3, None, None)
        assert not interval.excludes_zero
        assert str(interval) == "+0.300"


@pytest.mark.parametrize("method", ["percentile", "bca"])
def test_the_bootstrap_is_that_of_scipy(method):
    values = np.random.default_rng(0).gamma(1.0, 1.0, 40)
    ours = bootstrap_interval(values, seed=0, method=method, resamples=20_000)
    theirs = stats.bootstrap((values,), np.mean, method=method, n_resamples=20_000, rng=1).confidence_interval
    assert (ours.low, ours.high) == (pytest.approx(theirs.low, abs=0.01), pytest.approx(theirs.high, abs=0.02))


def test_values_without_spread_have_a_bootstrap_of_one_point():
    interval = bootstrap_interval([0.2, 0.2, 0.2], seed=0)
    assert interval.low == interval.high == pytest.approx(0.2)


def test_the_t_interval_holds_the_truth_in_nineteen_of_twenty():
    rng = np.random.default_rng(0)
    intervals = [t_interval(rng.normal(0.5, 1.0, 5)) for _ in range(2000)]
    assert np.mean([i.low <= 0.5 <= i.high for i in intervals]) == pytest.approx(0.95, abs=0.015)


def test_only_seeds_that_both_ran_are_paired():
    assert paired_differences({0: 0.5, 1: 0.7, 2: 0.9}, {1: 0.5, 2: 1.0, 3: 0.0}) == {
        1: pytest.approx(0.2),
        2: pytest.approx(-0.1),
    }
    with pytest.raises(ScoreError, match="share no seed"):
        paired_differences({0: 0.5}, {1: 0.5})


@pytest.mark.parametrize(
    ("differences", "word"),
    [
        ([0.1, 0.12, 0.09, 0.11, 0.1], "helps"),
        ([-0.1, -0.12, -0.09, -0.11, -0.1], "hurts"),
        ([0.01, -0.01, 0.005, -0.005, 0.0], "makes no difference"),
        ([0.0, 0.0, 0.0], "makes no difference"),
        ([0.2, -0.2, 0.3, -0.1, 0.1], "cannot be told"),
        ([0.4], "cannot be told"),
        ([0.1, 0.3], "cannot be told"),
    ],
)
def test_the_verdict_follows_from_the_interval(differences, word):
    verdict = judge(differences)
    assert verdict.word == word
    assert verdict.sentence.startswith(f"{word}: ")
    assert "run more" in verdict.sentence or f"over {len(differences)} seeds" in verdict.sentence


def test_a_wider_margin_calls_more_of_it_no_difference():
    differences = [0.08, -0.08, 0.06, -0.06]
    assert judge(differences, margin=0.05).word == "cannot be told"
    assert judge(differences, margin=0.5).word == "makes no difference"


def test_the_gap_closed_is_a_ratio_of_means():
    few, minted, full = [0.4, 0.5, 0.45, 0.42], [0.7, 0.72, 0.75, 0.69], [0.9, 0.93, 0.91, 0.92]
    interval = gap_closed(few, minted, full)
    assert interval.mean == pytest.approx((np.mean(minted) - np.mean(few)) / (np.mean(full) - np.mean(few)))
    assert interval.low < interval.mean < interval.high
    assert interval.method == "fieller"


def test_fiellers_interval_holds_the_truth_in_nineteen_of_twenty():
    rng = np.random.default_rng(0)
    hits = []
    for _ in range(1500):
        few = rng.normal(0.5, 0.03, 5)
        full = few + rng.normal(0.3, 0.05, 5)
        interval = gap_closed(few, few + rng.normal(0.15, 0.05, 5), full)
        hits.append(interval.low <= 0.5 <= interval.high)
    assert np.mean(hits) == pytest.approx(0.95, abs=0.02)


def test_a_gap_without_noise_has_an_exact_share():
    interval = gap_closed([0.5, 0.6], [0.6, 0.7], [0.7, 0.8])
    assert (interval.mean, interval.low, interval.high) == tuple(pytest.approx(0.5) for _ in range(3))
    assert gap_closed([0.5], [0.6], [0.7]).low is None


@pytest.mark.parametrize(
    ("few", "full"),
    [([0.5, 0.6, 0.7], [0.52, 0.57, 0.71]), ([0.5, 0.5], [0.4, 0.4]), ([0.5, 0.5], [0.5, 0.5]), ([0.5], [0.51])],
)
def test_a_gap_within_noise_has_no_share(few, full):
    with pytest.raises(ScoreError, match="no gap to close"):
        gap_closed(few, few, full)


def test_unequal_numbers_of_seeds_are_refused():
    with pytest.raises(ScoreError, match="1, 2 and 2 values"):
        gap_closed([0.5], [0.5, 0.6], [0.5, 0.6])


@pytest.mark.parametrize("values", [[], [math.nan], [0.1, math.inf]])
def test_values_that_are_no_numbers_are_refused(values):
    with pytest.raises(ScoreError, match="finite"):
        t_interval(values)


@pytest.mark.parametrize("options", [{"level": 1.0}, {"level": 95}, {"method": "magic"}, {"resamples": 5}], ids=str)
def test_settings_out_of_range_are_refused(options):
    with pytest.raises(SettingError):
        bootstrap_interval(VALUES, seed=0, **options)
