"""Balancing keeps real rows first and unchanged, and brings classes to their targets."""

from __future__ import annotations

import numpy as np
import pandas as pd
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st
from imblearn.pipeline import Pipeline
from polars.testing import assert_frame_equal
from sklearn.base import clone
from sklearn.linear_model import LogisticRegression

from flowmint.balance import Balancer, balance_table, free_name, rows_to_mint
from flowmint.errors import LabelError, SettingError, TableError
from flowmint.generators import GENERATORS, Oversampler

TABLE = pl.DataFrame(
    {
        "rate": np.random.default_rng(0).gamma(2, 5, 40),
        "size": pl.Series(range(40), dtype=pl.Int16),
        "Label": (["a", "b", "a", "c"] * 10)[:40],
        "flag": [i % 3 == 0 for i in range(40)],
    }
)


def counts(table: pl.DataFrame, label: str = "Label") -> dict[object, int]:
    return dict(table[label].value_counts().iter_rows())


def test_every_class_is_brought_to_the_largest_by_default():
    assert counts(balance_table(TABLE, label="Label", generator="smote")) == {"a": 20, "b": 20, "c": 20}


@pytest.mark.parametrize(
    ("target", "expected"),
    [
        (25, {"a": 25, "b": 25, "c": 25}),
        ({"b": 12}, {"a": 20, "b": 12, "c": 10}),
        ({"a": 20, "c": 11}, {"a": 20, "b": 10, "c": 11}),
        ({}, {"a": 20, "b": 10, "c": 10}),
        (np.int64(21), {"a": 21, "b": 21, "c": 21}),
    ],
    ids=str,
)
def test_targets_are_met(target, expected):
    assert counts(balance_table(TABLE, label="Label", generator="smote", target=target)) == expected


def test_real_rows_come_first_unchanged_and_columns_keep_their_places():
    balanced = balance_table(TABLE, label="Label", generator="smote", origin="origin")
    assert_frame_equal(balanced.head(40).drop("origin"), TABLE)
    assert balanced.columns == [*TABLE.columns, "origin"]
    assert balanced["origin"].to_list() == ["real"] * 40 + ["minted"] * 20


@pytest.mark.parametrize("name", [*GENERATORS, "none"])
def test_any_generator_may_be_named(name, monkeypatch):
    import functools

    from flowmint.generators import GAN, VAE, DataDiffusion, LatentDiffusion

    brief = {"steps": 2, "evaluations": 2}
    monkeypatch.setitem(
        GENERATORS, "latent_diffusion", functools.partial(LatentDiffusion, autoencoder_steps=2, **brief)
    )
    for other in ("data_diffusion", "data_diffusion_ddpm"):
        monkeypatch.setitem(GENERATORS, other, functools.partial(DataDiffusion, **brief))
    for other, kind in (("vae", VAE), ("gan", GAN)):
        monkeypatch.setitem(GENERATORS, other, functools.partial(kind, steps=2))
    balanced = balance_table(TABLE, label="Label", generator=name)
    assert balanced.height == (40 if name == "none" else 60)


def test_a_fitted_generator_is_used_as_it_is():
    model = Oversampler(method="random").fit(TABLE.drop("Label").head(4), TABLE["Label"].head(4))
    balanced = balance_table(TABLE, label="Label", generator=model)
    assert set(balanced["size"].tail(20)) <= {1, 3}


def test_an_unfitted_generator_is_left_unfitted():
    generator = Oversampler()
    balance_table(TABLE, label="Label", generator=generator)
    assert not hasattr(generator, "schema_")


def test_a_model_of_other_columns_is_refused():
    model = Oversampler().fit(TABLE.drop("Label", "rate"), TABLE["Label"])
    with pytest.raises(TableError, match="'rate'"):
        balance_table(TABLE, label="Label", generator=model)


def test_a_class_that_the_model_never_saw_is_refused():
    rows = TABLE.filter(pl.col("Label") != "c")
    model = Oversampler().fit(rows.drop("Label"), rows["Label"])
    with pytest.raises(LabelError, match="'c'"):
        balance_table(TABLE, label="Label", generator=model)


@pytest.mark.parametrize("target", [19, {"a": 19}, {"b": -1}])
def test_a_target_below_the_present_count_is_refused(target):
    with pytest.raises(SettingError, match="real rows are never removed"):
        balance_table(TABLE, label="Label", generator="smote", target=target)


