"""What the tests of generators share: a small table with columns of every kind, and briefly trained generators."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import polars as pl
import pytest

from flowmint.generators import GENERATORS

if TYPE_CHECKING:
    from flowmint.generators import Generator

BRIEF = {
    "latent_diffusion": {"steps": 30, "autoencoder_steps": 30, "width": 32, "evaluations": 3},
    "data_diffusion": {"steps": 30, "width": 32, "evaluations": 3},
    "data_diffusion_ddpm": {"steps": 30, "width": 32, "evaluations": 3},
    "vae": {"steps": 30, "width": 32},
    "gan": {"steps": 20, "width": 32},
}


def make(name: str, **settings: object) -> Generator:
    """A generator that trains for a moment."""
    return GENERATORS[name](**{**BRIEF.get(name, {}), **settings})


def make_flows() -> pl.DataFrame:
    """60 benign rows and 8 of an attack, columns of every kind, missing and infinite values, a constant."""
    rng = np.random.default_rng(0)
    attack = np.arange(68) >= 60
    return pl.DataFrame(
        {
            "rate": np.where(np.arange(68) % 17 == 3, np.inf, rng.gamma(2.0, 10.0, 68) + 50 * attack),
            "number": pl.Series(np.where(attack, 100, 10) + rng.integers(0, 5, 68), dtype=pl.Int16),
            "std": pl.Series(rng.normal(size=68).astype(np.float32)).set(pl.Series(np.arange(68) % 23 == 1), None),
            "nan": np.where(np.arange(68) % 5 == 0, np.nan, 1.5),
            "protocol": pl.Series(rng.choice(["tcp", "udp", "icmp"], 68), dtype=pl.Enum(["icmp", "tcp", "udp", "arp"])),
            "service": pl.Series(rng.choice(["http", "-", "dns"], 68)).set(pl.Series(np.arange(68) == 7), None),
            "fragmented": rng.random(68) < 0.3,
            "constant": [7] * 68,
            "large": rng.integers(2**60, 2**60 + 9, 68),
        }
    )


@pytest.fixture(scope="session")
def flows() -> pl.DataFrame:
    """Feature columns."""
    return make_flows()


@pytest.fixture(scope="session")
def labels() -> pl.Series:
    """The class of each row."""
    return pl.Series("Label", ["Benign"] * 60 + ["ARP_Spoofing"] * 8)
