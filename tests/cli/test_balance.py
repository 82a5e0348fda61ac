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


@pytest.mark.parametrize(
    "options",
    [
        ("--auto", "--target", "70"),
        ("--auto",),
        ("--report", "r.html"),
        ("--rules", "ciciot2023"),
        ("--target", "70", "--force-rules"),
        ("--target", "70", "--rules", "none", "--force-rules"),
    ],
)
def test_what_does_not_go_together_is_refused(flowmint, train, model, tmp_path, options):
    source = () if "--target" in options else ("--model", model)
    result = flowmint("balance", train, "--label", "Label", "--out", tmp_path / "o.csv", *source, *options)
    assert result.exit_code == 2


@pytest.fixture
def rules(tmp_path):
    """Rules of which one real row in 68 breaks one, and by which a column follows from another."""
    path = tmp_path / "rules.toml"
    path.write_text(
        'format = 1\n[[rules]]\nname = "twice"\nrule = "Twice = 2 * Number"\n'
        '[[rules]]\nname = "most"\nrule = "Number <= 103"\nclasses = ["ARP_Spoofing"]\n',
        encoding="utf-8",
    )
    return path


@pytest.fixture
def doubled(train, flows):
    """The table with a column that is twice another, but for one benign row."""
    table = flows.with_columns(Number=pl.col("Number").clip(upper_bound=103))
    table.with_columns(Twice=2 * pl.col("Number") + (pl.int_range(pl.len()) == 5)).write_parquet(train)
    return train


def test_the_summary_counts_rows_that_break_rules(flowmint, doubled, rules, tmp_path):
    result = balance(flowmint, doubled, tmp_path / "out.parquet", "--rules", rules)
    assert result.exit_code == 0, result.output
    lines = " ".join(result.stdout.split())
    assert f"rules: 2 of {rules}; 1 of 6 columns are computed, not learnt" in lines
    assert "1 of 68 real rows break any of them, and stay as they are" in lines
    assert "0 of 52 minted rows break any of them (each was checked)" in lines


def test_fit_tells_of_the_same_rules_without_minted_rows(flowmint, doubled, rules, tmp_path):
    options = ("--label", "Label", "--generator", "smote", "--rules", rules)
    result = flowmint("fit", doubled, *options, "--out", tmp_path / "m")
    assert result.exit_code == 0, result.output
    assert "1 of 68 real rows break any of them" in result.stdout
    assert "minted" not in result.stdout


def test_a_model_is_checked_by_the_rules_that_it_learnt_with(flowmint, train, model, tmp_path):
    out = tmp_path / "out.parquet"
    result = flowmint("balance", train, "--label", "Label", "--out", out, "--model", model)
    assert result.exit_code == 0, result.output
    assert "found in the training rows" in result.stdout
    assert "0 of 52 minted rows break any of them" in result.stdout


@pytest.mark.parametrize("verb", ["fit", "balance"])
def test_without_rules_nothing_is_told_of_them(flowmint, train, tmp_path, verb):
    options = ("--label", "Label", "--generator", "smote", "--rules", "none")
    result = flowmint(verb, train, *options, "--out", tmp_path / "out.csv")
    assert result.exit_code == 0, result.output
    assert "rules:" not in result.stdout
    assert "break" not in result.stdout


def test_rows_that_show_no_rules_are_said_to(flowmint, tmp_path):
    table = pl.DataFrame({"x": [0.1, 0.7, 0.2, 0.9, 0.4], "Label": ["a", "a", "a", "b", "b"]})
    table.write_csv(tmp_path / "few.csv")
    result = balance(flowmint, tmp_path / "few.csv", tmp_path / "out.csv")
    assert result.exit_code == 0, result.output
    assert "rules: none, since" in result.stdout


@pytest.fixture
def odd(tmp_path):
    """A rule that every real row breaks."""
    path = tmp_path / "odd.toml"
    path.write_text('format = 1\n[[rules]]\nname = "odd"\nrule = "Number >= 1000"\n', encoding="utf-8")
    return path


@pytest.mark.parametrize("verb", ["fit", "balance"])
def test_rules_that_real_rows_break_are_refused_with_the_way_to_force_them(flowmint, train, odd, tmp_path, verb):
    options = ("--label", "Label", "--generator", "smote", "--rules", odd, "--out", tmp_path / "out.csv")
    result = flowmint(verb, train, *options)
    assert result.exit_code == 1
    assert "68 of 68 real rows (100.0%) break the rule 'odd'" in result.stderr
    assert "--force-rules" in result.stderr


@pytest.mark.parametrize("more", [(), ("--auto",), ("--report", "r.md")])
def test_minted_rows_satisfy_forced_rules_and_real_rows_stay(flowmint, train, flows, odd, tmp_path, more, monkeypatch):
    monkeypatch.chdir(tmp_path)
    out = tmp_path / "out.parquet"
    result = balance(flowmint, train, out, "--rules", odd, "--force-rules", *more)
    assert result.exit_code == 0, result.output
    balanced = pl.read_parquet(out)
    assert_frame_equal(balanced[:68], flows)
    assert (balanced[68:]["Number"] >= 1000).all()
    if "--auto" not in more:
        assert "68 of 68 real rows break any of them, and stay as they are" in result.stdout
        assert "0 of 52 minted rows break any of them" in result.stdout
