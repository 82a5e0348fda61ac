"""Minted rows satisfy the rules of their training rows, whatever generator made them."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flowmint import Rules, balance_table
from flowmint.errors import ModelError, RuleError, SettingError
from flowmint.flows.schema import Schema
from flowmint.flows.simulate import simulate
from flowmint.generators import GENERATORS, LatentDiffusion, load_generator, make_generator
from flowmint.generators.validity import Validity, derivable
from flowmint.progress import SILENT
from flowmint.rules.language import Rule
from flowmint.rules.parse import parse_condition

from .conftest import make


@pytest.fixture(scope="module")
def windows() -> pl.DataFrame:
    """Simulated windows of packets, with the 39 features of CICIoT2023."""
    return simulate({"Benign": 300, "MITM-ArpSpoofing": 40}, seed=0)


@pytest.fixture(scope="module")
def features(windows) -> pl.DataFrame:
    return windows.drop("Label")


def rule(name: str, text: str) -> Rule:
    return Rule(name=name, condition=parse_condition(text))


def flows_with_sums(rows: int = 120) -> tuple[pl.DataFrame, pl.Series]:
    """A table of no known extractor: packets of both directions and their sum, a mean, a flag."""
    rng = np.random.default_rng(0)
    there, back = rng.integers(1, 50, rows), rng.integers(0, 50, rows)
    table = pl.DataFrame({"there": there, "back": back, "packets": there + back, "size": rng.integers(60, 1500, rows)})
    return table.with_columns(total=pl.col("packets") * pl.col("size")), pl.Series(
        "y", ["a", "b", "b", "b"] * (rows // 4)
    )


@pytest.mark.parametrize("name", ["latent_diffusion", "data_diffusion", "vae", "smote_standardised"])
def test_every_row_satisfies_the_extractors_rules(name, windows, features):
    minted = make(name).fit(features, windows["Label"]).sample(300, label="MITM-ArpSpoofing")
    assert Rules.profile("ciciot2023").check(minted).holds.all()
    assert minted.schema == features.schema


def test_without_rules_rows_break_them(windows, features):
    minted = make("smote", rules="none").fit(features, windows["Label"]).sample(300, label="MITM-ArpSpoofing")
    assert Rules.profile("ciciot2023").check(minted).holds.all(axis=1).mean() < 0.5


def test_columns_that_follow_from_others_leave_the_model(windows, features):
    model = make("latent_diffusion").fit(features, windows["Label"])
    learnt = {support.column.name for support in model.encoder_.supports}
    assert {"AVG", "Tot size", "Std", "ack_count", "LLC"}.isdisjoint(learnt)
    assert learnt | set(model.validity_.derived) == set(features.columns)


def test_columns_that_hug_their_bounds_are_learnt_by_them_and_come_back(windows, features):
    validity = Validity.learn("ciciot2023", features, windows["Label"], progress=SILENT)
    assert "IAT" in {each.column for each in validity.relative}
    schema = Schema.infer(features)
    learnt = validity.reduce(features)
    validity.schema(schema).check(learnt)
    assert learnt["IAT"].min() >= 1
    assert_frame_equal(validity.derive(learnt, schema), features, rel_tol=2e-6, abs_tol=2e-6)


def test_before_repair_no_row_leaves_bounds_that_it_is_told_by(windows, features):
    model = make("smote", rules="ciciot2023").fit(features, windows["Label"])
    minted = model.sample_table(500, label="Benign", repair=False)
    broken = {each.rule.name for each in Rules.profile("ciciot2023").check(minted).broken if each.broken}
    assert "iat-rate" not in broken


def test_rules_of_an_unknown_table_are_found_and_kept():
    table, labels = flows_with_sums()
    minted = make("smote").fit(table, labels).sample(500, label="a")
    assert (minted["there"] + minted["back"] == minted["packets"]).all()
    assert (minted["packets"] * minted["size"] == minted["total"]).all()
    assert minted.schema == table.schema


def test_a_column_that_is_missing_somewhere_is_learnt():
    table, labels = flows_with_sums()
    table = table.with_columns(pl.when(pl.int_range(pl.len()) % 5 > 0).then("packets").alias("packets"))
    model = make("smote").fit(table, labels)
    assert "packets" not in model.validity_.derived
    assert 0 < model.sample(500, label="b")["packets"].null_count() < 300


def test_an_infinite_value_and_what_follows_from_it_are_learnt():
    rules = Rules((rule("rate", "rate = packets / seconds"),))
    table = pl.DataFrame({"packets": [1.0, 2.0, 4.0], "seconds": [1.0, 0.0, 2.0], "rate": [1.0, np.inf, 2.0]})
    assert derivable(rules, table) == ()
    assert derivable(rules, table[::2]) == ("rate",)


def test_rules_may_be_a_file_a_profile_or_rules(tmp_path, windows, features):
    rules = Rules.profile("ciciot2023")
    rules.write(tmp_path / "rules.toml")
    for given in (str(tmp_path / "rules.toml"), "ciciot2023", rules):
        model = make("random_oversampling", rules=given).fit(features, windows["Label"])
        assert len(model.validity_.rules) == len(rules)


def test_rules_that_real_rows_break_are_refused(features, windows):
    wrong = Rules((rule("wrong", "Min >= Max + 1"),))
    with pytest.raises(RuleError, match="real rows"):
        make("smote", rules=wrong).fit(features, windows["Label"])


def test_rules_that_real_rows_break_may_be_forced(tmp_path):
    table, labels = flows_with_sums()
    more = Rules((rule("more", "packets = there + back + 1"),))
    with pytest.raises(RuleError, match=r"--force-rules, force_rules=True"):
        make("smote", rules=more).fit(table, labels)
    model = make("smote", rules=more, force_rules=True).fit(table, labels)
    model.save(tmp_path / "model")
    for kept in (model, load_generator(tmp_path / "model")):
        minted = kept.sample(100, label="a")
        assert (minted["there"] + minted["back"] + 1 == minted["packets"]).all()


def test_forced_rules_must_still_be_about_the_tables_columns():
    table, labels = flows_with_sums()
    with pytest.raises(RuleError, match="column"):
        make("smote", rules="ciciot2023", force_rules=True).fit(table, labels)


def test_forcing_is_yes_or_no():
    with pytest.raises(SettingError, match="force_rules is 'maybe'"):
        make_generator("smote", force_rules="maybe").check()


def test_balancing_keeps_real_rows_that_break_forced_rules():
    table, labels = flows_with_sums()
    table = table.with_columns(y=labels)
    more = Rules((rule("more", "packets = there + back + 1"),))
    balanced = balance_table(table, label="y", generator="smote", rules=more, force_rules=True)
    assert balanced[: table.height].equals(table)
    assert more.check(balanced[table.height :]).holds.all()


def test_rules_of_other_columns_are_refused():
    table, labels = flows_with_sums()
    with pytest.raises(RuleError, match="column"):
        make("smote", rules="ciciot2023").fit(table, labels)


@pytest.mark.parametrize("given", ["no_such_profile", "absent.toml"])
def test_unknown_rules_are_refused(given):
    with pytest.raises(RuleError):
        make("smote", rules=given).fit(*flows_with_sums())


def test_rules_of_another_kind_are_refused():
    with pytest.raises(SettingError, match="rules is 3"):
        make_generator("smote", rules=3).check()


def test_auto_leaves_out_a_profiles_rules_that_real_rows_break(windows, features):
    broken = features.with_columns(AVG=pl.col("AVG") + 1)
    model = make("smote").fit(broken, windows["Label"])
    assert "total" not in {rule.name for rule in model.validity_.rules}
    assert "llc" in {rule.name for rule in model.validity_.rules}


@pytest.mark.parametrize("name", ["latent_diffusion", "vae", "smote"])
def test_a_model_folder_keeps_the_rules(name, tmp_path, windows, features):
    model = make(name, rules="ciciot2023").fit(features, windows["Label"])
    model.save(tmp_path / "model")
    loaded = load_generator(tmp_path / "model")
    assert loaded.sample_table(50, label="Benign").equals(model.sample_table(50, label="Benign"))
    assert loaded.validity_.derived == model.validity_.derived


def test_rules_given_in_python_are_saved_with_the_model(tmp_path):
    table, labels = flows_with_sums()
    rules = Rules((rule("sum", "packets = there + back"),))
    make("smote", rules=rules).fit(table, labels).save(tmp_path / "model")
    minted = load_generator(tmp_path / "model").sample_table(100, label="a")
    assert (minted["there"] + minted["back"] == minted["packets"]).all()


@pytest.mark.parametrize(
    "damage",
    [
        {"derived": ["there"]},
        {"derived": ["absent"]},
        {"derived": "packets"},
        {"relative": [["there", "part", True, ["back"]]]},
        {"relative": "there"},
        {"rules": {"format": 1, "rules": [{"name": "x", "rule": "elsewhere = 1"}]}},
    ],
)
def test_damaged_rules_of_a_model_are_refused(damage):
    table, labels = flows_with_sums()
    model = make("smote", rules=Rules((rule("sum", "packets = there + back"),))).fit(table, labels)
    with pytest.raises((ModelError, RuleError)):
        Validity.from_json(model.validity_.to_json() | damage, model.schema_)


def test_rows_that_cannot_be_made_valid_are_minted_anew(monkeypatch):
    table, labels = flows_with_sums()
    model = make("smote").fit(table, labels)
    complete, calls = Validity.complete, []

    def half_valid(self, minted, schema, *, class_name):
        whole, _ = complete(self, minted, schema, class_name=class_name)
        calls.append(minted.height)
        return whole, np.arange(minted.height) % 2 == 0

    monkeypatch.setattr(Validity, "complete", half_valid)
    assert model.sample_table(100, label="a").height == 100
    assert calls[0] == 100
    assert calls[1] == 50


def test_the_last_row_that_lacks_is_found_where_few_can_be_made_valid(monkeypatch):
    table, labels = flows_with_sums()
    model = make("smote").fit(table, labels)
    complete = Validity.complete

    def seldom_valid(self, minted, schema, *, class_name):
        whole, _ = complete(self, minted, schema, class_name=class_name)
        return whole, np.arange(minted.height) % 50 == 49

    monkeypatch.setattr(Validity, "complete", seldom_valid)
    assert model.sample_table(10, label="a").height == 10


def test_rows_that_never_become_valid_end_in_an_error(monkeypatch):
    model = make("smote").fit(*flows_with_sums())

    def never_valid(self, minted, schema, *, class_name):
        return minted, np.zeros(minted.height, dtype=bool)

    monkeypatch.setattr(Validity, "complete", never_valid)
    with pytest.raises(RuleError, match="0 of 10 rows of class 'a' could be made valid"):
        model.sample_table(10, label="a")


def test_balancing_keeps_real_rows_that_break_rules(windows):
    odd = windows.with_columns(AVG=pl.when(pl.int_range(pl.len()) == 5).then(1e6).otherwise("AVG"))
    balanced = balance_table(odd, label="Label", generator="smote")
    assert balanced[: odd.height].equals(odd)
    assert Rules.profile("ciciot2023").check(balanced[odd.height :].drop("Label")).holds.all()


def test_no_rules_learn_every_column(features, windows):
    validity = Validity.learn("none", features, windows["Label"], progress=SILENT)
    assert validity.derived == ()
    assert len(validity.rules) == 0


def test_every_named_generator_takes_rules():
    assert all(make_generator(name, rules="none").rules == "none" for name in GENERATORS)
    assert LatentDiffusion().rules == "auto"