@pytest.mark.parametrize("target", [20.5, {"a": "many"}, True])
def test_a_target_that_is_no_whole_number_is_refused(target):
    with pytest.raises(SettingError, match="whole number"):
        balance_table(TABLE, label="Label", generator="smote", target=target)


def test_a_target_for_an_unknown_class_is_refused():
    with pytest.raises(LabelError, match="'d'"):
        balance_table(TABLE, label="Label", generator="smote", target={"d": 5})


def test_an_origin_column_that_exists_is_refused():
    with pytest.raises(SettingError, match="'rate'"):
        balance_table(TABLE, label="Label", generator="smote", origin="rate")


@pytest.mark.parametrize("generator", ["smote", "none"])
def test_a_single_class_is_refused(generator):
    with pytest.raises(LabelError, match="1 class"):
        balance_table(TABLE.filter(pl.col("Label") == "a"), label="Label", generator=generator)


@given(st.dictionaries(st.text(min_size=1), st.integers(1, 1000), min_size=1), st.integers(0, 500))
def test_what_is_minted_fills_up_to_the_target(present, more):
    goal = max(present.values()) + more
    minted = rows_to_mint(present, goal)
    assert {name: present[name] + minted[name] for name in present} == dict.fromkeys(present, goal)


LABELS = {
    "list": ["a", "b", "a", "c"] * 10,
    "array": np.array(["a", "b", "a", "c"] * 10),
    "numbers": np.array([0, 1, 0, 2] * 10),
    "booleans": np.array([False, True, False, False] * 10),
    "pandas": pd.Series(["a", "b", "a", "c"] * 10, name="y"),
    "pandas category": pd.Series(["a", "b", "a", "c"] * 10, dtype="category", name="y"),
    "polars": pl.Series("y", ["a", "b", "a", "c"] * 10),
    "arrow": pa.array(["a", "b", "a", "c"] * 10),
}
FRAMES = {
    "polars": TABLE.drop("Label"),
    "pandas": TABLE.drop("Label").to_pandas(),
    "arrow": TABLE.drop("Label").to_arrow(),
    "array": TABLE.select("rate", "size").to_numpy(),
}


@pytest.mark.parametrize("y", LABELS.values(), ids=LABELS.keys())
@pytest.mark.parametrize("X", FRAMES.values(), ids=FRAMES.keys())
def test_the_balancer_gives_back_the_kinds_that_it_was_given(X, y):
    X_balanced, y_balanced = Balancer(Oversampler()).fit_resample(X, y)
    assert type(X_balanced) is type(X)
    if not isinstance(y, pa.Array):
        assert type(y_balanced) is type(y)
    assert len(X_balanced) == len(y_balanced)
    values, sizes = np.unique([str(value) for value in y_balanced], return_counts=True)
    assert len(set(sizes)) == 1
    assert len(values) == len({str(value) for value in y})
    if isinstance(X, pd.DataFrame):
        assert (X_balanced.dtypes == X.dtypes).all()
        pd.testing.assert_frame_equal(X_balanced.head(40), X)


def test_the_balancer_works_in_a_pipeline():
    X, y = TABLE.select("rate", "size").to_pandas(), TABLE["Label"].to_pandas()
    pipeline = Pipeline([("balance", Balancer(Oversampler())), ("detector", LogisticRegression(max_iter=1000))])
    assert set(clone(pipeline).fit(X, y).predict(X)) <= {"a", "b", "c"}


def test_the_balancers_target_and_generator_are_parameters():
    balancer = Balancer(Oversampler(seed=4), target={"b": 15})
    assert clone(balancer).get_params()["target"] == {"b": 15}
    assert clone(balancer).get_params()["generator__seed"] == 4
    _, y = balancer.fit_resample(TABLE.drop("Label"), TABLE["Label"])
    assert (y == "b").sum() == 15


def test_lengths_must_agree():
    with pytest.raises(TableError, match="40 rows but 39 labels"):
        Balancer(Oversampler()).fit_resample(TABLE.drop("Label"), TABLE["Label"].head(39))


def test_a_free_name_is_not_taken():
    assert free_name(["label", "x", "label_"]) == "label__"
