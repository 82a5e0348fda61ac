"""Latent diffusion learns what distinguishes classes, and keeps the shares of rare states."""

from __future__ import annotations

from itertools import product

import numpy as np
import polars as pl
import pytest

from flowmint.generators import DataDiffusion, LatentDiffusion

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
        *product(["rectified_flow", "variance_exploding"], ["adams", "dpm_solver", "heun", "euler"]),
        ("variance_preserving", "dpm_solver"),
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
