"""The demonstration: a simulated IoT network in which a man in the middle is rare, and what detectors gain."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from flowmint.balance import balance_table
from flowmint.evaluate.utility import FOUR, available_detectors, detector_f1
from flowmint.flows.simulate import simulate
from flowmint.progress import SILENT

if TYPE_CHECKING:
    from collections.abc import Mapping

    import polars as pl

    from flowmint.progress import Progress

LABEL = "Label"
ATTACK = "MITM-ArpSpoofing"
TRAIN = {"Benign": 2500, "DDoS-ICMP_Fragmentation": 250, "Mirai-greip_flood": 250, ATTACK: 25}
TEST = {"Benign": 2500, "DDoS-ICMP_Fragmentation": 250, "Mirai-greip_flood": 250, ATTACK: 2500}
METHODS = {"without": "none", "SMOTE": "smote_standardised", "Flowmint": "latent_diffusion"}
"""What the demonstration compares: how it is called there, and the generator; SMOTE in its stronger form."""


@dataclass(frozen=True)
class DemoResult:
    """What the demonstration measured.

    Attributes:
        attack: The rare class.
        train: Simulated training rows of each class.
        test: Simulated test rows of each class, drawn with another seed.
        target: Rows to which the attack was balanced.
        f1: F1 of the attack on the test rows, by method, then by detector.
    """

    attack: str
    train: Mapping[str, int]
    test: Mapping[str, int]
    target: int
    f1: Mapping[str, Mapping[str, float]]


def run_demo(
    *,
    seed: int = 0,
    train: Mapping[str, int] | None = None,
    test: Mapping[str, int] | None = None,
    progress: Progress = SILENT,
) -> DemoResult:
    """Simulate traffic, balance its rare attack with each method, and score detectors on other traffic.

    Args:
        seed: Seed of the simulation, the generators and the detectors.
        train: Training rows to simulate of each class; `TRAIN` if absent.
        test: Test rows to simulate of each class; `TEST` if absent.
        progress: Shows how far the work is.

    Returns:
        The F1 of the attack for every method and detector.
    """
    train, test = train or TRAIN, test or TEST
    train_rows = simulate(train, seed=2 * seed)
    test_rows = simulate(test, seed=2 * seed + 1)
    target = max(train.values())
    f1: dict[str, Mapping[str, float]] = {}
    for method, generator in METHODS.items():
        balanced = balance_table(
            train_rows,
            label=LABEL,
            generator=generator,
            target={ATTACK: target},
            seed=seed,
            progress=progress,
        )
        with progress.stage(f"detectors {method}", total=len(available_detectors(FOUR)), unit="detectors") as stage:
            f1[method] = _score(balanced, test_rows, seed=seed)
            stage.advance(len(available_detectors(FOUR)))
    return DemoResult(attack=ATTACK, train=train, test=test, target=target, f1=f1)


def _score(train: pl.DataFrame, test: pl.DataFrame, *, seed: int) -> dict[str, float]:
    is_attack, test_is_attack = ((table[LABEL] == ATTACK).to_numpy() for table in (train, test))
    return detector_f1(train.drop(LABEL), is_attack, test.drop(LABEL), test_is_attack, seed=seed)
