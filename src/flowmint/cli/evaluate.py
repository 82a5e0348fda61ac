"""The verb ``evaluate``: what minted rows are worth, measured on real rows that nothing was fitted on."""

from __future__ import annotations

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flowmint.cli import show
from flowmint.cli.compare import command_line
from flowmint.cli.options import (
    Categorical,
    CheckedRules,
    Delimiter,
    Drop,
    Force,
    Label,
    Quiet,
    Report,
    Seed,
    check_delimiter,
    check_report,
    check_result,
    parse_list,
)
from flowmint.errors import SettingError, TableError, nearest

if TYPE_CHECKING:
    import polars as pl

    from flowmint.evaluate.leakage import Leakage
    from flowmint.evaluate.scores import Evaluation
    from flowmint.progress import Progress
    from flowmint.report import Picture

MOST_PICTURES = 4
"""Classes whose rows are drawn in a report, the rarest ones first."""


def evaluate(
    *,
    real: Annotated[Path, typer.Option("--real", metavar="TABLE", help="Real held-out rows, never learnt from.")],
    minted: Annotated[Path, typer.Option("--minted", metavar="TABLE", help="Minted rows.")],
    train: Annotated[
        Path | None,
        typer.Option("--train", metavar="TABLE", help="The real rows that were learnt from."),
    ] = None,
    all_real: Annotated[
        Path | None,
        typer.Option("--all-real", metavar="TABLE", help="All real rows that could be learnt from: the best case."),
    ] = None,
    label: Label = None,
    origin: Annotated[
        str | None,
        typer.Option("--origin", metavar="COLUMN", help="In --minted, only the rows that it calls minted count."),
    ] = None,
    families: Annotated[
        str | None,
        typer.Option("--families", metavar="NAME,...", help="Families of scores to compute; all if absent."),
    ] = None,
    delimiter: Delimiter = None,
    categorical: Categorical = None,
    drop: Drop = None,
    as_json: Annotated[
        Path | None,
        typer.Option("--json", metavar="FILE", help="Write every score as JSON.", show_default=False),
    ] = None,
    report: Report = None,
    rules: CheckedRules = "auto",
    seed: Seed = 0,
    force: Force = False,
    quiet: Quiet = False,
) -> None:
    """Score minted rows: distribution, dependency, diversity, detectability, privacy, validity, gain of detectors."""
    check_delimiter(delimiter)
    wanted = None if families is None else parse_list(families, "--families")
    started = time.monotonic()
    check_result(as_json, force=force)
    check_report(report, force=force)
    from flowmint.cli.progress import bars
    from flowmint.evaluate.evaluation import check_families, evaluate_tables

    checked = check_families(wanted)
    paths = {"real": real, "minted": minted, "train": train, "all_real": all_real}
    with bars(quiet=quiet) as progress:
        tables = {
            name: _read(path, label=label, delimiter=delimiter, categorical=categorical or [], progress=progress)
            for name, path in paths.items()
            if path is not None
        }
        tables = _narrow(tables, origin=origin, drop=drop or [])
        found = evaluate_tables(**tables, label=label, rules=rules, families=checked, seed=seed, progress=progress)
        if report is not None:
            _write_report(found, tables, report, force=force, progress=progress)
    if as_json is not None:
        _write_json(found, as_json)
    if not quiet:
        show.evaluation(found)
        show.places((as_json, report), seconds=time.monotonic() - started)


def _read(
    path: Path, *, label: str | None, delimiter: str | None, categorical: list[str], progress: Progress
) -> pl.DataFrame:
    from flowmint.flows.read import read_table

    return read_table(path, label=label, categorical=categorical, delimiter=delimiter, progress=progress)


def _narrow(tables: dict[str, pl.DataFrame], *, origin: str | None, drop: list[str]) -> dict[str, pl.DataFrame]:
    """Keep of the tables the rows and columns that are compared."""
    if origin is not None:
        tables = {**tables, "minted": _only_minted(tables["minted"], origin)}
    return _without(tables, drop)


def _only_minted(table: pl.DataFrame, origin: str) -> pl.DataFrame:
    """Keep the rows that a balanced table calls minted."""
    import polars as pl

    if origin not in table.columns:
        message = f"--minted has no column {origin!r} to tell the origin; {nearest(origin, table.columns)}"
        raise SettingError(message)
    own = table.filter(pl.col(origin).cast(pl.String) == "minted")
    if not own.height:
        message = f"the column {origin!r} calls no row of --minted minted; give the column that balance --origin wrote"
        raise TableError(message)
    return own.drop(origin)


def _without(tables: dict[str, pl.DataFrame], names: list[str]) -> dict[str, pl.DataFrame]:
    """Leave columns out of the tables that have them."""
    known = list(dict.fromkeys(name for table in tables.values() for name in table.columns))
    for name in names:
        if name not in known:
            message = f"--drop names the column {name!r}, which no table has; {nearest(name, known)}"
            raise SettingError(message)
    return {key: table.drop(names, strict=False) for key, table in tables.items()}


def _write_json(found: Evaluation, path: Path) -> None:
    from flowmint.flows.write import whole_file

    with whole_file(path) as partial:
        text = json.dumps(found.to_json(), indent=1, ensure_ascii=False, allow_nan=False)
        partial.write_text(text + "\n", encoding="utf-8")


def _write_report(
    found: Evaluation, tables: dict[str, pl.DataFrame], path: Path, *, force: bool, progress: Progress
) -> None:
    from flowmint.evaluate.tables import align_tables
    from flowmint.report import write_report

    aligned = align_tables(tables)
    write_report(
        found,
        path,
        pictures=_pictures(found, aligned),
        leakage=_audit(found, aligned, progress),
        command=command_line(),
        force=force,
    )


def _audit(found: Evaluation, tables: dict[str, pl.DataFrame], progress: Progress) -> Leakage | None:
    """Look for what gives classes away in the real rows, where they have several."""
    from flowmint.evaluate.leakage import audit_leakage

    table = tables.get("train", tables["real"])
    if found.label is None or table[found.label].n_unique() < 2:
        return None
    return audit_leakage(table, label=found.label, progress=progress)


def _pictures(found: Evaluation, tables: dict[str, pl.DataFrame]) -> list[Picture]:
    """Rows to draw: of each class, the rarest first, or all together where there is no label."""
    from flowmint.evaluate.tables import class_names
    from flowmint.report import Picture

    shown = {name: tables[name].select(found.columns) for name in ("real", "minted", "train") if name in tables}
    if found.label is None:
        return [Picture(title="all rows", **shown, seed=found.seed)]
    names = {name: class_names(tables[name][found.label]) for name in shown}
    classes = sorted(found.classes, key=lambda scores: scores.train_rows or scores.real_rows)[:MOST_PICTURES]
    pictures = []
    for scores in classes:
        own = {name: table.filter(names[name] == scores.name) for name, table in shown.items()}
        own = {name: table for name, table in own.items() if table.height}
        pictures.append(Picture(title=scores.name, **own, seed=found.seed))
    return pictures
