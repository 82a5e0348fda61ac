"""The audit finds what gives classes away, and says nothing of columns that do not."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from flowmint.errors import LabelError, SettingError
from flowmint.evaluate.leakage import audit_leakage

ROWS = 200


def make_table(**columns: object) -> pl.DataFrame:
    rng = np.random.default_rng(0)
    attack = np.arange(ROWS) >= ROWS // 2
    return pl.DataFrame(
        {
            "Noise": rng.normal(size=ROWS),
            "Weak": rng.normal(size=ROWS) + attack,
            **columns,
            "Label": np.where(attack, "Scan", "Benign"),
        }
    )


ATTACK = np.arange(ROWS) >= ROWS // 2
SHUFFLED = np.random.default_rng(5).permutation(ROWS)


def test_a_harmless_table_has_no_shortcut():
    found = audit_leakage(make_table(), label="Label")
    assert found.shortcuts == ()
    assert found.remarks == ("nothing was found that gives classes away by itself",)


def test_a_column_that_alone_separates_is_a_shortcut():
    separates = np.where(ATTACK, 5.0, -5.0) + np.random.default_rng(1).normal(size=ROWS)
    found = audit_leakage(make_table(Tell=separates), label="Label")
    assert found.shortcuts == ("Tell",)
    assert found.tells[0].column == "Tell"
    assert found.tells[0].auc == 1
    assert found.tells[0].balanced_accuracy == 1
    assert any("'Tell' alone separates" in remark for remark in found.remarks)


def test_auc_and_stump_are_those_of_scikit_learn():
    from sklearn.metrics import roc_auc_score, roc_curve

    table = make_table(Steps=np.random.default_rng(2).integers(0, 4, ROWS) + ATTACK)
    found = {t.column: t for t in audit_leakage(table, label="Label").tells if t.class_name == "Scan"}
    for name in ("Weak", "Steps", "Noise"):
        values = table[name].to_numpy()
        auc = roc_auc_score(ATTACK, values)
        false, true, _ = roc_curve(ATTACK, values, drop_intermediate=False)
        assert found[name].auc == pytest.approx(max(auc, 1 - auc))
        assert found[name].balanced_accuracy == pytest.approx((1 + np.abs(true - false).max()) / 2)


def test_names_are_judged_on_other_rows_than_those_that_chose_them():
    unique = [f"host{i}" for i in SHUFFLED]
    told = np.where(ATTACK, "evil", "good")
    found = audit_leakage(make_table(Host=unique, Told=told), label="Label")
    by_name = {t.column: t.balanced_accuracy for t in found.tells}
    assert by_name["Host"] < 0.6
    assert by_name["Told"] == 1
    assert found.counters == {"Host": "has a different name in every row"}


def test_one_value_for_each_whole_class_is_found_despite_stray_rows():
    number = np.where(ATTACK, 100, 10)
    number[3] = 7
    found = audit_leakage(make_table(Number=number), label="Label")
    assert [(c.column, dict(c.values)) for c in found.constants] == [("Number", {"Benign": "10", "Scan": "100"})]
    assert "Number" in found.shortcuts


def test_a_constant_column_is_no_shortcut():
    found = audit_leakage(make_table(Same=np.ones(ROWS), Empty=pl.Series([None] * ROWS)), label="Label")
    assert found.shortcuts == ()


@pytest.mark.parametrize(
    "values",
    [
        np.arange(ROWS),
        1e9 - np.arange(ROWS) * 0.5,
        np.arange(ROWS) % (ROWS // 2) + 0.25,
        pl.Series(range(ROWS)).cast(pl.Datetime("us")),
    ],
    ids=["row number", "falling", "begins anew in each class", "time"],
)
def test_counters_and_times_are_found(values):
    found = audit_leakage(make_table(When=values), label="Label")
    assert set(found.counters) == {"When"}
    assert "When" in found.shortcuts


def test_shuffled_numbers_are_no_counter():
    assert audit_leakage(make_table(Id=SHUFFLED), label="Label").counters == {}


def test_rows_on_both_sides_of_a_split_are_counted():
    table = make_table().head(100)
    doubled = pl.concat([table, make_table().tail(100)])
    assert audit_leakage(doubled, label="Label").shared == 0
    twice = pl.concat([doubled, doubled])
    assert 0.4 < audit_leakage(twice, label="Label").shared < 0.6


def test_missing_and_infinite_values_are_values_too():
    values = np.where(ATTACK, np.nan, np.random.default_rng(3).normal(size=ROWS))
    values[:4] = [np.inf, -np.inf, np.inf, -np.inf]
    found = audit_leakage(make_table(Gap=values), label="Label")
    assert "Gap" in found.shortcuts


def test_a_class_of_few_rows_is_named_and_not_judged():
    table = make_table()
    rare = table.head(3).with_columns(Label=pl.lit("<b>Rare"), Noise=pl.lit(99.0))
    found = audit_leakage(pl.concat([table, rare]), label="Label")
    assert found.small == ("<b>Rare",)
    assert "<b>Rare" not in {tell.class_name for tell in found.tells}


def test_classes_are_told_from_the_benign_one_where_it_is_named():
    table = make_table(Tell=np.where(ATTACK, 1.0, 0.0))
    other = make_table(Tell=np.ones(ROWS)).with_columns(Label=pl.lit("Other"), Noise=pl.col("Noise") + 1)
    both = pl.concat([table, other])
    against_all = {t.class_name: t for t in audit_leakage(both, label="Label").tells if t.column == "Tell"}
    against_benign = audit_leakage(both, label="Label", benign="Benign")
    told = {t.class_name: t for t in against_benign.tells if t.column == "Tell"}
    assert against_all["Scan"].balanced_accuracy < 0.99
    assert told["Scan"].balanced_accuracy == told["Other"].balanced_accuracy == 1
    assert "Benign" not in told


def test_bad_questions_are_refused():
    with pytest.raises(LabelError, match="did you mean 'Benign'"):
        audit_leakage(make_table(), label="Label", benign="benign")
    with pytest.raises(LabelError, match="at least 2"):
        audit_leakage(make_table().head(10), label="Label")
    with pytest.raises(SettingError, match="above 0"):
        audit_leakage(make_table(), label="Label", separates=0.5)


def test_the_audit_is_plain_json():
    found = audit_leakage(make_table(Number=np.where(ATTACK, 100, 10)), label="Label")
    described = json.loads(json.dumps(found.to_json()))
    assert described["shortcuts"] == ["Number"]


def test_number_is_found_in_real_data(real_data):
    table = pl.read_parquet(real_data / "flows" / "ciciomt2024.parquet")
    found = audit_leakage(table, label="Label")
    assert found.shortcuts == ("Number",)
