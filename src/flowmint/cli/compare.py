"""The verb ``compare``: generators on few real attack rows, from a table or a run file."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowmint.cli import show
from flowmint.cli.options import ForceRules, Quiet, Source, check_folder, check_forced, parse_list, parse_numbers
from flowmint.errors import ComparisonError, WriteError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from flowmint.evaluate.compare import Comparison, Plan, Run, Task
    from flowmint.progress import Progress

GENERATORS = "none,smote_standardised,data_diffusion,latent_diffusion,all_real_rows"

Report = Annotated[
    Path | None,
    typer.Option("--report", metavar="FILE", help="Write a report: .html, .md or .json."),
]
Force = Annotated[bool, typer.Option("--force", help="Replace a report or a result that exists.")]


def compare(
    source: Source | None,
    *,
    attack: Annotated[
        list[str] | None,
        typer.Option("--attack", metavar="CLASS", help="The class that shall be found; may be repeated."),
    ] = None,
    benign: Annotated[
        str | None,
        typer.Option("--benign", metavar="CLASS", help="What it is told from; the largest other class if absent."),
    ] = None,
    rows: Annotated[
        str | None, typer.Option("--rows", metavar="N,...", help="Real attack rows to train on; 25 if absent.")
    ] = None,
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", metavar="N|N,N,...", help="How many seeds, or which; 5 if absent."),
    ] = None,
    generators: Annotated[
        str | None,
        typer.Option("--generators", metavar="NAME,...", help=f"What to compare; {GENERATORS} if absent."),
    ] = None,
    detectors: Annotated[
        str | None,
        typer.Option("--detectors", metavar="NAME,...", help="Detectors to train; all that are installed if absent."),
    ] = None,
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="RULE", help="random, block, capture or group:COLUMN; random if absent."),
    ] = None,
    most: Annotated[
        int | None,
        typer.Option("--most", min=2, metavar="N", help="Most rows of a class to train and test on; 2500 if absent."),
    ] = None,
    drop_shortcuts: Annotated[
        bool, typer.Option("--drop-shortcuts", help="Also compare without the columns that give the class away.")
    ] = False,
    rules: Annotated[
        str | None,
        typer.Option(
            "--rules",
            metavar="auto|none|FILE|PROFILE",
            help="What every generator's rows satisfy, as for balance; auto if absent.",
        ),
    ] = None,
    force_rules: ForceRules = False,
    no_scores: Annotated[
        bool, typer.Option("--no-scores", help="Train detectors only, and leave the scores of minted rows out.")
    ] = False,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A run file in TOML, in place of the options above.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="FOLDER", help="Where a run file's tables are; FLOWMINT_DATA or its own folder if absent."
        ),
    ] = None,
    workers: Annotated[int, typer.Option("--workers", min=1, metavar="N", help="Cells that run at once.")] = 1,
    out: Annotated[
        Path | None, typer.Option("--out", metavar="FILE", help="Write every result as JSON.", show_default=False)
    ] = None,
    report: Report = None,
    store: Annotated[
        Path | None,
        typer.Option(
            "--store",
            metavar="FOLDER",
            help="Where finished cells are kept, to go on after a stop; beside --out or --report if absent.",
        ),
    ] = None,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Compare generators: detectors learn from few real rows and what is minted, and are tested on real rows."""
    options = {
        "--attack": attack,
        "--benign": benign,
        "--rows": rows,
        "--seeds": seeds,
        "--generators": generators,
        "--detectors": detectors,
        "--split": split,
        "--most": most,
        "--drop-shortcuts": drop_shortcuts,
        "--rules": rules,
        "--force-rules": force_rules,
        "--no-scores": no_scores,
    }
    _check_usage(source, config, data, options)
    started = time.monotonic()
    keep = _check_places(out, report, store, force=force)
    from flowmint.cli.progress import bars
    from flowmint.evaluate.compare import compare as run_comparison

    with bars(quiet=quiet) as progress, _told_where(keep):
        if config is not None:
            title, tasks, plan = _from_file(config, data, progress)
        else:
            plan = make_plan(
                rows=rows,
                seeds=seeds,
                generators=generators,
                detectors=detectors,
                split=split,
                most=most,
                drop_shortcuts=drop_shortcuts,
                rules=rules,
                force_rules=force_rules,
                no_scores=no_scores,
            )
            title, tasks = "", _tasks(source, attack or [], benign, plan, progress)
        run = run_comparison(
            tasks, plan, title=title, store=keep, workers=workers, command=command_line(), progress=progress
        )
    write(run, out=out, report=report, force=force)
    if not quiet:
        show.comparison(run.comparison)
        for place in (out, report):
            if place is not None:
                show.wrote(place, seconds=time.monotonic() - started)
    fail(run.comparison)


