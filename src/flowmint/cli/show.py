"""What verbs tell on stdout: tables as wide as the terminal, and short summaries."""

from __future__ import annotations

import os
import shutil
import sys
import textwrap
from typing import TYPE_CHECKING, Any

from flowmint.cli.guard import plain

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import polars as pl
    from rich.text import Text

    from flowmint.demo import DemoResult
    from flowmint.evaluate.auto import AutoTargets
    from flowmint.evaluate.compare import Comparison, Estimate, Summary
    from flowmint.evaluate.leakage import Leakage
    from flowmint.evaluate.scores import Evaluation, Score
    from flowmint.flows.faults import Faults
    from flowmint.flows.inspect import ColumnInspection, Inspection
    from flowmint.generators import Generator
    from flowmint.generators.adherence import Adherence
    from flowmint.large import BalancedFile
    from flowmint.rules.check import Report
    from flowmint.rules.repair import Repaired
    from flowmint.rules.ruleset import Rules

CLASS_SCORES = ("column_error", "coverage", "detection_boosted_trees", "membership_inference", "f1_added")
"""What is shown of each class, with that of real rows in brackets."""

MOST_TELLS = 20
"""How many tells are listed."""

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
        _wrapped(f"- {remark}")


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
    _counts(counts[0], counts[1])


def balanced_file(done: BalancedFile) -> None:
    """Show how many rows each class had and has."""
    _counts(done.real, {name: rows + done.minted.get(name, 0) for name, rows in done.real.items()})


def _counts(real: Mapping[Any, int], result: Mapping[Any, int]) -> None:
    names = sorted(real, key=lambda name: -real[name])
    rows = [(str(name), f"{real[name]:,}", f"{result[name]:,}") for name in names]
    _table(("class", "real", "balanced"), rows)


def fitted(model: Generator, folder: Path, *, rows: int, seconds: float) -> None:
    """Tell what was learnt, and where it is."""
    classes = len(model.classes_.values)
    _say(f"learnt {rows:,} rows of {classes} classes in {seconds:.1f} s: {folder}")
    drawn(model)


def drawn(model: Generator) -> None:
    """Tell how many rows of a streamed table were drawn; nothing where it was not streamed or all were."""
    found = model.streamed_
    if found is not None and found.drawn < int(found.counts.sum()):
        _say(f"values and rules are of all rows; {found.drawn:,} of them were drawn to train on (--learn-rows)")


def skipped(faults: Faults) -> None:
    """Tell on stderr how many malformed rows were skipped, also where nothing else is told: they are lost."""
    if faults.rows:
        rows = f"{faults.rows:,} malformed row{'s were' if faults.rows > 1 else ' was'} skipped"
        sys.stderr.write(f"flowmint: {plain(rows)}; the first: {plain(faults.first)}\n")


def adherence(found: Adherence, *, wanted: str | Rules) -> None:
    """Tell which rules minted rows satisfy, and how many rows break any; nothing where no rules were wanted."""
    if wanted == "none":
        return
    if not found.rules and wanted == "auto":
        _say("rules: none, since the header is of no known extractor and the training rows show none")
        return
    _say(f"rules: {found.origin}; {found.computed:,} of {found.columns:,} columns are computed, not learnt")
    _say(f"{found.real_broken:,} of {found.real:,} real rows break any of them, and stay as they are")
    if found.minted:
        _say(f"{found.minted_broken:,} of {found.minted:,} minted rows break any of them (each was checked)")


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


def comparison(found: Comparison) -> None:
    """Show for each task what each generator did for the detectors."""
    for task in found.tasks:
        for shortcuts in found.plan.shortcuts:
            own = [s for s in found.summaries if (s.task, s.shortcuts) == (task.name, shortcuts)]
            for rows in (*found.plan.rows, *((None,) if len(found.plan.rows) > 1 else ())):
                block = [s for s in own if s.rows == rows]
                if block:
                    told = f"mean up to {found.plan.headline} real rows" if rows is None else f"{rows} real rows"
                    kept = f", shortcuts {shortcuts}" if len(found.plan.shortcuts) > 1 else ""
                    _say(f"{task.name} from {task.benign}, {told}{kept}:")
                    heads = ("generator", "F1", "recall", "FPR", "gain", "gap closed", "fit s", "rows/s", "verdict")
                    _table(heads, [_summary(summary) for summary in block])
                    _say("")
        if not task.shortcuts and "dropped" in found.plan.shortcuts:
            _say(f"{task.name}: no column gives the class away, so none was dropped.")


