"""A comparison as a report: do minted rows help, by how much, at what cost, and can it be trusted?"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flowmint.evaluate.compare.plan import REFERENCES
from flowmint.report import document as doc
from flowmint.report.detection import detector_section, f1_section
from flowmint.report.document import Document, Section
from flowmint.report.leakage import leakage_blocks
from flowmint.report.quality import cost_section, family_sections
from flowmint.report.rows import row_sections
from flowmint.report.verdict import comparison_verdict
from flowmint.report.view import View
from flowmint.report.words import listed

if TYPE_CHECKING:
    from collections.abc import Sequence

    from flowmint.evaluate.compare.result import Comparison, TaskAbout
    from flowmint.report.document import Block, Cell, Table
    from flowmint.report.picture import Picture

MOST_NOTES = 20
"""Notes of cells that are shown; equal ones are shown once."""


def comparison_document(comparison: Comparison, *, pictures: Sequence[Picture] = ()) -> Document:
    """Summarise a comparison.

    Args:
        comparison: What was found.
        pictures: Rows to look at.

    Returns:
        The report's dict.
    """
    views = [View(comparison, task, kept) for task in comparison.tasks for kept in comparison.plan.shortcuts]
    views = [view for view in views if view.found] or views[:1]
    return Document(
        format_version=doc.FORMAT_VERSION,
        title=comparison.title or "Do minted rows help?",
        subtitle="Generators of attack rows compared: detectors trained on few real rows and minted ones, judged on "
        "real rows held out.",
        verdict=comparison_verdict(views),
        key_facts=_key_facts(comparison),
        sections=[
            f1_section(views),
            detector_section(views),
            *family_sections(comparison, views),
            *row_sections(pictures),
            cost_section(views),
            Section(
                name="leakage",
                title="Leakage audit",
                lead="Columns and rows that give the attack away by how it was captured, not by what it does.",
                blocks=[block for task in comparison.tasks for block in leakage_blocks(task.leakage, title=task.name)],
            ),
            _failure_section(comparison),
            _settings_section(comparison),
        ],
    )


def _key_facts(comparison: Comparison) -> list[list[str]]:
    plan = comparison.plan
    return [
        ["tasks", listed([task.name for task in comparison.tasks])],
        ["real attack rows", ", ".join(f"{rows:,}" for rows in plan.rows)],
        ["seeds", f"{len(plan.seeds)}"],
        ["generators", listed([name for name in plan.generators if name not in REFERENCES], most=12)],
        ["detectors", listed(list(plan.detectors))],
    ]


def _failure_section(comparison: Comparison) -> Section:
    failed = comparison.failures
    rows: list[list[Cell]] = [
        [c.task, c.generator, "all" if c.rows is None else c.rows, c.seed, c.shortcuts, c.error or ""] for c in failed
    ]
    columns = ["task", "generator", "real rows", "seed", "shortcuts", "error"]
    block: Block = (
        doc.table(f"{len(failed)} of {len(comparison.cells)} cells failed", columns, rows)
        if failed
        else doc.paragraph(f"None of {len(comparison.cells):,} cells failed.")
    )
    notes = dict.fromkeys(f"{cell.task}, {cell.generator}: {note}" for cell in comparison.cells for note in cell.notes)
    lead = "Cells without a result; the others went on."
    blocks = [block, *(doc.paragraph(note) for note in list(notes)[:MOST_NOTES])]
    return Section(name="failures", title="Failures", lead=lead, blocks=blocks)


def _settings_section(comparison: Comparison) -> Section:
    plan = comparison.plan
    named = {
        "real attack rows": ", ".join(f"{rows:,}" for rows in plan.rows),
        "seeds": ", ".join(map(str, plan.seeds)),
        "generators": ", ".join(plan.generators),
        "detectors": ", ".join(plan.detectors),
        "split": plan.split,
        "shortcuts": " and ".join(plan.shortcuts),
        "rows of a table at most": f"{plan.most:,}",
        "families of scores": ", ".join(plan.families) or "none",
        "headline": f"mean over up to {plan.headline:,} real rows",
    }
    settings = {name: ", ".join(f"{k} = {v}" for k, v in own.items()) for name, own in plan.settings.items() if own}
    blocks: list[Block] = [doc.facts("Plan", named)]
    blocks += [doc.facts("Settings of generators", settings)] if settings else []
    blocks += [_task_table(comparison.tasks), doc.facts("Versions", comparison.versions)]
    blocks += [doc.facts("Machine", {"machine": comparison.machine or "not recorded"})]
    if comparison.command:
        blocks.append({"block": "code", "text": comparison.command})
    return Section(name="settings", title="How it was made", lead="Enough to run it again.", blocks=blocks)


def _task_table(tasks: Sequence[TaskAbout]) -> Table:
    rows: list[list[Cell]] = [
        [t.name, t.attack, t.benign, t.attack_rows, t.benign_rows, len(t.columns), listed(list(t.shortcuts), most=99)]
        for t in tasks
    ]
    columns = ["task", "attack", "benign class", "attack rows", "benign rows", "feature columns", "shortcuts"]
    return doc.table("Tasks", columns, rows)