def make_plan(
    *,
    rows: str | None,
    seeds: str | None,
    generators: str | None,
    detectors: str | None,
    split: str | None,
    most: int | None,
    drop_shortcuts: bool,
    rules: str | None,
    force_rules: bool,
    no_scores: bool,
) -> Plan:
    """Make a plan of the command line's options.

    Raises:
        typer.BadParameter: A number is none, or rules are forced that nobody named.
        SettingError: A name is unknown.
    """
    from flowmint.evaluate.compare import INTRINSIC, Plan

    check_forced(rules, force_rules=force_rules)
    numbers = parse_numbers(seeds or "5", "--seeds")
    plan = Plan(
        rows=parse_numbers(rows or "25", "--rows"),
        seeds=tuple(range(max(numbers[0], 1))) if len(numbers) == 1 else numbers,
        generators=parse_list(generators or GENERATORS, "--generators"),
        detectors=None if detectors is None else _detectors(parse_list(detectors, "--detectors")),
        split=split or Plan.split,
        shortcuts=("kept", "dropped") if drop_shortcuts else ("kept",),
        most=most or Plan.most,
        families=() if no_scores else INTRINSIC,
        rules=rules or Plan.rules,
        force_rules=force_rules,
    )
    plan.check()
    return plan


def _detectors(given: tuple[str, ...]) -> tuple[str, ...]:
    """Take ``random_forest`` and ``xgboost`` for the detectors that they mean."""
    from flowmint.evaluate.utility import DETECTORS

    known = {name.lower().replace(" ", "_"): name for name in DETECTORS}
    return tuple(known.get(name.lower().replace(" ", "_"), name) for name in given)


def _check_usage(source: Source | None, config: Path | None, data: Path | None, options: Mapping[str, object]) -> None:
    """Refuse options that do not go together."""
    if (source is None) == (config is None):
        message = "give a TABLE with --label and --attack, or a run file with --config"
        raise typer.BadParameter(message)
    if config is not None:
        for name, value in options.items():
            if value:
                message = f"{name} is told by the run file; give --config without it"
                raise typer.BadParameter(message)
    elif not options["--attack"]:
        message = "give --attack CLASS, the class that shall be found"
        raise typer.BadParameter(message)
    elif data is not None:
        message = "--data says where the tables of a run file are; give it with --config"
        raise typer.BadParameter(message)


def _check_places(out: Path | None, report: Path | None, store: Path | None, *, force: bool) -> Path | None:
    """Check that results can be written before long work; tell where cells are kept."""
    if out is not None:
        if out.suffix.lower() != ".json":
            message = f"{out} names no format of a result; end it in .json"
            raise WriteError(message)
        if out.is_dir() or (out.exists() and not force):
            message = f"{out} exists and is kept; give another name, or allow replacing it (--force)"
            raise WriteError(message)
        check_folder(out)
    if report is not None:
        from flowmint.report import check_report

        check_report(report, force=force)
        check_folder(report)
    beside = out or report
    if store is None and beside is not None:
        store = beside.with_suffix(".cells")
    if store is not None:
        check_folder(store)
    return store


class _told_where:  # noqa: N801 - used as a function
    """Tell after Ctrl-C where finished cells are."""

    def __init__(self, store: Path | None) -> None:
        self.store = store

    def __enter__(self) -> None:
        return

    def __exit__(self, kind: type[BaseException] | None, *rest: object) -> None:
        if kind is not None and issubclass(kind, KeyboardInterrupt) and self.store is not None:
            sys.stderr.write(f"flowmint: finished cells are in {self.store}; the same command goes on from there\n")


def _from_file(config: Path, data: Path | None, progress: Progress) -> tuple[str, tuple[Task, ...], Plan]:
    from flowmint.config import read_run

    folder = data or (Path(os.environ["FLOWMINT_DATA"]) if os.environ.get("FLOWMINT_DATA") else None)
    run = read_run(config, data=folder, progress=progress)
    return run.title, run.tasks, run.plan


def _tasks(
    source: Source | None, attacks: list[str], benign: str | None, plan: Plan, progress: Progress
) -> tuple[Task, ...]:
    from flowmint.evaluate.compare import Task
    from flowmint.flows.split import CAPTURE

    if source is None:
        return ()
    table = source.read(progress, capture=CAPTURE if plan.split == "capture" else None)
    return tuple(
        Task(name=attack, table=table, label=source.label_name, attack=attack, benign=benign) for attack in attacks
    )


def command_line() -> str:
    """Write down the command that is running."""
    return shlex.join(["flowmint", *sys.argv[1:]])


def write(run: Run, *, out: Path | None, report: Path | None, force: bool) -> None:
    """Write a comparison's results.

    Args:
        run: What was found.
        out: Where to as JSON.
        report: Where to as a report.
        force: Whether files that exist may be replaced.
    """
    from flowmint.flows.write import whole_file

    if out is not None:
        with whole_file(out) as partial:
            text = json.dumps(run.comparison.to_json(), indent=1, ensure_ascii=False)
            partial.write_text(text + "\n", encoding="utf-8")
    if report is not None:
        from flowmint.report import Picture, write_report

        pictures = [
            Picture(
                title=f"{shown.task}: {shown.generator}, {shown.rows} real rows",
                real=shown.real,
                minted=shown.minted,
                train=shown.train,
                seed=shown.seed,
            )
            for shown in run.shown
        ]
        write_report(run.comparison, report, pictures=pictures, force=force)


def fail(found: Comparison) -> None:
    """End with exit code 1 where cells failed.

    Raises:
        ComparisonError: Some did; the message says which.
    """
    from flowmint.evaluate.compare import failed

    lines = failed(found.cells)
    if lines:
        raise ComparisonError("\n".join(lines))
