"""What the tests of discovery share."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from flowmint.rules.discover import discover

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.fixture
def found() -> Callable[..., set[str]]:
    """Give the text of the rules that are found in columns, those about single columns left out."""

    def find(columns, label=None, *, general=False, single=False):
        rules = discover(pl.DataFrame(columns), label=label)
        return {
            rule.text
            for rule in rules
            if (single or len(rule.columns) > 1) and not (general and rule.evidence.particular)
        }

    return find


@pytest.fixture
def noise() -> Callable[[int, int], dict[str, object]]:
    """Make columns of many kinds that have nothing to do with one another."""

    def make(rows, seed):
        rng = np.random.default_rng(seed)
        columns = {}
        for copy in range(2):
            columns |= {
                f"normal{copy}": rng.normal(size=rows),
                f"count{copy}": rng.poisson(1.0, rows),
                f"flag{copy}": (rng.random(rows) < 0.3).astype(int),
                f"rare{copy}": (rng.random(rows) < 0.05) * rng.integers(1, 9, rows),
                f"skewed{copy}": rng.exponential(size=rows) ** 2,
                f"share{copy}": rng.integers(0, 11, rows) / 10,
                f"large{copy}": rng.integers(0, 10**9, rows),
                f"rounded{copy}": rng.random(rows).round(2),
                f"service{copy}": np.array(["http", "dns", "ssh"])[rng.integers(0, 3, rows)],
            }
        return columns

    return make
