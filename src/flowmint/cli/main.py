"""The verbs of ``flowmint``."""

from __future__ import annotations

import json
import time
from contextlib import nullcontext
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowmint import __version__
from flowmint.cli import rules, show
from flowmint.cli.balance import balance
from flowmint.cli.compare import compare
from flowmint.cli.evaluate import evaluate
from flowmint.cli.guard import GuardedGroup, told_where
from flowmint.cli.options import (
    DEFAULT_GENERATOR,
    Device,
    ForceRules,
    GeneratorName,
    Learner,
    LearnRows,
    MintedRules,
    Missing,
    Quality,
    Quiet,
    Ray,
    Seed,
    Settings,
    Source,
    Streamed,
    Workers,
    check_folder,
    check_out,
    check_stream,
    may_read_table,
    on_cluster,
    parse_settings,
    reads_table,
)

if TYPE_CHECKING:
    import polars as pl

    from flowmint.generators import Generator
    from flowmint.generators.adherence import Adherence
    from flowmint.generators.checkpoint import Checkpoint
    from flowmint.generators.streamed import Reading
    from flowmint.progress import Progress

    Given = tuple[pl.DataFrame, pl.Series] | Reading

app = typer.Typer(
    cls=GuardedGroup,
    add_completion=False,
    no_args_is_help=True,
    rich_markup_mode=None,  # plain help: rich would take half of the time that --help takes
    pretty_exceptions_enable=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

app.add_typer(rules.app, name="rules", short_help="Find, check and repair by what must hold in every row.")


def _version(*, value: bool) -> None:
    if value:
        typer.echo(f"flowmint {__version__}")
        raise typer.Exit


@app.callback()
def flowmint(
    *,
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """Mint rare attack traffic for intrusion detection, by latent diffusion."""


@app.command(short_help="Tell what is in a table.")
@reads_table
def inspect(
    source: Source,
    *,
    as_json: Annotated[bool, typer.Option("--json", help="Write JSON, for other programs.")] = False,
    leakage: Annotated[
        bool, typer.Option("--leakage", help="Also look for columns that give classes away by how they were captured.")
    ] = False,
    benign: Annotated[
        str | None,
        typer.Option("--benign", metavar="CLASS", help="Tell each class from this one; from all others if absent."),
    ] = None,
    quiet: Quiet = False,
) -> None:
    """Tell what is in a table: classes, kinds, infinities, duplicates, constants, suspicious columns."""
    if benign is not None and not leakage:
        message = "--benign is for the leakage audit; give --leakage too"
        raise typer.BadParameter(message)
    from flowmint.cli.progress import bars
    from flowmint.flows.inspect import inspect_table

    with bars(quiet=quiet) as progress:
        table = source.read(progress)
        inspection = inspect_table(table, label=source.label_name)
        found = None
        if leakage:
            from flowmint.evaluate.leakage import audit_leakage

            found = audit_leakage(table, label=source.label_name, benign=benign, progress=progress)
    if as_json:
        described = inspection.to_json() if found is None else {**inspection.to_json(), "leakage": found.to_json()}
        typer.echo(json.dumps(described, indent=2, ensure_ascii=False))
        return
    show.inspection(inspection)
    if found is not None:
        show.leakage(found)


@app.command(short_help="Learn every class and save a model folder.")
@reads_table
def fit(
    source: Source,
    *,
    out: Annotated[Path, typer.Option("--out", metavar="FOLDER", help="The model folder to make.")],
    generator: GeneratorName = None,
    missing: Missing = "learn",
    rules: MintedRules = "auto",
    force_rules: ForceRules = False,
    settings: Settings = None,
    device: Device = None,
    ray: Ray = None,
    workers: Workers = 1,
    seed: Seed = 0,
    force: Annotated[bool, typer.Option("--force", help="Replace a model folder that exists.")] = False,
    stream: Streamed = None,
    learn_rows: LearnRows = None,
    quiet: Quiet = False,
) -> None:
    """Learn the rows of every class and save a model folder; a fit that was interrupted goes on when repeated."""
    from flowmint.cli.progress import bars
    from flowmint.diffusion.workers import joined
    from flowmint.flows.schema import split_label
    from flowmint.generators.checkpoint import Checkpoint
    from flowmint.generators.folder import check_place

    started = time.monotonic()
    _check_workers(ray, workers)
    model = Learner(
        name=generator or DEFAULT_GENERATOR,
        missing=missing,
        rules=rules,
        force_rules=force_rules,
        seed=seed,
        device=device,
        settings=parse_settings(settings),
    ).make()
    check_place(out, overwrite=force)
    check_folder(out)
    checkpoint = Checkpoint.beside(out, replace=force)
    streamed = check_stream(source, stream=stream, learn_rows=learn_rows)
    with (
        joined(device or "cpu") as first,
        told_where(lambda: checkpoint.reached),
        checkpoint if first else nullcontext(),
        on_cluster(ray),
        bars(quiet=quiet or not first) as progress,
    ):
        table = None if streamed else source.read(progress)
        if table is None:
            given: Given = _read_stream(model, source, out, learn_rows=learn_rows, ray=ray, progress=progress)
        else:
            given = split_label(table, source.label_name, at_least=2)
        model = _fit(model, given, checkpoint=checkpoint, ray=ray, workers=workers, progress=progress)
        if not first:  # of the workers that torchrun started
            return
        model.save(out, overwrite=force)
        kept = None if quiet else _count_broken(model, table, label=source.label_name, progress=progress)
    if kept is not None:
        rows = given[0].height if isinstance(given, tuple) else given.streamed.rows
        show.fitted(model, out, rows=rows, seconds=time.monotonic() - started)
        show.adherence(kept, wanted=model.rules)


def _count_broken(model: Generator, table: pl.DataFrame | None, *, label: str, progress: Progress) -> Adherence:
    """Count the rows that break rules; those of a streamed table were counted while it was read."""
    from flowmint.generators.adherence import measure_adherence, tell_adherence

    if table is None:
        return tell_adherence(model)
    return measure_adherence(model, table, label=label, progress=progress)


def _check_workers(ray: str | None, workers: int) -> None:
    """Refuse several workers without a cluster."""
    if workers > 1 and ray is None:
        message = "--workers is how many processes train together on a Ray cluster; give --ray too"
        raise typer.BadParameter(message)


def _fit(
    model: Generator,
    given: Given,
    *,
    checkpoint: Checkpoint,
    ray: str | None,
    workers: int,
    progress: Progress,
) -> Generator:
    """Learn rows in memory or what was read of a stream, here or on a cluster; give what learnt."""
    if ray is not None:
        from flowmint.cluster import fit_on_cluster

        return fit_on_cluster(model, given, checkpoint=checkpoint, workers=workers, address=ray)
    if isinstance(given, tuple):
        return model.fit(*given, progress=progress, checkpoint=checkpoint)
    return model.fit_reading(given, progress=progress, checkpoint=checkpoint)


def _read_stream(
    model: Generator, source: Source, out: Path, *, learn_rows: int | None, ray: str | None, progress: Progress
) -> Reading:
    """Read what there is to learn from a table batch by batch."""
    from flowmint.generators.streamed import LEARN_ROWS

    with source.stream(progress, beside=out, ray=ray) as stream:
        return model.read_stream(
            stream, label=source.label_name, rows=learn_rows or LEARN_ROWS, at_least=2, progress=progress
        )


@app.command()
def sample(
    model: Annotated[Path, typer.Argument(metavar="MODEL", help="A model folder.")],
    *,
    rows: Annotated[int, typer.Option("--rows", min=1, metavar="N", help="How many rows to mint.")],
    out: Annotated[
        Path,
        typer.Option(
            "--out",
            metavar="FILE|FOLDER",
            help="A file (.parquet, .csv, .csv.gz or .csv.zst), or a folder of Parquet parts, which can be resumed.",
            show_default=False,
        ),
    ],
    class_name: Annotated[
        str | None,
        typer.Option("--class", metavar="CLASS", help="Their class; may be left out if there is only one."),
    ] = None,
    label: Annotated[
        str | None,
        typer.Option("--label", metavar="COLUMN", help="Write the class too, in a column of this name."),
    ] = None,
    quality: Quality = None,
    device: Device = None,
    workers: Annotated[
        int | None,
        typer.Option(
            "--workers", min=1, metavar="N", help="Processes that mint side by side; as many as pay if absent."
        ),
    ] = None,
    ray: Ray = None,
    seed: Seed = 0,
    quiet: Quiet = False,
) -> None:
    """Mint rows of one class from a fitted model; a folder of parts that was interrupted is finished."""
    from flowmint.cli.progress import bars
    from flowmint.parts import Wanted, mint_file, mint_folder

    started = time.monotonic()
    in_parts = not out.suffix
    if in_parts:
        check_folder(out)
    else:
        check_out(out)
    if ray is not None and not in_parts:
        message = f"--ray mints into a folder of parts, but --out {out} is a file; give a name without an extension"
        raise typer.BadParameter(message)
    if ray is not None and workers is not None:
        message = "--ray mints on all processors of the cluster; leave --workers out"
        raise typer.BadParameter(message)
    mint = mint_folder if in_parts else mint_file
    wanted = Wanted(rows=rows, class_name=class_name, label=label, seed=seed, quality=quality, device=device)
    with bars(quiet=quiet) as progress:
        if ray is None:
            fresh = mint(model, out, wanted, workers=workers, progress=progress)
        else:
            from flowmint.cluster import mint_on_cluster

            fresh = mint_on_cluster(model, out, wanted, address=ray, progress=progress)
    if not quiet:
        show.written(out, rows=fresh, seconds=time.monotonic() - started)


app.command(short_help="Mint what rare classes lack.")(reads_table(balance))
app.command(short_help="Score minted rows beside real ones.")(evaluate)
app.command(short_help="Compare generators on few real attack rows.")(may_read_table(compare))


@app.command()
def demo(*, seed: Seed = 0, quiet: Quiet = False) -> None:
    """Balance simulated data and show what detectors gain."""
    from flowmint.cli.progress import bars
    from flowmint.demo import run_demo

    with bars(quiet=quiet) as progress:
        result = run_demo(seed=seed, progress=progress)
    show.demo(result)
