"""Sharpness: classes that can be told apart are sharpened, the others are left as they are."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from flowmint.errors import ModelError, SettingError
from flowmint.generators import DataDiffusion, LatentDiffusion, load_generator
from flowmint.generators.separability import MANY_ROWS, Separability
from flowmint.generators.sharpness import Sharpness


def blobs(*, rows: tuple[int, ...], distance: float, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Classes of normal points, each ``distance`` further along the first column than the one before."""
    rng = np.random.default_rng(seed)
    codes = np.repeat(np.arange(len(rows)), rows)
    points = rng.normal(size=(len(codes), 4))
    points[:, 0] += distance * codes
    return points, codes


def measure(points, codes, *, named: bool = False, given: float | None = None) -> Sharpness:
    found = Separability.measure(points, codes, classes=int(codes.max()) + 1, seed=0)
    return Sharpness.rule(found, np.bincount(codes), named=named, given=given)


def test_a_class_near_the_others_is_sharpened_most_and_one_among_them_is_not():
    among, near, far = (measure(*blobs(rows=(600, 25), distance=distance)) for distance in (0.0, 3.0, 12.0))
    assert near.strength[1] > 0.2
    assert among.strength[1] == 0
    assert far.strength[1] < near.strength[1] / 2


def test_the_largest_class_is_left_as_it_is():
    assert measure(*blobs(rows=(300, 25), distance=3.0)).strength[0] == 0


def test_a_class_of_many_rows_is_left_as_it_is():
    assert measure(*blobs(rows=(900, MANY_ROWS + 1), distance=3.0)).strength == (0, 0)


def test_more_rows_need_less_sharpening():
    few, more = (measure(*blobs(rows=(600, rows), distance=2.5)).strength[1] for rows in (40, 100))
    assert few > 2 * more > 0


def test_where_rows_are_chosen_besides_half_the_sharpness_will_do():
    points, codes = blobs(rows=(600, 25), distance=2.5)
    plain, named = (measure(points, codes, named=named).strength[1] for named in (False, True))
    assert named == pytest.approx(plain / 2)
    assert named > 0


def test_a_class_keeps_away_from_its_nearest_neighbour():
    points, codes = blobs(rows=(400, 40, 40), distance=2.0)
    assert measure(points, codes).away[2] == 1


def test_a_class_of_one_row_is_not_sharpened():
    assert measure(*blobs(rows=(50, 1), distance=3.0)).strength[1] == 0


def test_a_given_sharpness_holds_for_every_class_but_the_largest():
    points, codes = blobs(rows=(900, 600, 25), distance=8.0)
    assert measure(points, codes, given=0.7).strength == (0, 0.7, 0.7)
    assert measure(points, codes, given=0.0).strength == (0, 0, 0)


def test_the_same_seed_measures_the_same():
    points, codes = blobs(rows=(300, 25), distance=1.5)
    assert measure(points, codes) == measure(points, codes)


@pytest.mark.parametrize("kind", [LatentDiffusion, DataDiffusion], ids=lambda kind: kind.name)
def test_sharpening_keeps_rows_out_of_the_neighbour(kind):
    rng = np.random.default_rng(0)
    attack = np.arange(630) >= 600
    table = pl.DataFrame({f"c{i}": rng.normal(size=630) + 1.5 * attack for i in range(6)})
    labels = pl.Series("Label", np.where(attack, "attack", "benign"))
    brief = {"width": 32, "steps": 150} | ({"autoencoder_steps": 150} if kind is LatentDiffusion else {})
    blurred, sharp = (
        kind(seed=0, sharpness=h, **brief).fit(table, labels).sample_table(1000, label="attack") for h in (0.0, 1.0)
    )
    among_benign = [(minted.mean_horizontal() < 0.75).mean() for minted in (blurred, sharp)]
    assert among_benign[0] > 0
    assert among_benign[1] < among_benign[0] / 2


def test_a_model_folder_keeps_the_sharpness(tmp_path):
    rng = np.random.default_rng(0)
    attack = np.arange(130) >= 100
    table = pl.DataFrame({"a": rng.normal(size=130) + 9 * attack, "b": rng.normal(size=130)})
    model = DataDiffusion(steps=5, width=16, evaluations=3).fit(table, np.where(attack, "attack", "benign"))
    assert max(model.sharpness_.strength) > 0
    model.save(tmp_path / "model")
    loaded = load_generator(tmp_path / "model")
    assert loaded.sharpness_ == model.sharpness_
    assert loaded.sample_table(20, label="attack").equals(model.sample_table(20, label="attack"))


@pytest.mark.parametrize(
    "damaged",
    [
        {"strength": [0.0], "away": [0, 0]},
        {"strength": [0.0, float("nan")], "away": [0, 0]},
        {"strength": [0.0, -1.0], "away": [0, 0]},
        {"strength": [0.0, 1e9], "away": [0, 0]},
        {"strength": [0.0, "1"], "away": [0, 0]},
        {"strength": [0.0, 0.5], "away": [0, 2]},
        {"strength": [0.0, 0.5], "away": [0, True]},
        {"strength": 0.5, "away": [0, 0]},
    ],
)
def test_a_damaged_sharpness_is_refused(damaged):
    with pytest.raises(ModelError, match="sharpness"):
        Sharpness.from_json(damaged, classes=2)


def test_a_sharpness_out_of_range_is_refused():
    with pytest.raises(SettingError, match="sharpness is -1"):
        LatentDiffusion(sharpness=-1).check()
