"""The schema and the classes of a flow table."""

from __future__ import annotations

import datetime as dt
import json
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flowmint.errors import LabelError, ModelError, TableError
from flowmint.flows.schema import Classes, Schema, compare_columns, dtype_from_json, dtype_to_json, split_label

COLUMNS = {
    "numeric": [pl.Series([1.5, None]), pl.Series([float("inf"), float("nan")], dtype=pl.Float32)],
    "integer": [
        pl.Series([1, 2]),
        pl.Series([1, 2], dtype=pl.UInt8),
        pl.Series([dt.date(2024, 1, 1), None]),
        pl.Series([dt.datetime(2024, 1, 1), None], dtype=pl.Datetime("ns")),  # noqa: DTZ001 - without a zone on purpose
        pl.Series([dt.datetime(2024, 1, 1, tzinfo=dt.UTC)] * 2, dtype=pl.Datetime("ms", "Europe/Berlin")),
        pl.Series([dt.timedelta(1), None]),
        pl.Series([dt.time(1), None]),
    ],
    "categorical": [
        pl.Series(["a", None]),
        pl.Series(["a", "b"], dtype=pl.Categorical),
        pl.Series(["a", "b"], dtype=pl.Enum(["b", "a", "never seen"])),
    ],
    "boolean": [pl.Series([True, None])],
}
TABLE = pl.DataFrame([s.alias(f"{kind} {i}") for kind, columns in COLUMNS.items() for i, s in enumerate(columns)])


def test_each_dtype_has_its_kind() -> None:
    assert [column.kind for column in Schema.infer(TABLE).columns] == [name.split()[0] for name in TABLE.columns]


def test_a_schema_survives_json() -> None:
    schema = Schema.infer(TABLE)
    assert Schema.from_json(json.loads(json.dumps(schema.to_json()))) == schema


def test_a_schema_keeps_names_and_order() -> None:
    assert Schema.infer(TABLE).names == tuple(TABLE.columns)


@pytest.mark.parametrize("values", [[None, None], [float("nan"), None], ["", None]], ids=str)
def test_a_column_without_a_value_is_refused_by_name(values: list[Any]) -> None:
    table = pl.DataFrame({"a": [1, 2], "b": values})
    if "" in values:  # an empty text is a value
        assert Schema.infer(table).names == ("a", "b")
        return
    with pytest.raises(TableError, match=r"'b' holds no value in any of its 2 rows.*--drop 'b'"):
        Schema.infer(table)


@pytest.mark.parametrize("table", [pl.DataFrame(), pl.DataFrame({"a": []}), pl.DataFrame({"a": [1]}).drop("a")])
def test_a_table_of_nothing_is_refused(table: pl.DataFrame) -> None:
    with pytest.raises(TableError, match="both must be at least 1"):
        Schema.infer(table)


@pytest.mark.parametrize("values", [[[1]], [{"b": 1}], [b"x"], [object()]], ids=lambda v: type(v[0]).__name__)
def test_an_unsupported_dtype_is_refused_by_name(values: list[Any]) -> None:
    with pytest.raises(TableError, match="column 'a'"):
        Schema.infer(pl.DataFrame({"a": values}))


def test_a_fitted_table_passes_in_any_order() -> None:
    Schema.infer(TABLE).check(TABLE.select(reversed(TABLE.columns)))


def test_other_columns_are_told_as_a_difference() -> None:
    schema = Schema.infer(pl.DataFrame({"a": [1], "b": [1.5], "c": ["x"]}))
    with pytest.raises(TableError, match="missing 'a'; unexpected 'A'; 'b' is Int64 instead of Float64"):
        schema.check(pl.DataFrame({"A": [1], "b": [1], "c": ["x"]}))


def test_a_difference_of_many_columns_stays_short() -> None:
    wanted = {f"column {i}": pl.Int64() for i in range(1000)}
    assert compare_columns(wanted, {}).endswith("and 992 more")
    enum = pl.Enum([str(i) for i in range(1000)])
    assert compare_columns({"e": enum}, {"e": pl.String()}) == "'e' is String instead of Enum of 1000 categories"


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(), inner, max_size=3),
    max_leaves=8,
)
DTYPES = JSON | st.sampled_from(
    [["Datetime", "us", "Mars/Olympus"], ["Datetime", "us", "../../etc"], ["Enum", ["a", "a"]], ["Enum", [1]], "Object"]
)


@given(JSON | st.lists(st.fixed_dictionaries({"name": JSON, "dtype": DTYPES}), max_size=2))
def test_a_hostile_schema_is_refused_or_sound(obj: Any) -> None:
    try:
        schema = Schema.from_json(obj)
    except ModelError:
        return
    pl.DataFrame(schema={column.name: column.polars_dtype for column in schema.columns})


def test_a_duplicated_column_in_a_schema_is_refused() -> None:
    with pytest.raises(ModelError, match="duplicated"):
        Schema.from_json([{"name": "a", "dtype": "Int64"}] * 2)


@pytest.mark.parametrize("series", [s for columns in COLUMNS.values() for s in columns], ids=lambda s: str(s.dtype))
def test_a_dtype_survives_json(series: pl.Series) -> None:
    assert dtype_from_json(json.loads(json.dumps(dtype_to_json(series.dtype)))) == series.dtype


