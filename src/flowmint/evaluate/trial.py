"""The trial: did balancing help? On rows held out of the training rows, before anybody trusts the result.

For each seed a share of every class is held out, the generator learns the rest, and detectors that tell all
classes apart are trained with and without what it mints. The answer has the form of a comparison with
one task for each class that is minted.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING

import numpy as np
import polars as pl

from flowmint.balance import balance_table, rows_to_mint
from flowmint.errors import TableError
from flowmint.evaluate.compare.cell import Shown, before_repair, peak_mib, reset_peak
from flowmint.evaluate.compare.plan import INTRINSIC, NONE, Plan
from flowmint.evaluate.compare.result import Cell, Comparison, ScoreAbout, ScoreValue, TaskAbout
from flowmint.evaluate.compare.run import Run, about_score, machine, versions
from flowmint.evaluate.compare.summarize import summarize
from flowmint.evaluate.evaluation import evaluate_tables
from flowmint.evaluate.leakage import audit_leakage
from flowmint.evaluate.utility import FOUR, DetectorScores, available_detectors, multiclass_scores
from flowmint.flows.schema import split_label
from flowmint.flows.split import HeldOut, hold_out
from flowmint.generators import make_generator
from flowmint.progress import SILENT, Progress

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flowmint.balance import Target
    from flowmint.evaluate.scores import Evaluation
    from flowmint.evaluate.utility import MulticlassScores
    from flowmint.generators import Generator
    from flowmint.generators.settings import Setting
    from flowmint.rules.ruleset import Rules

OTHERS = "all other classes"
"""What each class is told from."""

SHARE = 0.3
"""Share of every class that is held out."""

MANY_ROWS = 20_000
"""Up to so many balanced rows, all detectors are trained; above, those that are quick with many classes."""

QUICK = ("random forest", "XGBoost")


@dataclass(frozen=True)
class _Try:
    """One seed: what was split, minted and found.

    Attributes:
        seed: The seed.
        split: Training and held-out rows.
        minted: What was minted, label included.
        without: Each detector's scores without minted rows.
        with_minted: The same with them.
        evaluation: Scores of the minted rows.
        fit_seconds: Seconds of fitting.
        rows_per_second: Rows minted a second.
        peak: Highest memory in MiB.
    """

    seed: int
    split: HeldOut
    minted: pl.DataFrame
    without: Mapping[str, MulticlassScores]
    with_minted: Mapping[str, MulticlassScores]
    evaluation: Evaluation
    fit_seconds: float
    rows_per_second: float
    peak: float | None


def try_balance(
    table: pl.DataFrame,
    *,
    label: str,
    generator: str = "latent_diffusion",
    target: Target = None,
    seeds: Sequence[int] = (0, 1, 2),
    missing: str = "learn",
    rules: str | Rules = "auto",
    force_rules: bool = False,
    quality: str | None = None,
    settings: Mapping[str, Setting] | None = None,
    command: str = "",
    progress: Progress = SILENT,
) -> Run:
    """Find out on held-out rows whether balancing helps.

    Args:
        table: Real rows, label column included.
        label: Name of the label column.
        generator: A name in `flowmint.GENERATORS`.
        target: Rows that classes shall have, as `flowmint.balance_table` takes it; scaled down with the share
            of rows that is left for training.
        seeds: Seeds; each holds other rows out.
        missing: The generator's missing-value policy.
        rules: What minted rows satisfy, as `flowmint.generators.make_generator` takes it.
        force_rules: Whether they are kept although more real rows break one of them than may.
        quality: How much time minting takes, as `flowmint.generators.make_generator` takes it.
        settings: Settings of the generator that shall not be the usual ones, by name.
        command: The command line to write down.
        progress: Shows how far the work is.

    Returns:
        A comparison of minting with not minting, one task for each class of which rows are minted.

    Raises:
        TableError: Nothing would be minted, or no class that would be has rows to hold out.
        LabelError: The label column or a class is absent.
        SettingError: A target or the generator is not usable.
    """
    labels = split_label(table, label, at_least=2)[1].cast(pl.String)
    counts = dict(labels.value_counts().sort(label).iter_rows())
    wanted = [name for name, lacking in rows_to_mint(counts, target).items() if lacking]
    if not wanted:
        message = "every class has its target already, so nothing is minted that could be tried; give a higher target"
        raise TableError(message)
    if not any(round(SHARE * counts[name]) for name in wanted):
        raise _no_rows(wanted)
    models = [
        make_generator(
            generator,
            seed=seed,
            missing=missing,
            rules=rules,
            force_rules=force_rules,
            quality=quality,
            settings=settings,
        )
        for seed in seeds
    ]
    tries = [_try(table, label=label, model=model, target=target, progress=progress) for model in models]
    told = [name for name in wanted if all(_has_scores(one, name) for one in tries)]
    if not told:
        raise _no_rows(wanted)
    return _as_run(tries, told, table=table, label=label, generator=generator, command=command, progress=progress)


def _no_rows(wanted: Sequence[str]) -> TableError:
    named = ", ".join(map(repr, wanted[:5]))
    return TableError(f"none of the classes to mint ({named}) has rows to hold out; a trial needs some 4 rows of one")


def scale_target(target: Target, counts: Mapping[str, int], left: Mapping[str, int]) -> Target:
    """Scale a target down to the rows that are left for training.

    Args:
        target: As `flowmint.balance_table` takes it.
        counts: Rows of each class.
        left: Rows of each class that are left.

    Returns:
        A target for the rows that are left, never below what is there.
    """
    if target is None:
        return None
    missing = rows_to_mint(counts, target)
    goals = {name: counts[name] + lacking for name, lacking in missing.items() if lacking}
    return {
        name: max(round(goal * left[name] / counts[name]), left[name]) for name, goal in goals.items() if name in left
    }


def suitable_detectors(rows: int) -> tuple[str, ...]:
    """Choose detectors that end in reasonable time.

    Args:
        rows: Rows of the balanced table.

    Returns:
        Names of detectors that are installed.
    """
    return tuple(available_detectors(FOUR if rows <= MANY_ROWS else QUICK))


def mean_f1(scores: Mapping[str, MulticlassScores], name: str) -> float:
    """Give the F1 of one class, the mean over detectors."""
    return float(np.mean([each.classes[name].f1 for each in scores.values()]))


def _has_scores(one: _Try, name: str) -> bool:
    return all(name in each.classes for each in one.without.values())


def _try(table: pl.DataFrame, *, label: str, model: Generator, target: Target, progress: Progress) -> _Try:
    """Hold out, fit, mint, and train detectors with and without."""
    seed = model.seed
    split = hold_out(table, label=label, share=SHARE, seed=seed)
    counts, left = (dict(part[label].cast(pl.String).value_counts().iter_rows()) for part in (table, split.train))
    reset_peak()
    started = time.perf_counter()
    model.fit(split.train.drop(label), split.train[label], progress=progress)
    fitted = time.perf_counter()
    scaled = scale_target(target, counts, left)
    balanced = balance_table(split.train, label=label, generator=model, target=scaled, seed=seed, progress=progress)
    ended = time.perf_counter()
    minted = balanced[split.train.height :]
    peak = peak_mib()
    detectors = suitable_detectors(balanced.height)
    scores = []
    with progress.stage("detectors", total=2, unit="tables") as stage:
        for rows in (split.train, balanced):
            features, test = rows.drop(label), split.test.drop(label)
            scores.append(
                multiclass_scores(features, rows[label], test, split.test[label], seed=seed, detectors=detectors)
            )
            stage.advance(1)
    shared = minted.filter(pl.col(label).is_in(split.test[label].unique().implode()))
    if not shared.height:
        raise _no_rows(minted[label].cast(pl.String).unique().sort().to_list())
    evaluation = evaluate_tables(
        split.test,
        shared,
        train=split.train,
        label=label,
        rules=model.validity_.rules,
        unrepaired=before_repair(model, shared, label=label, seed=seed),
        families=INTRINSIC,
        seed=seed,
        progress=progress,
    )
    return _Try(
        seed=seed,
        split=split,
        minted=minted,
        without=scores[0],
        with_minted=scores[1],
        evaluation=evaluation,
        fit_seconds=fitted - started,
        rows_per_second=minted.height / max(ended - fitted, 1e-9),
        peak=peak,
    )


def _as_run(
    tries: Sequence[_Try],
    told: Sequence[str],
    *,
    table: pl.DataFrame,
    label: str,
    generator: str,
    command: str,
    progress: Progress,
) -> Run:
    """Give what was found the form of a comparison."""
    cells = tuple(
        cell for name in told for one in tries for cell in _cells(one, name, label=label, generator=generator)
    )
    rows = tuple(sorted({cell.rows for cell in cells if cell.rows is not None}))
    plan = Plan(
        rows=rows,
        seeds=tuple(one.seed for one in tries),
        generators=(NONE, generator),
        detectors=tuple(tries[0].without),
        most=max(table.height, 2),
        ours=generator,
        headline=max(rows),
    ).about()
    leakage = audit_leakage(table, label=label, progress=progress)
    counts = dict(table[label].cast(pl.String).value_counts().iter_rows())
    tasks = tuple(
        TaskAbout(
            name=name,
            label=label,
            attack=name,
            benign=OTHERS,
            attack_rows=counts[name],
            benign_rows=table.height - counts[name],
            columns=tuple(column for column in table.columns if column != label),
            shortcuts=leakage.shortcuts,
            leakage=replace(leakage, tells=tuple(tell for tell in leakage.tells if tell.class_name == name)),
        )
        for name in told
    )
    meanings: dict[str, ScoreAbout] = {}
    for score in (score for one in tries for part in one.evaluation.classes for score in part.scores):
        meanings.setdefault(score.name, about_score(score))
    comparison = Comparison(
        title="Does balancing help? A trial on held-out training rows",
        plan=plan,
        tasks=tasks,
        cells=cells,
        summaries=summarize(cells, plan),
        scores=tuple(meanings.values()),
        versions=versions(),
        machine=machine(),
        command=command,
    )
    return Run(comparison, tuple(_shown(tries[0], name, label=label, generator=generator) for name in told))


def _cells(one: _Try, name: str, *, label: str, generator: str) -> list[Cell]:
    """The two cells of a class and seed: without minted rows, and with them."""
    rows, tests = (_of(part, label, name).height for part in (one.split.train, one.split.test))
    empty = Cell(
        task=name,
        rows=rows,
        seed=one.seed,
        generator=NONE,
        shortcuts="kept",
        attack_rows=rows,
        benign_rows=one.split.train.height - rows,
        test_attack_rows=tests,
        test_benign_rows=one.split.test.height - tests,
    )
    scores = [part.scores for part in one.evaluation.classes if part.name == name]
    values = (
        ScoreValue(name=s.name, value=s.value, reference=s.reference, reason=s.reason)
        for s in (scores[0] if scores else ())
        if s.family in INTRINSIC
    )
    minted = replace(
        empty,
        generator=generator,
        minted_rows=_of(one.minted, label, name).height,
        scores=tuple(values),
        fit_seconds=one.fit_seconds,
        rows_per_second=one.rows_per_second,
        peak_mib=one.peak,
        notes=one.evaluation.notes,
    )
    return [
        replace(cell, detectors={d: _floats(each.classes[name]) for d, each in found.items()})
        for cell, found in ((empty, one.without), (minted, one.with_minted))
    ]


def _floats(scores: DetectorScores) -> DetectorScores:
    return DetectorScores(**{key: float(value) for key, value in asdict(scores).items()})


def _of(table: pl.DataFrame, label: str, name: str) -> pl.DataFrame:
    return table.filter(pl.col(label).cast(pl.String) == name)


def _shown(one: _Try, name: str, *, label: str, generator: str) -> Shown:
    real, minted, train = (_of(t, label, name).drop(label) for t in (one.split.test, one.minted, one.split.train))
    return Shown(
        task=name, generator=generator, rows=train.height, seed=one.seed, real=real, minted=minted, train=train
    )
