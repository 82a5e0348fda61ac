"""Summaries follow from cells alone: means, paired differences, the gap closed."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest

from flowmint.errors import ReadError
from flowmint.evaluate.compare import ALL_REAL, METRICS, NONE, Comparison
from flowmint.evaluate.compare.summarize import summarize


def pick(comparison, generator, rows, task="Man in the middle", shortcuts="kept"):
    (found,) = [
        s
        for s in comparison.summaries
        if (s.generator, s.rows, s.task, s.shortcuts) == (generator, rows, task, shortcuts)
    ]
    return found


def test_means_are_over_detectors_and_seeds(comparison):
    found = pick(comparison, "latent_diffusion", 25)
    cells = [
        c
        for c in comparison.cells
        if (c.generator, c.rows, c.task, c.shortcuts) == ("latent_diffusion", 25, found.task, "kept")
    ]
    assert found.seeds == (0, 1, 2)
    for metric in METRICS:
        assert found.metrics[metric].mean == pytest.approx(np.mean([c.mean(metric) for c in cells]))
    assert found.detectors["MLP"]["f1"].mean == pytest.approx(np.mean([c.detectors["MLP"].f1 for c in cells]))


def test_differences_are_paired_over_seeds(comparison):
    cells = {
        (c.generator, c.seed): c.mean("f1")
        for c in comparison.cells
        if c.task == "Man in the middle" and c.shortcuts == "kept" and c.rows == 25
    }
    found = pick(comparison, "data_diffusion", 25)
    gains = [cells["data_diffusion", seed] - cells[NONE, seed] for seed in range(3)]
    leads = [cells["latent_diffusion", seed] - cells["data_diffusion", seed] for seed in range(3)]
    assert found.gain.mean == pytest.approx(np.mean(gains))
    assert found.ours_ahead.mean == pytest.approx(np.mean(leads))
    half = 4.302653 * np.std(gains, ddof=1) / np.sqrt(3)
    assert found.gain.high - found.gain.mean == pytest.approx(half, rel=1e-5)
    assert found.verdict == "helps"


def test_all_real_rows_stand_beside_every_number_of_rows(comparison):
    means = {pick(comparison, ALL_REAL, rows).metrics["f1"].mean for rows in (10, 25, 100)}
    assert len(means) == 1


def test_the_gap_closed_lies_between_none_and_all_real_rows(comparison):
    found = pick(comparison, "latent_diffusion", 25)
    none, full = (pick(comparison, name, 25).metrics["f1"].mean for name in (NONE, ALL_REAL))
    assert found.gap_closed == pytest.approx((found.metrics["f1"].mean - none) / (full - none))
    assert pick(comparison, NONE, 25).gap_closed is None


def test_a_failed_cell_is_counted_and_its_seed_left_out(comparison):
    found = pick(comparison, "smote_standardised", 10)
    assert (found.failed, found.seeds) == (1, (0, 1))
    assert pick(comparison, "smote_standardised", None).seeds == (0, 1)
    assert pick(comparison, "smote_standardised", 25).failed == 0


def test_the_headline_is_the_mean_over_few_rows(comparison):
    few = [pick(comparison, "latent_diffusion", rows).metrics["f1"].mean for rows in (10, 25, 100)]
    assert pick(comparison, "latent_diffusion", None).metrics["f1"].mean == pytest.approx(np.mean(few))


def test_a_single_seed_has_no_interval_and_no_verdict(comparison):
    cells = [c for c in comparison.cells if c.seed == 0]
    for found in summarize(cells, comparison.plan):
        assert found.metrics["f1"].low is None
        assert found.verdict in {"cannot be told", "not available"}


def test_scores_that_are_not_available_are_left_out(comparison):
    found = pick(comparison, "latent_diffusion", 10)
    assert "membership_auc" not in found.scores
    assert found.scores["column_error"].count == 3
    assert found.references["column_error"].mean == pytest.approx(0.1)


def test_shortcuts_are_summarised_apart_and_only_where_they_ran(comparison):
    dropped = {s.task for s in comparison.summaries if s.shortcuts == "dropped"}
    assert dropped == {"Man in the middle"}


def test_a_comparison_survives_json(comparison):
    text = json.dumps(comparison.to_json(), allow_nan=False)
    assert Comparison.from_json(json.loads(text)) == comparison


@pytest.mark.parametrize("damage", [{"version": 99}, {"format": "x"}, {"cells": [1]}, {"plan": None}, {"odd": {}}])
def test_a_damaged_comparison_is_refused(comparison, damage):
    described = comparison.to_json()
    if "odd" in damage:
        del described["tasks"]
    with pytest.raises(ReadError, match="comparison"):
        Comparison.from_json({**described, **{k: v for k, v in damage.items() if k != "odd"}})
    with pytest.raises(ReadError):
        Comparison.from_json([])


def test_failures_are_listed(comparison):
    assert {(c.generator, c.rows, c.seed) for c in comparison.failures} == {("smote_standardised", 10, 2)}
    whole = dataclasses.replace(comparison, cells=tuple(c for c in comparison.cells if c.error is None))
    assert whole.failures == ()
