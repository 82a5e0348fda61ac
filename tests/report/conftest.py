"""A comparison, an evaluation and rows to make reports of, by hand and small."""

from __future__ import annotations

import math

import numpy as np
import polars as pl
import pytest

from flowmint.evaluate.compare.result import (
    Cell,
    Comparison,
    Estimate,
    PlanAbout,
    ScoreAbout,
    ScoreValue,
    Summary,
    TaskAbout,
)
from flowmint.evaluate.leakage import audit_leakage
from flowmint.evaluate.scores import ClassScores, ColumnValue, Evaluation, Score
from flowmint.report import Picture, summarize

HOSTILE = "<script>alert('x')</script> & ünïcode | `*_[](#)` " + "long" * 40
GENERATORS = ("none", "smote", "vae", "latent_diffusion")
LIFT = {"none": 0.0, "smote": 0.2, "vae": 0.25, "latent_diffusion": 0.35}
DETECTORS = ("logistic regression", "random forest")


def make_rows(rows: int, *, seed: int, shift: float = 0.0) -> pl.DataFrame:
    rng = np.random.default_rng(seed)
    normal = rng.normal(size=rows)
    return pl.DataFrame(
        {
            "Rate": np.exp(3 * normal + shift),
            "IAT": normal + rng.normal(size=rows) + shift,
            "Number": rng.integers(0, 4, rows),
            "<b>proto</b>": rng.choice(["tcp", "udp", "ünïcode"], rows),
            "Constant": np.ones(rows),
            "Gap": np.where(rng.random(rows) < 0.1, np.nan, rng.random(rows)),
        }
    )


@pytest.fixture(scope="session")
def picture() -> Picture:
    """Rows of one class, small."""
    return Picture(
        title="latent_diffusion, 25 real rows",
        real=make_rows(60, seed=0),
        minted=make_rows(50, seed=1, shift=0.5),
        train=make_rows(8, seed=2),
    )


def estimate(mean: float, spread: float | None = 0.03) -> Estimate:
    if spread is None:
        return Estimate(mean=mean, low=None, high=None, count=1)
    return Estimate(mean=mean, low=mean - spread, high=mean + spread, count=5)


def make_summary(task: str, generator: str, rows: int | None, *, shortcuts: str = "kept") -> Summary:
    base = 0.3 + 0.1 * math.log10((rows or 50) / 10)
    f1 = 0.93 if generator == "all_real_rows" else base + LIFT[generator]
    gain = None if generator == "none" else estimate(f1 - base)
    measured = generator in {"smote", "vae", "latent_diffusion"}
    f1s = {"f1": estimate(f1), "recall": estimate(f1), "false_positive_rate": estimate(0.02), "pr_auc": estimate(f1)}
    return Summary(
        task=task,
        rows=rows,
        shortcuts=shortcuts,
        generator=generator,
        seeds=(0, 1),
        failed=0,
        metrics=f1s,
        detectors=dict.fromkeys(DETECTORS, f1s),
        gain=gain,
        ours_ahead=None if generator == "latent_diffusion" else estimate(0.35 - LIFT.get(generator, 0.6)),
        gap_closed=None if generator == "none" else (f1 - base) / (0.93 - base),
        verdict="not available" if generator == "none" else "helps",
        scores={"column_error": estimate(0.1 - LIFT[generator] / 5)} if measured else {},
        references={"column_error": estimate(0.02)} if measured else {},
        fit_seconds=10 * LIFT[generator] if measured else None,
        rows_per_second=1e4 * (0.5 - LIFT[generator]) if measured else None,
        peak_mib=300.0 if measured else None,
    )


