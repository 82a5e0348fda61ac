"""Discovery as a whole: what is found, what is not, and what does not matter."""

from __future__ import annotations

from collections import Counter

import numpy as np
import pandas as pd
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flowmint.errors import LabelError, TableError
from flowmint.rules.discover import discover
from flowmint.rules.discover.evidence import LEAST_ROWS
from flowmint.rules.discover.training import to_columns
from flowmint.rules.evaluate import judge
from flowmint.rules.parse import parse_condition


def flows(rows: int, seed: int = 0) -> pl.DataFrame:
    """Make flows that obey a few rules, in three classes."""
    rng = np.random.default_rng(seed)
    packets = rng.integers(1, 50, rows)
    low = rng.integers(40, 200, rows)
    high = low + rng.integers(0, 3, rows) * rng.integers(1, 500, rows)
    tcp = rng.random(rows) < 0.6
    return pl.DataFrame(
        {
            "packets": packets,
            "bytes": packets * rng.integers(40, 900, rows),
            "min": low,
            "max": high,
            "syn": rng.binomial(packets, 0.2) * tcp / packets,
            "proto": np.where(tcp, "tcp", "udp"),
            "class": np.array(["a", "b", "c"])[rng.integers(0, 3, rows)],
        }
    ).with_columns(mean=pl.col("bytes") / pl.col("packets"), twice=2 * pl.col("max"))


def test_the_rules_of_a_small_table_are_found(found):
    rules = found(flows(400), "class", general=True)
    wanted = ("twice = 2 * max", "bytes = mean * packets", "min <= max", "packets * syn is an integer")
    assert rules >= set(wanted)
    assert 'when proto is "udp" then syn = 0' in rules


@pytest.mark.parametrize("rows", [25, 5000])
@pytest.mark.parametrize("seed", range(3))
def test_noise_has_no_relations(found, noise, rows, seed):
    assert not found(noise(rows, seed))


@pytest.mark.parametrize("rows", [25, 5000])
def test_noise_in_classes_has_no_relations(found, noise, rows):
    columns = noise(rows, 7)
    columns["class"] = np.array(["a", "b", "c", "d"])[np.random.default_rng(8).integers(0, 4, rows)]
    assert not found(columns, "class")


def test_classes_that_differ_feign_no_relations(found):
    rng = np.random.default_rng(0)
    group = rng.integers(0, 4, 4000)
    columns = {f"x{i}": rng.poisson(np.array([0.05, 1, 9, 60])[(group + i * (i % 2)) % 4]) for i in range(8)}
    columns["class"] = np.array(["a", "b", "c", "d"])[group]
    assert not found(columns, "class", general=True)


def test_correlated_columns_are_not_related_exactly(found):
    rng = np.random.default_rng(0)
    common = rng.normal(size=3000)
    assert not found({f"x{i}": common + 0.01 * rng.normal(size=3000) for i in range(6)})


def test_every_rule_holds_where_it_was_found():
    table = flows(400)
    columns = to_columns(table)
    for rule in discover(table, label="class"):
        assert judge(rule.condition, columns).broken.mean() <= 0.001, rule.text


def test_every_rule_tells_its_evidence():
    table = flows(400)
    for rule in discover(table, label="class"):
        assert rule.evidence.rows >= LEAST_ROWS
        assert rule.evidence.rows <= 400
        assert rule.evidence.share >= 0.999
        assert rule.why.startswith("found in the data: ")


def test_rules_hold_in_rows_that_were_not_seen():
    columns = to_columns(flows(3000, seed=1))
    for rule in discover(flows(1000), label="class"):
        if not rule.evidence.particular:
            assert not judge(rule.condition, columns).broken.any(), rule.text


def test_rules_can_be_read_back():
    for rule in discover(flows(400), label="class"):
        assert parse_condition(rule.text) == rule.condition


def test_names_are_unique():
    names = Counter(rule.name for rule in discover(flows(400), label="class"))
    assert max(names.values()) == 1


def test_the_label_is_no_part_of_rules():
    assert all("class" not in rule.columns for rule in discover(flows(400), label="class"))


@settings(max_examples=5)
@given(order=st.permutations(flows(2).columns))
def test_the_order_of_columns_changes_nothing(order):
    table = flows(200)
    assert discover(table.select(order), label="class") == discover(table, label="class")


def test_repeated_rows_are_no_evidence():
    table = flows(15)
    assert discover(pl.concat([table] * 50), label="class") == ()


def test_support_counts_repeated_rows():
    table = flows(100)
    once = {rule.name: rule.evidence.rows for rule in discover(table)}
    twice = {rule.name: rule.evidence.rows for rule in discover(pl.concat([table, table]))}
    assert twice == {name: 2 * rows for name, rows in once.items()}


