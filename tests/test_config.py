"""Run files give tasks and a plan, and whatever is wrong in them is named."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flowmint.config import parse_run, plan_of, read_run
from flowmint.errors import FlowmintError, LabelError, ReadError, SettingError
from flowmint.evaluate.compare import Plan
from flowmint.flows.split import CAPTURE
from flowmint.generators import GENERATORS

PAPER = Path(__file__).parents[1] / "benchmarks" / "paper.toml"

RUN = """
title = "Scans"
rows = [5, 10]
seeds = 3
generators = ["none", "smote"]
shortcuts = ["kept", "dropped"]

[sources.flows]
files = ["flows.csv"]
label = "Label"

[sources.captures]
files = ["captures"]
label_from_name = true
finite = true

[[tasks]]
source = "flows"
attack = "Scan"

[[tasks]]
name = "Flood"
source = "captures"
attack = "Flood"
benign = "Benign"
benign_source = "flows"

[generator.smote]
neighbours = 3
"""


@pytest.fixture
def folder(tmp_path):
    """A run file with a table and a folder of captures beside it."""
    (tmp_path / "run.toml").write_text(RUN)
    labels = np.repeat(["Benign", "Scan"], 20)
    flows = pl.DataFrame({"Rate": np.arange(40), "Std": np.arange(40) / 7, "Label": labels})
    flows.write_csv(tmp_path / "flows.csv")
    (tmp_path / "captures").mkdir()
    for shard in (1, 2):
        flood = pl.DataFrame({"Std": [0.5, float("nan"), 2.0], "Rate": [0.5, 1.0, float("inf") * (shard - 1.5)]})
        flood.write_csv(tmp_path / "captures" / f"Flood{shard}.pcap.csv")
    return tmp_path


def test_a_run_file_gives_tasks_and_a_plan(folder):
    run = read_run(folder / "run.toml")
    assert run.title == "Scans"
    assert (run.plan.rows, run.plan.seeds, run.plan.shortcuts) == ((5, 10), (0, 1, 2), ("kept", "dropped"))
    assert run.plan.settings == {"smote": {"neighbours": 3}}
    assert [(t.name, t.attack, t.benign) for t in run.tasks] == [("Scan", "Scan", None), ("Flood", "Flood", "Benign")]


def test_benign_rows_come_from_another_source(folder):
    flood = read_run(folder / "run.toml").tasks[1].table
    assert dict(flood["Label"].value_counts().iter_rows()) == {"Benign": 20, "Flood": 2}
    assert flood.columns == ["Rate", "Std", "Label"]
    assert flood["Rate"].dtype == pl.Float64


def test_files_are_sought_in_the_data_folder(folder, tmp_path_factory):
    elsewhere = tmp_path_factory.mktemp("runs") / "run.toml"
    elsewhere.write_text(RUN)
    assert read_run(elsewhere, data=folder).tasks[0].table.height == 40
    with pytest.raises(ReadError, match="there is no file"):
        read_run(elsewhere)


def test_a_split_by_capture_knows_the_files(folder):
    text = RUN.replace('title = "Scans"', 'split = "capture"')
    (folder / "run.toml").write_text(text)
    flood = read_run(folder / "run.toml").tasks[1].table
    assert set(flood[CAPTURE].unique()) == {"flows.csv", "Flood1.pcap.csv", "Flood2.pcap.csv"}


@pytest.mark.parametrize(
    ("old", "new", "told"),
    [
        ("rows =", "row =", "unknown key 'row'; did you mean 'rows'"),
        ("label =", "lable =", r"\[sources.flows\]: unknown key 'lable'; did you mean 'label'"),
        ("attack =", "atack =", r"\[\[tasks\]\] number 1: unknown key 'atack'; did you mean 'attack'"),
        ('source = "flows"', 'source = "flow"', "there is no source 'flow'; did you mean 'flows'"),
        ('benign_source = "flows"', 'benign_source = "x"', "there is no source 'x'"),
        ("seeds = 3", "seeds = 0", "seeds is 0"),
        ("seeds = 3", "seeds = 'many'", "seeds"),
        ("[5, 10]", "[5, '10']", "rows"),
        ("[5, 10]", "[5, 5]", "5 twice"),
        ('"smote"]', '"smot"]', "did you mean 'smote'"),
        ("neighbours = 3", "neighbors = 3", "did you mean 'neighbours'"),
        ("neighbours = 3", "neighbours = 'x'", "neighbours is 'x'"),
        ("[generator.smote]", "[generator.smoke]", "did you mean 'smote'"),
        ("finite = true", "finite = 2", "finite"),
    ],
)
def test_a_mistake_is_named(old, new, told):
    with pytest.raises(SettingError, match=told):
        plan_of(parse_run(RUN.replace(old, new, 1), name="run.toml"))


@pytest.mark.parametrize("text", ["", "rows = [5]", "sources = 3", "[sources.a]\nfiles = ['x']\n", "tasks = 1"])
def test_a_run_file_without_its_parts_is_refused(text):
    with pytest.raises(SettingError, match=r"run\.toml"):
        parse_run(text, name="run.toml")


@pytest.mark.parametrize("content", [b"rows = [", b"\xff\xfe", b"x = 1\n" * 200_000], ids=["cut", "not text", "huge"])
def test_what_is_no_run_file_is_refused(tmp_path, content):
    path = tmp_path / "run.toml"
    path.write_bytes(content)
    with pytest.raises(ReadError, match=r"run\.toml"):
        read_run(path)


def test_an_absent_run_file_is_refused(tmp_path):
    with pytest.raises(ReadError, match="cannot be read"):
        read_run(tmp_path / "none.toml")


def test_an_absent_class_of_another_source_gets_the_nearest_name(folder):
    (folder / "run.toml").write_text(RUN.replace('benign = "Benign"', 'benign = "benign"'))
    with pytest.raises(LabelError, match="did you mean 'Benign'"):
        read_run(folder / "run.toml")


def test_benign_rows_of_another_source_need_their_class(folder):
    (folder / "run.toml").write_text(RUN.replace('benign = "Benign"\n', ""))
    with pytest.raises(SettingError, match="say which class"):
        read_run(folder / "run.toml")


def test_sources_with_other_columns_are_refused(folder):
    text = RUN.replace("label_from_name = true", "label_from_name = true\ndrop = ['Std']")
    (folder / "run.toml").write_text(text)
    with pytest.raises(FlowmintError, match="Std"):
        read_run(folder / "run.toml")


def test_what_is_absent_is_the_plans_default():
    text = "[sources.a]\nfiles = ['x']\n[[tasks]]\nsource = 'a'\nattack = 'b'\n"
    assert plan_of(parse_run(text, name="x")) == Plan()


def test_the_papers_run_file_is_whole():
    run = parse_run(PAPER.read_text(), name="paper.toml")
    assert run.rows == (10, 25, 50, 100, 500)
    assert run.shortcuts == ("kept", "dropped")
    assert len(run.tasks) == 5
    unknown = [name for name in run.generators if name not in {"none", "all_real_rows", *GENERATORS}]
    assert set(unknown) <= {"vae", "gan", "data_diffusion_ddpm"}


def test_the_papers_tables_are_there(real_data, tmp_path):
    text = "\n".join(
        line
        for line in PAPER.read_text().splitlines()
        if line.strip() not in {'"vae",', '"gan",', '"data_diffusion_ddpm",'}
    )
    (tmp_path / "paper.toml").write_text(text)
    run = read_run(tmp_path / "paper.toml", data=real_data)
    for task in run.tasks:
        counts = dict(task.narrowed().table["Label"].value_counts().iter_rows())
        assert min(counts.values()) >= 1000
