"""The verb ``balance``: mint what rare classes lack, choose how much, and find out whether it helped."""

from __future__ import annotations

import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowmint.cli import show
from flowmint.cli.compare import Force, command_line, write
from flowmint.cli.options import (
    GeneratorName,
    MintedRules,
    Missing,
    OutTable,
    Quiet,
    Seed,
    Source,
    check_out,
    parse_targets,
)

if TYPE_CHECKING:
    from flowmint.balance import Target
    from flowmint.evaluate.auto import AutoTargets

DEFAULT_GENERATOR = "latent_diffusion"


def balance(
    source: Source,
    *,
    out: OutTable,
    target: Annotated[
        list[str] | None,
        typer.Option(
            "--target",
            metavar="N|CLASS=N",
            help="Rows of every class, or of one class (may be repeated); the largest class's if absent.",
        ),
    ] = None,
    auto: Annotated[
        bool,
        typer.Option("--auto", help="Choose by cross-validation, class by class, whether and how much to mint."),
    ] = False,
    generator: GeneratorName = None,
    model: Annotated[
        Path | None,
        typer.Option("--model", metavar="FOLDER", help="Mint from this model folder instead of learning."),
    ] = None,
    origin: Annotated[
        str | None,
        typer.Option("--origin", metavar="COLUMN", help="Add a column that says of each row: real or minted."),
    ] = None,
    report: Annotated[
        Path | None,
        typer.Option(
            "--report",
            metavar="FILE",
            help="Try it on held-out training rows first and tell whether it helps: .html, .md or .json.",
        ),
    ] = None,
    force: Force = False,
    missing: Missing = "learn",
    rules: MintedRules = "auto",
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Mint rows of rare classes until every class has its target; real rows first, minted rows after."""
    targets: Target = parse_targets(target)
    _check_usage(model, generator, targets, auto=auto, report=report)
    from flowmint.balance import balance_table
    from flowmint.cli.progress import bars
    from flowmint.flows.write import write_table
    from flowmint.generators import load_generator, make_generator

    started = time.monotonic()
    check_out(out, source=source.path)
    if report is not None:
        from flowmint.report import check_report

        check_report(report, force=force)
    name = generator or DEFAULT_GENERATOR
    mint = load_generator(model) if model else make_generator(name, seed=seed, missing=missing, rules=rules)
    chosen: AutoTargets | None = None
    trial = None
    with bars(quiet=quiet) as progress:
        table = source.read(progress)
        if auto:
            from flowmint.evaluate.auto import choose_targets

            chosen = choose_targets(
                table,
                label=source.label_name,
                generator=name,
                seed=seed,
                missing=missing,
                rules=rules,
                progress=progress,
            )
            targets = chosen.targets
        if report is not None and targets != {}:
            from flowmint.evaluate.trial import try_balance

            trial = try_balance(
                table,
                label=source.label_name,
                generator=name,
                target=targets,
                seeds=(seed, seed + 1, seed + 2),
                missing=missing,
                rules=rules,
                command=command_line(),
                progress=progress,
            )
        balanced = balance_table(
            table,
            label=source.label_name,
            generator=mint,
            target=targets,
            origin=origin,
            seed=seed,
            progress=progress,
        )
    write_table(balanced, out)
    if trial is not None:
        write(trial, out=None, report=report, force=force)
    if quiet:
        return
    if chosen is not None:
        show.choices(chosen)
    if trial is not None:
        show.comparison(trial.comparison)
    show.balanced(table, balanced, label=source.label_name)
    show.written(out, rows=balanced.height, seconds=time.monotonic() - started)
    if trial is not None and report is not None:
        show.wrote(report, seconds=time.monotonic() - started)
    elif report is not None:
        show.no_report(report)


def _check_usage(model: Path | None, generator: str | None, target: Target, *, auto: bool, report: Path | None) -> None:
    """Refuse options that do not go together."""
    if model is not None and generator is not None:
        message = "--model is what a generator learnt before; give --model or --generator, not both"
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
