"""An evaluation as a report: how near minted rows come to real ones, family by family."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

from flowmint.evaluate.scores import FAMILIES
from flowmint.report import document as doc
from flowmint.report.document import Document, Missing, Section, StripPanel, Verdict
from flowmint.report.leakage import leakage_blocks
from flowmint.report.rows import row_sections
from flowmint.report.words import BETTER, FAMILY_LEADS, THIN, listed, show_number

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from flowmint.evaluate.leakage import Leakage
    from flowmint.evaluate.scores import ClassScores, Evaluation, Family, Score
    from flowmint.report.document import Block, Cell, Figure, Table, Tone
    from flowmint.report.picture import Picture

CLOSE = 0.05
"""Minted rows that fall short of real ones by at most this share of a score's range are called as good."""

F1_ADDED = "f1_added"
"""The score that tells what minted rows add to real ones."""

MOSTLY, HARDLY = 0.8, 0.4
"""Shares of scores as good as real rows' from which, and below which, the verdict's tone changes."""


def evaluation_document(
    evaluation: Evaluation,
    *,
    pictures: Sequence[Picture] = (),
    leakage: Leakage | None = None,
    command: str = "",
    versions: Mapping[str, str],
    machine: str = "",
) -> Document:
    """Summarise an evaluation.

    Args:
        evaluation: The scores.
        pictures: Rows to look at.
        leakage: The audit of the real rows.
        command: The command that made it.
        versions: Version of each package that matters, by name.
        machine: What it ran on.

    Returns:
        The report's dict.
    """
    of_family = {family: evaluation.of_family(family) for family in FAMILIES}
    return Document(
        format_version=doc.FORMAT_VERSION,
        title="How good are the minted rows?",
        subtitle="Minted rows held against real rows, each score beside the same score of real rows in their place.",
        verdict=_verdict(evaluation),
        key_facts=_key_facts(evaluation),
        sections=[
            *(_family_section(family, scores) for family, scores in of_family.items() if scores),
            _class_section(evaluation.classes),
            *row_sections(pictures),
            Section(
                name="leakage",
                title="Leakage audit",
                lead="Columns and rows that give classes away by how they were captured, not by what they do.",
                blocks=leakage_blocks(leakage, title="Real rows"),
            ),
            _failure_section(evaluation),
            _settings_section(evaluation, command=command, versions=versions, machine=machine),
        ],
    )


def shortfall(score: Score) -> float | None:
    """Tell by how much minted rows fall short of real ones.

    Args:
        score: A score.

    Returns:
        The difference in the worse direction as a share of the score's range, or of the larger of both
        values where the range has no end; 0 where minted rows are as good or better; None where either is
        not available.
    """
    if score.value is None or score.reference is None:
        return None
    worse = score.value - score.reference
    gap = {"higher": -worse, "lower": worse, "reference": abs(worse)}[score.better]
    span = score.highest - score.lowest
    if not math.isfinite(span):
        span = max(abs(score.value), abs(score.reference)) or 1.0
    return max(gap / span, 0.0)


def _verdict(evaluation: Evaluation) -> Verdict:
    """Count the scores that are as good as those of real rows, and name the worst."""
    gaps = [(gap, score) for score in evaluation.scores if (gap := shortfall(score)) is not None]
    if not gaps:
        sentence = "Nothing can be said: no score stands beside the same score of real rows."
        detail = "Give training rows and enough held-out rows; each score tells below what it lacks."
        return Verdict(tone="unknown", sentence=sentence, details=[detail])
    close = sum(gap <= CLOSE for gap, _ in gaps)
    part = close / len(gaps)
    sentence = f"Minted rows are about as good as real rows in {close} of {len(gaps)} scores."
    worst = sorted((pair for pair in gaps if pair[0] > CLOSE), key=lambda pair: -pair[0])[:3]
    named = [
        f"{s.title} ({show_number(s.value or 0.0)}, real rows {show_number(s.reference or 0.0)})" for _, s in worst
    ]
    detail = f"They fall shortest in {listed(named)}." if named else "They fall short in none."
    details = [f"{detail} “About as good”: short by at most {CLOSE:.0%} of a score’s range.".replace("%", f"{THIN}%")]
    tone: Tone = "good" if part >= MOSTLY else "bad" if part < HARDLY else "even"
    return Verdict(tone=tone, sentence=sentence, details=[*details, *_gain(evaluation)])


def _gain(evaluation: Evaluation) -> list[str]:
    """Say what detectors gain, where that was measured."""
    found = [s for s in evaluation.scores if s.name == F1_ADDED and s.value is not None and s.reference is not None]
    return [
        f"Detectors find what was minted with a mean F1 of {show_number(s.value or 0.0)} when minted rows are added "
        f"to the real ones, and of {show_number(s.reference or 0.0)} with the real rows alone."
        for s in found
    ]


def _key_facts(evaluation: Evaluation) -> list[list[str]]:
    train = "not given" if evaluation.train_rows is None else f"{evaluation.train_rows:,}"
    return [
        ["minted rows", f"{evaluation.minted_rows:,}"],
        ["real rows, held out", f"{evaluation.real_rows:,}"],
        ["real rows, learnt from", train],
        ["columns", f"{len(evaluation.columns):,}"],
        ["classes", f"{len(evaluation.classes):,}" if evaluation.label is not None else "no label"],
    ]


