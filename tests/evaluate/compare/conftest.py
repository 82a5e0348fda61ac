"""A made-up comparison, in which nothing is trained, and a small task with a plan that takes seconds."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from flowmint.evaluate.compare import ALL_REAL, NONE, Cell, Comparison, Plan, ScoreAbout, ScoreValue, Task
from flowmint.evaluate.compare.result import TaskAbout
from flowmint.evaluate.compare.summarize import summarize
from flowmint.evaluate.leakage import Constant, Leakage, Tell
from flowmint.evaluate.utility import DetectorScores

GENERATORS = (NONE, "smote_standardised", "data_diffusion", "latent_diffusion", ALL_REAL)
BEST = {NONE: 0.45, "smote_standardised": 0.74, "data_diffusion": 0.84, "latent_diffusion": 0.89, ALL_REAL: 0.93}
DETECTORS = ("logistic regression", "MLP", "random forest", "XGBoost")
SCORES = (
    ("column_error", "Column error", "distribution", "lower", 0.0, 1.0),
    ("pair_error", "Correlation error", "dependency", "lower", 0.0, 1.0),
    ("coverage", "Coverage", "diversity", "higher", 0.0, 1.0),
    ("two_sample_auc", "Two-sample test", "detectability", "lower", 0.5, 1.0),
    ("membership_auc", "Membership inference", "privacy", "reference", 0.0, 1.0),
)


def make_comparison(*, attack: str = "ARP_Spoofing", failing: str | None = "smote_standardised") -> Comparison:
    """Make a comparison with two tasks, three numbers of rows, three seeds, shortcuts kept and dropped."""
    plan = Plan(
        rows=(10, 25, 100),
        seeds=(0, 1, 2),
        generators=GENERATORS,
        detectors=DETECTORS,
        shortcuts=("kept", "dropped"),
    ).about()
    tasks = (_task("Man in the middle", attack, ("Number",)), _task("DDoS <ICMP>", "DDoS-ICMP & more", ()))
    cells = tuple(
        _cell(task.name, rows, seed, generator, shortcuts, failed=generator == failing and rows == 10 and seed == 2)
        for task in tasks
        for shortcuts in (plan.shortcuts if task.shortcuts else ("kept",))
        for rows in plan.rows
        for seed in plan.seeds
        for generator in plan.generators
        if generator != ALL_REAL or rows == plan.rows[0]
    )
    return Comparison(
        title="Rare attacks, few rows",
        plan=plan,
        tasks=tasks,
        cells=cells,
        summaries=summarize(cells, plan),
        scores=tuple(_about(*score) for score in SCORES),
        versions={"Python": "3.11.7", "flowmint": "0.1.0", "torch": "2.13.0"},
        machine="x86_64, Example Processor, 2 cores, Linux",
        command="flowmint compare train.parquet --label Label --attack ARP_Spoofing --rows 10,25,100 --seeds 3",
    )


def _task(name: str, attack: str, shortcuts: tuple[str, ...]) -> TaskAbout:
    tells = (
        Tell(column="Number", class_name=attack, auc=0.9999, balanced_accuracy=0.9996 if shortcuts else 0.6),
        Tell(column="Rate", class_name=attack, auc=0.91, balanced_accuracy=0.86),
        Tell(column="Std", class_name=attack, auc=0.72, balanced_accuracy=0.68),
    )
    leakage = Leakage(
        label="Label",
        against="Benign",
        rows=10_000,
        tells=tells,
        separates=0.99,
        constants=tuple(Constant(column=name, values={"Benign": "10", attack: "100"}) for name in shortcuts),
        counters={},
        shared=0.09,
        small=(),
        shortcuts=shortcuts,
    )
    return TaskAbout(
        name=name,
        label="Label",
        attack=attack,
        benign="Benign",
        attack_rows=5000,
        benign_rows=5000,
        columns=("Number", "Rate", "Std"),
        shortcuts=shortcuts,
        leakage=leakage,
    )


def _cell(task: str, rows: int, seed: int, generator: str, shortcuts: str, *, failed: bool) -> Cell:
    rng = np.random.default_rng([rows, seed, len(generator), len(task), len(shortcuts)])
    asked = None if generator == ALL_REAL else rows
    about = {"task": task, "rows": asked, "seed": seed, "generator": generator, "shortcuts": shortcuts}
    if failed:
        return Cell(**about, seconds=0.1, error="out of memory <allocating 4 GB>")
    fewer = 0.0 if generator == ALL_REAL else (BEST[ALL_REAL] - BEST[generator]) * (1 - np.log10(rows) / 2.5) * 1.5
    f1 = BEST[ALL_REAL] - fewer - (0.05 if shortcuts == "dropped" else 0.0) + rng.normal(0, 0.01)
    detectors = {name: _detector(f1 + rng.normal(0, 0.02)) for name in DETECTORS}
    counts = {"attack_rows": asked or 2500, "benign_rows": 2500, "test_attack_rows": 2480, "test_benign_rows": 2500}
    if generator in {NONE, ALL_REAL}:
        return Cell(**about, **counts, detectors=detectors, seconds=8.0)
    scores = tuple(
        ScoreValue(name=name, value=float(rng.uniform(0.2, 0.5)) + (low == 0.5) * 0.3, reference=0.1 + low)
        for name, _, _, _, low, _ in SCORES[:-1]
    )
    absent = ScoreValue(name=SCORES[-1][0], value=None, reason=f"{rows} training rows; at least 30 are needed")
    slow = "diffusion" in generator
    return Cell(
        **about,
        **counts,
        minted_rows=2500 - rows,
        detectors=detectors,
        scores=(*scores, absent),
        fit_seconds=(30.0 if slow else 0.05) + float(rng.random()),
        rows_per_second=(17_000.0 if slow else 290_000.0) * float(rng.uniform(0.9, 1.1)),
        peak_mib=540.0 if slow else 410.0,
        seconds=60.0 if slow else 10.0,
    )


def _detector(f1: float) -> DetectorScores:
    f1 = float(np.clip(f1, 0.0, 1.0))
    return DetectorScores(f1=f1, recall=f1, precision=f1, false_positive_rate=(1 - f1) / 4, pr_auc=f1)


def _about(name: str, title: str, family: str, better: str, lowest: float, highest: float) -> ScoreAbout:
    return ScoreAbout(
        name=name,
        title=title,
        family=family,
        better=better,
        lowest=lowest,
        highest=highest,
        description=f"{title} of the minted rows, in one sentence.",
        source="an example",
    )


@pytest.fixture
def comparison() -> Comparison:
    """A made-up comparison."""
    return make_comparison()


def make_flows(rows: int = 120, attack_rows: int = 80, *, seed: int = 0) -> pl.DataFrame:
    """Draw benign and attack rows that overlap, a column that gives the attack away, and one of names."""
    rng = np.random.default_rng(seed)
    attack = np.arange(rows + attack_rows) >= rows
    return pl.DataFrame(
        {
            "Rate": rng.gamma(2.0, 10.0, len(attack)) + 12 * attack,
            "Std": rng.normal(size=len(attack)) + attack,
            "Number": np.where(attack, 100, 10),
            "Protocol": rng.choice(["tcp", "udp"], len(attack)),
            "Label": np.where(attack, "Scan", "Benign"),
        }
    )


@pytest.fixture
def task() -> Task:
    """A small task."""
    return Task(name="scan", table=make_flows(), label="Label", attack="Scan")


@pytest.fixture
def plan() -> Plan:
    """A plan that takes seconds."""
    return Plan(
        rows=(5, 10),
        seeds=(0, 1),
        generators=(NONE, "random_oversampling", ALL_REAL),
        detectors=("logistic regression",),
        most=60,
        families=(),
    )
