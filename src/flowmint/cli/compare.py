"""The verb ``compare``: generators on few real attack rows, from a table or a run file."""

from __future__ import annotations

import json
import os
import shlex
import sys
import time
from dataclasses import dataclass, fields
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flowmint.cli import show
from flowmint.cli.options import (
    Force,
    ForceRules,
    Quiet,
    Report,
    Source,
    check_folder,
    check_forced,
    check_report,
    check_result,
    parse_list,
    parse_numbers,
)
from flowmint.errors import ComparisonError, WriteError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flowmint.evaluate.compare import Comparison, Plan, Run, Task
    from flowmint.evaluate.compare.result import Shortcuts
    from flowmint.progress import Progress

GENERATORS = "none,smote_standardised,data_diffusion,latent_diffusion,all_real_rows"

OF_FILE = {
    "--data": "says where the tables of a run file are",
    "--task": "names a task of a run file",
    "--shortcuts": "says which comparison of a run file's to make",
}
"""What the options are for that go with ``--config`` alone."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """What to compare, as the command line says it; each field is an option, and a run file takes the place of all."""

    attack: Annotated[
        list[str] | None,
        typer.Option("--attack", metavar="CLASS", help="The class that shall be found; may be repeated."),
    ] = None
    benign: Annotated[
        str | None,
        typer.Option("--benign", metavar="CLASS", help="What it is told from; the largest other class if absent."),
    ] = None
    rows: Annotated[
        str | None, typer.Option("--rows", metavar="N,...", help="Real attack rows to train on; 25 if absent.")
    ] = None
    seeds: Annotated[
        str | None,
        typer.Option("--seeds", metavar="N|N,N,...", help="How many seeds, or which; 5 if absent."),
    ] = None
    generators: Annotated[
        str | None,
        typer.Option("--generators", metavar="NAME,...", help=f"What to compare; {GENERATORS} if absent."),
    ] = None
    detectors: Annotated[
        str | None,
        typer.Option("--detectors", metavar="NAME,...", help="Detectors to train; all that are installed if absent."),
    ] = None
    split: Annotated[
        str | None,
        typer.Option("--split", metavar="RULE", help="random, block, capture or group:COLUMN; random if absent."),
    ] = None
    most: Annotated[
        int | None,
        typer.Option("--most", min=2, metavar="N", help="Most rows of a class to train and test on; 2500 if absent."),
    ] = None
    drop_shortcuts: Annotated[
        bool, typer.Option("--drop-shortcuts", help="Also compare without the columns that give the class away.")
    ] = False
    rules: Annotated[
        str | None,
        typer.Option(
            "--rules",
            metavar="auto|none|FILE|PROFILE",
            help="What every generator's rows satisfy, as for balance; auto if absent.",
        ),
    ] = None
    force_rules: ForceRules = False
    no_scores: Annotated[
        bool, typer.Option("--no-scores", help="Train detectors only, and leave the scores of minted rows out.")
    ] = False

    @property
    def given(self) -> list[str]:
        """The options that were given."""
        return [f"--{part.name.replace('_', '-')}" for part in fields(self) if getattr(self, part.name)]

    def plan(self) -> Plan:
        """Make the plan.

        Raises:
            typer.BadParameter: A number is none, or rules are forced that nobody named.
            SettingError: A name is unknown.
        """
        from flowmint.evaluate.compare import INTRINSIC, Plan

        check_forced(self.rules, force_rules=self.force_rules)
        seeds = parse_numbers(self.seeds or "5", "--seeds")
        plan = Plan(
            rows=parse_numbers(self.rows or "25", "--rows"),
            seeds=tuple(range(max(seeds[0], 1))) if len(seeds) == 1 else seeds,
            generators=parse_list(self.generators or GENERATORS, "--generators"),
            detectors=None if self.detectors is None else _detectors(parse_list(self.detectors, "--detectors")),
            split=self.split or Plan.split,
            shortcuts=("kept", "dropped") if self.drop_shortcuts else ("kept",),
            most=self.most or Plan.most,
            families=() if self.no_scores else INTRINSIC,
            rules=self.rules or Plan.rules,
            force_rules=self.force_rules,
        )
        plan.check()
        return plan

    def tasks(self, source: Source, plan: Plan, progress: Progress) -> tuple[Task, ...]:
        """Read the table, and make a task of each attack."""
        from flowmint.evaluate.compare import Task
        from flowmint.flows.split import CAPTURE

        table = source.read(progress, capture=CAPTURE if plan.split == "capture" else None)
        return tuple(
            Task(name=attack, table=table, label=source.label_name, attack=attack, benign=self.benign)
            for attack in self.attack or ()
        )


def compare(
    source: Source | None,
    *,
    asked: Asked,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A run file in TOML, in place of the options above.")
    ] = None,
    data: Annotated[
        Path | None,
        typer.Option(
            "--data", metavar="FOLDER", help="Where a run file's tables are; FLOWMINT_DATA or its own folder if absent."
        ),
    ] = None,
    task: Annotated[
        list[str] | None,
        typer.Option("--task", metavar="NAME", help="Only this task of the run file; may be repeated."),
    ] = None,
    shortcuts: Annotated[
        Literal["kept", "dropped"] | None,
        typer.Option(
            "--shortcuts",
            help="Only one of a run file's two: with the columns that give the class away, or without.",
            show_default=False,
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
    _check_usage(source, config, {"--data": data, "--task": task, "--shortcuts": shortcuts}, asked)
    started = time.monotonic()
    keep = _check_places(out, report, store, force=force)
    from flowmint.cli.progress import bars
    from flowmint.evaluate.compare import compare as run_comparison

    with bars(quiet=quiet) as progress, _told_where(keep):
        if config is not None:
            title, tasks, plan = _from_file(config, data, task or (), shortcuts, progress)
        else:
            title, tasks, plan = _from_options(source, asked, progress)
        run = run_comparison(
            tasks, plan, title=title, store=keep, workers=workers, command=command_line(), progress=progress
        )
    write(run, out=out, report=report, force=force)
    if not quiet:
        show.comparison(run.comparison)
        show.places((out, report), seconds=time.monotonic() - started)
    fail(run.comparison)


def _from_options(source: Source | None, asked: Asked, progress: Progress) -> tuple[str, tuple[Task, ...], Plan]:
    """Give title, tasks and plan of the options."""
    plan = asked.plan()
    return "", () if source is None else asked.tasks(source, plan, progress), plan


def _detectors(given: tuple[str, ...]) -> tuple[str, ...]:
    """Take ``random_forest`` and ``xgboost`` for the detectors that they mean."""
    from flowmint.evaluate.utility import DETECTORS

    known = {name.lower().replace(" ", "_"): name for name in DETECTORS}
    return tuple(known.get(name.lower().replace(" ", "_"), name) for name in given)


def _check_usage(source: Source | None, config: Path | None, of_file: Mapping[str, object], asked: Asked) -> None:
    """Refuse options that do not go together."""
    if (source is None) == (config is None):
        message = "give a TABLE with --label and --attack, or a run file with --config"
        raise typer.BadParameter(message)
    if config is not None:
        for name in asked.given:
            message = f"{name} is told by the run file; give --config without it"
            raise typer.BadParameter(message)
    elif not asked.attack:
        message = "give --attack CLASS, the class that shall be found"
        raise typer.BadParameter(message)
    else:
        for name, value in of_file.items():
            if value:
                message = f"{name} {OF_FILE[name]}; give it with --config"
                raise typer.BadParameter(message)


def _check_places(out: Path | None, report: Path | None, store: Path | None, *, force: bool) -> Path | None:
    """Check that results can be written before long work; tell where cells are kept."""
    if out is not None and out.suffix.lower() != ".json":
        message = f"{out} names no format of a result; end it in .json"
        raise WriteError(message)
    check_result(out, force=force)
    check_report(report, force=force)
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


def _from_file(
    config: Path, data: Path | None, only: Sequence[str], shortcuts: Shortcuts | None, progress: Progress
) -> tuple[str, tuple[Task, ...], Plan]:
    """Give title, tasks and plan of a run file."""
    from flowmint.config import read_run

    folder = data or (Path(os.environ["FLOWMINT_DATA"]) if os.environ.get("FLOWMINT_DATA") else None)
    run = read_run(config, data=folder, only=only, shortcuts=shortcuts, progress=progress)
    return run.title, run.tasks, run.plan


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
