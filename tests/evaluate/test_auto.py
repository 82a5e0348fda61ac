"""What to mint is chosen on training rows alone, class by class, and is never worse than nothing."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import polars as pl
import pytest

from flowmint.errors import LabelError, SettingError
from flowmint.evaluate import auto
from flowmint.evaluate.auto import choose_targets
from flowmint.generators import GENERATORS, Oversampler

DETECTOR = ("logistic regression",)


class Useful(Oversampler):
    """Mints the rows that training lacks: of the attack's own distribution."""

    def _sample(self, rows, code, seed, progress):  # noqa: ARG002
        rng = np.random.default_rng(seed)
        centre = 2.0 * code
        return pl.DataFrame({"x": rng.normal(centre, 1, rows), "y": rng.normal(centre, 1, rows)})


class Harmful(Useful):
    """Mints rows that look like those of another class."""

    def _sample(self, rows, code, seed, progress):
        return super()._sample(rows, 1 - code if code < 2 else 0, seed, progress)


def make_table(rare: int = 20, many: int = 300) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    centre = np.repeat([0.0, 2.0], [many, rare])
    noise = rng.normal(size=(2, many + rare))
    labels = np.repeat(["Benign", "Scan"], [many, rare])
    return pl.DataFrame({"x": centre + noise[0], "y": centre + noise[1], "Label": labels})


def choose(table=None, **options):
    usual = {"label": "Label", "generator": "smote", "detectors": DETECTOR, "folds": 4}
    return choose_targets(make_table() if table is None else table, **{**usual, **options})


def test_rows_that_help_are_minted_and_the_reason_is_told(monkeypatch):
    monkeypatch.setitem(GENERATORS, "smote", Useful)
    found = choose(shares=(0.1, 0.3), detectors=("MLP",))
    assert set(found.targets) == {"Scan"}
    assert found.targets["Scan"] in {30, 90}
    rare = found.choices[1]
    assert rare.gain.mean > 0
    assert "of the largest class" in rare.reason


def test_rows_that_hurt_are_not_minted(monkeypatch):
    monkeypatch.setitem(GENERATORS, "smote", Harmful)
    found = choose()
    assert found.targets == {}
    assert "nothing is minted" in found.choices[1].reason


def test_a_choice_that_other_folds_do_not_confirm_is_dropped(monkeypatch):
    gains = auto._Work.gains

    def lucky(self, candidates, *, part, stage):
        found = gains(self, candidates, part=part, stage=stage)
        gain = 0.5 if part == 0 else -0.1
        return {name: dict.fromkeys(each, [gain] * 4) for name, each in found.items()}

    monkeypatch.setattr(auto._Work, "gains", lucky)
    found = choose()
    assert found.targets == {}
    assert "lost on other folds" in found.choices[1].reason
    assert found.gain.mean == pytest.approx(-0.1)


def test_a_gain_within_its_standard_error_is_not_taken(monkeypatch):
    def noisy(self, candidates, *, part, stage):
        return {name: {"Scan": [0.3, -0.25, 0.2, -0.1]} for name in candidates}

    monkeypatch.setattr(auto._Work, "gains", noisy)
    found = choose()
    assert found.targets == {}
    assert "standard error" in found.choices[1].reason


def test_the_standard_error_is_that_for_folds_that_share_rows():
    work = auto._Work(
        rows=pl.DataFrame(),
        labels=pl.Series(),
        judged=(),
        make=Useful,
        detectors=(),
        folds=5,
        seed=0,
    )
    gains = [0.1, 0.2, 0.0, 0.3, 0.1]
    found, error = work.estimate(gains)
    assert error == pytest.approx(np.std(gains, ddof=1) * np.sqrt(1 / 5 + 1 / 4))
    assert found.high - found.mean == pytest.approx(2.776445 * error, rel=1e-5)


def test_folds_that_choose_differ_from_those_that_confirm(monkeypatch):
    seeds = []
    folds_of = auto.folds_of

    def watch(labels, *, folds, seed):
        seeds.append(seed)
        return folds_of(labels, folds=folds, seed=seed)

    monkeypatch.setattr(auto, "folds_of", watch)
    monkeypatch.setitem(GENERATORS, "smote", Useful)
    assert choose(detectors=("MLP",)).targets
    assert choose(detectors=("MLP",), seed=2).targets
    assert len(seeds) == len(set(seeds)) == 4


def test_no_minted_or_held_out_row_is_learnt_from(monkeypatch):
    seen = []
    fit = Oversampler.fit

    def watch(self, X, y, **options):
        seen.append(X)
        return fit(self, X, y, **options)

    monkeypatch.setattr(Oversampler, "fit", watch)
    choose(folds=4)
    assert all(table.height <= 240 for table in seen)


@pytest.mark.parametrize("rows", [1, 7])
def test_a_class_too_small_to_try_is_left_as_it_is(rows):
    found = choose(make_table(rare=rows))
    assert found.targets == {}
    assert f"{rows} rows are too few" in found.choices[1].reason


def test_classes_of_one_size_are_left_as_they_are():
    found = choose(make_table(rare=40, many=40))
    assert found.targets == {}
    assert all("largest class" in choice.reason for choice in found.choices)


def test_the_same_seed_chooses_the_same():
    assert choose() == choose()


def test_labels_may_be_numbers(monkeypatch):
    monkeypatch.setitem(GENERATORS, "smote", Useful)
    table = make_table().with_columns(Label=(pl.col("Label") == "Scan").cast(pl.Int64))
    assert set(choose(table, detectors=("MLP",)).targets) == {"1"}


def test_bad_questions_are_refused():
    for wrong, told in (({"shares": (0.0,)}, "above 0"), ({"shares": ()}, "shares"), ({"folds": 1}, "folds is 1")):
        with pytest.raises(SettingError, match=told):
            choose(**wrong)
    with pytest.raises(SettingError, match="did you mean 'smote'"):
        choose(generator="smotee")
    with pytest.raises(LabelError, match="at least 2"):
        choose(make_table().head(50))


def test_choices_are_plain_json():
    found = choose()
    assert json.loads(json.dumps(found.to_json()))["folds"] == 4
    assert replace(found, folds=3) != found
