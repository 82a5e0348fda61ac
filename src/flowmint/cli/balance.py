"""The verb ``balance``: mint what rare classes lack, choose how much, and find out whether it helped."""

from __future__ import annotations

import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowmint.cli import show
from flowmint.cli.compare import command_line, write
from flowmint.cli.options import (
    DEFAULT_GENERATOR,
    Device,
    Force,
    ForceRules,
    GeneratorName,
    Learner,
    LearnRows,
    MintedRules,
    Missing,
    OutTable,
    Quality,
    Quiet,
    Ray,
    Seed,
    Settings,
    Source,
    Streamed,
    check_out,
    check_report,
    check_stream,
    on_cluster,
    parse_settings,
    parse_targets,
)

if TYPE_CHECKING:
    import polars as pl

    from flowmint.balance import Balanced, Minter, Target
    from flowmint.evaluate.auto import AutoTargets
    from flowmint.evaluate.compare import Run
    from flowmint.generators import Generator
    from flowmint.generators.adherence import Adherence
    from flowmint.large import BalancedFile
    from flowmint.progress import Progress

TRIALS = 3
"""Seeds that a trial takes."""

Targets = Annotated[
    list[str] | None,
    typer.Option(
        "--target",
        metavar="N|CLASS=N",
        help="Rows of every class, or of one class (may be repeated); the largest class's if absent.",
    ),
]
Auto = Annotated[
    bool,
    typer.Option("--auto", help="Choose by cross-validation, class by class, whether and how much to mint."),
]
Model = Annotated[
    Path | None,
    typer.Option("--model", metavar="FOLDER", help="Mint from this model folder instead of learning."),
]
Origin = Annotated[
    str | None,
    typer.Option("--origin", metavar="COLUMN", help="Add a column that says of each row: real or minted."),
]
TrialReport = Annotated[
    Path | None,
    typer.Option(
        "--report",
        metavar="FILE",
        help="Try it on held-out training rows first and tell whether it helps: .html, .md or .json.",
    ),
]


def balance(
    source: Source,
    *,
    out: OutTable,
    target: Targets = None,
    auto: Auto = False,
    generator: GeneratorName = None,
    model: Model = None,
    origin: Origin = None,
    report: TrialReport = None,
    force: Force = False,
    missing: Missing = "learn",
    rules: MintedRules = "auto",
    force_rules: ForceRules = False,
    settings: Settings = None,
    quality: Quality = None,
    device: Device = None,
    ray: Ray = None,
    seed: Seed = 0,
    stream: Streamed = None,
    learn_rows: LearnRows = None,
    quiet: Quiet = False,
) -> None:
    """Mint rows of rare classes until every class has its target; real rows first, minted rows after."""
    targets: Target = parse_targets(target)
    _check_usage(model, generator, targets, rules, auto=auto, report=report)
    _check_settings(model, settings)
    learner = Learner(
        name=generator or DEFAULT_GENERATOR,
        missing=missing,
        rules=rules,
        force_rules=force_rules,
        seed=seed,
        quality=quality,
        device=device,
        settings=parse_settings(settings),
    )
    check_out(out, source=source.path)
    check_report(report, force=force)
    asked = _Asked(
        out=out,
        target=targets,
        auto=auto,
        origin=origin,
        report=report,
        force=force,
        learn_rows=learn_rows,
        ray=ray,
        quiet=quiet,
    )
    mint = _generator(learner, model)
    streamed = check_stream(source, stream=stream, learn_rows=learn_rows)
    if streamed:
        _check_streamed(model, learn_rows, auto=auto, report=report)
    with on_cluster(ray):
        if streamed:
            _balance_large(source, mint, asked, seed=seed)
        else:
            _balance_table(source, mint, learner, asked)


@dataclass(frozen=True, kw_only=True)
class _Asked:
    """What is to be minted, and where it goes."""

    out: Path
    target: Target
    auto: bool
    origin: str | None
    report: Path | None
    force: bool
    learn_rows: int | None
    ray: str | None
    quiet: bool

    @property
    def minter(self) -> Minter:
        """What mints the rows of a class: this process, or a cluster, whose parts lie beside the output."""
        from flowmint.balance import mint_here

        if self.ray is None:
            return mint_here
        from flowmint.cluster import mint_parts_on_cluster

        return partial(mint_parts_on_cluster, beside=self.out.resolve().parent, address=self.ray)


def _balance_table(source: Source, mint: Generator, learner: Learner, asked: _Asked) -> None:
    """Balance a table in memory and tell what it has become."""
    from flowmint.balance import balance_rows
    from flowmint.cli.progress import bars

    started, label, target = time.monotonic(), source.label_name, asked.target
    chosen = trial = None
    with bars(quiet=asked.quiet) as progress:
        table = source.read(progress)
        if asked.auto:
            chosen = _choose(table, label, learner, progress)
            target = chosen.targets
        if asked.report is not None and target != {}:
            trial = _try(table, label, learner, target, progress)
        done = balance_rows(
            table,
            label=label,
            generator=mint,
            target=target,
            origin=asked.origin,
            seed=learner.seed,
            minter=asked.minter,
            progress=progress,
        )
        kept = None if asked.quiet else _check_rows(done, label, progress)
    _write(done, trial, out=asked.out, report=asked.report, force=asked.force)
    if not asked.quiet:
        _show(done, chosen, trial, kept, label=label)
        _show_places(done, trial, out=asked.out, report=asked.report, seconds=time.monotonic() - started)


