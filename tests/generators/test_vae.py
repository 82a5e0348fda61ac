"""The variational autoencoder learns what distinguishes classes."""

from __future__ import annotations

import pytest

from flowmint.generators import VAE

from .test_latent_diffusion import INFINITE, make_table


@pytest.fixture(scope="module")
def fitted():
    table, labels = make_table()
    return VAE(seed=0, steps=400, width=64).fit(table, labels)


def test_each_class_has_its_own_values(fitted):
    attack, benign = (fitted.sample(1000, label=label) for label in ("attack", "benign"))
    assert attack["port"].is_in(["22", "23"]).mean() > 0.9
    assert benign["port"].is_in(["53", "80", "443"]).mean() > 0.9


def test_columns_depend_on_each_other_as_they_did(fitted):
    minted = fitted.sample(1000, label="benign")
    assert ((minted["size"] < 200) == (minted["port"] == "53")).mean() > 0.85


def test_infinite_values_are_minted_at_the_rate_of_the_class(fitted):
    assert fitted.sample(1500, label="attack")["rate"].is_infinite().mean() == pytest.approx(INFINITE, abs=0.12)


def test_rows_are_new_and_diverse(fitted):
    table, _ = make_table()
    minted = fitted.sample(1000, label="benign").drop("constant")
    assert minted.unique().height > 800
    assert minted.join(table, on=minted.columns, how="semi").height < 100


def test_sizes_follow_the_data_unless_they_are_set():
    table, labels = make_table()
    sizes = VAE(latent_dim=3, cells=5, width=16, steps=2).fit(table, labels).sizes_
    assert (sizes.dimensions, sizes.cells, sizes.width, sizes.steps) == (3, 5, 16, 2)
