"""What is learnt of a stream: where all rows are drawn it is what fitting learns, and else it stands for all rows."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from polars.testing import assert_frame_equal

from flowmint.encode.sketch import Sketch
from flowmint.errors import LabelError, ReadError, RuleError, SettingError, TableError
from flowmint.flows import stream
from flowmint.flows.stream import open_stream
from flowmint.generators import GENERATORS, load_generator, streamed
from flowmint.generators.streamed import Census, Learnt, shares
from flowmint.generators.tensors import class_weights
from flowmint.progress import SILENT
from flowmint.rules.ruleset import Rules

from .conftest import make

if TYPE_CHECKING:
    from pathlib import Path

    from flowmint.generators import Generator


def fit_stream(model: Generator, table: pl.DataFrame, folder: Path, **options: Any) -> Generator:
    """Fit a generator on a table that is read as a stream."""
    path = folder / "table.parquet"
    table.write_parquet(path)
    with open_stream(path, scratch=folder) as source:
        return model.fit_stream(source, label="Label", **options)


@pytest.fixture(params=list(GENERATORS))
def name(request) -> str:
    return request.param


@pytest.mark.parametrize("missing", ["learn", "drop"])
def test_a_stream_all_of_whose_rows_are_drawn_is_learnt_as_the_table_is(
    name, flows, labels, tmp_path, monkeypatch, missing
):
    monkeypatch.setattr(stream, "BATCH_ROWS", 13)
    table = flows.drop("nan") if missing == "drop" else flows
    whole = make(name, seed=3, missing=missing).fit(table, labels)
    streamed = fit_stream(make(name, seed=3, missing=missing), table.with_columns(Label=labels), tmp_path)
    assert streamed.validity_.to_json() == whole.validity_.to_json()
    for one, other in zip(streamed._state(), whole._state(), strict=True):
        assert one.keys() == other.keys()
        for key, value in one.items():
            np.testing.assert_equal(value, other[key])
    assert_frame_equal(streamed.sample(9, label="ARP_Spoofing"), whole.sample(9, label="ARP_Spoofing"))


def test_fewer_rows_give_a_generator_like_any_other(name, tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BATCH_ROWS", 50)
    table = make_skewed()
    model = fit_stream(make(name), table, tmp_path, rows=60)
    assert model.streamed_.rows == 500
    assert model.streamed_.drawn <= 60
    minted = model.sample(30, label="rare")
    assert minted.schema == table.drop("Label").schema
    model.save(tmp_path / "model")
    loaded = load_generator(tmp_path / "model")
    assert_frame_equal(loaded.sample(30, label="rare"), minted)


def make_skewed() -> pl.DataFrame:
    """490 benign rows and 10 rare ones; a column is twice another, and one value is in one row alone."""
    rng = np.random.default_rng(0)
    number = rng.integers(0, 50, 500)
    return pl.DataFrame(
        {
            "number": number,
            "twice": 2 * number,
            "rate": np.where(np.arange(500) == 123, 1e9, rng.gamma(2, 10, 500)),
            "label of": rng.choice(["tcp", "udp"], 500),
            "Label": np.where(np.arange(500) % 50 == 7, "rare", "benign"),
        }
    )


def test_values_come_from_all_rows_not_from_those_that_are_drawn(tmp_path):
    model = fit_stream(make("smote"), make_skewed(), tmp_path, rows=40)
    assert model.streamed_.drawn <= 40
    support = model.encoder_.supports[model.encoder_.schema.names.index("rate")]
    assert len(support.values) == 500
    assert support.values[-1] == 1e9


def test_rules_that_too_many_of_all_rows_break_are_left_out(tmp_path):
    table = make_skewed()
    odd = np.arange(500) % 100 == 3  # five benign rows, which a draw of few rows may all miss
    table = table.with_columns(twice=pl.col("twice") + pl.Series(odd).cast(pl.Int64))
    model = fit_stream(make("smote"), table, tmp_path, rows=40)
    assert model.streamed_.drawn <= 40
    shown = Rules.discover(table.filter(pl.Series(~odd)), label="Label")
    assert any({"twice", "number"} == set(rule.columns) for rule in shown)
    for rule in model.validity_.rules:
        assert rule.evidence.rows > 40  # counted over all rows, not over those that were drawn
        assert rule.evidence.share >= 0.999


def test_rules_that_are_named_are_judged_by_all_rows(tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text('format = 1\n[[rules]]\nname = "low"\nrule = "rate <= 30"\n', encoding="utf-8")
    table = make_skewed()
    broken = int((table["rate"] > 30).sum())
    with pytest.raises(RuleError, match=rf"^{broken} of 500 real rows .* such as row \d+; .*force_rules=True"):
        fit_stream(make("smote", rules=str(rules)), table, tmp_path, rows=40)
    forced = fit_stream(make("smote", rules=str(rules), force_rules=True), table, tmp_path, rows=40)
    assert forced.streamed_.invalid == broken
    assert forced.sample(50, label="benign")["rate"].max() <= 30


@given(counts=st.lists(st.integers(1, 10_000), min_size=1, max_size=8), rows=st.integers(1, 20_000))
@example(counts=[1, 1, 1, 3], rows=4)
@example(counts=[1, 1, 1, 1, 1, 1, 1, 1000], rows=10)
def test_rows_are_shared_so_that_rare_classes_keep_theirs(counts, rows):
    counts = np.array(counts)
    drawn = shares(counts, rows)
    assert (drawn >= 1).all()
    assert (drawn <= counts).all()
    assert drawn.sum() <= max(rows, len(counts))
    even = rows // (2 * len(counts))
    assert (drawn >= np.minimum(counts, even)).all()  # what the even half alone gives
    if counts.sum() <= rows:
        assert (drawn == counts).all()
    order = np.argsort(counts, kind="stable")
    assert (np.diff(drawn[order]) >= 0).all()


@pytest.mark.parametrize("batch", [1, 7, 100, 1000])
def test_which_rows_are_drawn_does_not_depend_on_batches(tmp_path, monkeypatch, batch):
    table = make_skewed().with_row_index("row")
    path = tmp_path / "table.parquet"
    table.write_parquet(path)

    def draw() -> pl.DataFrame:
        with open_stream(path, scratch=tmp_path) as source:
            census = Census.take(source, "Label")
            return Learnt(source, "Label", missing="learn", census=census).draw(60, seed=1, progress=SILENT).table

    expected = draw()
    assert expected["row"].is_sorted()
    monkeypatch.setattr(stream, "BATCH_ROWS", batch)
    assert_frame_equal(draw(), expected)


@dataclass
class Small(Sketch):
    """A sketch that most columns are too many values for to be counted exactly."""

    most_values: int = 16


@pytest.mark.parametrize("rules", ["auto", "none", "named"])
@pytest.mark.parametrize("missing", ["learn", "drop"])
@pytest.mark.parametrize("piece", [1, 4])
def test_pieces_that_are_read_side_by_side_make_what_all_rows_make(
    tmp_path, monkeypatch, elsewhere, rules, missing, piece
):
    monkeypatch.setattr(stream, "BATCH_ROWS", 20)
    monkeypatch.setattr(stream, "PIECE_BATCHES", piece)
    monkeypatch.setattr(streamed, "Sketch", Small)
    if rules == "named":
        rules = str(tmp_path / "rules.toml")
        text = 'format = 1\n[[rules]]\nname = "low"\nrule = "number <= 60"\n'
        (tmp_path / "rules.toml").write_text(text, encoding="utf-8")
    table = make_skewed().with_columns(rate=pl.when(pl.int_range(pl.len()) % 25 != 0).then("rate"))
    void = pl.int_range(pl.len()).is_between(40, 59)  # a whole batch without a value
    table = table.with_columns(rate=pl.when(~void).then("rate"))
    table.write_parquet(tmp_path / "table.parquet", row_group_size=33)
    found = []
    for runner in (None, elsewhere):
        with open_stream(tmp_path / "table.parquet", scratch=tmp_path, runner=runner) as source:
            found.append(make("smote", rules=rules, missing=missing).read_stream(source, label="Label", rows=40))
    here, there = found
    assert_frame_equal(there.drawn.table, here.drawn.table)
    np.testing.assert_array_equal(there.drawn.codes, here.drawn.codes)
    assert there.drawn.finite == here.drawn.finite
    assert there.validity.to_json() == here.validity.to_json()
    assert there.streamed.invalid == here.streamed.invalid
    np.testing.assert_array_equal(there.streamed.counts, here.streamed.counts)
    for one, other in zip(there.streamed.encoder.supports, here.streamed.encoder.supports, strict=True):
        np.testing.assert_array_equal(one.values, other.values)
        np.testing.assert_array_equal(one.edges, other.edges)


def test_rows_that_come_or_go_between_passes_are_told(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BATCH_ROWS", 50)
    make_skewed().write_parquet(tmp_path / "table.parquet")
    with open_stream(tmp_path / "table.parquet", scratch=tmp_path) as source:
        census = Census.take(source, "Label")
        fewer = replace(census, pieces=census.pieces - 1)
        with pytest.raises(ReadError, match="498 rows became 500 while they were read"):
            Learnt(source, "Label", missing="learn", census=fewer).draw(60, seed=0, progress=SILENT)


def test_each_row_of_a_class_is_as_likely_as_any_other(tmp_path):
    path = tmp_path / "table.parquet"
    labels = ["a"] * 40 + ["b"] * 3
    pl.DataFrame({"row": range(43), "Label": labels}).write_parquet(path)
    drawn = np.zeros(43)
    with open_stream(path, scratch=tmp_path) as source:
        learnt = Learnt(source, "Label", missing="learn", census=Census.take(source, "Label"))
        for seed in range(400):
            rows = learnt.draw(23, seed=seed, progress=SILENT).table["row"].to_numpy()
            assert len(np.unique(rows)) == len(rows)
            drawn[rows] += 1
    assert (drawn[40:] == 400).all()
    share = drawn[:40].sum() / 40 / 400
    assert np.abs(drawn[:40] / 400 - share).max() < 5 * np.sqrt(share * (1 - share) / 400)


def test_rows_weigh_as_much_as_those_that_they_stand_for():
    codes = np.array([0, 0, 0, 1])
    weights = class_weights(codes, 1.0, counts=np.array([30, 5]))
    assert weights[codes == 0].sum() / weights[codes == 1].sum() == pytest.approx(6)
    weights = class_weights(codes, 0.5, counts=np.array([400, 4]))
    assert weights[codes == 0].sum() / weights[codes == 1].sum() == pytest.approx(10)
    np.testing.assert_array_equal(class_weights(codes, 0.5, counts=np.array([3, 1])), class_weights(codes, 0.5))


def test_missing_values_are_refused_with_their_number_in_all_rows(tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "BATCH_ROWS", 40)
    table = make_skewed().with_columns(rate=pl.when(pl.int_range(pl.len()) % 25 == 0).then(None).otherwise("rate"))
    with pytest.raises(TableError, match="'rate' has 20 missing or infinite values"):
        fit_stream(make("smote", missing="error"), table, tmp_path, rows=40)


def test_rows_that_are_dropped_are_not_drawn(tmp_path):
    table = make_skewed().with_columns(rate=pl.when(pl.int_range(pl.len()) % 25 == 0).then(None).otherwise("rate"))
    model = fit_stream(make("smote", missing="drop"), table, tmp_path, rows=40)
    assert model.streamed_.counts.sum() == 480
    assert not model.encoder_.supports[model.encoder_.schema.names.index("rate")].has_empty


class TestBadInput:
    """Tables that cannot be learnt from are refused as ever."""

    def test_an_unknown_label(self, tmp_path):
        with pytest.raises(LabelError, match="did you mean 'Labl'"):
            fit_stream(make("smote"), make_skewed().rename({"Label": "label"}).rename({"label": "Labl"}), tmp_path)

    def test_empty_labels(self, tmp_path):
        table = make_skewed().with_columns(Label=pl.when(pl.int_range(pl.len()) > 3).then("Label"))
        with pytest.raises(LabelError, match="'Label' is empty in 4 of 500 rows"):
            fit_stream(make("smote"), table, tmp_path)

    def test_too_few_classes(self, tmp_path):
        table = make_skewed().with_columns(Label=pl.lit("a"))
        with pytest.raises(LabelError, match="at least 2 are needed"):
            fit_stream(make("smote"), table, tmp_path, at_least=2)

    def test_a_column_without_a_value(self, tmp_path):
        table = make_skewed().with_columns(void=pl.lit(None, dtype=pl.Float64))
        with pytest.raises(TableError, match=r"'void' holds no value in any of its 500 rows"):
            fit_stream(make("smote"), table, tmp_path)

    def test_no_number_of_rows(self, tmp_path):
        with pytest.raises(SettingError, match="rows is 0"):
            fit_stream(make("smote"), make_skewed(), tmp_path, rows=0)