def make_comparison(
    *, task: str = "man in the middle", attack: str = "ARP_Spoofing", rows: tuple[int, ...] = (10, 25, 100)
) -> Comparison:
    table = make_rows(80, seed=3).with_columns(pl.Series("Label", ["Benign"] * 40 + [attack] * 40))
    audit = audit_leakage(table, label="Label", benign="Benign")
    cells = [
        Cell(
            task=task, rows=rows[0], seed=0, generator="vae", shortcuts="kept", error=f"ValueError: no rows of {attack}"
        ),
        Cell(
            task=task,
            rows=rows[0],
            seed=1,
            generator="vae",
            shortcuts="kept",
            scores=(ScoreValue(name="mia_auc", value=None, reason="fewer than 20 rows"),),
        ),
    ]
    names = ("none", "smote", "vae", "latent_diffusion")
    summaries = [make_summary(task, name, count) for name in names for count in (*rows, None)]
    summaries.append(make_summary(task, "all_real_rows", None))
    about = {"source": "a paper, eq. 1", "lowest": 0.0, "highest": 1.0}
    return Comparison(
        title=f"Do minted rows help to detect {attack}?",
        plan=PlanAbout(
            rows=rows,
            seeds=(0, 1),
            generators=(*names, "all_real_rows"),
            settings={"vae": {"steps": 100}},
            detectors=DETECTORS,
            split="random",
            shortcuts=("kept",),
            most=2500,
            families=("distribution", "privacy"),
            ours="latent_diffusion",
            headline=100,
        ),
        tasks=(
            TaskAbout(
                name=task,
                label="Label",
                attack=attack,
                benign="Benign",
                attack_rows=40,
                benign_rows=40,
                columns=tuple(table.columns[:-1]),
                shortcuts=audit.shortcuts,
                leakage=audit,
            ),
        ),
        cells=tuple(cells),
        summaries=tuple(summaries),
        scores=(
            ScoreAbout(
                name="column_error",
                title="Column error",
                family="distribution",
                better="lower",
                description="Mean distance of columns.",
                **about,
            ),
            ScoreAbout(
                name="mia_auc",
                title="Membership inference",
                family="privacy",
                better="lower",
                description="Whether members are known.",
                **about,
            ),
        ),
        versions={"flowmint": "0.1.0", "Python": "3.11.2"},
        machine="2 cores",
        command="flowmint compare train.parquet --label Label --attack ARP_Spoofing --rows 10,25,100",
    )


def make_score(name: str = "column_error", **changes) -> Score:
    given = {
        "name": name,
        "title": name.replace("_", " ").capitalize(),
        "family": "distribution",
        "value": 0.05,
        "lowest": 0.0,
        "highest": 1.0,
        "better": "lower",
        "reference": 0.02,
        "description": "Mean distance of columns.",
        "source": "Kolmogorov–Smirnov",
    }
    return Score(**(given | changes))


def make_evaluation(*, attack: str = "ARP_Spoofing") -> Evaluation:
    parts = (ColumnValue(("Rate",), 0.2, 0.02), ColumnValue(("IAT",), 0.01, 0.02), ColumnValue((HOSTILE,), 0.1))
    scores = (
        make_score(per_column=parts),
        make_score("wasserstein", highest=math.inf, value=0.4),
        make_score("coverage", family="diversity", better="higher", value=0.7, reference=0.95),
        make_score(
            "mia_auc", family="privacy", value=None, reference=None, reason="only 8 training rows; 20 are needed"
        ),
    )
    return Evaluation(
        scores=scores,
        classes=(ClassScores(name=attack, real_rows=60, minted_rows=50, train_rows=8, scores=scores),),
        label="Label",
        columns=("Rate", "IAT", HOSTILE),
        real_rows=60,
        minted_rows=50,
        train_rows=8,
        seed=0,
        notes=("Column 'Constant' is constant and was left out.",),
    )


@pytest.fixture(scope="session")
def comparison() -> Comparison:
    """A comparison of one task, with one failed cell."""
    return make_comparison()


@pytest.fixture(scope="session")
def evaluation() -> Evaluation:
    """An evaluation with a score that is not available."""
    return make_evaluation()


@pytest.fixture(scope="session", params=["comparison", "evaluation"])
def document(request, picture):
    """The dict of a comparison's report, then that of an evaluation's."""
    return summarize(request.getfixturevalue(request.param), pictures=[picture])


@pytest.fixture
def comparison_of():
    """What makes a comparison of another attack."""
    return make_comparison


@pytest.fixture
def evaluation_of():
    """What makes an evaluation of another attack."""
    return make_evaluation


@pytest.fixture
def hostile() -> str:
    """A class name that is long, not of ASCII, and full of signs that formats give a meaning."""
    return HOSTILE
