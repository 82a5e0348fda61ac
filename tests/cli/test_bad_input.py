"""Bad input: one clear line, exit 1, nothing written."""

from __future__ import annotations

import json
import resource
import shutil
import subprocess
import sys
from typing import TYPE_CHECKING

import polars as pl
import pytest

if TYPE_CHECKING:
    from pathlib import Path

ROWS = "1.5,10,Benign\n2.5,20,Benign\n3.5,10,Attack\n4.5,20,Attack\n"

FILES = {
    "an empty file": ("", "empty"),
    "a header without rows": ("Rate,Number,Label\n", "row"),
    "another delimiter": ("Rate;Number;Label\n" + ROWS.replace(",", ";"), "--delimiter"),
    "duplicated column names": ("Rate,Rate,Label\n" + ROWS, "Rate"),
    "text among numbers": ("Rate,Number,Label\n" + ROWS.replace("3.5", "fast"), "fast"),
    "no value in a column": ("Rate,Number,Label\n" + ROWS.replace(",10,", ",,").replace(",20,", ",,"), "Number"),
    "nothing but NaN in a column": (
        "Rate,Number,Label\n" + ROWS.replace(",10,", ",nan,").replace(",20,", ",nan,"),
        "Number",
    ),
    "a cell of a million characters": ("Rate,Number,Label\n" + ROWS + "x" * 1_000_001 + ",10,Benign\n", "character"),
    "a row of too many cells": ("Rate,Number,Label\n" + ROWS + "1,2,3,4,5\n", "cells"),
    "an empty label": ("Rate,Number,Label\n" + ROWS.replace("Attack", ""), "Label"),
    "one class": ("Rate,Number,Label\n" + ROWS.replace("Attack", "Benign"), "class"),
    "bytes that are no text": (b"Rate,Number,Label\n\xff\xfe\x00\x01,\x80,\x81\n".decode("latin-1"), ""),
}


def assert_one_line(result, *fragments: str) -> None:
    assert result.exit_code == 1, result.output
    assert result.stdout == ""
    lines = result.stderr.splitlines()
    assert len(lines) == 1, lines
    assert lines[0].startswith("flowmint: ")
    assert "Traceback" not in lines[0]
    assert len(lines[0]) < 2000
    for fragment in fragments:
        assert fragment in lines[0], lines[0]


def assert_nothing_written(folder: Path, *inputs: Path) -> None:
    assert sorted(folder.iterdir()) == sorted(inputs)


@pytest.mark.parametrize("verb", ["fit", "balance"])
@pytest.mark.parametrize(("content", "fragment"), FILES.values(), ids=FILES.keys())
def test_a_file_that_is_no_flow_table(flowmint, tmp_path, verb, content, fragment):
    table = tmp_path / "train.csv"
    table.write_bytes(content.encode("latin-1"))
    out = tmp_path / {"fit": "model", "balance": "out.parquet"}[verb]
    result = flowmint(verb, table, "--label", "Label", "--out", out, "--generator", "smote")
    assert_one_line(result, fragment)
    assert_nothing_written(tmp_path, table)


@pytest.mark.parametrize("label", ["label", "Labels", "Lable"])
@pytest.mark.parametrize("verb", ["inspect", "fit", "balance"])
def test_a_misspelt_label_gets_the_nearest_name(flowmint, train, tmp_path, verb, label):
    out = [] if verb == "inspect" else ["--out", tmp_path / {"fit": "model", "balance": "out.csv"}[verb]]
    result = flowmint(verb, train, "--label", label, *out)
    assert_one_line(result, repr(label), "did you mean 'Label'?")
    assert_nothing_written(tmp_path, train)


def test_an_absent_label_lists_the_columns(flowmint, train, tmp_path):
    result = flowmint("balance", train, "--label", "zzz", "--out", tmp_path / "out.csv")
    assert_one_line(result, "'zzz'", "'Rate'")


