"""Latent diffusion learns what distinguishes classes, and keeps the shares of rare states."""

from __future__ import annotations

from itertools import product

import numpy as np
import polars as pl
import pytest
import torch

from flowmint.errors import ModelError, SettingError
from flowmint.generators import DataDiffusion, LatentDiffusion
from flowmint.generators.cells import draw_mixed
from flowmint.generators.denoising import MIXED_WIDTH, QUALITIES, DenoisingGenerator
from flowmint.generators.latent_diffusion import check_rare, thin
from flowmint.generators.separability import FEW_ROWS
from flowmint.generators.sizes import USUAL_ROWS

ROWS = 1200
INFINITE = 0.235
"""Share of the attack's rates that are infinite."""


def make_table() -> tuple[pl.DataFrame, pl.Series]:
    """Two classes: a port, a size that follows the port, a rate that is infinite in one class only."""
    rng = np.random.default_rng(0)
    attack = np.arange(ROWS) >= ROWS - 200
    port = np.where(attack, rng.choice([22, 23], ROWS), rng.choice([53, 80, 443], ROWS))
    size = np.where(port == 53, 60, np.where(port == 22, 500, 1200)) + rng.integers(0, 40, ROWS)
    rate = np.where(attack & (rng.random(ROWS) < 0.3), np.inf, rng.gamma(2, 10, ROWS))
    table = pl.DataFrame({"port": [str(p) for p in port], "size": size, "rate": rate, "constant": [1] * ROWS})
    table = table.with_columns(pl.Series(f"rare{i}", (np.arange(ROWS) % 241 == i).astype(np.int64)) for i in range(6))
    return table, pl.Series("Label", np.where(attack, "attack", "benign"))


@pytest.fixture(scope="module", params=[LatentDiffusion, DataDiffusion], ids=lambda kind: kind.name)
def fitted(request):
    table, labels = make_table()
    return request.param(seed=0).fit(table, labels)


def test_each_class_has_its_own_values(fitted):
    attack, benign = (fitted.sample(1000, label=label) for label in ("attack", "benign"))
    assert attack["port"].is_in(["22", "23"]).mean() > 0.85
    assert benign["port"].is_in(["53", "80", "443"]).mean() > 0.9


def test_columns_depend_on_each_other_as_they_did(fitted):
    minted = fitted.sample(1000, label="benign")
    small = minted["size"] < 200
    assert (small == (minted["port"] == "53")).mean() > 0.9


def test_infinite_values_are_minted_at_the_rate_of_the_class(fitted):
    attack, benign = (fitted.sample(1500, label=label)["rate"].is_infinite().mean() for label in ("attack", "benign"))
    assert attack == pytest.approx(INFINITE, abs=0.12)
    assert benign < 0.03


def test_categories_are_minted_at_their_shares(fitted):
    shares = fitted.sample(1500, label="benign")["port"].value_counts(normalize=True)
    for share in shares.filter(pl.col("port").is_in(["53", "80", "443"]))["proportion"]:
        assert share == pytest.approx(1 / 3, abs=0.08)


@pytest.mark.parametrize("label", ["attack", "benign"])
def test_rare_values_stay_rare(fitted, label):
    minted = fitted.sample(2000, label=label)
    assert all(minted[f"rare{i}"].mean() < 0.05 for i in range(6))


def test_rows_are_new_and_diverse(fitted):
    table, _ = make_table()
    minted = fitted.sample(1000, label="benign").drop("constant")
    assert minted.unique().height > 900
    assert minted.join(table, on=minted.columns, how="semi").height < 100


@pytest.mark.parametrize(
    ("schedule", "solver"),
    [
        *product(["rectified_flow", "variance_exploding"], ["adams", "fitted", "dpm_solver", "heun", "euler"]),
        ("variance_preserving", "dpm_solver"),
        ("variance_preserving", "fitted"),
        ("variance_preserving", "ancestral"),
    ],
)
def test_every_schedule_and_solver_mints(schedule, solver):
    table, labels = make_table()
    settings = {"steps": 150, "autoencoder_steps": 150, "width": 64, "evaluations": 9}
    model = LatentDiffusion(schedule=schedule, solver=solver, **settings).fit(table, labels)
    minted = model.sample(300, label="attack")
    assert minted["port"].is_in(["22", "23"]).mean() > 0.5


def test_sizes_follow_the_data_unless_they_are_set():
    table, labels = make_table()
    brief = {"steps": 2, "autoencoder_steps": 3}
    assert LatentDiffusion(**brief).fit(table, labels).sizes_.dimensions == 12
    sizes = LatentDiffusion(latent_dim=2, cells=5, width=16, **brief).fit(table, labels).sizes_
    assert (sizes.dimensions, sizes.cells, sizes.width, sizes.steps, sizes.autoencoder_steps) == (2, 5, 16, 2, 3)


