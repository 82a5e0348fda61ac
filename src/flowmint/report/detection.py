"""What detectors gain: F1 by number of real rows, other measures, and each detector."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from flowmint.evaluate.compare.plan import NONE
from flowmint.report import document as doc
from flowmint.report.document import (
    DotRow,
    DotsPanel,
    Interval,
    LinesPanel,
    Missing,
    Point,
    Reference,
    Section,
    Series,
)
from flowmint.report.view import estimated, style_of, with_f1
from flowmint.report.words import share, show_fixed

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from flowmint.evaluate.compare.result import Summary
    from flowmint.report.document import Block, Cell, Figure, Panel, Table
    from flowmint.report.view import View

SIGNS = {
    "helps": "▲ helps",
    "makes no difference": "■ makes no difference",
    "hurts": "▼ hurts",
    "cannot be told": "□ cannot be told",
}
"""Verdicts with a sign each, so that none hangs on colour."""

MEASURES = {"f1": "F1", "gain": "F1 gained over no minted rows"}
"""What is drawn by number of real rows."""

METRIC_NAMES = {"f1": "F1", "recall": "recall", "false_positive_rate": "false-positive rate", "pr_auc": "PR-AUC"}
"""Measures of a detector by their names for readers."""


def f1_section(views: Sequence[View]) -> Section:
    """Show F1 of every generator: a chart, and a table with what follows from it."""
    blocks: list[Block] = []
    figure = _f1_figure(views)
    blocks += [figure] if figure else []
    blocks += [_f1_table(view) for view in views]
    return Section(
        name="f1",
        title="F1 of the attack",
        lead="Mean over detectors and seeds on real rows held out, with 95 % intervals over seeds in brackets.",
        blocks=blocks,
    )


def _f1_table(view: View) -> Table:
    """Show F1 by number of rows, and beside it what follows from it."""
    ours = view.comparison.plan.ours
    counts = view.counts if len(view.counts) > 1 else []
    rows: list[list[Cell]] = []
    for name in view.generators:
        cells: list[Cell] = [name, *(_f1_cell(view.found.get((name, count))) for count in counts)]
        rows.append([*cells, *_conclusions(view, name)])
    _mark_best(rows, columns=range(1, len(counts) + 2))
    if view.all_real is not None:
        rows.append(["all real rows", *(None for _ in counts), _f1_cell(view.all_real)])
        rows[-1] += [None] * (3 + (ours is not None))
    mean = f"mean, {view.span}" if counts else view.span
    return doc.table(
        view.title,
        [
            "generator",
            *(f"{count:,} real rows" for count in counts),
            mean,
            "gain over none",
            "gap closed",
            "verdict",
            *([f"{ours} ahead by"] if ours is not None else []),
        ],
        rows,
        note="Bold: the highest mean of a column. Gain and lead are paired over seeds. Gap closed: the gain by the "
        "gain of all real rows.",
    )


def _conclusions(view: View, name: str) -> list[Cell]:
    """Give the overall mean of a generator, its gain, the gap closed, the verdict, and how far it is behind ours."""
    head, ours = view.head(name), view.comparison.plan.ours
    cells: list[Cell] = [_f1_cell(head)]
    if head is None or name == NONE:
        cells += [None, None, None]
    else:
        closed = None if head.gap_closed is None else share(head.gap_closed)
        cells += [estimated(head.gain), closed, SIGNS.get(head.verdict, head.verdict)]
    if ours is not None:
        cells.append(estimated(head.ours_ahead) if head and name != ours else None)
    return cells


def _mark_best(rows: list[list[Cell]], *, columns: Iterable[int]) -> None:
    """Mark the highest mean of each column."""
    for column in columns:
        means = [cast("Interval", row[column]) for row in rows if doc.cell_kind(row[column]) == "interval"]
        for cell in means:
            cell["best"] = len(means) > 1 and cell["mean"] == max(other["mean"] for other in means)


def _f1_cell(summary: Summary | None) -> Cell:
    if summary is None:
        return None
    if "f1" not in summary.metrics:
        return Missing(missing=f"{summary.failed} of {summary.failed} cells failed")
    return estimated(summary.metrics["f1"])


def _f1_figure(views: Sequence[View]) -> Figure | None:
    panels: list[Panel] = []
    rows: list[list[Cell]] = []
    legend: dict[str, int] = {}
    many = any(len(view.counts) > 1 for view in views)
    for view in views:
        styles = style_of(view)
        for measure in MEASURES:
            series = [_series(view, name, style, measure) for name, style in styles.items()]
            series = [one for one in series if one["points"]]
            if series:
                legend |= {one["name"]: one["style"] for one in series}
                panels.append((_lines if many else _dots)(view, series, measure))
                rows += _line_rows(view, series, measure)
    if not panels:
        return None
    apart = " Markers of one number of rows are moved apart to be seen." if many else ""
    return doc.figure(
        "f1-by-rows",
        "F1 by number of real attack rows" if many else f"F1 with {views[0].span}",
        description=". ".join(_told(panel, rows) for panel in panels[::2]),
        note="Whiskers: 95 % intervals over seeds; gains are paired over seeds, so that what seeds share cancels out."
        + apart,
        legend=list(legend.items()) if many else [],
        panels=panels,
        data=doc.table("F1 behind the chart", ["task", "measure", "generator", "real rows", "mean"], rows),
    )


def _line_rows(view: View, series: list[Series], measure: str) -> list[list[Cell]]:
    return [[view.title, MEASURES[measure], s["name"], p["x"], _bracket(p)] for s in series for p in s["points"]]


def _bracket(point: Point) -> Interval:
    return Interval(mean=point["y"], low=point["low"], high=point["high"], best=False)


def _told(panel: Panel, rows: Sequence[Sequence[Cell]]) -> str:
    """Tell in words where each line of a panel begins and ends."""
    own = [row for row in rows if row[0] == panel["title"] and row[1] == MEASURES["f1"]]
    told = []
    for name in dict.fromkeys(row[2] for row in own):
        ends = [f"{show_fixed(cast('Interval', row[4])['mean'])} with {row[3]:,}" for row in own if row[2] == name]
        told.append(f"{name} {' to '.join(dict.fromkeys((ends[0], ends[-1])))} real rows")
    return f"{panel['title']}, mean F1: {', '.join(told)}"


def _series(view: View, name: str, style: int, measure: str) -> Series:
    points = []
    for count in view.counts:
        summary = view.found.get((name, count))
        estimate = None if summary is None else summary.gain if measure == "gain" else summary.metrics.get("f1")
        if estimate is not None:
            points.append(
                Point(x=count, y=float(estimate.mean), low=doc.number(estimate.low), high=doc.number(estimate.high))
            )
    return Series(name=name, style=style, points=points)


def _level(view: View, measure: str) -> list[Reference]:
    if measure == "gain":
        return [Reference(name="no gain", value=0.0)]
    real = view.all_real
    return [] if real is None else [Reference(name="all real rows", value=real.metrics["f1"].mean)]


def _lines(view: View, series: list[Series], measure: str) -> Panel:
    return LinesPanel(
        panel="lines",
        title=view.title,
        note=f"{MEASURES[measure]}, mean over detectors",
        x_title="real attack rows",
        y_title=MEASURES[measure],
        series=series,
        references=_level(view, measure),
    )


def _dots(view: View, series: list[Series], measure: str) -> Panel:
    """Show a single number of rows, for which there are no lines."""
    level = _level(view, measure)
    rows = []
    for one in series:
        point = one["points"][0]
        ends = (point["low"], point["high"])
        row = DotRow(name=one["name"], style=one["style"], value=point["y"], low=ends[0], high=ends[1], missing="")
        rows.append(row)
    return DotsPanel(
        panel="dots",
        title=view.title,
        note=f"{MEASURES[measure]}, mean over detectors",
        rows=rows,
        reference=level[0] if level else None,
        bounds=[-1.0 if measure == "gain" else 0.0, 1.0],
        log=False,
    )


def detector_section(views: Sequence[View]) -> Section:
    """Show other measures than F1, and every detector."""
    blocks: list[Block] = []
    for view in views:
        heads = {name: head for name in view.generators if (head := with_f1(view, name))}
        if view.all_real is not None:
            heads["all real rows"] = view.all_real
        measures: list[list[Cell]] = [
            [name, *(estimated(head.metrics.get(metric)) for metric in METRIC_NAMES)] for name, head in heads.items()
        ]
        detectors = list(dict.fromkeys(name for head in heads.values() for name in head.detectors))
        each: list[list[Cell]] = [
            [name, *(estimated(head.detectors.get(d, {}).get("f1")) for d in detectors)] for name, head in heads.items()
        ]
        blocks += [
            doc.table(
                f"{view.title}: four measures, mean over detectors", ["generator", *METRIC_NAMES.values()], measures
            ),
            doc.table(f"{view.title}: F1 of each detector", ["generator", *detectors], each),
        ]
    return Section(
        name="detectors",
        title="Detectors",
        lead=f"Other measures, and each detector; with {views[0].span if views else 'real rows'}.",
        blocks=blocks,
    )
