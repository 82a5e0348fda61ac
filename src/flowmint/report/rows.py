"""The part of a report that shows rows: marginals, correlations and projections of each picture."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from flowmint.report import document as doc
from flowmint.report.document import PointsPanel, Section
from flowmint.report.picture import (
    column_gaps,
    correlations,
    histogram,
    mixing,
    projections,
    top_share,
)
from flowmint.report.plots import LEARNT_STYLE, MINTED_STYLE, REAL_STYLE
from flowmint.report.words import listed, share, show_cell, show_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowmint.report.document import Block, Cell, Figure, HistogramPanel, Table
    from flowmint.report.picture import Gap, Picture, Projection

WORST, BEST = 6, 3
"""How many columns are drawn: the worst ones, and the best ones to compare with."""

DULL = 0.95
"""A column in which one value has this share of the rows is not drawn among the best: there is little to agree on."""

MOST_PAIRS = 30
"""Pairs of columns listed behind a matrix; the whole matrix is in the JSON."""

COLUMNS_LEAD = (
    "Where single columns differ most, and where they agree best. Filled bars are real rows held out; hatched and "
    "outlined ones are minted rows. Distance: Kolmogorov–Smirnov for numbers, total variation for names, 0 where both "
    "are alike. Skewed columns stand on a bent axis (arcsinh); values beyond its ends are in the outermost bars."
)
CORRELATIONS_LEAD = (
    "Whether columns move together as they do in real rows: Spearman’s rank correlation, columns in the table’s order. "
    "Squares are positive, diamonds negative; the larger, the stronger; blank is near zero."
)
PROJECTION_LEAD = (
    "Whether minted rows lie where real rows lie, and not only on those that were learnt from. Columns are normal "
    "scores of the real rows."
)
"""What each section shows, and how to read it."""

REAL_AND_MINTED = (("real, held out", REAL_STYLE), ("minted", MINTED_STYLE))


def row_sections(pictures: Sequence[Picture]) -> list[Section]:
    """Make the sections that show rows.

    Args:
        pictures: What to show; may be none.

    Returns:
        Columns, correlations and projection, each over all pictures.
    """
    parts = (
        ("columns", "Columns, real and minted", COLUMNS_LEAD, _columns),
        ("correlations", "Correlations", CORRELATIONS_LEAD, _correlations),
        ("projection", "Rows in a plane", PROJECTION_LEAD, _projection),
    )
    sections = []
    for name, title, lead, make in parts:
        blocks: list[Block] = []
        for index, picture in enumerate(pictures):
            blocks += make(picture, f"{name}-{index + 1}")
        if not pictures:
            blocks.append(doc.paragraph("Not available: no rows were given to look at."))
        sections.append(Section(name=name, title=title, lead=lead, blocks=blocks))
    return sections


def _columns(picture: Picture, name: str) -> list[Block]:
    gaps = column_gaps(picture)
    worst = [gap for gap in gaps if top_share(picture, gap.column) < 1][:WORST]
    others = [gap for gap in gaps if gap not in worst and top_share(picture, gap.column) < DULL]
    best = others[-BEST:][::-1]
    blocks: list[Block] = []
    for kind, chosen in (("worst", worst), ("best", best)):
        if chosen:
            panels = [histogram(picture, gap) for gap in chosen]
            blocks.append(_histograms(picture, f"{name}-{kind}", kind, panels))
    blocks.append(_all_gaps(picture, gaps))
    return blocks


def _histograms(picture: Picture, name: str, kind: str, panels: list[HistogramPanel]) -> Figure:
    rows: list[list[Cell]] = []
    for panel in panels:
        for index, (real, minted) in enumerate(zip(panel["real"], panel["minted"], strict=True)):
            bin_of = panel["labels"][index] if panel["labels"] else _bin(panel, index)
            rows.append([panel["title"], bin_of, real, minted])
    listed = ", ".join(f"{panel['title']} ({panel['note']})" for panel in panels)
    return doc.figure(
        name,
        f"{picture.title}: {'where they differ most' if kind == 'worst' else 'where they agree best'}",
        description=f"Histograms of real and minted rows for the {kind} columns: {listed}.",
        note="",
        legend=REAL_AND_MINTED,
        panels=panels,
        data=doc.table("Share of rows in each bar", ["column", "value", "real", "minted"], rows),
    )


def _bin(panel: HistogramPanel, index: int) -> str:
    return f"bar {index + 1} of {len(panel['real'])}"


def _all_gaps(picture: Picture, gaps: Sequence[Gap]) -> Table:
    rows: list[list[Cell]] = [[gap.column, doc.number(gap.distance)] for gap in gaps]
    return doc.table(f"{picture.title}: every column, the worst first", ["column", "distance"], rows, folded=True)


def _correlations(picture: Picture, name: str) -> list[Block]:
    panels = correlations(picture)
    if not panels:
        why = "fewer than two columns of numbers vary, or there are fewer than three rows"
        return [doc.paragraph(f"{picture.title}: not available, {why}.")]
    real, minted = (np.array(panel["values"], dtype=np.float64) for panel in panels[:2])
    rows, unknown = _worst_pairs(panels[0]["names"], real, minted)
    mean = float(np.nanmean(np.abs((real - minted)[np.triu_indices(len(real), 1)]))) if rows else float("nan")
    told = f"Mean difference over all pairs: {show_number(mean)}; largest: {_largest(rows)}." if rows else ""
    constant = f" Constant among minted rows, hence blank: {', '.join(unknown)}." if unknown else ""
    return [
        doc.figure(
            name,
            picture.title,
            description=f"Rank correlations of {len(real)} columns among real rows, among minted rows, and their "
            f"difference. {told}{constant}",
            note=f"{told}{constant}",
            legend=(),
            panels=panels,
            data=doc.table(
                "Pairs that differ most",
                ["columns", "real", "minted", "difference"],
                rows[:MOST_PAIRS],
                note=f"{len(rows):,} pairs in all." if len(rows) > MOST_PAIRS else "",
            ),
        )
    ]


def _largest(rows: Sequence[Sequence[Cell]]) -> str:
    """Name the pairs that differ most."""
    named = [f"{row[0]} ({show_cell(row[1])} real, {show_cell(row[2])} minted)" for row in rows[:3]]
    return listed(named)


def _worst_pairs(names: Sequence[str], real: np.ndarray, minted: np.ndarray) -> tuple[list[list[Cell]], list[str]]:
    rows: list[list[Cell]] = []
    for i in range(len(names)):
        for j in range(i):
            if np.isfinite(real[i, j]) and np.isfinite(minted[i, j]):
                values = (real[i, j], minted[i, j], minted[i, j] - real[i, j])
                rows.append([f"{names[j]} × {names[i]}", *(round(float(value), 4) for value in values)])
    rows.sort(key=lambda row: -abs(float(str(row[3]))))
    unknown = [name for name, value in zip(names, np.diag(minted), strict=True) if not np.isfinite(value)]
    return rows, unknown


def _projection(picture: Picture, name: str) -> list[Block]:
    made = projections(picture)
    if not made:
        return [doc.paragraph(f"{picture.title}: not available, too few rows or columns that vary.")]
    rows = [row for projection in made for row in _spreads(projection)]
    panels = [PointsPanel(panel="points", title=p.title, note=p.note, groups=p.groups) for p in made]
    names = [group["name"] for group in made[0].groups]
    return [
        doc.figure(
            name,
            picture.title,
            description=f"Rows as points of a plane, by {' and by '.join(p.title for p in made)}: {', '.join(names)}.",
            note="",
            legend=list(zip(names, (REAL_STYLE, MINTED_STYLE, LEARNT_STYLE), strict=False)),
            panels=panels,
            data=doc.table(
                "Where the groups lie",
                [
                    "projection",
                    "rows",
                    "shown",
                    "centre",
                    "spread",
                    "nearest neighbour is of the other kind",
                    "expected",
                ],
                rows,
                note="Expected: the share if real and minted rows were of one kind. The points are in the JSON.",
            ),
        )
    ]


def _spreads(projection: Projection) -> list[list[Cell]]:
    crossings = {name: (found, expected) for name, found, expected in mixing(projection.groups)}
    rows: list[list[Cell]] = []
    for group in projection.groups:
        points = np.asarray(group["points"], dtype=np.float64)
        centre, spread = points.mean(axis=0), points.std(axis=0)
        crossed = [share(part) for part in crossings[group["name"]]] if group["name"] in crossings else [None, None]
        pairs = [f"{show_number(float(v[0]))}; {show_number(float(v[1]))}" for v in (centre, spread)]
        rows.append([projection.title, group["name"], len(points), *pairs, *crossed])
    return rows