def _family_section(family: Family, scores: Sequence[Score]) -> Section:
    blocks: list[Block] = [_strips(family, scores)]
    blocks += [_parts(score) for score in scores if len(score.per_column) > 1]
    return Section(name=family, title=family.capitalize(), lead=FAMILY_LEADS[family], blocks=blocks)


def _strips(family: Family, scores: Sequence[Score]) -> Figure:
    rows: list[list[Cell]] = [
        [
            s.title,
            s.value if s.value is not None else Missing(missing=s.reason or ""),
            s.reference,
            _range(s),
            BETTER[s.better],
        ]
        for s in scores
    ]
    told = "; ".join(
        f"{row[0]} {show_number(s.value)}" for row, s in zip(rows, scores, strict=True) if s.value is not None
    )
    return doc.figure(
        f"scores-{family}",
        f"{family.capitalize()} scores",
        description=f"Scores of minted rows beside those of real rows: {told or 'none available'}.",
        note="Each line runs from the lowest to the highest possible value, or to a round one where there is no bound.",
        legend=[("real rows", 0), ("minted rows", 1)],
        panels=[_strip(score) for score in scores],
        data=doc.table("Scores behind the chart", ["score", "minted", "real rows", "range", "better"], rows),
    )


def _strip(score: Score) -> StripPanel:
    return StripPanel(
        panel="strip",
        title=score.title,
        note=f"{score.description.rstrip('.')} ({score.source})." if score.source else score.description,
        better=score.better,
        bounds=[doc.number(score.lowest), doc.number(score.highest)],
        value=doc.number(score.value),
        reference=doc.number(score.reference),
        missing=score.reason or "",
    )


def _range(score: Score) -> str:
    low, high = (show_number(bound) if math.isfinite(bound) else "no end" for bound in (score.lowest, score.highest))
    return f"{low} to {high}"


def _parts(score: Score) -> Table:
    """List the columns, or pairs of columns, in which a score is worst and best."""
    worst = score.worst_columns(5)
    best = [part for part in score.best_columns(3) if part not in worst][::-1]
    rows: list[list[Cell]] = [
        [" × ".join(part.columns), doc.number(part.value), doc.number(part.reference), which]
        for which, parts in (("worst", worst), ("best", best))
        for part in parts
    ]
    what = "pairs of columns" if len(score.per_column[0].columns) > 1 else "columns"
    what = "rules" if score.family == "validity" else what
    title = f"{score.title}: worst and best of {len(score.per_column):,} {what}"
    return doc.table(title, [what, "minted", "real rows", "among the"], rows)


def _class_section(classes: Sequence[ClassScores]) -> Section:
    lead = "The same scores for the rows of one class alone; in brackets those of real rows."
    if not classes:
        blocks: list[Block] = [doc.paragraph("Not available: no label was given.")]
        return Section(name="classes", title="Class by class", lead=lead, blocks=blocks)
    names = list(dict.fromkeys(score.name for one in classes for score in one.scores))
    titles = {score.name: score.title for one in classes for score in one.scores}
    rows = [_class_row(one, names) for one in classes]
    columns = ["class", "real rows", "minted rows", "training rows", *(titles[name] for name in names)]
    return Section(name="classes", title="Class by class", lead=lead, blocks=[doc.table("Classes", columns, rows)])


def _class_row(one: ClassScores, names: Sequence[str]) -> list[Cell]:
    found = {score.name: score for score in one.scores}
    cells: list[Cell] = [one.name, one.real_rows, one.minted_rows, one.train_rows]
    for name in names:
        score = found.get(name)
        if score is None:
            cells.append(None)
        elif score.value is None:
            cells.append(Missing(missing=score.reason or "no reason was given"))
        else:
            real = "" if score.reference is None else f" ({show_number(score.reference)})"
            cells.append(f"{show_number(score.value)}{real}")
    return cells


def _failure_section(evaluation: Evaluation) -> Section:
    absent: list[list[Cell]] = [["all", s.title, s.reason or ""] for s in evaluation.scores if s.value is None]
    absent += [[one.name, s.title, s.reason or ""] for one in evaluation.classes for s in one.scores if s.value is None]
    blocks: list[Block] = [doc.paragraph(note) for note in evaluation.notes]
    if absent:
        blocks.append(doc.table(f"{len(absent)} scores are not available", ["rows", "score", "reason"], absent))
    else:
        blocks.append(doc.paragraph("Every score is available."))
    lead = "Scores that could not be had, and what else a reader must know."
    return Section(name="failures", title="Failures and notes", lead=lead, blocks=blocks)


def _settings_section(evaluation: Evaluation, *, command: str, versions: Mapping[str, str], machine: str) -> Section:
    named = {
        "label": "none" if evaluation.label is None else evaluation.label,
        "seed": evaluation.seed,
        "columns": ", ".join(evaluation.columns),
        "machine": machine or "not recorded",
    }
    blocks: list[Block] = [doc.facts("Settings", named), doc.facts("Versions", versions)]
    if command:
        blocks.append({"block": "code", "text": command})
    return Section(name="settings", title="How it was made", lead="Enough to run it again.", blocks=blocks)