def test_a_class_of_one_row_is_minted(flowmint, flows, tmp_path):
    train, out = tmp_path / "train.parquet", tmp_path / "out.parquet"
    flows.head(61).write_parquet(train)
    result = flowmint("balance", train, "--label", "Label", "--out", out, "--generator", "smote")
    assert result.exit_code == 0, result.output
    assert dict(pl.read_parquet(out)["Label"].value_counts().iter_rows()) == {"Benign": 60, "ARP_Spoofing": 60}


@pytest.mark.parametrize("target", ["7", "Benign=59", "ARP_Spoofing=-1"])
def test_a_target_below_the_present_count(flowmint, train, tmp_path, target):
    out = tmp_path / "out.parquet"
    result = flowmint("balance", train, "--label", "Label", "--out", out, "--target", target, "--generator", "smote")
    assert_one_line(result, "target")
    assert_nothing_written(tmp_path, train)


def test_a_target_for_an_unknown_class_gets_the_nearest_name(flowmint, train, tmp_path):
    out = tmp_path / "out.parquet"
    result = flowmint("balance", train, "--label", "Label", "--out", out, "--target", "ARP_Spofing=90")
    assert_one_line(result, "'ARP_Spofing'", "did you mean 'ARP_Spoofing'?")


def test_an_unknown_generator_gets_the_nearest_name(flowmint, train, tmp_path):
    out = tmp_path / "out.parquet"
    result = flowmint("balance", train, "--label", "Label", "--out", out, "--generator", "latent-diffusion")
    assert_one_line(result, "'latent-diffusion'", "did you mean 'latent_diffusion'?")


def test_missing_values_can_be_refused(flowmint, train, tmp_path):
    out = tmp_path / "out.parquet"
    options = ("--generator", "smote", "--missing", "error")
    result = flowmint("balance", train, "--label", "Label", "--out", out, *options)
    assert_one_line(result, "'Rate'", "--missing")
    assert_nothing_written(tmp_path, train)


@pytest.mark.parametrize(
    ("name", "fragment"),
    [
        ("out.xlsx", ".parquet"),
        ("out", ".parquet"),
        ("absent/out.csv", "no folder"),
        ("train.parquet", "is the table that is read"),
        ("x" * 300 + ".csv", ""),
    ],
)
def test_an_output_that_cannot_be_written(flowmint, train, tmp_path, name, fragment):
    before = train.read_bytes()
    result = flowmint("balance", train, "--label", "Label", "--out", tmp_path / name)
    assert_one_line(result, fragment)
    assert train.read_bytes() == before
    assert_nothing_written(tmp_path, train)


def test_a_full_disk_leaves_no_partial_output(train, tmp_path):
    command = [sys.executable, "-c", "from flowmint.cli import main; main()", "balance", train, "--label", "Label"]
    done = subprocess.run(
        [*command, "--generator", "smote", "--target", "50000", "--out", tmp_path / "out.csv"],
        capture_output=True,
        text=True,
        check=False,
        preexec_fn=lambda: resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, 100_000)),
    )
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr.count("\n") == 1
    assert done.stderr.startswith("flowmint: ")
    assert_nothing_written(tmp_path, train)


def test_a_truncated_parquet(flowmint, train, tmp_path):
    train.write_bytes(train.read_bytes()[:-20])
    result = flowmint("balance", train, "--label", "Label", "--out", tmp_path / "out.parquet")
    assert_one_line(result, "train.parquet")
    assert_nothing_written(tmp_path, train)


@pytest.mark.parametrize("name", ["absent.csv", "notes.txt", "empty"])
def test_a_table_that_is_not_there(flowmint, tmp_path, name):
    (tmp_path / "notes.txt").write_text("Dear diary")
    (tmp_path / "empty").mkdir()
    result = flowmint("balance", tmp_path / name, "--label", "Label", "--out", tmp_path / "out.parquet")
    assert_one_line(result, name)


def test_integers_beyond_two_to_the_53_come_back_exactly_or_are_refused(flowmint, flows, tmp_path):
    train, out = tmp_path / "train.parquet", tmp_path / "out.parquet"
    large = flows.with_columns(pl.col("Number") + 2**53)
    large.write_parquet(train)
    result = flowmint("balance", train, "--label", "Label", "--out", out, "--generator", "random_oversampling")
    if result.exit_code:
        assert_one_line(result, "Number")
    else:
        assert set(pl.read_parquet(out)["Number"]) == set(large["Number"])


