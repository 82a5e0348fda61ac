"""Peers get every help with the table and none with the learning, and one that fails does not stop the others."""

from __future__ import annotations

import importlib.util
import json
import sys
from argparse import Namespace
from pathlib import Path

import numpy as np
import pandas as pd
import polars as pl
import pytest

FOLDER = Path(__file__).parents[2] / "benchmarks" / "peers"


def load(name):
    spec = importlib.util.spec_from_file_location(name, FOLDER / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


@pytest.fixture(scope="module")
def run_peer():
    return load("run_peer")


@pytest.fixture(scope="module")
def peers():
    before = list(sys.path)
    module = load("peers")
    sys.path[:] = before
    return module


def rows(count=2000):
    rng = np.random.default_rng(0)
    table = pd.DataFrame(
        {
            "Rate": rng.gamma(2.0, 3.0, count),
            "Size": rng.integers(40, 1500, count),
            "Share": rng.integers(0, 101, count) / 100,
            "Protocol": rng.choice([6, 17], count),
            "Same": 1.5,
            "Label": rng.choice(["a", "b"], count),
        }
    )
    table.loc[:99, "Rate"] = np.inf
    return table


def test_what_a_peer_learns_has_no_state_but_numbers_and_text(run_peer):
    data = run_peer.Prepared.of(rows())
    assert np.isfinite(data.table[data.numeric]).all(axis=None)
    assert data.categorical == ("Protocol", "Rate#state", "Label")
    assert data.numeric == ["Rate", "Size", "Share"]
    assert data.constant == {"Same": 1.5}


def test_columns_of_few_values_are_spread_and_come_back(run_peer):
    data = run_peer.Prepared.of(rows())
    spread = data.spread(101, seed=0)
    assert spread.table["Share"].nunique() > 1000
    assert (abs(spread.table["Share"] - data.table["Share"]) < 0.005).all()
    assert spread.table["Rate"].equals(data.table["Rate"])  # of very many values
    assert spread.table["Size"].equals(data.table["Size"])
    pd.testing.assert_frame_equal(spread.restore(spread.table), rows())


def test_what_was_prepared_comes_back(run_peer):
    data = run_peer.Prepared.of(rows())
    pd.testing.assert_frame_equal(data.restore(data.table), rows(), check_dtype=True)


def test_minted_values_keep_decimals_and_range(run_peer):
    data = run_peer.Prepared.of(rows())
    noisy = data.table.assign(Size=data.table["Size"] + 99.6, Share=data.table["Share"] * 1.001)
    restored = data.restore(noisy)
    assert restored["Size"].max() == rows()["Size"].max()
    assert restored["Size"].dtype == np.int64
    assert set(restored["Share"]) <= set((np.arange(101) / 100).tolist())


def test_rows_with_a_rare_state_are_left_out(run_peer):
    table = rows()
    table.loc[500, "Share"] = np.nan
    data = run_peer.Prepared.of(table)
    assert len(data.table) == len(table) - 1
    assert list(data.stateful) == ["Rate"]


def test_epochs_end_with_the_budget(run_peer, monkeypatch):
    clock = iter(range(1000))
    monkeypatch.setattr(run_peer.time, "process_time", lambda: float(next(clock)))
    budget = run_peer.Budget(20.0)
    assert 0 < len(list(budget.epochs(range(100)))) == budget.run < 20


def test_a_class_that_a_peer_never_mints_ends_the_drawing(run_peer):
    table = rows()
    data = run_peer.Prepared.of(table)
    only = data.table[data.table["Label"] == "a"].head(50)
    learnt = run_peer.Learnt(lambda _: only, {}, {})
    minted, drawn = run_peer.draw_rows(learnt, data, {"a": 120, "b": 5}, 60.0)
    assert minted["Label"].value_counts().to_dict() == {"a": 120}
    assert drawn >= run_peer.MOST_DRAWN * 125


def test_a_command_that_fails_is_told_by_its_last_words(peers):
    with pytest.raises(peers.PeerError, match="exit 1: no such wheel"):
        peers.call([sys.executable, "-c", "print('first'); raise SystemExit('no such wheel')"])


def test_an_environment_is_made_once(peers, tmp_path, monkeypatch):
    called = []
    monkeypatch.setattr(peers, "call", called.append)
    monkeypatch.setattr(peers.venv, "create", lambda folder, **_: folder.mkdir())
    for _ in range(2):
        python = peers.make_environment(tmp_path / "one", (("a==1",), ("--no-deps", "b==2")))
    assert python == tmp_path / "one" / "bin" / "python"
    assert [command[-1] for command in called] == ["a==1", "b==2"]


def test_a_peer_mints_its_share_of_what_is_held_out_and_only_once(peers, tmp_path, monkeypatch):
    table = pl.from_pandas(rows(90))
    split = Namespace(train=table, test=table)
    ran = []

    def run(command):
        ran.append(command)
        wanted = json.loads(Path(command[command.index("--wanted") + 1]).read_text(encoding="utf-8"))
        out = Path(command[command.index("--out") + 1])
        table.head(sum(wanted.values())).write_parquet(out)
        out.with_suffix(".json").write_text('{"settings": {}}', encoding="utf-8")

    monkeypatch.setattr(peers, "call", run)
    monkeypatch.setattr(peers, "make_environment", lambda folder, _: folder / "python")
    args = Namespace(environments=tmp_path, seconds=7.0)
    for _ in range(2):
        minted, about = peers.mint_rows("tabddpm", 3, split, args)
    assert len(ran) == 1
    assert about == {"settings": {}}
    assert abs(minted.height - 30) <= 2
    assert minted.schema == table.schema


def test_a_peer_that_fails_is_told_and_the_others_go_on(peers, tmp_path, monkeypatch):
    beside, out = tmp_path / "fidelity.json", tmp_path / "peers"
    score = {"column_error": {"title": "Column error", "value": 0.1, "reference": 0.01}}
    spent = {"seconds": 2.0, "processor_seconds": 1.0}
    ours = [{"generator": name, "seed": 60, "fit": spent, "mint": spent, "scores": score} for name in peers.OURS]
    beside.write_text(json.dumps({"cells": ours}), encoding="utf-8")
    measured = []

    def measure(name, seed, args, *, repaired):
        assert args.seconds == 1.0
        measured.append((name, repaired))
        if name == "ctgan":
            message = "exit 1: no such wheel"
            raise peers.PeerError(message)
        told = {"versions": {}, "settings": {}, "rows_minted": 1, "rows_drawn": 1, "rows_per_second": 1.0}
        generator = f"{name} + repair" if repaired else name
        return ours[0] | told | {"generator": generator, "seed": seed}

    monkeypatch.setattr(peers, "measure_peer", measure)
    options = ["--environments", str(tmp_path), "--peers", "ctgan,tvae", "--beside", str(beside), "--out", str(out)]
    monkeypatch.setattr(sys, "argv", ["peers", "--data", str(tmp_path), *options])
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    for _ in range(2):
        peers.main()
    assert measured == [("ctgan", False), ("tvae", False), ("tvae", True), ("ctgan", False)]
    found = json.loads(out.with_suffix(".json").read_text(encoding="utf-8"))
    assert [cell["generator"] for cell in found["cells"]] == [*peers.OURS, "tvae", "tvae + repair"]
    assert found["failed"] == [{"peer": "ctgan", "seed": 60, "reason": "exit 1: no such wheel"}]
    assert "- ctgan, seed 60: exit 1: no such wheel" in out.with_suffix(".md").read_text(encoding="utf-8")