LABELS = [
    pl.Series("Label", ["b", "a", "b"]),
    pl.Series("Label", ["b", "a", "b"], dtype=pl.Categorical),
    pl.Series("Label", ["b", "a", "b"], dtype=pl.Enum(["b", "a"])),
    pl.Series("Label", [1, 0, 1]),
    pl.Series("Label", [1, 0, 1], dtype=pl.UInt8),
    pl.Series("Label", [True, False, True]),
    pl.Series("Label", [1.5, -0.5, 1.5]),
]


@pytest.mark.parametrize("labels", LABELS, ids=lambda s: str(s.dtype))
def test_classes_are_numbered_in_sorted_order(labels: pl.Series) -> None:
    classes = Classes.of(labels)
    assert classes.codes(labels).tolist() == [1, 0, 1]
    assert classes.codes(labels).dtype == np.int64
    assert list(classes.values) == sorted(set(labels.to_list()))


@pytest.mark.parametrize("labels", LABELS, ids=lambda s: str(s.dtype))
def test_the_classes_of_no_rows_are_numbers_too(labels: pl.Series) -> None:
    codes = Classes.of(labels).codes(labels.clear())
    assert (codes.dtype, codes.shape) == (np.int64, (0,))


@pytest.mark.parametrize("labels", LABELS, ids=lambda s: str(s.dtype))
def test_classes_survive_json(labels: pl.Series) -> None:
    classes = Classes.of(labels)
    back = Classes.from_json(json.loads(json.dumps(classes.to_json())))
    assert back == classes
    assert [type(value) for value in back.values] == [type(value) for value in classes.values]


@pytest.mark.parametrize("labels", LABELS, ids=lambda s: str(s.dtype))
def test_a_class_is_found_by_its_value_and_its_name(labels: pl.Series) -> None:
    classes = Classes.of(labels)
    for code, value in enumerate(classes.values):
        assert classes.code(value) == classes.code(str(value)) == classes.code(np.array([value])[0]) == code


def test_a_class_of_integers_is_found_by_an_equal_decimal() -> None:
    assert Classes((0, 1)).code(1.0) == 1


def test_an_unknown_class_is_refused_with_the_nearest_name() -> None:
    classes = Classes(("ARP_Spoofing", "Benign"))
    with pytest.raises(LabelError, match=r"'arp-spoofing'; did you mean 'ARP_Spoofing'\?"):
        classes.code("arp-spoofing")
    with pytest.raises(LabelError, match="known: 'ARP_Spoofing', 'Benign'"):
        classes.codes(pl.Series(["Benign", "?"]))


@pytest.mark.parametrize("labels", [pl.Series("y", ["a", None]), pl.Series("y", [1.0, float("nan")])], ids=str)
def test_empty_labels_are_refused_with_their_count(labels: pl.Series) -> None:
    with pytest.raises(LabelError, match="'y' is empty in 1 of 2 rows"):
        Classes.of(labels)


@pytest.mark.parametrize("values", [[dt.date(2024, 1, 1)], [[1]], [b"x"]], ids=str)
def test_labels_of_no_class_dtype_are_refused(values: list[Any]) -> None:
    with pytest.raises(LabelError, match="use text, numbers or booleans"):
        Classes.of(pl.Series("y", values))


@given(JSON)
def test_hostile_classes_are_refused_or_sound(obj: Any) -> None:
    try:
        classes = Classes.from_json(obj)
    except ModelError:
        return
    assert [classes.code(name) for name in classes.names] == list(range(len(classes.names)))


@pytest.mark.parametrize("obj", [[], ["a", "a"], ["b", "a"], [1, "a"], [True, 1], [None], "ab", [["a"]]], ids=str)
def test_damaged_classes_are_refused(obj: object) -> None:
    with pytest.raises(ModelError, match="classes are"):
        Classes.from_json(obj)


def test_the_label_is_parted_from_the_features() -> None:
    rows, labels = split_label(pl.DataFrame({"a": [1, 2], "y": ["u", "v"], "b": [3, 4]}), "y")
    assert rows.columns == ["a", "b"]
    assert labels.to_list() == ["u", "v"]


def test_an_absent_label_is_refused_with_the_nearest_name() -> None:
    with pytest.raises(LabelError, match=r"no column 'label'.*did you mean 'Label'\?"):
        split_label(pl.DataFrame({"Label": [1]}), "label")


def test_one_class_is_refused_only_where_more_are_needed() -> None:
    table = pl.DataFrame({"a": [1, 2], "Label": ["Benign", "Benign"]})
    split_label(table, "Label")
    with pytest.raises(LabelError, match=r"has 1 class \('Benign'\); at least 2 are needed"):
        split_label(table, "Label", at_least=2)


def test_a_label_without_rows_has_no_class() -> None:
    with pytest.raises(LabelError, match="has 0 classes; at least 1"):
        split_label(pl.DataFrame({"a": [], "Label": []}, schema={"a": pl.Int64, "Label": pl.String}), "Label")