class TestAModelFolder:
    """Each way in which a model folder can be wrong."""

    @staticmethod
    def resave(model: Path, **changes: object) -> None:
        about = json.loads((model / "model.json").read_text())
        (model / "model.json").write_text(json.dumps({**about, **changes}))

    @pytest.fixture
    def sample(self, flowmint, model, tmp_path):
        def run() -> None:
            before = set(tmp_path.iterdir())
            out = tmp_path / "minted.parquet"
            result = flowmint("sample", model, "--rows", 5, "--class", "ARP_Spoofing", "--out", out)
            assert_one_line(result, str(model))
            assert set(tmp_path.iterdir()) == before

        return run

    def test_that_is_absent(self, sample, model):
        shutil.rmtree(model)
        sample()

    def test_that_lacks_a_file(self, sample, model):
        (model / "weights.safetensors").unlink()
        sample()

    def test_with_an_extra_file(self, sample, model):
        (model / "weights.pkl").write_bytes(b"")
        sample()

    def test_of_another_version(self, sample, model):
        self.resave(model, format_version=99)
        sample()

    def test_with_a_tampered_size(self, sample, model):
        self.resave(model, weights={"bytes": 2**60, "sha256": "0" * 64})
        sample()

    def test_with_cut_weights(self, sample, model):
        weights = model / "weights.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
        sample()

    @pytest.mark.parametrize("name", ["../smote", "/etc/passwd", "", None, 7])
    def test_with_a_path_for_a_name(self, sample, model, name):
        self.resave(model, generator=name)
        sample()

    def test_with_a_link_to_elsewhere(self, sample, model, tmp_path):
        weights = model / "weights.safetensors"
        weights.rename(tmp_path / "elsewhere")
        weights.symlink_to(tmp_path / "elsewhere")
        sample()

    @pytest.mark.parametrize("text", ["", "[]", "null", "{", "[" * 100_000])
    def test_with_damaged_json(self, sample, model, text):
        (model / "model.json").write_text(text)
        sample()

    def test_with_an_unknown_setting(self, sample, model):
        self.resave(model, settings={"sead": 0})
        sample()

    def test_asked_for_an_unknown_class(self, flowmint, model, tmp_path):
        result = flowmint("sample", model, "--rows", 5, "--class", "ARP_Spofing", "--out", tmp_path / "minted.csv")
        assert_one_line(result, "did you mean 'ARP_Spoofing'?")

    def test_asked_for_no_class_of_several(self, flowmint, model, tmp_path):
        result = flowmint("sample", model, "--rows", 5, "--out", tmp_path / "minted.csv")
        assert_one_line(result, "'ARP_Spoofing'")

    def test_that_learnt_other_columns(self, flowmint, model, flows, tmp_path):
        other = tmp_path / "other.csv"
        flows.drop("Rate").write_csv(other)
        options = ("--model", model, "--out", tmp_path / "out.csv")
        assert_one_line(flowmint("balance", other, "--label", "Label", *options), "'Rate'")

    def test_whose_place_is_taken(self, flowmint, train, tmp_path):
        place = tmp_path / "taken"
        place.write_text("mine")
        assert_one_line(flowmint("fit", train, "--label", "Label", "--out", place, "--force"), "taken")
        assert place.read_text() == "mine"


@pytest.mark.parametrize("device", ["cuda", "cuda:7", "gpu"])
def test_a_device_that_is_not_there_is_told_in_one_line(flowmint, train, model, tmp_path, device, monkeypatch):
    import torch

    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    out = tmp_path / "out.parquet"
    for arguments in (
        ("fit", train, "--label", "Label", "--out", tmp_path / "fitted", "--device", device),
        ("sample", model, "--rows", 3, "--class", "Benign", "--out", out, "--device", device),
        ("balance", train, "--label", "Label", "--out", out, "--device", device),
    ):
        result = flowmint(*arguments)
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
        assert device in result.stderr
        assert "auto" in result.stderr
    assert not out.exists()
