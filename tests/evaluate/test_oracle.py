"""Where other packages define the same score, ours agrees.

Needs ``FLOWMINT_ORACLE_PYTHON``, the Python of an environment that scripts/make_oracle.sh makes.
"""

from __future__ import annotations

import json
import os
import subprocess
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from flowmint.evaluate import diversity
from flowmint.evaluate.dependency import contingency_errors, pearson_errors, spearman_errors
from flowmint.evaluate.diversity import Distances, vendi
from flowmint.evaluate.fidelity import ks_distances, total_variations


@pytest.fixture
def ask(tmp_path):
    """Let another package score the same arrays."""
    python = os.environ.get("FLOWMINT_ORACLE_PYTHON")
    if not python:
        pytest.skip("no FLOWMINT_ORACLE_PYTHON; scripts/make_oracle.sh makes the environment")

    def oracle(name, **arrays):
        source, out = tmp_path / "in.npz", tmp_path / "out.json"
        np.savez(source, **arrays)
        command = [python, str(Path(__file__).with_name("oracle.py")), name, str(source), str(out)]
        environment = {name: value for name, value in os.environ.items() if not name.startswith("PYTHON")}
        subprocess.run(command, check=True, capture_output=True, text=True, env=environment)
        return json.loads(out.read_text(encoding="utf-8"))

    return oracle


def clouds(seed):
    rng = np.random.default_rng(seed)
    return rng.normal(size=(300, 6)), 0.8 * rng.normal(size=(250, 6)) + 0.3


def test_neighbourhoods_are_those_of_prdc(ask):
    real, minted = clouds(0)
    theirs = ask("neighbours", real=real, minted=minted)
    distances = Distances.of(real, minted)
    for function in (diversity.precision, diversity.recall, diversity.density, diversity.coverage):
        assert function(distances) == pytest.approx(theirs[function.__name__], abs=1e-12)


def test_the_vendi_score_is_that_of_its_authors(ask):
    points, _ = clouds(1)
    squares = ((points[:, None] - points[None]) ** 2).sum(axis=2)
    theirs = ask("vendi", kernel=np.exp(-squares / (2 * 1.5**2)))["vendi"]
    assert vendi(points, width=1.5) == pytest.approx(theirs, rel=1e-6)


def test_columns_and_pairs_are_those_of_sdmetrics(ask):
    rng = np.random.default_rng(2)
    pair = rng.multivariate_normal([0, 0], [[1, 0.7], [0.7, 1]], 400)
    other = rng.gamma(2.0, 1.0, (350, 2))
    codes = rng.integers(0, 4, (400, 2))
    other_codes = np.minimum(rng.integers(0, 6, (350, 1)), [[3, 4]])
    theirs = ask("columns", real=pair, minted=other, real_codes=codes, minted_codes=other_codes)
    real, minted = (pl.DataFrame(rows, schema=["a", "b"], orient="row") for rows in (pair, other))
    texts = [pl.DataFrame(rows.astype(str), schema=["c", "d"], orient="row") for rows in (codes, other_codes)]
    assert 1 - ks_distances(real, minted)["a",] == pytest.approx(theirs["ks"])
    assert 1 - total_variations(*texts)["c",] == pytest.approx(theirs["tv"])
    assert 1 - pearson_errors(real, minted)["a", "b"] == pytest.approx(theirs["Pearson"])
    assert 1 - spearman_errors(real, minted)["a", "b"] == pytest.approx(theirs["Spearman"])
    assert 1 - contingency_errors(*texts)["c", "d"] == pytest.approx(theirs["contingency"])
