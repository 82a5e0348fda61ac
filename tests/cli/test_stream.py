"""Streamed tables on the command line: the same results, and nothing left where something goes wrong."""

from __future__ import annotations

import errno
import os
import signal
import subprocess
import sys

import polars as pl
import pyarrow.parquet as pq
import pytest
from polars.testing import assert_frame_equal

from flowmint.flows import stream


@pytest.fixture
def csv(flows, tmp_path):
    """The same rows as a CSV."""
    path = tmp_path / "train.csv"
    flows.write_csv(path)
    return path


def run(flowmint, verb, source, out, *options):
    return flowmint(verb, source, "--label", "Label", "--out", out, "--generator", "smote", *options)


@pytest.mark.parametrize("extension", ["parquet", "csv", "csv.gz"])
@pytest.mark.parametrize("origin", [(), ("--origin", "made")])
def test_a_streamed_table_is_balanced_as_one_in_memory(flowmint, train, csv, tmp_path, monkeypatch, extension, origin):
    monkeypatch.setattr(stream, "BATCH_ROWS", 11)
    for source in (train, csv):
        outs = [tmp_path / f"{way}.{extension}" for way in ("memory", "streamed")]
        for out, option in zip(outs, ("--no-stream", "--stream"), strict=True):
            result = run(flowmint, "balance", source, out, option, *origin)
            assert result.exit_code == 0, result.output
            assert "0 of 52 minted rows break any of them" in result.stdout
        read = pl.read_parquet if extension == "parquet" else pl.read_csv
        assert_frame_equal(read(outs[1]), read(outs[0]))
    assert {path.name for path in tmp_path.iterdir()} == {train.name, csv.name, *(out.name for out in outs)}


def test_a_fitted_model_mints_for_a_streamed_table(flowmint, train, model, flows, tmp_path):
    out = tmp_path / "out.parquet"
    options = ("--label", "Label", "--out", out, "--model", model, "--target", "ARP_Spoofing=20", "--stream")
    result = flowmint("balance", train, *options)
    assert result.exit_code == 0, result.output
    balanced = pl.read_parquet(out)
    assert_frame_equal(balanced[:68], flows)
    assert balanced[68:]["Label"].to_list() == ["ARP_Spoofing"] * 12


def test_nothing_to_mint_writes_the_real_rows(flowmint, train, flows, tmp_path):
    out = tmp_path / "out.parquet"
    result = run(flowmint, "balance", train, out, "--stream", "--target", "ARP_Spoofing=8")
    assert result.exit_code == 0, result.output
    assert_frame_equal(pl.read_parquet(out), flows)


def test_a_streamed_fit_saves_the_model_that_a_table_in_memory_gives(flowmint, csv, tmp_path):
    for option in ("--no-stream", "--stream"):
        result = run(flowmint, "fit", csv, tmp_path / option[2:], option)
        assert result.exit_code == 0, result.output
        assert "learnt 68 rows of 2 classes" in result.stdout
    for file in (tmp_path / "stream").iterdir():
        assert file.read_bytes() == (tmp_path / "no-stream" / file.name).read_bytes()


def test_a_fit_tells_how_many_rows_were_drawn(flowmint, train, tmp_path):
    result = run(flowmint, "fit", train, tmp_path / "m", "--stream", "--learn-rows", 30)
    assert result.exit_code == 0, result.output
    assert "30 of them were drawn" in result.stdout


def test_large_tables_are_streamed_unasked(flowmint, train, tmp_path, monkeypatch):
    monkeypatch.setattr(stream, "STREAM_BYTES", 100)
    result = run(flowmint, "fit", train, tmp_path / "m", "--learn-rows", 30)
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("options", [("--learn-rows", "30"), ("--stream", "--auto"), ("--stream", "--report", "r.md")])
def test_what_does_not_go_together_is_refused(flowmint, train, tmp_path, monkeypatch, options):
    monkeypatch.chdir(tmp_path)
    result = run(flowmint, "balance", train, tmp_path / "o.csv", *options)
    assert result.exit_code == 2
    assert list(tmp_path.iterdir()) == [train]


@pytest.mark.parametrize("verb", ["fit", "balance"])
@pytest.mark.parametrize("way", ["--stream", "--no-stream"])
def test_malformed_rows_are_skipped_and_told(flowmint, csv, tmp_path, verb, way):
    lines = csv.read_text().splitlines()
    csv.write_text("\n".join([*lines[:20], "1,2,3", *lines[20:40], "4", *lines[40:]]) + "\n")
    out = tmp_path / {"fit": "m", "balance": "o.parquet"}[verb]
    result = run(flowmint, verb, csv, out, way, "--quiet")
    assert result.exit_code == 1
    assert "line 21 has 3 cells" in result.stderr
    result = run(flowmint, verb, csv, out, way, "--quiet", "--on-error", "skip")
    assert result.exit_code == 0, result.output
    assert "2 malformed rows were skipped; the first: " in result.stderr
    assert "line 21 has 3 cells" in result.stderr


def test_other_verbs_skip_malformed_rows_too(flowmint, csv):
    csv.write_text(csv.read_text() + "1,2\n")
    result = flowmint("inspect", csv, "--label", "Label", "--on-error", "skip")
    assert result.exit_code == 0, result.output
    assert "68 rows" in result.stdout
    assert "1 malformed row was skipped" in result.stderr


@pytest.mark.parametrize("verb", ["fit", "balance"])
def test_a_full_disk_leaves_nothing(flowmint, csv, tmp_path, monkeypatch, verb):
    def full(self, table):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    out = tmp_path / {"fit": "m", "balance": "o.parquet"}[verb]
    result = run(flowmint, verb, csv, out, "--stream")
    assert result.exit_code == 1
    assert "No space left on device" in result.stderr
    assert list(tmp_path.iterdir()) == [csv]


def test_a_disk_that_is_full_while_rows_are_written_leaves_the_old_file(flowmint, train, tmp_path, monkeypatch):
    out = tmp_path / "o.parquet"
    out.write_text("old")

    def full(self, table):
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    monkeypatch.setattr(pq.ParquetWriter, "write_table", full)
    result = run(flowmint, "balance", train, out, "--stream")
    assert result.exit_code == 1
    assert "o.parquet cannot be written: No space left on device" in result.stderr
    assert out.read_text() == "old"
    assert {path.name for path in tmp_path.iterdir()} == {train.name, out.name}


def test_a_streamed_run_that_is_stopped_leaves_nothing(tmp_path):
    source = tmp_path / "train.csv"
    pl.DataFrame({"x": range(3000), "Label": ["a", "b", "b"] * 1000}).write_csv(source)
    program = (
        "import flowmint.generators.streamed as s, time\n"
        "from flowmint.cli import main\n"
        "def wait(*a, **k): print('drawing', flush=True); time.sleep(60)\n"
        "s.Learnt.draw = wait\n"
        "main()"
    )
    command = [sys.executable, "-c", program, "balance", str(source), "--label", "Label", "--stream"]
    process = subprocess.Popen(
        [*command, "--out", str(tmp_path / "o.parquet")], stdout=subprocess.PIPE, stderr=subprocess.PIPE
    )
    assert process.stdout is not None
    assert process.stdout.readline() == b"drawing\n"
    assert len(list(tmp_path.iterdir())) == 2  # the scratch folder
    process.send_signal(signal.SIGINT)
    _, told = process.communicate(timeout=60)
    assert process.returncode == 130
    assert b"Traceback" not in told
    assert list(tmp_path.iterdir()) == [source]
