"""Balance simulated traffic and look at what was minted.

Run it with ``python examples/balance.py``; no data is needed.
"""

from __future__ import annotations

import polars as pl

from flowmint import LatentDiffusion, balance_table, simulate

LABEL = "Label"


def main() -> None:
    """Mint the man in the middle up to the number of benign rows, and compare its columns."""
    real = simulate({"Benign": 1000, "MITM-ArpSpoofing": 25}, seed=0)
    balanced = balance_table(real, label=LABEL, generator=LatentDiffusion(seed=0), origin="origin")
    print(balanced.group_by(LABEL, "origin").len().sort(LABEL, "origin"))

    attack = balanced.filter(pl.col(LABEL) == "MITM-ArpSpoofing")
    means = attack.group_by("origin").agg(pl.col("Rate", "ARP", "TCP", "AVG", "IAT").median()).sort("origin")
    print(means)


if __name__ == "__main__":
    main()