def _balance_large(source: Source, mint: Generator, asked: _Asked, *, seed: int) -> None:
    """Balance a table batch by batch and tell what it has become."""
    from flowmint.cli.progress import bars

    started = time.monotonic()
    with bars(quiet=asked.quiet) as progress:
        written = _balance_stream(source, mint, asked, seed=seed, progress=progress)
    if not asked.quiet:
        _show_file(written, asked.out, seconds=time.monotonic() - started)


def _balance_stream(source: Source, mint: Generator, asked: _Asked, *, seed: int, progress: Progress) -> BalancedFile:
    """Balance a table that is read batch by batch."""
    from flowmint.generators.streamed import LEARN_ROWS
    from flowmint.large import balance_stream

    with source.stream(progress, beside=asked.out, ray=asked.ray) as stream:
        return balance_stream(
            stream,
            asked.out,
            label=source.label_name,
            generator=mint,
            target=asked.target,
            origin=asked.origin,
            seed=seed,
            learn_rows=asked.learn_rows or LEARN_ROWS,
            minter=asked.minter,
            progress=progress,
        )


def _show_file(done: BalancedFile, out: Path, *, seconds: float) -> None:
    """Tell what a streamed table has become."""
    show.balanced_file(done)
    if done.generator is not None and done.adherence is not None:
        show.drawn(done.generator)
        show.adherence(done.adherence, wanted=done.generator.rules)
    show.written(out, rows=done.rows, seconds=seconds)


def _check_streamed(model: Path | None, learn_rows: int | None, *, auto: bool, report: Path | None) -> None:
    """Refuse options that a streamed table does not go with."""
    if auto or report is not None:
        option = "--auto" if auto else "--report"
        message = (
            f"{option} tries on rows in memory, but the table is streamed; give {option} a table of fewer rows to find "
            "out what to mint, then --target here, or read this one into memory (--no-stream)"
        )
        raise typer.BadParameter(message)
    if model is not None and learn_rows is not None:
        message = "--model has learnt before, and --learn-rows says how many rows to learn from; give one of them"
        raise typer.BadParameter(message)


def _check_settings(model: Path | None, settings: list[str] | None) -> None:
    """Refuse settings of what has learnt before."""
    if model is not None and settings:
        message = "--model has learnt before, and --set says how to learn; give one of them"
        raise typer.BadParameter(message)


def _generator(learner: Learner, model: Path | None) -> Generator:
    """Give what mints: a fitted model, or a generator that is to learn."""
    if model is None:
        return learner.make()
    from flowmint.generators import load_generator

    return load_generator(model, device=learner.device).at_quality(learner.quality)


def _choose(table: pl.DataFrame, label: str, learner: Learner, progress: Progress) -> AutoTargets:
    """Choose targets by cross-validation."""
    from flowmint.evaluate.auto import choose_targets

    return choose_targets(
        table,
        label=label,
        generator=learner.name,
        seed=learner.seed,
        missing=learner.missing,
        rules=learner.rules,
        force_rules=learner.force_rules,
        quality=learner.quality,
        settings=learner.settings,
        progress=progress,
    )


def _try(table: pl.DataFrame, label: str, learner: Learner, target: Target, progress: Progress) -> Run:
    """Try on held-out rows whether it helps."""
    from flowmint.evaluate.trial import try_balance

    return try_balance(
        table,
        label=label,
        generator=learner.name,
        target=target,
        seeds=tuple(range(learner.seed, learner.seed + TRIALS)),
        missing=learner.missing,
        rules=learner.rules,
        force_rules=learner.force_rules,
        quality=learner.quality,
        settings=learner.settings,
        command=command_line(),
        progress=progress,
    )


def _check_rows(done: Balanced, label: str, progress: Progress) -> Adherence | None:
    """Count the rows that break rules; None where nothing was minted."""
    if done.generator is None:
        return None
    from flowmint.generators.adherence import measure_adherence

    return measure_adherence(done.generator, done.real, minted=done.minted, label=label, progress=progress)


def _write(done: Balanced, trial: Run | None, *, out: Path, report: Path | None, force: bool) -> None:
    from flowmint.flows.write import write_table

    write_table(done.table, out)
    if trial is not None:
        write(trial, out=None, report=report, force=force)


def _show(done: Balanced, chosen: AutoTargets | None, trial: Run | None, kept: Adherence | None, *, label: str) -> None:
    """Tell what was chosen, whether it helps, and what there is now."""
    if chosen is not None:
        show.choices(chosen)
    if trial is not None:
        show.comparison(trial.comparison)
    show.balanced(done.real, done.table, label=label)
    if done.generator is not None and kept is not None:
        show.adherence(kept, wanted=done.generator.rules)


def _show_places(done: Balanced, trial: Run | None, *, out: Path, report: Path | None, seconds: float) -> None:
    """Tell where results are."""
    show.written(out, rows=done.table.height, seconds=seconds)
    if report is not None and trial is not None:
        show.wrote(report, seconds=seconds)
    elif report is not None:
        show.no_report(report)


def _check_usage(
    model: Path | None, generator: str | None, target: Target, rules: str, *, auto: bool, report: Path | None
) -> None:
    """Refuse options that do not go together."""
    if model is not None and generator is not None:
        message = "--model is what a generator learnt before; give --model or --generator, not both"
        raise typer.BadParameter(message)
    if model is not None and rules != "auto":
        message = "--model keeps the rules that it was fitted with; give --rules to fit, or --generator for --model"
        raise typer.BadParameter(message)
    if model is not None and (auto or report is not None):
        option = "--auto" if auto else "--report"
        message = (
            f"{option} learns again on a part of the rows and tries on the others, which a model that was fitted "
            "before may have seen; give --generator in place of --model"
        )
        raise typer.BadParameter(message)
    if auto and target is not None:
        message = "--auto chooses the targets; give --auto or --target, not both"
        raise typer.BadParameter(message)