@pytest.mark.parametrize(
    ("usual", "dropped", "batches"),
    [
        (USUAL_ROWS, ["port"], (256, 256)),
        (USUAL_ROWS, [], (512, 512)),
        (100, ["port"], (256, 512)),
        (100, [], (512, 512)),
    ],
)
def test_batches_are_smaller_where_tables_have_no_names_and_for_denoisers_where_they_are_small(
    monkeypatch, usual, dropped, batches
):
    drawn = {"autoencoder": set(), "denoisers": set()}

    def mixed(shape, count, **given):
        drawn["autoencoder"].add(count)
        return draw_mixed(shape, count, **given)

    def draw(rows, count):
        drawn["denoisers"].add(count)
        return torch.randint(len(rows.cumulative), (count,), generator=rows.generator)

    monkeypatch.setattr("flowmint.generators.latent_diffusion.USUAL_ROWS", usual)
    monkeypatch.setattr("flowmint.generators.latent_diffusion.draw_mixed", mixed)
    monkeypatch.setattr("flowmint.generators.denoising.WeightedRows.draw", draw)
    table, labels = make_table()
    for given, wanted in ((None, batches), (100, (100, 100))):
        drawn["autoencoder"].clear()
        drawn["denoisers"].clear()
        LatentDiffusion(batch_rows=given, steps=2, autoencoder_steps=2, width=16).fit(table.drop(dropped), labels)
        assert drawn == {"autoencoder": {wanted[0]}, "denoisers": {wanted[1]}}


def test_effort_multiplies_the_steps_that_are_not_set():
    table, labels = make_table()
    half, set_ = (LatentDiffusion(effort=0.01, width=16, steps=s).fit(table, labels) for s in (None, 5))
    assert (half.sizes_.autoencoder_steps, half.sizes_.steps, half.direct_.sizes_.steps) == (14, 7, 7)
    assert (set_.sizes_.autoencoder_steps, set_.sizes_.steps, set_.direct_.sizes_.steps) == (14, 5, 5)


def test_a_tolerance_ends_every_training_early(watch):
    table, labels = make_table()
    model = LatentDiffusion(steps=40, autoencoder_steps=40, width=16, tolerance=1.0)
    minted = model.fit(table, labels, progress=watch).sample(20, label="attack")
    assert minted.height == 20
    rest = 40 - 8  # three strips of two steps, and a quarter of them more
    assert watch.done.count(rest) == 3  # the autoencoder and two denoisers


@pytest.mark.parametrize(("tolerance", "usual", "early"), [(None, 100, True), (None, 5000, False), (0.0, 100, False)])
def test_large_tables_are_learnt_until_the_knee_unless_told_otherwise(monkeypatch, watch, tolerance, usual, early):
    monkeypatch.setattr("flowmint.generators.denoising.USUAL_ROWS", usual)
    monkeypatch.setattr("flowmint.generators.denoising.TOLERANCE", 1.0)
    LatentDiffusion(steps=40, autoencoder_steps=40, width=16, tolerance=tolerance).fit(*make_table(), progress=watch)
    assert watch.done.count(40 - 8) == (3 if early else 0)


def test_rare_classes_come_partly_from_their_columns_and_others_do_not():
    table, labels = make_table()
    brief = {"steps": 20, "autoencoder_steps": 20, "width": 32, "evaluations": 4}
    half, none = (LatentDiffusion(direct=share, **brief).fit(table, labels) for share in (0.5, 0.0))
    assert none.direct_ is None
    assert half.direct_ is not None
    assert half.rare_ == (True, False)  # 200 attacks, 1,000 benign rows
    assert half.sample_table(500, label="benign").equals(none.sample_table(500, label="benign"))
    assert not half.sample_table(500, label="attack").equals(none.sample_table(500, label="attack"))


@pytest.mark.parametrize("share", [0.25, 0.75])
def test_the_share_that_comes_from_columns_is_the_one_that_was_asked_for(share):
    table, labels = make_table()
    brief = {"steps": 2, "autoencoder_steps": 2, "width": 16, "evaluations": 2, "rules": "none", "strictness": 0.0}
    model = LatentDiffusion(direct=share, **brief).fit(table, labels)
    code = model.classes_.code("attack")
    counts: dict[str, int] = {}

    def counted(name, minter):
        def mint(rows, generator):
            counts[name] = counts.get(name, 0) + rows
            return minter(rows, generator)

        return mint

    latent, direct = DenoisingGenerator.places(model, code), model.direct_.places(code)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(DenoisingGenerator, "places", lambda self, _: parts[type(self)])
        parts = {LatentDiffusion: counted("latent", latent), DataDiffusion: counted("columns", direct)}
        minted = model.sample_table(4000, label="attack")
    assert minted.height == 4000
    assert counts["columns"] / 4000 == pytest.approx(share, abs=0.03)


def test_a_table_without_rare_classes_has_no_second_denoiser():
    table, labels = make_table()
    brief = {"steps": 2, "autoencoder_steps": 2, "width": 16, "evaluations": 2}
    many = pl.concat([table] * 3), pl.concat([labels] * 3)
    assert LatentDiffusion(**brief).fit(*many).direct_ is None


