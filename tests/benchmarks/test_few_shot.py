"""The benchmark computes what it says, keeps to its protocol, and goes on where it stopped."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path
from typing import Self

import numpy as np
import polars as pl
import pytest

SCRIPT = Path(__file__).parents[2] / "benchmarks" / "few_shot.py"


@pytest.fixture(scope="module")
def few_shot():
    spec = importlib.util.spec_from_file_location("few_shot_benchmark", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = module
    spec.loader.exec_module(module)
    return module


def cell(seed: int, generator: str, mean: float) -> dict[str, object]:
    f1 = {"logistic regression": mean, "MLP": mean}
    task = "ciciomt2024:ARP_Spoofing:25"
    return {"task": task, "seed": seed, "generator": generator, "attack_rows": 25, "f1": f1, "mean_f1": mean}


def test_intervals_are_students(few_shot):
    mean, half = few_shot.interval([1.0, 2.0, 3.0, 4.0, 5.0])
    assert mean == 3
    assert half == pytest.approx(2.776445 * np.sqrt(2.5) / np.sqrt(5), rel=1e-5)
    assert np.isnan(few_shot.interval([1.0])[1])


def test_differences_are_paired_over_seeds(few_shot):
    cells = [cell(s, "latent_diffusion", 0.5 + s / 10) for s in range(3)] + [cell(s, "smote", s / 10) for s in range(3)]
    whole = [{"generator": "smote", "seconds": 61.2, "peak_gib": 1.234, "rows": 200_000}]
    table = few_shot.markdown(cells, about={"Machine": "x"}, whole=whole)
    assert "| smote | 61 | 1.23 | 200,000 |" in table
    line = next(line for line in table.splitlines() if line.startswith("| smote "))
    assert "+0.500 ± 0.000" in line
    assert "0.100 ± 0.248" in line


def test_the_mean_over_tasks_is_of_seeds_that_ran_on_all(few_shot):
    tasks = ["nsl_kdd:teardrop:10", "nsl_kdd:teardrop:25"]
    cells = [
        cell(seed, name, mean) | {"task": task}
        for task, add in zip(tasks, (0.0, 0.2), strict=True)
        for seed, name, mean in ((1, "latent_diffusion", 0.7 + add), (2, "latent_diffusion", 0.5 + add))
    ]
    cells += [cell(1, "smote", 0.4) | {"task": task} for task in tasks] + [cell(2, "smote", 0.9) | {"task": tasks[0]}]
    assert few_shot.seed_means(cells, tasks, "latent_diffusion") == pytest.approx({1: 0.8, 2: 0.6})
    assert few_shot.seed_means(cells, tasks, "smote") == pytest.approx({1: 0.4})
    text = "\n".join(few_shot.over_tasks(cells, ["smote", "latent_diffusion"]))
    assert "## nsl_kdd: mean over its 2 tasks" in text
    assert "| smote | 0.400 | +0.400 |" in text
    assert few_shot.over_tasks(cells[:2], ["latent_diffusion"]) == []  # one task is its own mean


def test_a_task_keeps_to_the_protocol(few_shot, real_data):
    split, source, attack, rows = few_shot.make_task(real_data, "ciciomt2024:ARP_Spoofing:25", 0)
    assert (attack, rows) == ("ARP_Spoofing", 25)
    counts = dict(split.train[source.label].value_counts().iter_rows())
    assert counts == {"Benign": 2500, "ARP_Spoofing": 25}
    floats = [name for name, dtype in split.train.schema.items() if dtype.is_float()]
    assert split.train.select(pl.all_horizontal(pl.col(floats).is_finite().all())).item()
    assert split.test.join(split.full, on=split.test.columns, how="semi").is_empty()
    assert 4000 < split.test.height <= 5000


@pytest.mark.parametrize("task", ["unsw_nb15:Worms:25", "nsl_kdd:guess_passwd:25"])
def test_every_attack_has_rows_enough(few_shot, real_data, task):
    split, source, attack, rows = few_shot.make_task(real_data, task, 0)
    assert split.train.filter(pl.col(source.label) == attack).height == rows
    assert split.test.filter(pl.col(source.label) == attack).height >= 20


def test_an_interrupted_run_goes_on_where_it_stopped(few_shot, real_data, tmp_path, monkeypatch):
    monkeypatch.setattr(few_shot, "MOST", 150)
    ran = []
    scored = few_shot.run_cell

    def count(*args, **options):
        ran.append(options["generator"])
        return scored(*args, **options)

    monkeypatch.setattr(few_shot, "run_cell", count)
    monkeypatch.setattr(few_shot, "ProcessPoolExecutor", _Inline)
    out = tmp_path / "result"
    for generators in ("none", "none,smote"):
        options = ["--task", "nsl_kdd:teardrop:10", "--seeds", "7", "--generators", generators, "--rate-rows", "50"]
        monkeypatch.setattr(sys, "argv", ["few_shot", "--data", str(real_data), "--out", str(out), *options])
        few_shot.main()
    assert ran == ["none", "smote"]
    cells = json.loads(out.with_suffix(".json").read_text())["cells"]
    assert [c["generator"] for c in cells] == ["none", "smote"]
    assert cells[1]["sampled_rows_per_second"] > 0
    assert "| smote | " in out.with_suffix(".md").read_text()


class _Inline:
    """Runs jobs in this process when their results are asked for."""

    def __init__(self, workers: int) -> None:
        self.workers = workers

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *error: object) -> None:
        return None

    def submit(self, function, *args, **options):
        from concurrent.futures import Future

        future: Future[object] = Future()
        future.set_result(function(*args, **options))
        return future
