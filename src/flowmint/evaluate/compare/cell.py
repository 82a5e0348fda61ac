"""One cell: split, fit, mint, train detectors, score on real held-out rows, and count what it cost."""

from __future__ import annotations

import sys
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, cast

import numpy as np
import polars as pl

from flowmint.balance import balance_table
from flowmint.errors import FlowmintError, ScoreError, TableError
from flowmint.evaluate.compare.plan import ALL_REAL, REFERENCES, Plan
from flowmint.evaluate.compare.result import Cell, ScoreValue, Shortcuts
from flowmint.evaluate.evaluation import evaluate_tables
from flowmint.evaluate.utility import DetectorScores, available_detectors, detector_scores
from flowmint.flows.split import FewShot, few_shot

if TYPE_CHECKING:
    from flowmint.evaluate.scores import Family, Score
    from flowmint.generators import Generator

WARM_UP = 16
"""Rows minted before minting is timed, so that what happens once is not counted."""


@dataclass(frozen=True, kw_only=True)
class Job:
    """What a cell needs to run; it travels to another process, so the rows stay in a file.

    Attributes:
        table: Parquet file of the task's two classes.
        task: The task's name.
        label: Name of the label column.
        attack: The attack class.
        benign: The benign class.
        drop: Columns to leave out.
        plan: How it is measured.
        rows: Real attack rows; None for all there are.
        seed: Seed of the split, the generator and the detectors.
        generator: A generator, or a reference.
        shortcuts: Whether shortcuts are among ``drop``.
        show: Whether to keep rows to look at.
    """

    table: Path
    task: str
    label: str
    attack: str
    benign: str
    drop: tuple[str, ...]
    plan: Plan
    rows: int | None
    seed: int
    generator: str
    shortcuts: Shortcuts
    show: bool = False

    @property
    def empty(self) -> Cell:
        """The cell without a result."""
        return Cell(task=self.task, rows=self.rows, seed=self.seed, generator=self.generator, shortcuts=self.shortcuts)


@dataclass(frozen=True, kw_only=True)
class Shown:
    """Rows to look at, of one attack.

    Attributes:
        task: The task's name.
        generator: What minted.
        rows: Real attack rows that it learnt from.
        seed: Its seed.
        real: Held-out attack rows [rows, columns], without the label.
        minted: Minted attack rows.
        train: The real attack rows that it learnt from.
    """

    task: str
    generator: str
    rows: int
    seed: int
    real: pl.DataFrame
    minted: pl.DataFrame
    train: pl.DataFrame


@dataclass(frozen=True)
class Outcome:
    """What a job gives back.

    Attributes:
        cell: The result.
        scores: The intrinsic scores in full, for what they mean.
        shown: Rows to look at, where the job asks for them.
    """

    cell: Cell
    scores: tuple[Score, ...] = ()
    shown: Shown | None = None


def run_job(job: Job) -> Outcome:
    """Run one cell; whatever goes wrong in it becomes its result, so that the other cells go on.

    Args:
        job: What to do.

    Returns:
        The cell, with results or with what went wrong.
    """
    started = time.perf_counter()
    try:
        outcome = _run(job)
    except FlowmintError as error:
        outcome = Outcome(replace(job.empty, error=str(error).splitlines()[0]))
    except Exception as error:  # noqa: BLE001 - a generator that fails in whatever way must not end the others
        outcome = Outcome(replace(job.empty, error=f"{type(error).__name__}: {error}".splitlines()[0]))
    seconds = time.perf_counter() - started
    return replace(outcome, cell=replace(outcome.cell, seconds=seconds))


def lost(job: Job, told: str) -> Outcome:
    """Give the outcome of a job whose process died, told how."""
    return Outcome(replace(job.empty, error=f"its process {told}; give fewer rows, or fewer --workers"))


def _run(job: Job) -> Outcome:
    table = pl.read_parquet(job.table).drop(job.drop)
    plan = job.plan
    split = few_shot(
        table,
        label=job.label,
        attack=job.attack,
        benign=job.benign,
        rows=1 if job.rows is None else job.rows,
        most=plan.most,
        seed=job.seed,
        by=plan.by,
    )
    _check_test(split, job)
    if job.generator in REFERENCES:
        train = split.full if job.generator == ALL_REAL else split.train
        return Outcome(_measure(job, train, split, train=train))
    return _run_generator(job, split)


def _check_test(split: FewShot, job: Job) -> None:
    """Refuse a task without test rows of both classes."""
    for name in (job.attack, job.benign):
        if not _rows_of(split.test, job, name).height:
            message = (
                f"no test row of {name!r} remains once those that also stand in training are left out; "
                "keep more columns, or give more rows"
            )
            raise FlowmintError(message)


def _rows_of(table: pl.DataFrame, job: Job, name: str) -> pl.DataFrame:
    return table.filter(pl.col(job.label).cast(pl.String) == name)


