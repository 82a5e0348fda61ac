"""What the tests of the command line share: a small table, and the command line itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from flowmint.cli.main import app

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from typer.testing import Result

    Flowmint = Callable[..., Result]


@pytest.fixture
def flowmint() -> Flowmint:
    """The command line, with a terminal of neither kind."""

    def run(*arguments: object) -> Result:
        return CliRunner().invoke(app, [str(argument) for argument in arguments])

    return run


@pytest.fixture
def flows() -> pl.DataFrame:
    """Real rows: 60 benign ones and 8 of an attack, columns of every kind, missing and infinite values."""
    rng = np.random.default_rng(0)
    attack = np.arange(68) >= 60
    return pl.DataFrame(
        {
            "Rate": np.where(np.arange(68) % 17 == 3, np.inf, rng.gamma(2.0, 10.0, 68) + 50 * attack),
            "Number": np.where(attack, 100, 10) + rng.integers(0, 5, 68),
            "Std": pl.Series(rng.normal(size=68)).set(pl.Series(np.arange(68) % 23 == 1), None),
            "Protocol": rng.choice(["tcp", "udp", "icmp"], 68),
            "Fragmented": rng.random(68) < 0.3,
            "Label": np.where(attack, "ARP_Spoofing", "Benign"),
        }
    )


@pytest.fixture
def train(flows: pl.DataFrame, tmp_path: Path) -> Path:
    """The same rows as a Parquet file."""
    path = tmp_path / "train.parquet"
    flows.write_parquet(path)
    return path


@pytest.fixture
def model(train: Path, tmp_path: Path, flowmint: Flowmint) -> Path:
    """A model folder of the quickest generator."""
    folder = tmp_path / "model"
    result = flowmint("fit", train, "--label", "Label", "--out", folder, "--generator", "smote", "--quiet")
    assert result.exit_code == 0, result.output
    return folder