def _summary(summary: Summary) -> tuple[str, ...]:
    estimates = (summary.metrics.get(name) for name in ("f1", "recall", "false_positive_rate"))
    f1, *others = estimates
    cells = [_estimate(f1), *("" if other is None else f"{other.mean:.3f}" for other in others)]
    closed = "" if summary.gap_closed is None else f"{summary.gap_closed:.0%}"
    seconds = "" if summary.fit_seconds is None else f"{summary.fit_seconds:.1f}"
    rate = "" if summary.rows_per_second is None else f"{summary.rows_per_second:,.0f}"
    verdict = "" if summary.gain is None else summary.verdict
    failures = f" ({summary.failed} failed)" if summary.failed else ""
    return (summary.generator + failures, *cells, _estimate(summary.gain, sign="+"), closed, seconds, rate, verdict)


def _estimate(value: Estimate | None, *, sign: str = "") -> str:
    if value is None:
        return ""
    half = "" if value.high is None else f" ± {value.high - value.mean:.3f}"
    return f"{value.mean:{sign}.3f}{half}"


def evaluation(found: Evaluation) -> None:
    """Show every score beside that of real rows, and of each class what detectors gain."""
    rows = {"real held-out": found.real_rows, "minted": found.minted_rows, "training": found.train_rows}
    _say(", ".join(f"{count:,} {name} rows" for name, count in rows.items() if count is not None))
    _say("")
    _table(("family", "score", "minted", "real rows", "better"), [_score(s) for s in found.scores], left=2)
    if len(found.classes) > 1:
        _say("")
        names = [name for name in CLASS_SCORES if any(s.name == name for s in found.classes[0].scores)]
        titles = [found.classes[0].score(name).title for name in names]
        lines = [
            (own.name, f"{own.minted_rows:,}", *(_beside(own.score(name)) for name in names))
            for own in found.classes
            if all(any(s.name == name for s in own.scores) for name in names)
        ]
        _table(("class", "minted", *titles), lines)
    absent = [f"{score.title}: not available, {score.reason}" for score in found.scores if not score.available]
    for remark in (*found.notes, *absent):
        _wrapped(f"- {remark}")


def _score(score: Score) -> tuple[str, ...]:
    better = {"higher": "higher", "lower": "lower", "reference": "as real rows"}[score.better]
    return (score.family, score.title, _figure(score.value), _figure(score.reference), better)


def _beside(score: Score) -> str:
    return f"{_figure(score.value)} ({_figure(score.reference)})"


def _figure(value: float | None) -> str:
    if value is None:
        return "–"
    text = f"{value:.4f}" if abs(value) < 0.01 else f"{value:.3f}" if abs(value) < 100 else f"{value:,.0f}"
    return text if float(text.replace(",", "")) else "0"


def wrote(path: Path, *, seconds: float) -> None:
    """Tell where a result or a report is."""
    _say(f"wrote {path} after {seconds:.1f} s")


def places(paths: Iterable[Path | None], *, seconds: float) -> None:
    """Tell where results and reports are, as far as they were asked for."""
    for path in paths:
        if path is not None:
            wrote(path, seconds=seconds)


def choices(found: AutoTargets) -> None:
    """Show what was chosen to be minted, and why."""
    _say(f"Chosen by cross-validation, twice {found.folds} folds, by {', '.join(found.detectors)}:")
    for choice in found.choices:
        goal = f"{choice.rows:,} → {choice.target:,} rows" if choice.target > choice.rows else f"{choice.rows:,} rows"
        _wrapped(f"- {choice.class_name}: {goal}; {choice.reason}")
    if not found.targets:
        _say("Nothing is minted: the table stays as it is.")
    _say("")


def no_report(path: Path) -> None:
    """Tell why there is no report."""
    _say(f"nothing is minted, so there is nothing to try and no {path}")


def leakage(found: Leakage) -> None:
    """Show what gives classes away."""
    _say("")
    _say(f"Leakage audit, each class told from {'all others' if found.against is None else repr(found.against)}:")
    if found.tells:
        rows = [
            (tell.column, tell.class_name, f"{tell.auc:.3f}", f"{tell.balanced_accuracy:.3f}")
            for tell in found.tells[:MOST_TELLS]
        ]
        _table(("column", "class", "AUC alone", "stump"), rows, left=2)
        _say(
            f"(AUC and balanced accuracy of one column alone; 0.5 tells nothing, from {found.separates} it is a "
            f"shortcut; {len(rows)} of {len(found.tells):,} shown)"
        )
    for remark in found.remarks:
        _wrapped(f"- {remark}")
    if found.shortcuts:
        _wrapped(f"Shortcuts: {', '.join(found.shortcuts)}")


def _wrapped(text: str) -> None:
    width = _width() or shutil.get_terminal_size().columns
    for line in textwrap.wrap(plain(text), width, subsequent_indent="  "):
        _say(line)


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
