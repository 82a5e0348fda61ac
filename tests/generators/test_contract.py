"""What every generator promises, tried on every generator."""

from __future__ import annotations

import random
from typing import TYPE_CHECKING

import numpy as np
import pandas as pd
import polars as pl
import pytest
import torch
from polars.testing import assert_frame_equal
from sklearn.base import clone

from flowmint.errors import LabelError, ModelError, NotFittedError, SettingError, TableError, WriteError
from flowmint.generators import GENERATORS, MODELS, load_generator, make_generator
from flowmint.rules.ruleset import Rules

from .conftest import make

if TYPE_CHECKING:
    from flowmint.generators import Generator


SUMS = Rules.from_json(
    {
        "format": 1,
        "rules": [
            {"name": "total", "rule": "total = sent + received"},
            {"name": "order", "rule": "sent <= received"},
        ],
    }
)


def make_windows() -> tuple[pl.DataFrame, list[str]]:
    """Rows of which one column is the sum of two others, and one of these is the smaller."""
    rng = np.random.default_rng(0)
    sent, more = rng.integers(1, 50, 40), rng.integers(0, 5, 40)
    table = pl.DataFrame({"sent": sent, "total": 2 * sent + more, "received": sent + more})
    return table, ["scan"] * 20 + ["benign"] * 20


@pytest.fixture(scope="module", params=list(GENERATORS))
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def fitted(name, flows, labels) -> Generator:
    return make(name, seed=3).fit(flows, labels)


def fit(name, table, labels, **settings) -> Generator:
    return make(name, **settings).fit(table, labels)


def test_minted_rows_have_the_columns_order_and_dtypes_of_the_fitted_ones(fitted, flows):
    minted = fitted.sample(20, label="ARP_Spoofing")
    assert isinstance(minted, pl.DataFrame)
    assert minted.schema == flows.schema
    assert minted.height == 20


def test_rows_from_before_repair_have_the_same_columns_and_dtypes(fitted, flows):
    decoded = fitted.sample_table(20, label="ARP_Spoofing", repair=False)
    assert decoded.schema == flows.schema == fitted.sample(0, label="ARP_Spoofing", repair=False).schema
    assert decoded.height == 20


def test_repair_touches_only_rows_that_break_a_rule(name):
    table, labels = make_windows()
    model = fit(name, table, labels, rules=SUMS)
    decoded, minted = (model.sample_table(100, label="scan", repair=repair) for repair in (False, True))
    assert minted.schema == decoded.schema == table.schema
    assert (decoded["total"] == decoded["sent"] + decoded["received"]).all()  # what follows is computed all the same
    assert SUMS.check(minted).valid.all()
    valid = SUMS.check(decoded).valid
    if valid.all():
        assert_frame_equal(minted, decoded)


def test_minted_values_are_possible(fitted, flows):
    minted = fitted.sample(200, label="Benign")
    assert set(minted["constant"]) == {7}
    assert set(minted["service"]) <= set(flows["service"])
    assert set(minted["protocol"]) <= set(flows["protocol"])
    for column in ("number", "large", "rate", "std"):
        finite = flows[column].drop_nulls().drop_nans()
        assert minted[column].drop_nulls().drop_nans().is_between(finite.min(), finite.max()).all()


@pytest.mark.parametrize("kind", ["pandas", "pyarrow"])
def test_the_kind_of_frame_that_went_in_comes_out(name, flows, labels, kind):
    frame = flows.to_pandas() if kind == "pandas" else flows.to_arrow()
    minted = fit(name, frame, labels.to_list()).sample(5, label="ARP_Spoofing")
    assert type(minted) is type(frame)
    if kind == "pandas":
        assert minted.dtypes.to_dict() == frame.dtypes.to_dict()
        assert isinstance(minted.index, pd.RangeIndex)
    else:
        assert minted.schema == frame.schema


def test_the_same_seed_gives_the_same_rows(name, fitted, flows, labels):
    again = fit(name, flows, labels, seed=3)
    assert_frame_equal(fitted.sample(50, label="Benign"), again.sample(50, label="Benign"))
    assert_frame_equal(fitted.sample(50, label="Benign", seed=9), again.sample(50, label="Benign", seed=9))


def test_another_seed_gives_other_rows(fitted):
    one, other = (fitted.sample(50, label="Benign", seed=seed) for seed in (1, 2))
    assert not one.equals(other)


def test_global_randomness_is_neither_used_nor_touched(name, flows, labels):
    np.random.seed(0)  # noqa: NPY002 - the global state is what this is about
    torch.manual_seed(0)
    random.seed(0)
    before = np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist(), random.getstate()  # noqa: NPY002
    fit(name, flows, labels).sample(5, label="Benign")
    after = np.random.get_state()[1].tolist(), torch.random.get_rng_state().tolist(), random.getstate()  # noqa: NPY002
    assert before == after


