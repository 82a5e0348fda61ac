from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import polars as pl
import pytest
from polars.testing import assert_frame_equal

import flowmint as package
from flowmint.generators import load_generator

if TYPE_CHECKING:
    from pathlib import Path

VERBS = ("inspect", "fit", "sample", "balance", "evaluate", "compare", "demo", "rules")


@pytest.mark.parametrize("verb", ["", *VERBS])
def test_help_loads_neither_torch_nor_polars(verb):
    code = (
        "import sys\n"
        "from flowmint.cli.main import app\n"
        "try:\n"
        "    app(sys.argv[1:])\n"
        "except SystemExit as end:\n"
        "    assert end.code == 0\n"
        "print(sorted({'torch', 'polars', 'sklearn', 'pyarrow', 'numpy', 'rich'} & set(sys.modules)))\n"
    )
    arguments = [verb, "--help"] if verb else ["--help"]
    done = subprocess.run([sys.executable, "-c", code, *arguments], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"


def test_help_names_every_verb(flowmint):
    result = flowmint("--help")
    assert result.exit_code == 0
    assert all(f"\n  {verb}" in result.stdout for verb in VERBS)


def test_version_is_the_package_version(flowmint):
    assert flowmint("--version").stdout == f"flowmint {package.__version__}\n"


def test_balance_keeps_the_real_rows_first_and_unchanged(flowmint, train, flows, tmp_path):
    out = tmp_path / "balanced.parquet"
    result = flowmint("balance", train, "--label", "Label", "--out", out, "--generator", "smote")
    assert result.exit_code == 0, result.output
    balanced = pl.read_parquet(out)
    assert_frame_equal(balanced.head(flows.height), flows)
    assert dict(balanced["Label"].value_counts().iter_rows()) == {"Benign": 60, "ARP_Spoofing": 60}


def test_a_fit_takes_the_settings_of_its_generator(flowmint, train, tmp_path):
    brief = ("--set", "steps=2", "--set", "autoencoder_steps=3", "--set", "width=16")
    result = flowmint("fit", train, "--label", "Label", "--out", tmp_path / "model", *brief)
    assert result.exit_code == 0, result.output
    model = load_generator(tmp_path / "model")
    assert (model.steps, model.autoencoder_steps, model.width) == (2, 3, 16)


@pytest.mark.parametrize(
    ("pair", "told"),
    [
        ("widht=16", "no setting 'widht'"),
        ("width=7", "width is 7; give a whole number from 8 to 8192"),
        ("width=wide", "width is 'wide'"),
        ("effort=nan", "effort is nan"),
    ],
)
def test_settings_that_a_generator_does_not_have_are_told_in_one_line(flowmint, train, tmp_path, pair, told):
    result = flowmint("fit", train, "--label", "Label", "--out", tmp_path / "model", "--set", pair)
    assert result.exit_code == 1
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1
    assert list(tmp_path.iterdir()) == [train]


def test_balance_takes_the_settings_of_its_generator(flowmint, train, tmp_path):
    out = tmp_path / "out.csv"
    result = flowmint(
        "balance", train, "--label", "Label", "--out", out, "--generator", "smote", "--set", "neighbours=2000"
    )
    assert result.exit_code == 1
    assert "neighbours is 2000; give a whole number from 1 to 1000" in result.stderr
    model = ("--model", tmp_path, "--set", "neighbours=2")
    assert flowmint("balance", train, "--label", "Label", "--out", out, *model).exit_code == 2


def test_balance_tells_counts_and_place(flowmint, train, tmp_path):
    out = tmp_path / "balanced.parquet"
    result = flowmint("balance", train, "--label", "Label", "--out", out, "--generator", "random_oversampling")
    words = [line.split() for line in result.stdout.splitlines()]
    assert ["ARP_Spoofing", "8", "60"] in words
    assert ["Benign", "60", "60"] in words
    assert str(out) in result.stdout
    assert result.stderr == ""


def test_quiet_says_nothing(flowmint, train, tmp_path):
    out = tmp_path / "balanced.parquet"
    result = flowmint("balance", train, "--label", "Label", "--out", out, "--generator", "smote", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


def test_origin_tells_real_from_minted(flowmint, train, flows, tmp_path):
    out = tmp_path / "balanced.csv"
    flowmint("balance", train, "--label", "Label", "--out", out, "--generator", "smote", "--origin", "origin")
    origins = pl.read_csv(out)["origin"].to_list()
    assert origins == ["real"] * flows.height + ["minted"] * 52


@pytest.mark.parametrize(
    ("targets", "counts"),
    [
        (["70"], {"Benign": 70, "ARP_Spoofing": 70}),
        (["ARP_Spoofing=9"], {"Benign": 60, "ARP_Spoofing": 9}),
        (["ARP_Spoofing=9", "Benign=61"], {"Benign": 61, "ARP_Spoofing": 9}),
    ],
)
def test_targets_are_reached(flowmint, train, tmp_path, targets, counts):
    out = tmp_path / "balanced.parquet"
    options = [word for target in targets for word in ("--target", target)]
    result = flowmint("balance", train, "--label", "Label", "--out", out, "--generator", "smote", *options)
    assert result.exit_code == 0, result.output
    assert dict(pl.read_parquet(out)["Label"].value_counts().iter_rows()) == counts


def test_balance_takes_a_fitted_model(flowmint, train, model, tmp_path):
    direct, loaded = tmp_path / "direct.parquet", tmp_path / "loaded.parquet"
    common = ("balance", train, "--label", "Label", "--seed", 0)
    assert flowmint(*common, "--out", direct, "--generator", "smote").exit_code == 0
    assert flowmint(*common, "--out", loaded, "--model", model).exit_code == 0
    assert_frame_equal(pl.read_parquet(direct), pl.read_parquet(loaded))


def test_the_same_seed_gives_the_same_file(flowmint, train, tmp_path):
    outs = [tmp_path / name for name in ("one.csv", "two.csv", "other.csv")]
    for out, seed in zip(outs, (3, 3, 4), strict=True):
        flowmint("balance", train, "--label", "Label", "--out", out, "--generator", "smote", "--seed", seed)
    one, two, other = (out.read_bytes() for out in outs)
    assert one == two
    assert one != other


def test_fit_saves_what_load_reads(flowmint, model):
    generator = load_generator(model)
    assert generator.classes_.names == ("ARP_Spoofing", "Benign")


def test_fit_refuses_to_replace_a_model_unless_forced(flowmint, train, model):
    again = ("fit", train, "--label", "Label", "--out", model, "--generator", "smote", "--seed", 7)
    before = (model / "model.json").read_bytes()
    refused = flowmint(*again)
    assert refused.exit_code == 1
    assert (model / "model.json").read_bytes() == before
    assert flowmint(*again, "--force").exit_code == 0
    assert load_generator(model).seed == 7


def test_sample_gives_columns_and_dtypes_as_fitted(flowmint, model, flows, tmp_path):
    out = tmp_path / "minted.parquet"
    result = flowmint("sample", model, "--rows", 5, "--class", "ARP_Spoofing", "--out", out, "--seed", 1)
    assert result.exit_code == 0, result.output
    minted = pl.read_parquet(out)
    assert minted.schema == flows.drop("Label").schema
    assert minted.height == 5


def test_sample_writes_the_class_where_asked(flowmint, model, tmp_path):
    out = tmp_path / "minted.parquet"
    flowmint("sample", model, "--rows", 2, "--class", "ARP_Spoofing", "--out", out, "--label", "Label")
    assert pl.read_parquet(out)["Label"].to_list() == ["ARP_Spoofing"] * 2


def test_sample_writes_parts_into_a_folder_and_finishes_one(flowmint, model, tmp_path):
    asked = ("sample", model, "--rows", 5, "--class", "ARP_Spoofing", "--out", tmp_path / "minted")
    result = flowmint(*asked)
    assert result.exit_code == 0, result.output
    assert pl.read_parquet(tmp_path / "minted" / "*.parquet").height == 5
    assert flowmint(*asked).exit_code == 0
    refused = flowmint(*asked, "--seed", 8)
    assert refused.exit_code == 1
    assert "another seed" in refused.stderr


def test_sample_gives_the_same_rows_however_many_processes_mint(flowmint, model, tmp_path):
    asked = ("sample", model, "--rows", 5, "--class", "ARP_Spoofing", "--out")
    files = [tmp_path / f"{workers}.parquet" for workers in (1, 2)]
    for workers, file in zip((1, 2), files, strict=True):
        result = flowmint(*asked, file, "--workers", workers)
        assert result.exit_code == 0, result.output
    assert files[0].read_bytes() == files[1].read_bytes()


def test_inspect_shows_classes_and_columns(flowmint, train):
    result = flowmint("inspect", train, "--label", "Label")
    assert result.exit_code == 0, result.output
    assert all(name in result.stdout for name in ("ARP_Spoofing", "Benign", "Rate", "Protocol", "68"))


def test_inspect_fits_a_narrow_terminal(flowmint, train, monkeypatch):
    monkeypatch.setenv("COLUMNS", "60")
    result = flowmint("inspect", train, "--label", "Label")
    assert max(map(len, result.stdout.splitlines())) <= 60


def test_inspect_as_json_is_json(flowmint, train):
    found = json.loads(flowmint("inspect", train, "--label", "Label", "--json").stdout)
    assert found["rows"] == 68
    assert found["classes"] == {"Benign": 60, "ARP_Spoofing": 8}


def test_drop_and_categorical_reach_the_reader(flowmint, train, tmp_path):
    out = tmp_path / "balanced.parquet"
    options = ("--drop", "Std", "--categorical", "Number")
    result = flowmint("balance", train, "--label", "Label", "--out", out, "--generator", "smotenc", *options)
    assert result.exit_code == 0, result.output
    balanced = pl.read_parquet(out)
    assert "Std" not in balanced.columns
    assert not balanced.schema["Number"].is_integer()


def test_classes_come_from_file_names(flowmint, flows, tmp_path):
    captures, out = tmp_path / "captures", tmp_path / "balanced.parquet"
    captures.mkdir()
    rows = flows.drop("Label")
    rows.head(30).write_csv(captures / "BenignTraffic1.pcap.csv")
    rows[30:50].write_csv(captures / "BenignTraffic2.pcap.csv")
    rows.tail(8).write_csv(captures / "Mirai-greip_flood21.pcap.csv")
    result = flowmint("balance", captures, "--label-from-name", "--out", out, "--generator", "smote")
    assert result.exit_code == 0, result.output
    counts = dict(pl.read_parquet(out)["Label"].value_counts().iter_rows())
    assert counts == {"BenignTraffic": 50, "Mirai-greip_flood": 50}


def test_unicode_names_pass_through(flowmint, flows, tmp_path):
    train, out = tmp_path / "ausgewählte Zeilen.csv", tmp_path / "выход.csv"
    names = pl.col("Label").replace({"Benign": "gutartig ✓", "ARP_Spoofing": "攻击[red]=1"})
    flows.with_columns(names).rename({"Label": "Klasse é"}).write_csv(train)
    result = flowmint(
        "balance", train, "--label", "Klasse é", "--out", out, "--generator", "smote", "--target", "攻击[red]=1=20"
    )
    assert result.exit_code == 0, result.output
    assert "攻击[red]=1" in result.stdout
    assert dict(pl.read_csv(out)["Klasse é"].value_counts().iter_rows()) == {"gutartig ✓": 60, "攻击[red]=1": 20}


def test_a_terminal_without_unicode_shows_escapes(train: Path, flows, tmp_path):
    path = tmp_path / "chinese.parquet"
    flows.with_columns(pl.col("Label").replace("ARP_Spoofing", "攻击")).write_parquet(path)
    command = [sys.executable, "-c", "from flowmint.cli import main; main()", "balance", path, "--label", "Label"]
    done = subprocess.run(
        [*command, "--out", tmp_path / "out.csv", "--generator", "smote"],
        capture_output=True,
        text=True,
        check=True,
        env={**os.environ, "PYTHONIOENCODING": "ascii"},
    )
    assert "\\u653b\\u51fb" in done.stdout
