"""The verb evaluate: from files to a table, a JSON file and a report."""

from __future__ import annotations

import json

import numpy as np
import polars as pl
import pytest

from flowmint.evaluate.evaluation import MEASURED
from flowmint.evaluate.scores import Evaluation


def draw(rows, seed):
    rng = np.random.default_rng(seed)
    attack = rng.random(rows) < 0.4
    return pl.DataFrame(
        {
            "Rate": np.where(rng.random(rows) < 0.05, np.inf, rng.gamma(2.0, 10.0, rows) + 30 * attack),
            "Number": np.where(attack, 100, 10) + rng.integers(0, 5, rows),
            "Protocol": rng.choice(["tcp", "udp"], rows),
            "Label": np.where(attack, "攻击[red]=<b>", "Benign"),
        }
    )


@pytest.fixture
def files(tmp_path):
    """Real, minted and training rows as files."""
    paths = {name: tmp_path / f"{name}.parquet" for name in ("real", "minted", "train")}
    for seed, path in enumerate(paths.values()):
        draw(80, seed).write_parquet(path)
    return paths


def options(files, *more):
    return "evaluate", *(word for name, path in files.items() for word in (f"--{name}", path)), *more


QUICK = ("--families", "distribution,diversity")


def test_every_score_stands_beside_that_of_real_rows(flowmint, files):
    result = flowmint(*options(files, "--label", "Label"))
    assert result.exit_code == 0, result.output
    assert all(family in result.stdout for family in MEASURED)
    assert "80 real held-out rows, 80 minted rows, 80 training rows" in result.stdout
    assert "攻击[red]=<b>" in result.stdout
    assert "not available" in result.stdout
    assert result.stderr == ""


def test_json_holds_what_is_shown(flowmint, files, tmp_path):
    out = tmp_path / "scores.json"
    result = flowmint(*options(files, "--label", "Label", "--json", out, "--seed", 3, *QUICK))
    assert result.exit_code == 0, result.output
    found = Evaluation.from_json(json.loads(out.read_text(encoding="utf-8")))
    assert (found.seed, found.label, found.real_rows) == (3, "Label", 80)
    assert {score.family for score in found.scores} == {"distribution", "diversity"}


@pytest.mark.parametrize("name", ["report.html", "report.md", "report.json"])
def test_a_report_is_written(flowmint, files, tmp_path, name):
    out = tmp_path / name
    result = flowmint(*options(files, "--label", "Label", "--report", out, "--quiet", *QUICK))
    assert (result.exit_code, result.output) == (0, "")
    text = out.read_text(encoding="utf-8")
    assert "Column error" in text
    assert name != "report.html" or "攻击[red]=<b>" not in text  # a class's name is no markup


def test_what_exists_is_kept_unless_forced(flowmint, files, tmp_path):
    out = tmp_path / "scores.json"
    out.write_text("mine", encoding="utf-8")
    again = options(files, "--json", out, *QUICK)
    refused = flowmint(*again)
    assert refused.exit_code == 1
    assert "exists and is kept" in refused.stderr
    assert out.read_text(encoding="utf-8") == "mine"
    assert flowmint(*again, "--force").exit_code == 0
    assert json.loads(out.read_text(encoding="utf-8"))["real_rows"] == 80


def test_a_balanced_table_is_scored_by_its_origin(flowmint, files, tmp_path):
    train, minted = draw(80, 2), draw(50, 1)
    both = pl.concat([train.with_columns(origin=pl.lit("real")), minted.with_columns(origin=pl.lit("minted"))])
    both.write_parquet(files["minted"])
    out = tmp_path / "scores.json"
    result = flowmint(*options(files, "--label", "Label", "--origin", "origin", "--json", out, *QUICK))
    assert result.exit_code == 0, result.output
    assert json.loads(out.read_text(encoding="utf-8"))["minted_rows"] == 50


def test_columns_that_differ_are_refused_with_their_difference(flowmint, files):
    draw(80, 1).rename({"Rate": "rate"}).with_columns(origin=pl.lit("x")).write_parquet(files["minted"])
    result = flowmint(*options(files, "--label", "Label"))
    assert result.exit_code == 1
    assert "missing 'Rate'; unexpected 'rate', 'origin'" in result.stderr
    assert len(result.stderr.splitlines()) == 1