def test_rules_are_counted_in_all_rows_though_some_are_searched(monkeypatch):
    monkeypatch.setattr("flowmint.rules.discover.training.MOST_ROWS", 300)
    table = flows(3000)
    rules = {rule.text: rule.evidence for rule in discover(table, label="class")}
    assert rules["min <= max"].rows == 3000
    assert all(evidence.share >= 0.999 for evidence in rules.values())


def test_the_table_is_not_changed():
    table = flows(100)
    before = table.clone()
    discover(table, label="class")
    assert table.equals(before)


def test_a_pandas_frame_has_the_same_rules():
    table = flows(100)
    frame = pd.DataFrame(table.to_dict(as_series=False))
    assert discover(frame, label="class") == discover(table, label="class")


@pytest.mark.parametrize("rows", [0, 1, LEAST_ROWS - 1])
def test_too_few_rows_have_no_rules(rows):
    assert discover(flows(100).head(rows), label="class" if rows else None) == ()


ODD = {
    "no columns": {},
    "empty cells": {"a": [None] * 50},
    "NaN": {"a": [float("nan")] * 50},
    "infinities": {"a": [float("inf"), float("-inf")] * 25},
    "empty cells beside numbers": {"a": [None] * 50, "b": list(range(50))},
    "huge numbers": {"a": [1e308, -1e308] * 25, "b": np.arange(50) * 1e300},
    "huge integers": {"a": [2**63 - 1] * 25 + list(range(25)), "b": [-(2**63)] * 25 + list(range(25))},
    "odd text": {"a": pl.Series([""] * 30 + ["ü"] * 20), "b": pl.Series([None] * 30 + ["\n"] * 20)},
    "dates": {"a": pl.date_range(pl.date(2020, 1, 1), pl.date(2020, 2, 19), eager=True)},
    "booleans and tiny numbers": {"a": [True, False] * 25, "b": [1e-320, 0.0] * 25},
}


@pytest.mark.parametrize("columns", ODD.values(), ids=ODD)
def test_odd_columns_do_no_harm(columns):
    table = pl.DataFrame(columns)
    for rule in discover(table):
        assert not judge(rule.condition, to_columns(table)).broken.any()


def test_constants_are_told_once():
    table = pl.DataFrame({"x": [3.0] * 60, "b": ["x"] * 60, "c": np.arange(60)})
    texts = {rule.text for rule in discover(table)}
    assert texts == {"x = 3", 'b is "x"', "c is an integer", "c >= 0 and c <= 59"}


def test_rows_that_are_not_finite_say_nothing():
    table = flows(400).with_columns(
        pl.when(pl.int_range(pl.len()) % 7 == 0).then(float("inf")).otherwise(pl.col("mean")).alias("mean")
    )
    rule = next(rule for rule in discover(table, label="class") if rule.text == "bytes = mean * packets")
    assert rule.evidence.rows == int(table["mean"].is_finite().sum())


def test_an_unknown_label_is_refused():
    with pytest.raises(LabelError, match="klass"):
        discover(flows(100), label="klass")


def test_what_is_no_frame_is_refused():
    with pytest.raises(TableError):
        discover([1, 2, 3])


def test_progress_hears_of_every_search(watch):
    discover(flows(100), label="class", progress=watch)
    ((name, total, unit),) = watch.stages
    assert (name, unit) == ("discovering rules", "searches")
    assert sum(watch.done) == total


@pytest.fixture(scope="module")
def medical(real_data):
    """Rules of the one data set with CICIoT2023's features."""
    return discover(pl.read_parquet(real_data / "flows" / "ciciomt2024.parquet"), label="Label")


def test_the_arithmetic_of_real_windows_is_found(medical):
    rules = {rule.text for rule in medical if not rule.evidence.particular}
    assert rules >= {
        "`Tot sum` = AVG * Number",
        "`Tot size` = AVG",
        "Variance = Std^2",
        "LLC = IPv",
        "ARP = 1 - IPv",
        *(f"{flag}_count = Number * {flag}_flag_number" for flag in ("ack", "syn", "fin", "rst")),
        "Min <= AVG",
        "AVG <= Max",
        "Std = 0 exactly when Max = Min",
        "Number * Header_Length is a multiple of 4",
        "Number * Time_To_Live is an integer",
        *(f"{name} is an integer" for name in ("Min", "Max", "`Tot sum`")),
    }


def test_rules_of_one_real_data_set_hold_in_another(medical, real_data):
    columns = to_columns(pl.read_parquet(real_data / "flows" / "ciciot2023_sample.parquet"))
    for rule in medical:
        if not rule.evidence.particular:
            assert judge(rule.condition, columns).broken.mean() <= 0.001, rule.text
