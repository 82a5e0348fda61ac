from __future__ import annotations

import copy
import json

import numpy as np
import pandas as pd
import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flowmint import Rules
from flowmint.errors import LabelError, RuleError
from flowmint.rules.evaluate import Columns
from flowmint.rules.language import Rule
from flowmint.rules.parse import parse_condition


def rules(*texts, **given):
    made = [Rule(name=f"r{i}", condition=parse_condition(text)) for i, text in enumerate(texts)]
    return Rules(tuple(made), **given)


@pytest.fixture
def table():
    return pl.DataFrame(
        {
            "proto": ["tcp", "udp", None],
            "Tot sum": pl.Series([600, 420, 100], dtype=pl.Int32),
            "Number": [10.0, 10.0, 0.0],
            "AVG": pl.Series([60.0, 1.0, 7.0], dtype=pl.Float32),
            "Label": ["x", "y", "x"],
        }
    )


MEAN = rules("AVG = `Tot sum` / Number", "`Tot sum` >= 0")


def test_check_tells_of_each_row_and_rule(table):
    report = MEAN.check(table)
    assert report.holds.tolist() == [[True, True], [False, True], [True, True]]
    assert report.valid.tolist() == [True, False, True]
    assert report.share == pytest.approx(2 / 3)
    assert [(each.rule.name, each.broken, each.examples) for each in report.broken] == [("r0", 1, (1,))]
    told = report.to_json()
    assert json.loads(json.dumps(told))["rules"][0]["broken"] == 1


@pytest.mark.parametrize("kind", ["polars", "pandas", "pyarrow"])
def test_frames_keep_kind_and_dtypes(table, kind):
    frame = {"polars": lambda t: t, "pandas": lambda t: t.to_pandas(), "pyarrow": lambda t: t.to_arrow()}[kind](table)
    before = copy.deepcopy(frame)
    for result in (MEAN.repair(frame).frame, MEAN.derive(frame)):
        assert type(result) is type(frame)
        if kind == "polars":
            assert result.schema == frame.schema
            assert result["AVG"].to_list() == [60.0, 42.0, 7.0]
            assert_frame_equal(frame, before)
        elif kind == "pandas":
            assert dict(result.dtypes) == dict(frame.dtypes)
            pd.testing.assert_frame_equal(frame, before)
        else:
            assert result.schema == frame.schema
            assert frame.equals(before)


def test_an_array_of_numbers_is_a_table():
    half = rules("x1 = x0 / 2")
    array = np.array([[2.0, 0.0], [4.0, 2.0]], dtype=np.float32)
    repaired = half.repair(array).frame
    assert repaired.dtype == np.float32
    assert repaired.tolist() == [[2, 1], [4, 2]]


@pytest.mark.parametrize("kind", ["polars", "pandas", "pyarrow"])
def test_derive_adds_what_a_generator_left_out(table, kind):
    without = table.drop("AVG")
    frame = {"polars": lambda t: t, "pandas": lambda t: t.to_pandas(), "pyarrow": lambda t: t.to_arrow()}[kind](without)
    assert MEAN.derived == ("AVG",)
    derived = MEAN.derive(frame)
    assert pl.DataFrame(derived)["AVG"].to_list()[:2] == [60.0, 42.0]
    assert pl.DataFrame(derived)["AVG"].fill_nan(None).to_list()[2] is None


def test_derive_puts_columns_where_the_header_has_them():
    ruled = rules("b = a + c", "c = 2 * a", columns=("a", "b", "c"))
    assert ruled.derived == ("c", "b")
    assert_frame_equal(ruled.derive(pl.DataFrame({"a": [1.0]})), pl.DataFrame({"a": [1.0], "b": [3.0], "c": [2.0]}))


def test_derive_needs_what_columns_follow_from(table):
    with pytest.raises(RuleError, match="'AVG' follows from 'Number' by the rule 'r0'"):
        MEAN.derive(table.drop("Number"))


def test_equations_in_a_circle_define_only_what_they_can():
    ruled = rules("a = b", "b = a", "c = 1", "d = d", "e = d within 0.5")
    assert ruled.derived == ("a", "c")


def test_rules_of_one_class_need_a_label(table):
    window = Rules((Rule(name="window", condition=parse_condition("Number = 5"), classes=("x",)),))
    assert window.check(table).unjudged == ("window",)
    assert window.check(table).share == 1
    report = window.check(table, label="Label")
    assert report.holds[:, 0].tolist() == [False, True, False]
    assert report.rules[0].rows == 2
    assert window.check(table, label=["y", "y", "x"]).holds[:, 0].tolist() == [True, True, False]
    assert window.repair(table, label="Label").frame["Number"].to_list() == [5, 10, 5]
    assert window.repair(table).frame["Number"].to_list() == [10, 10, 0]


