"""Usage errors: exit 2, and the usage line."""

from __future__ import annotations

import pytest


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--label", "Label", "--target", "many"],
        ["--label", "Label", "--target", "10", "--target", "ARP_Spoofing=9"],
        ["--label", "Label", "--target", "ARP_Spoofing=nine"],
        ["--label", "Label", "--target", "=9"],
        ["--label", "Label", "--target", "ARP_Spoofing=9", "--target", "ARP_Spoofing=10"],
        ["--label", "Label", "--missing", "guess"],
        ["--label", "Label", "--seed", "-1"],
        ["--label", "Label", "--delimiter", ";;"],
        ["--label", "Label", "--colour", "red"],
    ],
)
def test_wrong_options_are_usage_errors(flowmint, train, tmp_path, options):
    out = tmp_path / "out.parquet"
    result = flowmint("balance", train, "--out", out, "--generator", "smote", *options)
    assert result.exit_code == 2
    assert result.stderr.startswith("Usage: ")
    assert not out.exists()


def test_a_model_and_a_generator_exclude_each_other(flowmint, train, model, tmp_path):
    options = ("--model", model, "--generator", "smote")
    result = flowmint("balance", train, "--label", "Label", "--out", tmp_path / "out.parquet", *options)
    assert result.exit_code == 2
    assert "not both" in result.stderr


def test_a_sample_of_no_rows_is_a_usage_error(flowmint, model, tmp_path):
    result = flowmint("sample", model, "--rows", 0, "--out", tmp_path / "out.parquet")
    assert result.exit_code == 2


def test_a_cluster_and_workers_exclude_each_other(flowmint, model, tmp_path):
    result = flowmint("sample", model, "--rows", 5, "--out", tmp_path / "out", "--ray", "auto", "--workers", 2)
    assert result.exit_code == 2
    assert "leave --workers out" in " ".join(result.stderr.split())


def test_an_unknown_verb_is_a_usage_error(flowmint):
    assert flowmint("balnce").exit_code == 2