def _run_generator(job: Job, split: FewShot) -> Outcome:
    """Fit, mint and measure."""
    reset_peak()
    model = job.plan.generator(job.generator, seed=job.seed)
    started = time.perf_counter()
    model.fit(split.train.drop(job.label), split.train[job.label])
    fit_seconds = time.perf_counter() - started
    rate = _rate(model, job)
    balanced = balance_table(split.train, label=job.label, generator=model, seed=job.seed)
    peak = peak_mib()
    minted = _rows_of(balanced[split.train.height :], job, job.attack)
    scores, notes = _intrinsic(job, split, minted, model)
    cell = _measure(job, balanced, split, train=split.train)
    cell = replace(
        cell,
        scores=tuple(ScoreValue(name=s.name, value=s.value, reference=s.reference, reason=s.reason) for s in scores),
        fit_seconds=fit_seconds,
        rows_per_second=rate,
        peak_mib=peak,
        notes=notes,
    )
    return Outcome(cell, scores, _show(job, split, minted) if job.show else None)


def _show(job: Job, split: FewShot, minted: pl.DataFrame) -> Shown:
    real, train = (_rows_of(table, job, job.attack).drop(job.label) for table in (split.test, split.train))
    shown = minted.drop(job.label).head(job.plan.most)
    return Shown(
        task=job.task, generator=job.generator, rows=train.height, seed=job.seed, real=real, minted=shown, train=train
    )


def _rate(model: Generator, job: Job) -> float:
    """Time the minting of as many attack rows as a class may have."""
    model.sample_table(WARM_UP, label=job.attack, seed=job.seed + 1)
    started = time.perf_counter()
    model.sample_table(job.plan.most, label=job.attack, seed=job.seed + 1)
    return job.plan.most / max(time.perf_counter() - started, 1e-9)


def _intrinsic(
    job: Job, split: FewShot, minted: pl.DataFrame, model: Generator
) -> tuple[tuple[Score, ...], tuple[str, ...]]:
    """Score the minted attack rows against held-out ones; where that cannot be, tell why."""
    if not job.plan.families:
        return (), ()
    if not minted.height:
        return (), ("nothing was minted of the attack, so there are no scores of minted rows",)
    decoded = None
    if "validity" in job.plan.families:
        decoded = before_repair(model, minted, label=job.label, seed=job.seed).drop(job.label)
    try:
        found = evaluate_tables(
            _rows_of(split.test, job, job.attack).drop(job.label),
            minted.drop(job.label),
            train=_rows_of(split.train, job, job.attack).drop(job.label),
            rules=model.validity_.rules,
            unrepaired=decoded,
            families=cast("tuple[Family, ...]", job.plan.families),
            seed=job.seed,
        )
    except (TableError, ScoreError) as error:
        return (), (f"no scores of minted rows: {error}",)
    return found.scores, found.notes


def before_repair(model: Generator, minted: pl.DataFrame, *, label: str, seed: int) -> pl.DataFrame:
    """Mint rows again, as they were before any was repaired.

    Args:
        model: The fitted generator that minted them.
        minted: What it minted, label column included [rows, columns].
        label: Name of the label column.
        seed: The seed that they were minted with.

    Returns:
        As many rows of each class, label column included.
    """
    parts = []
    for value in minted[label].unique(maintain_order=True):
        labels = minted[label].filter(minted[label] == value)
        rows = model.sample_table(len(labels), label=value, seed=seed, repair=False)
        parts.append(rows.with_columns(labels.alias(label)).select(minted.columns))
    return pl.concat(parts)


def _measure(job: Job, balanced: pl.DataFrame, split: FewShot, *, train: pl.DataFrame) -> Cell:
    """Train detectors on a balanced table and score them on the test rows."""
    names = balanced[job.label].cast(pl.String), split.test[job.label].cast(pl.String)
    is_attack, test_is_attack = ((labels == job.attack).to_numpy() for labels in names)
    detectors = detector_scores(
        balanced.drop(job.label),
        is_attack,
        split.test.drop(job.label),
        test_is_attack,
        seed=job.seed,
        detectors=job.plan.detectors or available_detectors(),
    )
    attack_rows = _rows_of(train, job, job.attack).height
    return replace(
        job.empty,
        attack_rows=attack_rows,
        benign_rows=train.height - attack_rows,
        minted_rows=balanced.height - train.height,
        test_attack_rows=int(np.sum(test_is_attack)),
        test_benign_rows=int(np.sum(~test_is_attack)),
        detectors={name: DetectorScores(**_floats(found)) for name, found in detectors.items()},
    )


def _floats(scores: DetectorScores) -> dict[str, float]:
    """Make scores plain numbers, as JSON wants them."""
    return {name: float(value) for name, value in asdict(scores).items()}


def reset_peak() -> None:
    """Forget the highest memory that this process had, where the system can (Linux)."""
    place = Path("/proc/self/clear_refs")
    try:
        place.write_text("5", encoding="ascii")
    except OSError:
        return


def peak_mib() -> float | None:
    """Tell the highest resident memory of this process, since `reset_peak` where it can, in MiB; None on Windows."""
    status = Path("/proc/self/status")
    if status.exists():
        for line in status.read_text(encoding="ascii", errors="replace").splitlines():
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) / 1024
    if sys.platform == "win32":
        return None
    import resource  # noqa: PLC0415 - Windows has none

    usage = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return usage / (2**20 if sys.platform == "darwin" else 1024)
