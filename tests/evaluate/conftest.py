"""What the tests of scores share: rows of every kind, drawn again and again from one distribution."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable

    Draw = Callable[..., pl.DataFrame]


def draw_flows(rows: int, seed: int, *, attack_share: float = 0.5) -> pl.DataFrame:
    """Draw rows with tails, spikes, whole numbers, categories, missing and infinite cells."""
    rng = np.random.default_rng(seed)
    attack = rng.random(rows) < attack_share
    size = rng.gamma(2.0, 100.0, rows) + 300 * attack
    rate = np.where(rng.random(rows) < 0.05, np.inf, size * rng.lognormal(0, 0.3, rows))
    return pl.DataFrame(
        {
            "Size": size,
            "Rate": np.where(rng.random(rows) < 0.03, np.nan, rate),
            "Count": rng.poisson(3 + 4 * attack, rows),
            "Protocol": np.where(rng.random(rows) < 0.7, np.where(attack, "tcp", "udp"), "icmp"),
            "Flag": pl.Series(rng.random(rows) < 0.2).set(pl.Series(rng.random(rows) < 0.1), None),
            "Label": np.where(attack, "scan", "benign"),
        }
    )


@pytest.fixture(scope="session")
def draw() -> Draw:
    """Draw rows of one distribution, with a seed."""
    return draw_flows