def test_labels_must_fit_the_rows(table):
    with pytest.raises(LabelError, match="did you mean 'Label'"):
        MEAN.check(table, label="label")
    with pytest.raises(LabelError, match="2 labels for 3 rows"):
        MEAN.check(table, label=["x", "y"])


def test_unknown_columns_are_named(table):
    with pytest.raises(RuleError, match="'r0' speaks of the column 'Avg', which the table lacks; did you mean 'AVG'"):
        rules("Avg = 1").check(table)
    with pytest.raises(RuleError, match="and 38 more columns"):
        Rules.profile("ciciot2023").repair(table.drop("Number", "AVG", "Tot sum"))


def test_columns_of_the_wrong_kind_are_named(table):
    with pytest.raises(RuleError, match="computes with the column 'proto', but it is String"):
        rules("proto >= 1").check(table)
    with pytest.raises(RuleError, match="compares the column 'Number' with texts"):
        rules("Number is 'ten'").check(table)


def test_rules_that_fit_a_table_can_be_kept(table):
    mixed = rules("AVG >= 0", "Max >= 0", "proto >= 1", "proto is 'tcp'", "Number is 'ten'")
    assert [rule.name for rule in mixed.fitting(table)] == ["r0", "r3"]


def test_names_are_unique():
    one = Rule(name="same", condition=parse_condition("a = 1"))
    with pytest.raises(RuleError, match="2 rules have the name 'same'"):
        Rules((one, one))
    with pytest.raises(RuleError, match="name ''"):
        Rules((Rule(name="", condition=one.condition),))


def test_joining_leaves_out_what_is_there_already():
    joined = rules("a = 1", name="mine").joined(
        Rules((Rule(name="x", condition=parse_condition("a = 1")), Rule(name="y", condition=parse_condition("b = 1"))))
    )
    assert [rule.name for rule in joined] == ["r0", "y"]
    assert joined.name == "mine"
    assert len(joined) == 2


def test_rules_that_real_rows_break_are_refused(table):
    with pytest.raises(RuleError, match=r"1 of 3 real rows \(33.3%\) break the rule 'r0'"):
        MEAN.require(table)
    MEAN.require(table, most_broken=0.4)


def test_an_empty_table_is_valid(table):
    empty = table.head(0)
    assert MEAN.check(empty).share == 1
    assert MEAN.repair(empty).frame.schema == empty.schema
    assert MEAN.derive(empty).height == 0


def test_no_rules_change_nothing(table):
    none = Rules(())
    assert none.check(table).share == 1
    assert_frame_equal(none.repair(table).frame, table)
    assert none.derived == ()


def test_lattices_tell_how_values_become_integers():
    lattices = Rules.profile("ciciot2023").lattices
    assert lattices["TCP"][0].columns == ("Number",)
    assert lattices["Variance"][0].columns == ("Number", "Tot sum")
    columns = Columns(
        {name: np.array([value]) for name, value in {"TCP": 0.3, "Number": 10.0, "Tot sum": 613.0}.items()}
    )
    assert lattices["TCP"][0].indices(columns).tolist() == [3]
    assert lattices["TCP"][0].values(np.array([3.0]), columns).tolist() == [0.3]
    sizes = np.array([61.0] * 7 + [62.0] * 3)
    columns = Columns({**columns.numbers, "Variance": np.array([sizes.var(ddof=1)])})
    shifted = lattices["Variance"][0]
    assert shifted.values(shifted.indices(columns), columns) == pytest.approx(columns.numbers["Variance"])


def test_most_columns_of_the_second_release_are_integers_in_disguise():
    rules = Rules.profile("ciciot2023")
    assert set(rules.columns) - set(rules.derived) - set(rules.lattices) == {"Rate", "IAT"}


def test_progress_hears_of_every_row(table, watch):
    MEAN.check(table, progress=watch)
    assert watch.stages == [("checking", 3, "rows")]
    assert sum(watch.done) == 3
    MEAN.repair(table, progress=watch)
    assert [stage[:2] for stage in watch.stages[1:]] == [("checking", 3), ("repairing", 1)]


def test_discovered_rules_hold_in_the_rows_they_were_found_in():
    rng = np.random.default_rng(0)
    number = rng.choice([10, 100], 400)
    count = rng.integers(0, 10, 400)
    found = Rules.discover(pl.DataFrame({"n": number, "k": count, "share": count / number, "double": 2 * count}))
    assert len(found) > 0
    assert found.columns == ("n", "k", "share", "double")
    assert found.derived