def test_the_second_denoiser_of_a_large_table_learns_all_rare_rows_and_some_of_the_others():
    codes = np.repeat([0, 1, 2], [9_000, 40, 4_000])
    np.random.default_rng(0).shuffle(codes)
    rare = np.array([False, True, False])
    kept = thin(codes, rare, seed=3)
    assert (np.diff(kept) > 0).all()
    assert np.bincount(codes[kept]).tolist() == [(USUAL_ROWS - 40) // 2, 40, (USUAL_ROWS - 40) // 2]
    assert np.array_equal(kept, thin(codes, rare, seed=3))
    assert not np.array_equal(kept, thin(codes, rare, seed=4))


def test_where_most_classes_are_rare_the_others_keep_some_rows():
    codes = np.repeat(np.arange(12), [500] * 11 + [4_000])
    kept = thin(codes, np.arange(12) < 11, seed=0)
    assert np.bincount(codes[kept]).tolist() == [500] * 11 + [FEW_ROWS]


def test_the_second_denoiser_of_a_small_table_learns_all_rows():
    codes = np.repeat([0, 1], [USUAL_ROWS - 10, 10])
    assert len(thin(codes, np.array([False, True]), seed=0)) == USUAL_ROWS


def test_a_model_folder_of_a_large_table_keeps_the_sizes_of_both_denoisers(tmp_path):
    table, labels = make_table()
    large, of_large = pl.concat([table[:1000]] * 6 + [table[1000:]]), pl.concat([labels[:1000]] * 6 + [labels[1000:]])
    brief = {"autoencoder_steps": 2, "width": 16, "evaluations": 2}
    model = LatentDiffusion(**brief, steps=2).fit(large, of_large)
    model.direct_.sizes_ = model.direct_.sizes_.but(steps=1)
    model.save(tmp_path / "model")
    loaded = LatentDiffusion.load(tmp_path / "model")
    assert loaded.direct_.sizes_ == model.direct_.sizes_ != loaded.sizes_
    assert loaded.sample_table(30, label="attack").equals(model.sample_table(30, label="attack"))


@pytest.mark.parametrize(("width", "same"), [(32, True), (MIXED_WIDTH, False)])
def test_only_wide_networks_train_in_bfloat16(width, same):
    table, labels = make_table()
    brief = {"steps": 2, "autoencoder_steps": 2, "width": width}
    single, mixed = (LatentDiffusion(precision=kind, **brief).fit(table, labels) for kind in ("float32", "bfloat16"))
    for part in ("autoencoder_", "denoiser_"):
        first, second = (getattr(model, part).state_dict() for model in (single, mixed))
        assert all(torch.equal(first[name], second[name]) for name in first) == same
        assert all(weight.dtype == torch.float32 for weight in second.values())


@pytest.mark.parametrize("marks", [None, [True], [1, 0], "rare", [True, True, False]])
def test_rare_classes_that_are_not_those_of_the_model_are_refused(marks):
    with pytest.raises(ModelError, match="rare"):
        check_rare(marks, 2)


def test_better_quality_takes_more_evaluations_and_other_rows():
    table, labels = make_table()
    model = LatentDiffusion(steps=20, autoencoder_steps=20, width=32).fit(table, labels)
    rows = {name: model.at_quality(name).sample_table(50, label="benign") for name in QUALITIES}
    assert sorted(QUALITIES, key=lambda name: QUALITIES[name].evaluations) == ["fast", "balanced", "best"]
    assert model.at_quality("fast").sample_table(50, label="benign").equals(rows["fast"])
    assert not rows["fast"].equals(rows["best"])
    with pytest.raises(SettingError, match="quality is 'good'"):
        model.at_quality("good")


def test_bfloat16_mints_nearly_the_rows_of_float32():
    table, labels = make_table()
    model = LatentDiffusion(steps=20, autoencoder_steps=20, width=32).fit(table, labels)
    exact, near = (
        model.set_params(precision=name).sample_table(400, label="benign") for name in ("float32", "bfloat16")
    )
    assert (exact["port"] == near["port"]).mean() > 0.9
    assert exact.schema == near.schema


@pytest.mark.parametrize("solver", ["adams", "fitted"])
@pytest.mark.parametrize("threads", [1, 3])
def test_rows_do_not_depend_on_how_many_threads_mint_them(threads, solver):
    table, labels = make_table()
    model = LatentDiffusion(steps=5, autoencoder_steps=5, width=16, solver=solver, evaluations=2).fit(table, labels)
    usual = torch.get_num_threads()
    before = model.sample_table(20_000, label="attack")
    torch.set_num_threads(threads)
    try:
        assert model.sample_table(20_000, label="attack").equals(before)
        assert torch.get_num_threads() == threads
    finally:
        torch.set_num_threads(usual)