def test_a_saved_model_mints_the_same_rows(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    loaded = load_generator(tmp_path / "model")
    assert type(loaded) is type(fitted)
    assert loaded.get_params() == fitted.get_params()
    for label in ("Benign", "ARP_Spoofing"):
        assert_frame_equal(loaded.sample(30, label=label), fitted.sample(30, label=label))


def test_a_saved_model_is_the_same_bytes_each_time(fitted, tmp_path):
    for folder in ("one", "two"):
        fitted.save(tmp_path / folder)
    for file in ("model.json", "weights.safetensors"):
        assert (tmp_path / "one" / file).read_bytes() == (tmp_path / "two" / file).read_bytes()


def test_saving_twice_needs_permission(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    with pytest.raises(WriteError, match="model"):
        fitted.save(tmp_path / "model")
    fitted.save(tmp_path / "model", overwrite=True)


def test_another_generators_model_is_refused(fitted, tmp_path):
    fitted.save(tmp_path / "model")
    other = next(kind for kind in MODELS.values() if not isinstance(fitted, kind))
    with pytest.raises(ModelError, match="load_generator"):
        other.load(tmp_path / "model")
    assert type(type(fitted).load(tmp_path / "model")) is type(fitted)


def test_an_unknown_class_gets_the_nearest_name(fitted):
    with pytest.raises(LabelError, match="did you mean 'ARP_Spoofing'"):
        fitted.sample(1, label="ARP_Spofing")


def test_no_class_of_several_lists_them(fitted):
    with pytest.raises(LabelError, match="'ARP_Spoofing', 'Benign'"):
        fitted.sample(1)


@pytest.mark.parametrize("rows", [-1, 1.5, True, "7"])
def test_a_strange_number_of_rows_is_refused(fitted, rows):
    with pytest.raises(SettingError, match="rows"):
        fitted.sample(rows, label="Benign")


def test_no_rows_are_an_empty_table_of_the_same_columns(fitted, flows):
    assert fitted.sample(0, label="Benign").schema == flows.schema


def test_nothing_can_be_minted_or_saved_before_fitting(name, tmp_path):
    with pytest.raises(NotFittedError):
        make(name).sample(1, label="Benign")
    with pytest.raises(NotFittedError):
        make(name).save(tmp_path / "model")
    assert list(tmp_path.iterdir()) == []


def test_a_clone_is_unfitted_and_has_the_same_settings(fitted):
    other = clone(fitted)
    assert other.get_params() == fitted.get_params()
    with pytest.raises(NotFittedError):
        other.sample(1, label="Benign")


def test_a_class_of_one_row_is_minted(name, flows, labels):
    minted = fit(name, flows.head(61), labels.head(61)).sample(10, label="ARP_Spoofing")
    assert minted.schema == flows.schema
    assert minted.height == 10


def test_a_single_class_needs_no_name(name, flows):
    assert fit(name, flows, ["only"] * 68).sample(3).height == 3


def test_two_rows_are_enough(name):
    table = pl.DataFrame({"x": [1.5, 2.5], "c": ["a", "b"]})
    assert fit(name, table, ["one", "other"]).sample(4, label="one").schema == table.schema


def test_constant_columns_alone_are_minted_as_they_are(name):
    table = pl.DataFrame({"x": [1.5] * 6, "c": ["a"] * 6})
    minted = fit(name, table, [0, 0, 0, 1, 1, 1]).sample(4, label=1)
    assert_frame_equal(minted, table.head(4))


@pytest.mark.parametrize("values", [[0, 1], [False, True], ["é ✓", "\n"]], ids=str)
def test_classes_may_be_numbers_booleans_or_any_text(name, flows, values, tmp_path):
    y = [values[0]] * 40 + [values[1]] * 28
    model = fit(name, flows, y)
    assert model.sample(2, label=values[1]).height == 2
    model.save(tmp_path / "model")
    assert load_generator(tmp_path / "model").sample(2, label=str(values[1])).height == 2


def test_rows_with_missing_values_can_be_left_out_of_learning(name, flows, labels):
    minted = fit(name, flows.drop("nan"), labels, missing="drop").sample(100, label="Benign")
    assert minted["rate"].is_finite().all()
    assert minted["std"].null_count() == 0


def test_missing_values_can_be_refused(name, flows, labels):
    with pytest.raises(TableError, match="'rate'"):
        fit(name, flows, labels, missing="error")


def test_a_class_of_missing_values_alone_cannot_be_left_out(name):
    table = pl.DataFrame({"x": [1.0, 2.0, None, None]})
    with pytest.raises(LabelError, match="'b'"):
        fit(name, table, ["a", "a", "b", "b"], missing="drop")


@pytest.mark.parametrize(
    ("table", "y", "error"),
    [
        (pl.DataFrame({"x": [1.0, 2.0]}), ["a"], TableError),
        (pl.DataFrame({"x": [1.0, 2.0]}), ["a", None], LabelError),
        (pl.DataFrame({"x": [None, None]}, schema={"x": pl.Float64}), ["a", "b"], TableError),
        (pl.DataFrame({"x": [float("nan")] * 2}), ["a", "b"], TableError),
        (pl.DataFrame({"x": [[1], [2]]}), ["a", "b"], TableError),
        (pl.DataFrame({"x": []}), [], TableError),
        (pl.DataFrame(), [], TableError),
        ([[1.0], [2.0]], ["a", "b"], TableError),
    ],
    ids=["lengths", "empty label", "nulls", "NaN", "lists", "no rows", "nothing", "no frame"],
)
def test_what_cannot_be_learnt_is_refused(name, table, y, error):
    with pytest.raises(error):
        fit(name, table, y)


@pytest.mark.parametrize("setting", [{"seed": -1}, {"seed": 1.5}, {"missing": "guess"}])
def test_a_setting_out_of_its_range_is_refused_when_fitting(name, flows, labels, setting):
    with pytest.raises(SettingError, match=next(iter(setting))):
        fit(name, flows, labels, **setting)


def test_every_row_that_is_minted_is_reported(fitted, watch):
    fitted.sample(100, label="Benign", progress=watch)
    assert watch.stages == [("sampling", 100, "rows")]
    assert sum(watch.done) == 100


def test_an_unknown_generator_gets_the_nearest_name():
    with pytest.raises(SettingError, match="did you mean 'smote'"):
        make_generator("smoote")
