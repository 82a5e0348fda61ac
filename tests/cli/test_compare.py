"""The verb compare: from a table or a run file, to a terminal, a result and a report."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import numpy as np
import polars as pl
import pytest

from flowmint.cli.compare import Asked
from flowmint.evaluate.compare import Comparison
from flowmint.generators import GENERATORS, Oversampler

QUICK = (
    "--rows",
    "3",
    "--seeds",
    "2",
    "--generators",
    "none,smote",
    "--detectors",
    "logistic_regression",
    "--no-scores",
)


class Failing(Oversampler):
    """Never fits."""

    def _fit(self, *_args, **_options):
        message = "out of luck"
        raise RuntimeError(message)


@pytest.fixture
def table(train, flows):
    """The table, each attack row with a twin that differs."""
    twins = flows.tail(8).with_columns(Number=pl.col("Number") + 50)
    pl.concat([flows, twins]).write_parquet(train)
    return train


def compare(flowmint, table, *options):
    return flowmint("compare", table, "--label", "Label", "--attack", "ARP_Spoofing", *QUICK, *options)


def test_a_table_is_compared_and_told(flowmint, table):
    result = compare(flowmint, table)
    assert result.exit_code == 0, result.output
    assert "ARP_Spoofing from Benign, 3 real rows:" in result.stdout
    lines = [line.split()[0] for line in result.stdout.splitlines() if line.strip()]
    assert {"none", "smote"} <= set(lines)
    assert result.stderr == ""


def test_result_and_report_are_written_and_cells_kept(flowmint, table, tmp_path):
    out, report = tmp_path / "result.json", tmp_path / "report.html"
    result = compare(flowmint, table, "--out", out, "--report", report)
    assert result.exit_code == 0, result.output
    found = Comparison.from_json(json.loads(out.read_text()))
    assert len(found.cells) == 4
    assert found.command.startswith("flowmint")
    assert "<html" in report.read_text()
    assert len(list((tmp_path / "result.cells").glob("*.json"))) == 4


def test_quiet_says_nothing(flowmint, table, tmp_path):
    result = compare(flowmint, table, "--out", tmp_path / "r.json", "--quiet")
    assert (result.exit_code, result.output) == (0, "")


@pytest.mark.parametrize("option", ["--out", "--report"])
def test_what_exists_is_kept_unless_forced(flowmint, table, tmp_path, option):
    place = tmp_path / {"--out": "r.json", "--report": "r.html"}[option]
    place.write_text("old")
    refused = compare(flowmint, table, option, place)
    assert refused.exit_code == 1
    assert "exists and is kept" in refused.stderr
    assert place.read_text() == "old"
    assert compare(flowmint, table, option, place, "--force").exit_code == 0
    assert place.read_text() != "old"


def test_a_failing_generator_is_told_and_the_others_go_on(flowmint, table, tmp_path, monkeypatch):
    monkeypatch.setitem(GENERATORS, "smote", Failing)
    out = tmp_path / "r.json"
    result = compare(flowmint, table, "--out", out)
    assert result.exit_code == 1
    assert result.stderr.count("\n") == 1
    assert "smote failed in 2 of 2 cells of ARP_Spoofing: RuntimeError: out of luck" in result.stderr
    assert "smote (2 failed)" in result.stdout
    found = Comparison.from_json(json.loads(out.read_text()))
    assert [cell.error is None for cell in found.cells] == [True, False, True, False]


def test_shortcuts_are_dropped_beside(flowmint, table):
    result = compare(flowmint, table, "--drop-shortcuts")
    assert result.exit_code == 0, result.output
    assert "shortcuts kept:" in result.stdout


def test_a_run_file_is_compared(flowmint, table, tmp_path):
    run = tmp_path / "run.toml"
    run.write_text(
        "rows = [3]\nseeds = 1\ngenerators = ['none']\ndetectors = ['logistic regression']\nfamilies = []\n"
        f"[sources.a]\nfiles = ['{table.name}']\n[[tasks]]\nsource = 'a'\nattack = 'ARP_Spoofing'\n"
    )
    result = flowmint("compare", "--config", run)
    assert result.exit_code == 0, result.output
    assert "ARP_Spoofing from Benign, 3 real rows:" in result.stdout


def test_some_tasks_of_a_run_file_are_compared_and_the_others_later(flowmint, table, tmp_path):
    run, store = tmp_path / "run.toml", tmp_path / "cells"
    run.write_text(
        "rows = [3]\nseeds = 1\ngenerators = ['none']\ndetectors = ['logistic regression']\nfamilies = []\n"
        f"[sources.a]\nfiles = ['{table.name}']\n"
        "[[tasks]]\nname = 'spoofing'\nsource = 'a'\nattack = 'ARP_Spoofing'\n"
        "[[tasks]]\nname = 'again'\nsource = 'a'\nattack = 'ARP_Spoofing'\n"
    )
    result = flowmint("compare", "--config", run, "--task", "again", "--store", store)
    assert result.exit_code == 0, result.output
    assert "again" in result.stdout
    assert "spoofing" not in result.stdout
    cells = set(store.glob("*.json"))
    result = flowmint("compare", "--config", run, "--store", store)
    assert result.exit_code == 0, result.output
    assert "spoofing" in result.stdout
    assert cells < set(store.glob("*.json"))  # those that were finished are taken as they are
    result = flowmint("compare", "--config", run, "--task", "agian")
    assert result.exit_code == 1
    assert "no task 'agian'" in result.stderr
    assert "'again'" in result.stderr


def test_shortcuts_of_a_run_file_are_kept_now_and_dropped_later(flowmint, table, tmp_path):
    run, store = tmp_path / "run.toml", tmp_path / "cells"
    text = (
        "rows = [3]\nseeds = 1\ngenerators = ['none']\ndetectors = ['logistic regression']\nfamilies = []\n"
        f"shortcuts = ['kept', 'dropped']\n[sources.a]\nfiles = ['{table.name}']\n"
        "[[tasks]]\nsource = 'a'\nattack = 'ARP_Spoofing'\n"
    )
    run.write_text(text)
    kept, both = tmp_path / "kept.json", tmp_path / "both.json"
    result = flowmint("compare", "--config", run, "--shortcuts", "kept", "--store", store, "--out", kept)
    assert result.exit_code == 0, result.output
    assert {cell["shortcuts"] for cell in json.loads(kept.read_text())["cells"]} == {"kept"}
    result = flowmint("compare", "--config", run, "--store", store, "--out", both)
    assert result.exit_code == 0, result.output
    found = json.loads(both.read_text())
    assert found["cells"][0] == json.loads(kept.read_text())["cells"][0]  # taken as it was
    run.write_text(text.replace(", 'dropped'", ""))
    result = flowmint("compare", "--config", run, "--shortcuts", "dropped")
    assert result.exit_code == 1
    assert "with shortcuts kept only, not dropped" in result.stderr


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        ((), "give a TABLE"),
        (("TABLE", "--label", "Label", "--attack", "x", "--task", "y"), "--task names a task of a run file"),
        (("--config", "x.toml", "--rows", "3"), "--rows is told by the run file"),
        (("--config", "x.toml", "--label", "Label"), "no TABLE"),
        (("--config", "x.toml", "--force-rules"), "--force-rules is told by the run file"),
        (("TABLE", "--label", "Label", "--attack", "x", "--force-rules"), "name them with --rules"),
        (("TABLE", "--label", "Label"), "--attack CLASS"),
        (("TABLE", "--attack", "x"), "--label COLUMN"),
        (("TABLE", "--label", "Label", "--attack", "x", "--data", "."), "--data"),
        (("TABLE", "--label", "Label", "--attack", "x", "--shortcuts", "kept"), "--shortcuts says which comparison"),
        (("TABLE", "--label", "Label", "--attack", "ARP_Spoofing", "--rows", "a"), "whole numbers"),
        (("TABLE", "--label", "Label", "--attack", "ARP_Spoofing", "--generators", ","), "names nothing"),
    ],
)
def test_wrong_usage_is_told(flowmint, table, arguments, told):
    result = flowmint("compare", *(table if word == "TABLE" else word for word in arguments))
    assert result.exit_code == 2
    assert told in " ".join(result.stderr.replace("│", " ").split())


@pytest.mark.parametrize(
    ("options", "told"),
    [
        (("--attack", "arp_spoofing"), "did you mean 'ARP_Spoofing'"),
        (("--benign", "benign"), "did you mean 'Benign'"),
        (("--generators", "none,vea"), "unknown generator 'vea'"),
        (("--detectors", "xgbost"), "did you mean 'XGBoost'"),
        (("--split", "rand"), "did you mean 'random'"),
        (("--split", "capture"), "stands in 1 capture"),
        (("--rows", "9"), "9 real rows of 'ARP_Spoofing' asked for"),
        (("--out", "x.csv"), "end it in .json"),
        (("--out", "absent/x.json"), "there is no folder absent"),
        (("--report", "x.pdf"), "names no format"),
    ],
)
def test_a_mistake_is_one_line(flowmint, table, options, told):
    result = compare(flowmint, table, *options)
    assert result.exit_code == 1, result.output
    assert result.stderr.startswith("flowmint: ")
    assert result.stderr.count("\n") == 1
    assert told in result.stderr


def test_names_of_detectors_may_be_written_with_underscores():
    plan = Asked(detectors="random_forest,xgboost", drop_shortcuts=True, no_scores=True).plan()
    assert plan.detectors == ("random forest", "XGBoost")
    assert plan.seeds == (0, 1, 2, 3, 4)
    assert plan.shortcuts == ("kept", "dropped")
    assert Asked(seeds="7,9", no_scores=True).plan().seeds == (7, 9)


def test_ctrl_c_keeps_finished_cells_and_says_where(table, tmp_path):
    out = tmp_path / "r.json"
    options = ["--rows", "3", "--seeds", "40", "--generators", "none,smote", "--no-scores", "--out", str(out)]
    code = "from flowmint.cli import main; main()"
    command = [sys.executable, "-c", code, "compare", str(table), "--label", "Label", "--attack", "ARP_Spoofing"]
    process = subprocess.Popen([*command, *options], stderr=subprocess.PIPE, text=True)
    cells = tmp_path / "r.cells"
    while process.poll() is None and not list(cells.glob("[!.]*.json")):
        time.sleep(0.05)
    os.kill(process.pid, signal.SIGINT)
    _, told = process.communicate(timeout=300)
    assert process.returncode == 130
    assert "finished cells are in" in told
    assert "Traceback" not in told
    assert not out.exists()
    assert [json.loads(cell.read_text())["cell"]["task"] for cell in cells.glob("*.json")]
    assert not list(cells.glob(".*"))


def test_inspect_shows_the_leakage_audit(flowmint, table):
    result = flowmint("inspect", table, "--label", "Label", "--leakage", "--benign", "Benign")
    assert result.exit_code == 0, result.output
    assert "Leakage audit, each class told from 'Benign':" in result.stdout
    assert "Shortcuts: Number" in result.stdout
    assert "'Number' alone separates 'ARP_Spoofing' (100.0%)" in result.stdout
    described = json.loads(flowmint("inspect", table, "--label", "Label", "--leakage", "--json").stdout)
    assert described["leakage"]["shortcuts"] == ["Number"]


def test_a_benign_class_is_for_the_audit(flowmint, table):
    result = flowmint("inspect", table, "--label", "Label", "--benign", "Benign")
    assert result.exit_code == 2


def test_captures_stay_on_one_side(flowmint, tmp_path):
    rng = np.random.default_rng(0)
    folder = tmp_path / "captures"
    folder.mkdir()
    for name, centre in (("Benign1", 0), ("Benign2", 0), ("Benign3", 0), ("Scan1", 3), ("Scan2", 3)):
        rows = pl.DataFrame({"Rate": rng.normal(centre, 1, 12), "Std": rng.normal(centre, 1, 12)})
        rows.write_csv(folder / f"{name}.pcap.csv")
    options = ("--label-from-name", "--attack", "Scan", "--split", "capture", *QUICK, "--out", tmp_path / "r.json")
    result = flowmint("compare", folder, *options)
    assert result.exit_code == 0, result.output
    found = Comparison.from_json(json.loads((tmp_path / "r.json").read_text()))
    assert found.tasks[0].columns == ("Rate", "Std")
    assert {cell.test_attack_rows for cell in found.cells} == {12}


def test_rules_that_real_rows_break_may_be_forced(flowmint, table, tmp_path):
    rules = tmp_path / "rules.toml"
    rules.write_text('format = 1\n[[rules]]\nname = "odd"\nrule = "Number >= 1000"\n', encoding="utf-8")
    refused = compare(flowmint, table, "--rules", rules)
    assert refused.exit_code == 1
    assert "--force-rules" in refused.stderr
    forced = compare(flowmint, table, "--rules", rules, "--force-rules")
    assert forced.exit_code == 0, forced.output
