"""What is counted of a generator's rules: where they come from, and which rows break any."""

from __future__ import annotations

import polars as pl
import pytest

from flowmint import Rules
from flowmint.flows.simulate import simulate
from flowmint.generators import adherence, load_generator
from flowmint.generators.adherence import measure_adherence
from flowmint.rules.language import Rule
from flowmint.rules.parse import parse_condition

from .conftest import make

SUM = Rule(name="sum", condition=parse_condition("packets = there + back"))


@pytest.fixture(scope="module")
def flows() -> pl.DataFrame:
    """Packets of both directions and their sum, which two of a hundred rows get wrong."""
    there = pl.int_range(1, 101, eager=True)
    table = pl.DataFrame({"there": there, "back": there * there % 17, "Label": ["a", "b"] * 50})
    return table.with_columns(packets=pl.col("there") + pl.col("back") + (pl.int_range(pl.len()) % 50 == 7))


def fit(flows, **settings):
    return make("smote", **settings).fit(flows.drop("Label"), flows["Label"])


def test_real_rows_that_break_rules_are_counted(flows):
    found = measure_adherence(fit(flows, rules=Rules((SUM,))), flows, label="Label")
    assert (found.rules, found.columns, found.computed) == (1, 3, 1)
    assert (found.real, found.real_broken, found.minted) == (100, 2, 0)


def test_minted_rows_are_really_checked(flows):
    model = fit(flows, rules=Rules((SUM,)))
    minted = model.sample_table(30, label="a").with_columns(Label=pl.lit("a"))
    assert measure_adherence(model, flows, minted=minted, label="Label").minted_broken == 0
    spoilt = minted.with_columns(pl.col("packets") + (pl.int_range(pl.len()) < 4))
    assert measure_adherence(model, flows, minted=spoilt, label="Label").minted_broken == 4


def test_large_tables_are_checked_piece_by_piece(flows, monkeypatch, watch):
    monkeypatch.setattr(adherence, "PIECE", 30)
    model = fit(flows, rules=Rules((SUM,)))
    assert measure_adherence(model, flows, label="Label", progress=watch).real_broken == 2
    assert watch.done == [30, 30, 30, 10]


def test_rules_of_single_classes_are_judged_by_the_label(flows):
    rule = Rule(name="few", condition=parse_condition("there <= 95"), classes=("a",))
    found = measure_adherence(fit(flows, rules=Rules((rule,)), missing="learn"), flows, label="Label")
    assert found.real_broken == 2


def test_the_origin_of_rules_is_told(flows, tmp_path):
    windows = simulate({"Benign": 120, "MITM-ArpSpoofing": 40}, seed=0)
    told = adherence.origin_of(fit(windows))
    assert "of ciciot2023 and" in told
    assert told.endswith("found in the training rows")
    assert adherence.origin_of(fit(windows, rules="ciciot2023")) == "102 of ciciot2023"
    assert adherence.origin_of(fit(flows)).endswith("found in the training rows")
    assert adherence.origin_of(fit(flows, rules=Rules((SUM,), name="sums"))) == "1 of sums"
    assert adherence.origin_of(fit(flows, rules="none")) == "0 of none"


def test_a_loaded_model_tells_the_same(flows, tmp_path):
    for place, rules in enumerate(("auto", Rules((SUM,)), Rules((SUM,), name="sums"))):
        model = fit(flows, rules=rules)
        model.save(tmp_path / str(place))
        loaded = load_generator(tmp_path / str(place))
        assert measure_adherence(loaded, flows, label="Label") == measure_adherence(model, flows, label="Label")
