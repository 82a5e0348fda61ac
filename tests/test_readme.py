"""The README's commands and Python lines, and the examples, do what they say, with short training."""

from __future__ import annotations

import re
import runpy
import shlex
from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from typer.testing import CliRunner

import flowmint
from flowmint.cli.main import app

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")
COMMANDS = [line[2:].split("  #")[0].strip() for line in README.splitlines() if line.startswith("$ ")]
SHORTER = {
    "compare": ["--seeds", "1", "--no-scores", "--detectors", "logistic_regression", "--most", "30"],
    "evaluate": ["--families", "distribution"],
    "sample": ["--rows", "5000"],
}
"""What keeps a command short: the last option of a name counts."""
PYTHON = re.findall(r"```python\n(.*?)```", README, flags=re.DOTALL)


@dataclass(kw_only=True, eq=False, repr=False)
class Short(flowmint.LatentDiffusion):
    """Latent diffusion that trains for a moment: these tests are about the words, not about what is learnt."""

    steps: int | None = 5
    autoencoder_steps: int | None = 5


@pytest.fixture
def short_training(monkeypatch, tmp_path):
    monkeypatch.setitem(flowmint.GENERATORS, "latent_diffusion", Short)
    monkeypatch.setattr(flowmint, "LatentDiffusion", Short)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def table() -> pl.DataFrame:
    rows = flowmint.simulate({"Benign": 200, "MITM-ArpSpoofing": 60}, seed=0)
    return rows.with_columns(pl.col("Label").replace("MITM-ArpSpoofing", "ARP_Spoofing"))


def test_the_commands_run_in_their_order(short_training, table):
    table.write_csv("train.csv")
    run = [shlex.split(command)[1:] for command in COMMANDS if command.startswith("flowmint ")]
    assert {"inspect", "fit", "sample", "balance", "evaluate", "compare", "rules"} == {given[0] for given in run}
    for given in run:
        arguments = [*given, *SHORTER.get(given[0], ())]
        result = CliRunner().invoke(app, arguments)
        assert result.exit_code == 0, (arguments, result.output)
    assert pl.read_parquet("minted.parquet").height == 5000
    assert pl.read_parquet("balanced.parquet").height == 400
    assert all(Path(name).read_text(encoding="utf-8").endswith("</html>\n") for name in ("scores.html", "report.html"))


def test_make_knows_the_targets():
    targets = {command.split()[1] for command in COMMANDS if command.startswith("make ")}
    assert "demo" in targets
    makefile = (ROOT / "Makefile").read_text(encoding="utf-8")
    assert all(f"\n{target}: " in makefile for target in targets)


@pytest.mark.parametrize("kind", ["pandas", "polars"])
def test_the_python_lines_run(short_training, table, kind):
    X, y = table.drop("Label"), table["Label"]
    names = {"X": X.to_pandas(), "y": y.to_pandas()} if kind == "pandas" else {"X": X, "y": y}
    for block in PYTHON:
        exec(compile(block, "README.md", "exec"), names)  # noqa: S102 - the README is ours
    assert type(names["rows"]) is type(names["X"])
    assert len(names["X_balanced"]) == len(names["y_balanced"]) == 400


@pytest.mark.parametrize("example", sorted((ROOT / "examples").glob("*.py")), ids=lambda path: path.name)
def test_the_examples_run(short_training, capsys, example):
    runpy.run_path(str(example), run_name="__main__")
    assert "ArpSpoofing" in capsys.readouterr().out
