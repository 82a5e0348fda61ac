"""The verb balance: how much to mint may be chosen, and tried on held-out rows first."""

from __future__ import annotations

import polars as pl
import pytest
from polars.testing import assert_frame_equal

from flowmint.evaluate import auto
from flowmint.evaluate.auto import AutoTargets, Choice


@pytest.fixture
def chosen(monkeypatch):
    """Let the cross-validation choose some number of rows."""

    def choose(target):
        choices = (
            Choice(class_name="Benign", rows=60, target=60, gain=None, reason="the largest class"),
            Choice(class_name="ARP_Spoofing", rows=8, target=target, gain=None, reason="because"),
        )
        found = AutoTargets(choices=choices, gain=None, detectors=("MLP",), folds=5)
        monkeypatch.setattr(auto, "choose_targets", lambda *_, **__: found)

    return choose


def balance(flowmint, train, out, *options):
    return flowmint("balance", train, "--label", "Label", "--out", out, "--generator", "smote", *options)


def test_auto_mints_what_was_chosen_and_says_why(flowmint, train, tmp_path, chosen):
    chosen(20)
    out = tmp_path / "out.parquet"
    result = balance(flowmint, train, out, "--auto")
    assert result.exit_code == 0, result.output
    assert dict(pl.read_parquet(out)["Label"].value_counts().iter_rows()) == {"Benign": 60, "ARP_Spoofing": 20}
    assert "- ARP_Spoofing: 8 → 20 rows; because" in result.stdout


def test_auto_may_choose_nothing(flowmint, train, flows, tmp_path, chosen):
    chosen(8)
    out = tmp_path / "out.parquet"
    result = balance(flowmint, train, out, "--auto", "--report", tmp_path / "r.html")
    assert result.exit_code == 0, result.output
    assert_frame_equal(pl.read_parquet(out), flows)
    assert "Nothing is minted" in result.stdout
    assert not (tmp_path / "r.html").exists()


def test_auto_really_chooses(flowmint, train, tmp_path):
    out = tmp_path / "out.parquet"
    result = balance(flowmint, train, out, "--auto")
    assert result.exit_code == 0, result.output
    assert "8 rows are too few to try it on" in " ".join(result.stdout.split())


def test_a_report_tells_whether_it_helps(flowmint, train, tmp_path):
    out, report = tmp_path / "out.parquet", tmp_path / "r.md"
    result = balance(flowmint, train, out, "--report", report)
    assert result.exit_code == 0, result.output
    assert out.exists()
    assert "ARP\\_Spoofing" in report.read_text()
    assert "ARP_Spoofing from all other classes" in result.stdout


def test_a_report_that_exists_is_kept_unless_forced(flowmint, train, tmp_path):
    report = tmp_path / "r.md"
    report.write_text("old")
    result = balance(flowmint, train, tmp_path / "out.parquet", "--report", report)
    assert result.exit_code == 1
    assert "exists and is kept" in result.stderr
    assert list(tmp_path.glob("out*")) == []


@pytest.mark.parametrize("options", [("--auto", "--target", "70"), ("--auto",), ("--report", "r.html")])
def test_what_does_not_go_together_is_refused(flowmint, train, model, tmp_path, options):
    source = () if "--target" in options else ("--model", model)
    result = flowmint("balance", train, "--label", "Label", "--out", tmp_path / "o.csv", *source, *options)
    assert result.exit_code == 2
