"""What verbs tell on stdout: tables as wide as the terminal, and short summaries."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING

from flowmint.cli.guard import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    import polars as pl
    from rich.text import Text

    from flowmint.demo import DemoResult
    from flowmint.flows.inspect import ColumnInspection, Inspection
    from flowmint.generators import Generator
    from flowmint.rules.check import Report
    from flowmint.rules.repair import Repaired
    from flowmint.rules.ruleset import Rules

WIDTH_OF_PIPE = 120
"""Width of tables that go to no terminal."""


def inspection(found: Inspection) -> None:
    """Show what `flowmint.inspect_table` found."""
    _say(f"{found.rows:,} rows, {len(found.columns):,} feature columns, {len(found.classes):,} classes")
    _say(f"{found.duplicates:,} rows repeat an earlier one")
    _say(f"{found.contradictions:,} rows stand under several classes alike")
    _say("")
    _table(
        (f"class ({found.label})", "rows", "share"),
        [(name, f"{rows:,}", f"{rows / found.rows:.2%}") for name, rows in found.classes.items()],
    )
    _say("")
    _table(
        ("column", "kind", "distinct", "empty", "NaN", "±inf", "low", "high", "most frequent"),
        [_column(column) for column in found.columns],
        left=2,
    )
    remarks = [*found.remarks, *(f"{c.name}: {remark}" for c in found.columns for remark in c.remarks)]
    if remarks:
        _say("")
        _say("To look at:")
    for remark in remarks:
        for line in textwrap.wrap(
            plain(f"- {remark}"), _width() or shutil.get_terminal_size().columns, subsequent_indent="  "
        ):
            _say(line)


def _column(column: ColumnInspection) -> tuple[str, ...]:
    counts = (f"{n:,}" if n else "" for n in (column.empty, column.nan, column.infinite))
    bounds = ("" if bound is None else f"{bound:.4g}" for bound in (column.low, column.high))
    top = f"{float(column.top):.6g}" if column.kind in {"numeric", "integer"} and _is_number(column.top) else column.top
    top = top if len(top) <= 14 else f"{top[:13]}…"
    return (
        column.name,
        column.kind or "no value",
        f"{column.distinct:,}",
        *counts,
        *bounds,
        f"{top} ({column.top_share:.0%})",
    )


def _is_number(text: str) -> bool:
    return text.lstrip("-").replace(".", "", 1).replace("e-", "", 1).isdigit()


def balanced(real: pl.DataFrame, result: pl.DataFrame, *, label: str) -> None:
    """Show how many rows each class had and has."""
    counts = [dict(table[label].value_counts().iter_rows()) for table in (real, result)]
    names = sorted(counts[0], key=lambda name: -counts[0][name])
    rows = [(str(name), f"{counts[0][name]:,}", f"{counts[1][name]:,}") for name in names]
    _table(("class", "real", "balanced"), rows)


def fitted(model: Generator, folder: Path, *, rows: int, seconds: float) -> None:
    """Tell what was learnt, and where it is."""
    classes = len(model.classes_.values)
    _say(f"learnt {rows:,} rows of {classes} classes in {seconds:.1f} s: {folder}")


def written(path: Path, *, rows: int, seconds: float) -> None:
    """Tell where a table is."""
    _say(f"wrote {rows:,} rows in {seconds:.1f} s: {path}")


def discovered(rules: Rules, path: Path, *, seconds: float) -> None:
    """Show what discovery found, and where it is written."""
    particular = sum(1 for rule in rules if rule.evidence is not None and rule.evidence.particular)
    _table(
        ("rule", "holds in", "of rows", "text"),
        [
            (
                plain(rule.name),
                f"{rule.evidence.share:.3%}" if rule.evidence else "",
                f"{rule.evidence.rows:,}" if rule.evidence else "",
                plain(rule.text),
            )
            for rule in rules
        ],
    )
    _say("")
    _say(f"{len(rules):,} rules, {particular:,} of them perhaps particular to this table, in {path} ({seconds:.1f} s)")


def checked(report: Report, *, name: str) -> None:
    """Show which rules are broken, how often, and by which rows."""
    share = f"{int(report.valid.sum()):,} of {report.rows:,} rows ({report.share:.3%})"
    _say(f"{share} satisfy the {len(report.rules):,} rules of {plain(name)}")
    if report.unjudged:
        some = ", ".join(plain(each) for each in report.unjudged[:5])
        _say(f"{len(report.unjudged):,} rules were not judged, for want of a label or of an optional column: {some}")
    if report.broken:
        _say("")
        _table(
            ("rule", "broken", "share", "rows such as", "text"),
            [
                (
                    plain(each.rule.name),
                    f"{each.broken:,}",
                    f"{1 - each.share:.3%}",
                    ", ".join(str(row) for row in each.examples[:3]),
                    plain(each.rule.text),
                )
                for each in report.broken
            ],
        )


def repaired(done: Repaired) -> None:
    """Show what repair changed and by how much."""
    _say(f"valid before: {int(done.before.sum()):,} of {done.rows:,} rows; after: {int(done.after.sum()):,}")
    if done.failed.any():
        _say(f"{int(done.failed.sum()):,} rows stay as they were: no valid row was found near them")
    if done.changes:
        _say("")
        _table(
            ("column", "changed", "by (mean)", "at most"),
            [(plain(c.name), f"{c.rows:,}", f"{c.mean:.4g}", f"{c.most:.4g}") for c in done.changes],
        )


def demo(result: DemoResult) -> None:
    """Show the demonstration's scores."""
    train, test = (", ".join(f"{n:,} {name}" for name, n in rows.items()) for rows in (result.train, result.test))
    _say(f"F1 of {result.attack}. The data is simulated: it shows what Flowmint does, not how well it does on yours.")
    _say(f"Training rows: {train}; with {result.attack} balanced to {result.target:,}. Test rows: {test}.")
    detectors = list(next(iter(result.f1.values())))
    rows = [(name, *(f"{scores[name]:.2f}" for scores in result.f1.values())) for name in detectors]
    means = (sum(scores.values()) / len(scores) for scores in result.f1.values())
    _table(("detector", *result.f1), [*rows, ("mean", *(f"{mean:.2f}" for mean in means))])


def _say(text: str) -> None:
    sys.stdout.write(f"{plain(text)}\n")


def _text(cell: str) -> Text:
    """A cell whose square brackets are no markup."""
    from rich.text import Text

    return Text(plain(cell))


def _width() -> int | None:
    """How wide output may be; None leaves it to the terminal."""
    piped = not sys.stdout.isatty() and "COLUMNS" not in os.environ
    return WIDTH_OF_PIPE if piped else None


def _table(heads: Sequence[str], rows: Iterable[Sequence[str]], *, left: int = 1) -> None:
    """Print a table whose first ``left`` columns are text and whose others are numbers."""
    from rich import box
    from rich.console import Console
    from rich.table import Table

    table = Table(box=box.SIMPLE_HEAD, show_edge=False, pad_edge=False)
    for index, head in enumerate(heads):
        table.add_column(_text(head), justify="left" if index < left else "right", overflow="fold")
    for row in rows:
        table.add_row(*map(_text, row))
    Console(width=_width()).print(table)
