"""Strictness: in tables with names, rows of a class that can be told are chosen by how much they look like it."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from flowmint.errors import ModelError, SettingError
from flowmint.generators import DataDiffusion, LatentDiffusion, load_generator
from flowmint.generators.separability import MANY_ROWS, Separability
from flowmint.generators.strictness import MOST, Strictness

BRIEF = {"width": 32, "steps": 60}


def blobs(*, rows: tuple[int, ...], distance: float) -> tuple[np.ndarray, np.ndarray]:
    rng = np.random.default_rng(0)
    codes = np.repeat(np.arange(len(rows)), rows)
    points = rng.normal(size=(len(codes), 4))
    points[:, 0] += distance * codes
    return points, codes


def rule(*, rows: tuple[int, ...], distance: float, named: bool = True, given: float | None = None) -> Strictness:
    points, codes = blobs(rows=rows, distance=distance)
    found = Separability.measure(points, codes, classes=len(rows), seed=0)
    return Strictness.rule(found, np.bincount(codes), named=named, given=given)


def named_table(rows: int = 400, rare: int = 25) -> tuple[pl.DataFrame, pl.Series]:
    """A rare class that has a service of its own most often, and numbers a little apart."""
    rng = np.random.default_rng(1)
    attack = np.arange(rows + rare) >= rows
    service = np.where(attack & (rng.random(rows + rare) < 0.9), "ftp", rng.choice(["dns", "http", "ssh"], rows + rare))
    table = pl.DataFrame(
        {"service": service, **{f"c{i}": rng.normal(size=rows + rare) + 1.5 * attack for i in range(3)}}
    )
    return table, pl.Series("Label", np.where(attack, "attack", "benign"))


def test_a_class_far_from_the_others_is_strict_and_one_among_them_is_not():
    assert rule(rows=(600, 25), distance=8.0).power == (0, MOST)
    assert rule(rows=(600, 25), distance=0.0).power == (0, 0)


def test_without_names_rows_are_taken_as_they_come():
    plain = rule(rows=(600, 25), distance=8.0, named=False)
    assert plain.power == (0, 0)
    assert plain.forest is None


def test_a_class_of_many_rows_is_left_as_it_is_and_more_rows_need_less():
    assert rule(rows=(900, MANY_ROWS + 1), distance=8.0).power == (0, 0)
    assert rule(rows=(900, 100), distance=8.0).power[1] == pytest.approx(MOST / 4)


def test_a_given_strictness_holds_for_every_rare_class():
    assert rule(rows=(900, 600, 25), distance=0.0, named=False, given=2.0).power == (0, 0, 2)
    assert rule(rows=(600, 25), distance=8.0, given=0.0).power == (0, 0)


def test_rows_are_kept_in_proportion_to_the_power_of_how_likely_they_are():
    strict = rule(rows=(600, 25), distance=2.0, given=2.0)
    rng = np.random.default_rng(5)
    points = rng.normal(size=(40_000, 4)).astype(np.float32)
    points[:, 0] += 1
    kept = strict.choose(points, 1, 2_000, rng=rng)
    likely = strict.forest.likely(points, 1)
    assert len(set(kept)) == 2_000
    assert (np.diff(kept) > 0).all()
    # few are kept of many: their mean is that of the weighted candidates
    weights = likely**2
    assert likely[kept].mean() == pytest.approx((weights * likely).sum() / weights.sum(), abs=0.03)


def test_choosing_all_candidates_gives_them_all():
    strict = rule(rows=(600, 25), distance=8.0)
    points = np.zeros((7, 4), dtype=np.float32)
    assert strict.choose(points, 1, 7, rng=np.random.default_rng(0)).tolist() == list(range(7))


@pytest.mark.parametrize("kind", [LatentDiffusion, DataDiffusion], ids=lambda kind: kind.name)
def test_chosen_rows_look_more_like_their_class(kind):
    table, labels = named_table()
    brief = BRIEF | ({"autoencoder_steps": 60} if kind is LatentDiffusion else {})
    loose, strict = (
        kind(seed=0, strictness=k, **brief).fit(table, labels).sample_table(1_000, label="attack") for k in (0.0, 3.0)
    )
    own_service = [(minted["service"] == "ftp").mean() for minted in (loose, strict)]
    assert own_service[1] > own_service[0] + 0.05


@pytest.mark.parametrize("kind", [LatentDiffusion, DataDiffusion], ids=lambda kind: kind.name)
def test_a_model_folder_keeps_the_strictness(kind, tmp_path):
    table, labels = named_table()
    brief = BRIEF | ({"autoencoder_steps": 60} if kind is LatentDiffusion else {})
    model = kind(**brief).fit(table, labels)
    assert max(model.strictness_.power) > 0
    model.save(tmp_path / "model")
    loaded = load_generator(tmp_path / "model")
    assert loaded.strictness_.power == model.strictness_.power
    for name in ("attack", "benign"):
        assert loaded.sample_table(50, label=name).equals(model.sample_table(50, label=name))


@pytest.mark.parametrize("power", [[0.0], [0.0, float("nan")], [0.0, -1.0], [0.0, 1e9], [0.0, "1"], 3.0, None])
def test_a_damaged_strictness_is_refused(power):
    with pytest.raises(ModelError, match="strictness"):
        Strictness.from_state({}, power, classes=2, columns=4)


def test_a_strictness_without_its_forest_is_refused():
    with pytest.raises(ModelError, match="forest/roots is missing"):
        Strictness.from_state({}, [0.0, 3.0], classes=2, columns=4)


def test_a_strictness_out_of_range_is_refused():
    with pytest.raises(SettingError, match="strictness is -1"):
        LatentDiffusion(strictness=-1).check()