def test_columns_are_left_out_of_the_tables_that_have_them(flowmint, files):
    draw(80, 1).with_columns(origin=pl.lit("x")).write_parquet(files["minted"])
    result = flowmint(*options(files, "--label", "Label", "--drop", "origin", *QUICK))
    assert result.exit_code == 0, result.output
    refused = flowmint(*options(files, "--label", "Label", "--drop", "orgin"))
    assert "did you mean 'origin'?" in refused.stderr


@pytest.mark.parametrize(
    ("more", "told"),
    [
        (("--origin", "Origin"), "no column 'Origin'"),
        (("--origin", "Protocol"), "calls no row of --minted minted"),
        (("--families", "beauty"), "no scores of the family 'beauty'"),
        (("--json", "nowhere/x.json"), "no folder"),
        (("--report", "report.pdf"), "no format of a report"),
    ],
    ids=lambda part: " ".join(part) if isinstance(part, tuple) else "told",
)
def test_what_a_user_can_mend_is_one_line(flowmint, files, more, told):
    result = flowmint(*options(files, "--label", "Label", *more))
    assert result.exit_code == 1
    assert told in result.stderr
    assert len(result.stderr.splitlines()) == 1


@pytest.mark.parametrize(
    "more", [("--delimiter", ";;"), ("--families", ","), ("--seed", "-1"), ("--colour", "red")], ids=" ".join
)
def test_wrong_options_are_usage_errors(flowmint, files, more):
    assert flowmint(*options(files, *more)).exit_code == 2


def test_the_minted_table_must_be_named(flowmint, files):
    assert flowmint("evaluate", "--real", files["real"]).exit_code == 2


def test_a_csv_is_compared_with_a_parquet_file(flowmint, files, tmp_path):
    minted = tmp_path / "minted.csv"
    draw(80, 1).write_csv(minted)
    result = flowmint(*options({**files, "minted": minted}, "--label", "Label", *QUICK))
    assert result.exit_code == 0, result.output


@pytest.mark.parametrize("kind", [pl.Boolean, pl.Int8, pl.Float64])
def test_a_report_takes_classes_that_are_no_text(flowmint, files, tmp_path, kind):
    for path in files.values():
        table = pl.read_parquet(path)
        table.with_columns(Label=(pl.col("Label") == "Benign").cast(kind)).write_parquet(path)
    out = tmp_path / "report.md"
    result = flowmint(*options(files, "--label", "Label", "--report", out, "--families", "distribution"))
    assert result.exit_code == 0, result.output
    assert out.exists()


def test_rows_without_a_label_have_a_report_too(flowmint, files, tmp_path):
    out = tmp_path / "report.html"
    result = flowmint(*options(files, "--drop", "Label", "--report", out, *QUICK))
    assert result.exit_code == 0, result.output
    assert out.exists()


VALIDITY = ("--families", "validity")


def valid(flowmint, files, out, *more):
    result = flowmint(*options(files, "--label", "Label", "--json", out, "--force", *VALIDITY, *more))
    assert result.exit_code == 0, result.output
    return Evaluation.from_json(json.loads(out.read_text(encoding="utf-8"))).score("valid_rows"), result.stdout


def test_valid_rows_are_counted_by_the_rules_of_the_training_rows(flowmint, files, tmp_path):
    score, told = valid(flowmint, files, tmp_path / "s.json")
    assert 0 < score.value <= 1
    assert "found in the training rows" in told
    assert "Valid rows" in told


def test_rules_may_be_a_file_or_none(flowmint, files, tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text('format = 1\n[[rules]]\nname = "few"\nrule = "Number <= 50"\n', encoding="utf-8")
    score, _ = valid(flowmint, files, tmp_path / "s.json", "--rules", rules)
    minted, real = (pl.read_parquet(files[name])["Label"] for name in ("minted", "real"))
    assert score.value == pytest.approx((minted == "Benign").mean())
    assert score.reference == pytest.approx((real == "Benign").mean())
    assert valid(flowmint, files, tmp_path / "s.json", "--rules", "none")[0].value is None


def test_without_training_rows_no_rules_are_found(flowmint, files, tmp_path):
    del files["train"]
    score, told = valid(flowmint, files, tmp_path / "s.json")
    assert score.value is None
    assert "no training rows to find rules in" in " ".join(told.split())


def test_unknown_rules_are_one_line(flowmint, files):
    result = flowmint(*options(files, "--rules", "ciciot2024", *VALIDITY))
    assert result.exit_code == 1
    assert "did you mean 'ciciot2023'" in result.stderr
