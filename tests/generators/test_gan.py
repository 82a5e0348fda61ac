"""The adversarial network learns what distinguishes classes, and does not repeat itself."""

from __future__ import annotations

import pytest

from flowmint.generators import GAN

from .test_latent_diffusion import INFINITE, make_table


@pytest.fixture(scope="module")
def fitted():
    table, labels = make_table()
    return GAN(seed=0).fit(table, labels)


def test_each_class_has_its_own_values(fitted):
    attack, benign = (fitted.sample(1000, label=label) for label in ("attack", "benign"))
    assert attack["port"].is_in(["22", "23"]).mean() > 0.8
    assert benign["port"].is_in(["53", "80", "443"]).mean() > 0.8


def test_columns_depend_on_each_other_as_they_did(fitted):
    attack, benign = (fitted.sample(1000, label=label) for label in ("attack", "benign"))
    assert ((benign["size"] < 200) == (benign["port"] == "53")).mean() > 0.85
    assert ((attack["size"] < 600) == (attack["port"] == "22")).mean() > 0.75


def test_infinite_values_are_minted_at_the_rate_of_the_class(fitted):
    attack, benign = (fitted.sample(1500, label=label)["rate"].is_infinite().mean() for label in ("attack", "benign"))
    assert attack == pytest.approx(INFINITE, abs=0.12)
    assert benign < 0.03


def test_rows_are_new_and_diverse(fitted):
    table, _ = make_table()
    minted = fitted.sample(1000, label="benign").drop("constant")
    assert minted.unique().height > 800
    assert minted.join(table, on=minted.columns, how="semi").height < 100


def test_a_batch_that_is_no_multiple_of_a_pack_is_rounded_up():
    table, labels = make_table()
    model = GAN(steps=2, width=16, batch_rows=7, pack=3).fit(table, labels)
    assert model.sample(3, label="attack").height == 3


@pytest.mark.parametrize("columns", [["port"], ["size"], ["port", "constant"]])
def test_tables_of_names_alone_and_of_numbers_alone_are_learnt(columns):
    table, labels = make_table()
    model = GAN(steps=2, width=16).fit(table.select(columns), labels)
    assert model.sample(3, label="attack").columns == columns
