from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from flowmint import Rules


@pytest.fixture
def rules_file(tmp_path):
    path = tmp_path / "rules.toml"
    path.write_text(
        'format = 1\n[[rules]]\nname = "whole"\nrule = "Number is an integer"\n'
        '[[rules]]\nname = "many"\nrule = "Number >= 101"\nclasses = ["ARP_Spoofing"]\n'
        '[[rules]]\nname = "udp"\nrule = \'when Number > 12 then Protocol is "udp"\'\nwhy = "so"\n'
    )
    return path


def test_help_names_the_verbs(flowmint):
    shown = flowmint("rules", "--help").stdout
    assert all(verb in shown for verb in ("discover", "check", "repair"))


def test_check_tells_shares_and_rows(flowmint, train, rules_file):
    result = flowmint("rules", "check", train, "--rules", rules_file, "--label", "Label")
    assert result.exit_code == 0, result.output
    assert "of 68 rows" in result.stdout
    assert "udp" in result.stdout
    unlabelled = flowmint("rules", "check", train, "--rules", rules_file)
    assert "1 rules were not judged, for want of a label" in unlabelled.stdout


def test_check_writes_json(flowmint, train, rules_file, flows):
    told = json.loads(flowmint("rules", "check", train, "--rules", rules_file, "--json", "--quiet").stdout)
    assert told["rows"] == flows.height
    assert [each["name"] for each in told["rules"]] == ["whole", "many", "udp"]


def test_repair_writes_valid_rows(flowmint, train, rules_file, tmp_path, flows):
    out = tmp_path / "valid.parquet"
    result = flowmint("rules", "repair", train, "--rules", rules_file, "--label", "Label", "--out", out)
    assert result.exit_code == 0, result.output
    assert "after: 68" in result.stdout
    repaired = pl.read_parquet(out)
    assert repaired.schema == flows.schema
    assert Rules.read(rules_file).check(repaired, label="Label").share == 1


def test_repair_writes_json(flowmint, train, rules_file, tmp_path):
    result = flowmint("rules", "repair", train, "--rules", rules_file, "--out", tmp_path / "v.csv", "--json", "--quiet")
    assert json.loads(result.stdout)["valid_after"] == 68


def test_the_extractor_is_recognised(flowmint, tmp_path):
    header = Rules.profile("ciciot2023").columns
    table = pl.DataFrame(np.zeros((2, 39)), schema=list(header))
    table.write_csv(tmp_path / "zeros.csv")
    result = flowmint("rules", "check", tmp_path / "zeros.csv")
    assert "0 of 2 rows (0.000%) satisfy the 102 rules of ciciot2023" in result.stdout
    assert flowmint("rules", "repair", tmp_path / "zeros.csv", "--out", tmp_path / "v.csv").exit_code == 0
    assert "2 of 2 rows" in flowmint("rules", "check", tmp_path / "v.csv", "--rules", "ciciot2023").stdout


def test_discovered_rules_check_the_rows_they_come_from(flowmint, tmp_path):
    rng = np.random.default_rng(0)
    number, count = rng.choice([10, 100], 400), rng.integers(0, 10, 400)
    pl.DataFrame({"n": number, "k": count, "share": count / number}).write_parquet(tmp_path / "t.parquet")
    result = flowmint("rules", "discover", tmp_path / "t.parquet", "--out", tmp_path / "found.toml")
    assert result.exit_code == 0, result.output
    assert "rules" in result.stdout
    checked = flowmint("rules", "check", tmp_path / "t.parquet", "--rules", tmp_path / "found.toml")
    assert "400 of 400 rows" in checked.stdout


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (("check",), "the header is of no known extractor"),
        (("check", "--rules", "ciciot2024"), "did you mean 'ciciot2023'"),
        (("check", "--rules", "ciciot2023"), "which the table lacks"),
        (("check", "--rules", "absent.toml"), "absent.toml cannot be read"),
        (("repair", "--out", "v.txt"), "names no format"),
        (("discover", "--out", "rules.json"), "end it in .toml"),
    ],
)
def test_mistakes_are_told_in_one_line(flowmint, train, tmp_path, monkeypatch, arguments, complaint):
    monkeypatch.chdir(tmp_path)
    result = flowmint("rules", arguments[0], train, *arguments[1:])
    assert result.exit_code == 1
    assert complaint in result.stderr
    assert result.stderr.count("\n") == 1
    assert {path.name for path in tmp_path.iterdir()} == {"train.parquet"}


def test_a_table_is_not_overwritten(flowmint, train, rules_file):
    result = flowmint("rules", "repair", train, "--rules", rules_file, "--out", train)
    assert result.exit_code == 1
    assert "the table that is read" in result.stderr


def test_a_long_delimiter_is_a_usage_error(flowmint, train, rules_file):
    assert flowmint("rules", "check", train, "--rules", rules_file, "--delimiter", ";;").exit_code == 2
