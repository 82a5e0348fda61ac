"""What minted rows are like and what they cost: every family of scores by generator, time and memory."""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowmint.evaluate.scores import FAMILIES
from flowmint.report import document as doc
from flowmint.report.document import DotRow, DotsPanel, Missing, Reference, Section
from flowmint.report.view import dot_row, estimated, main_views, minting, style_of
from flowmint.report.words import BETTER, FAMILY_LEADS, show_number

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowmint.evaluate.compare.result import Comparison, ScoreAbout, Summary
    from flowmint.report.document import Block, Cell, Figure, Table
    from flowmint.report.view import View


def family_sections(comparison: Comparison, views: Sequence[View]) -> list[Section]:
    """Make a section for every family of scores that was asked for."""
    known = [about.family for about in comparison.scores]
    families = [
        family for family in dict.fromkeys((*FAMILIES, *known)) if family in {*known, *comparison.plan.families}
    ]
    sections = []
    for family in families:
        abouts = [about for about in comparison.scores if about.family == family]
        blocks: list[Block] = []
        for index, view in enumerate(main_views(views)):
            figure = _family_figure(view, abouts, name=f"{family}-{index + 1}")
            blocks += [figure] if figure else []
        blocks.append(_meanings(abouts) if blocks else doc.paragraph("Not available: no cell has such a score."))
        sections.append(
            Section(name=family, title=family.capitalize(), lead=FAMILY_LEADS.get(family, ""), blocks=blocks)
        )
    return sections


def _meanings(abouts: Sequence[ScoreAbout]) -> Table:
    rows: list[list[Cell]] = [[a.title, a.description, a.source, BETTER.get(a.better, a.better)] for a in abouts]
    return doc.table("What the scores mean", ["score", "meaning", "source", "better"], rows, folded=True)


def _family_figure(view: View, abouts: Sequence[ScoreAbout], *, name: str) -> Figure | None:
    panels, rows = [], []
    for about in abouts:
        panel = _score_panel(view, about)
        if panel["rows"]:
            panels.append(panel)
            rows += _score_rows(view, about)
    if not panels:
        return None
    told = "; ".join(f"{about.title}: {about.description}" for about in abouts)
    return doc.figure(
        name,
        view.title,
        description=f"Scores of minted rows by generator, with {view.span}, and of real rows. {told}",
        note="Dashed: the same score of real rows in the place of minted ones. Axes show at least a tenth of a score’s "
        "range.",
        legend=[],
        panels=panels,
        data=doc.table("Scores behind the charts", ["score", "generator", "minted", "real rows", "better"], rows),
    )


def _score_panel(view: View, about: ScoreAbout) -> DotsPanel:
    styles, entries, references = style_of(view), [], []
    for name, head in minting(view):
        estimate = head.scores.get(about.name)
        if about.name in head.references:
            references.append(head.references[about.name].mean)
        missing = "" if estimate else _reason(view, name, about.name)
        if estimate is not None or missing:
            entries.append(dot_row(name, styles[name], estimate, missing=missing))
    reference = Reference(name="real rows", value=sum(references) / len(references)) if references else None
    reasons = dict.fromkeys(entry["missing"] for entry in entries if entry["missing"])
    note = "; ".join([BETTER.get(about.better, about.better), *(f"not available: {reason}" for reason in reasons)])
    return DotsPanel(
        panel="dots",
        title=about.title,
        note=note,
        rows=entries,
        reference=reference,
        bounds=[about.lowest, about.highest],
        log=False,
    )


def _reason(view: View, generator: str, score: str) -> str:
    """Find out why a generator lacks a score; nothing if it was never asked for."""
    for cell in view.comparison.cells:
        if (cell.task, cell.shortcuts, cell.generator) == (view.task.name, view.shortcuts, generator):
            for value in cell.scores:
                if value.name == score and value.value is None:
                    return value.reason or "no reason was given"
    return ""


def _score_rows(view: View, about: ScoreAbout) -> list[list[Cell]]:
    rows: list[list[Cell]] = []
    for name, head in minting(view):
        estimate, reason = head.scores.get(about.name), _reason(view, name, about.name)
        if estimate is None and not reason:
            continue
        value: Cell = estimated(estimate) if estimate else Missing(missing=reason)
        rows.append(
            [about.title, name, value, estimated(head.references.get(about.name)), BETTER.get(about.better, "")]
        )
    return rows


def cost_section(views: Sequence[View]) -> Section:
    """Show what fitting and minting took."""
    blocks: list[Block] = []
    for index, view in enumerate(main_views(views)):
        heads = [(name, head) for name, head in minting(view) if head.fit_seconds is not None or head.rows_per_second]
        if heads:
            blocks.append(_cost_figure(view, heads, name=f"cost-{index + 1}"))
    if not blocks:
        blocks.append(doc.paragraph("Not available: no cell recorded what it cost."))
    return Section(
        name="time", title="Time and memory", lead="Median over seeds on the machine named below.", blocks=blocks
    )


def _cost_figure(view: View, heads: Sequence[tuple[str, Summary]], *, name: str) -> Figure:
    per_thousand = {n: 1000 / h.rows_per_second for n, h in heads if h.rows_per_second}
    fit = {n: h.fit_seconds for n, h in heads if h.fit_seconds is not None}
    memory = {n: h.peak_mib for n, h in heads if h.peak_mib is not None}
    measures = (("seconds to mint 1,000 rows", per_thousand), ("seconds to fit", fit), ("peak memory, MiB", memory))
    styles = style_of(view)
    panels = [
        DotsPanel(
            panel="dots",
            title=title,
            note="lower is better; logarithmic axis",
            rows=[
                DotRow(name=n, style=styles[n], value=doc.number(v), low=None, high=None, missing="")
                for n, v in values.items()
            ],
            reference=None,
            bounds=[0.0, None],
            log=True,
        )
        for title, values in measures
        if values
    ]
    rows: list[list[Cell]] = [
        [n, doc.number(per_thousand.get(n)), doc.number(fit.get(n)), doc.number(memory.get(n))] for n, _ in heads
    ]
    told = ", ".join(f"{n} {show_number(float(v))} s" for n, v in per_thousand.items())
    return doc.figure(
        name,
        view.title,
        description=f"Time to mint 1,000 rows: {told}; time to fit and peak memory of each generator.",
        note=f"With {view.span}. Median over seeds.",
        panels=panels,
        data=doc.table("Cost behind the charts", ["generator", *(title for title, _ in measures)], rows),
    )
